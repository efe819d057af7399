"""Everything that a locked child could want to import or read later, imported and read before it is forked."""

import datetime as dt
import encodings
import hashlib
import pkgutil
import sys
import time
import uuid
from importlib import import_module
from types import ModuleType
from typing import Final

from toolyard.sandbox.language.facades import dates
from toolyard.sandbox.language.facades.web_answers import Headers, Response
from toolyard.sandbox.language.names import MODULE

#: A tool that touches what libraries set up at their first use.
SAMPLE: Final = """
import dataclasses, enum, typing

@dataclasses.dataclass
class Point:
    x: int = 0

class Colour(enum.Enum):
    RED = "red"

class Pair(typing.NamedTuple):
    left: int

def execute_tool(parameters, context):
    match Point():
        case Point(x=0):
            return "{:>5.1f}".format(1.5)
"""

#: A tool that does a little of what most tools do. Each child runs it before its request comes: the memory that this
#: writes to is the child's own then, and no longer has to be copied while somebody waits.
ORDINARY: Final = """
import collections, datetime, json, math, re

def execute_tool(parameters, context):
    seen = collections.Counter()
    for word in re.findall(parameters["pattern"], parameters["text"].lower()):
        seen[word] += 1
    try:
        share = math.floor(100 * len(seen) / (len(seen) - 4)) / 100
    except ZeroDivisionError:
        share = None
    words = [{"word": word, "times": times} for word, times in seen.most_common(3)]
    text = json.dumps({"words": sorted(words, key=lambda each: each["word"]), "share": share})
    at = datetime.datetime(2024, 1, 31, tzinfo=datetime.UTC) + datetime.timedelta(days=1)
    print(f"{at.isoformat()}: {len(text)} letters")
    return {"success": True, "message": ", ".join(seen), "data": json.loads(text)}
"""


def load() -> None:
    """Import and read it all; once, in the fork server."""
    # Dataclasses look for the module that a class says it is of.
    sys.modules.setdefault(MODULE, ModuleType(MODULE))
    dates.read_zones()
    _encodings()
    for name in ("_strptime", "stringprep", "copyreg"):
        import_module(name)
    dt.datetime.strptime("2024-01-31 12:00 +0000", "%Y-%m-%d %H:%M %z").strftime("%A %B")
    time.localtime()
    for name in hashlib.algorithms_guaranteed:
        hashlib.new(name)
    hashlib.scrypt(b"", salt=b"", n=2, r=1, p=1)
    uuid.uuid4()
    _ = Response(200, Headers([("content-type", "text/plain; charset=latin-1")]), b"", "").text


def _encodings() -> None:
    for found in pkgutil.iter_modules(encodings.__path__):
        if found.name not in {"mbcs", "oem", "cp65001"}:  # of Windows only
            import_module(f"encodings.{found.name}")
            _known(found.name)


def _known(name: str) -> None:
    try:
        "".encode(name)
    except (LookupError, UnicodeError):
        return  # not one that turns text into bytes
