"""Which modules a tool may import, and what to tell who imports another."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from toolyard.sandbox.language.facades import CATALOGUE
from toolyard.sandbox.language.facades.facade import NEAR, absent
from toolyard.sandbox.language.names import words

_WEB: Final = "use requests"
_FILES: Final = "a tool has no files: keep data in variables, or in io.StringIO and io.BytesIO"
_ALONE: Final = "a tool runs alone and in one thread: write one thing after the other"
_PROGRAMS: Final = "a tool starts no programs and sees none"
_INSIDE: Final = "a tool cannot look into the interpreter"

_INSTEAD: Final[dict[str, str]] = {
    **dict.fromkeys(words("aiohttp ftplib http httpx smtplib socket ssl urllib2 urllib3 urllib.request"), _WEB),
    **dict.fromkeys(words("fileinput glob pathlib shutil sqlite3 tempfile zipfile tarfile os.path"), _FILES),
    **dict.fromkeys(words("asyncio concurrent multiprocessing queue threading sched"), _ALONE),
    **dict.fromkeys(words("platform pty resource signal subprocess"), _PROGRAMS),
    **dict.fromkeys(words("ast builtins code ctypes dis gc importlib inspect weakref"), _INSIDE),
    "sys": f"{_INSIDE}, and print is kept with the call",
    "traceback": "the line of an error is reported by itself: raise it, or print str(error)",
    **dict.fromkeys(words("dill marshal pickle shelve yaml"), "use json"),
    **dict.fromkeys(words("numpy pandas scipy"), "use statistics, math, itertools and csv"),
    **dict.fromkeys(words("dateparser dateutil pytz arrow"), "use datetime and zoneinfo"),
    **dict.fromkeys(words("bs4 feedparser html.parser lxml xml xmltodict"), "use re, and html.unescape"),
    **dict.fromkeys(words("anthropic boto3 openai"), "send what it would send with requests"),
    **dict.fromkeys(words("bz2 gzip lzma zlib"), "the answers of requests come unpacked"),
    **dict.fromkeys(words("requests.adapters urllib3.util"), "write a loop that tries again, with time.sleep"),
    "fnmatch": "use re",
    "struct": "use int.from_bytes and int.to_bytes",
    "warnings": "use print: what it prints is kept with the call",
    "locale": "use format specifications, such as f'{x:,.2f}'",
    "pprint": "use print(json.dumps(x, indent=2))",
}

#: Packages that a tool has only where its list names them.
_NAMED: Final = frozenset({"requests"})

_MEMBERS: Final[dict[tuple[str, str], str]] = {
    ("json", "JSONEncoder"): "use json.dumps(value, default=str)",
    ("string", "Formatter"): "use str.format or an f-string",
    **{
        ("datetime", method): f"it is a method of the class: use datetime.datetime.{method}, or import that class"
        for method in words("combine fromisoformat fromtimestamp now strftime strptime today utcnow")
    },
    ("functools", "update_wrapper"): "use functools.wraps",
    ("functools", "singledispatch"): "use isinstance, or match",
    ("typing", "get_type_hints"): "use dataclasses.fields",
    ("uuid", "uuid1"): "use uuid.uuid4",
    ("os", "path"): "a tool has no files: split names with str.rpartition",
    ("io", "open"): "a tool has no files: use io.StringIO",
    ("urllib", "request"): _WEB,
    ("urllib", "error"): _WEB,
}


def is_allowed(module: str, allowed_imports: Collection[str] | None) -> bool:
    """Whether a tool with this list may import a module.

    A package stands for its modules, and None for all that cannot reach the network.
    """
    package = module.partition(".")[0]
    if allowed_imports is None:
        return package not in _NAMED
    return package in {name.partition(".")[0] for name in allowed_imports}


def not_allowed(module: str) -> str:
    """What to tell an author whose tool may not import a module."""
    if module.partition(".")[0] in _NAMED:
        return f"`{module}` reaches the network: name it in allowed_imports, with all other modules of this tool"
    return f"`{module}` is not in allowed_imports of this tool: add it there"


def unknown(module: str, *, suggest: bool = True) -> str:
    """What to tell an author who names a module that tools do not have; ``suggest``: look for one of a name like it."""
    for name in (module, module.partition(".")[0]):
        if name in _INSTEAD:
            return f"`{module}` is not available: {_INSTEAD[name]}"
    near = _near(module) if suggest else None
    return f"`{module}` is not available" + (f": did you mean `{near}`?" if near else "")


def _near(module: str) -> str | None:
    """A module of a name like that; inside a package only the last part may differ."""
    package, _, last = module.rpartition(".")
    beside = {name.rpartition(".")[2]: name for name in CATALOGUE if name.rpartition(".")[0] == package}
    found = get_close_matches(last, beside, n=1, cutoff=NEAR)
    return beside[found[0]] if found else None


def absent_member(module: str, name: str, *, suggest: bool = True) -> str:
    """What to tell an author who names what a module does not have here."""
    if (module, name) in _MEMBERS:
        return f"`{module}` has no `{name}` here: {_MEMBERS[module, name]}"
    return absent(module, name, CATALOGUE[module] if suggest else ())
