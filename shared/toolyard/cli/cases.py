"""Cases for tests of tools: read from ``NAME.test.yaml``, and compared with what became of their calls. Pure.

They stand in files of their own, because a definition holds nothing that a gateway does not act on.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any, Final

from toolyard.cli import documents
from toolyard.cli.documents import Document
from toolyard.cli.places import Fault, below
from toolyard.errors import CODES
from toolyard.states import TERMINAL

_OBJECT, _TEXT = "an object", "a text"
_FIELDS: Final = {"name": _TEXT, "arguments": _OBJECT, "context": _OBJECT, "user": _TEXT, "expect": _OBJECT}
_EXPECTED: Final = {"state": _TEXT, "code": _TEXT, "content": _TEXT, "structured": "any value"}
_TYPES: Final[dict[str, type]] = {_OBJECT: dict, _TEXT: str}
#: Differences of one value that are told at most, and characters of a value that is shown.
_MAX_TOLD: Final = 5
_SHOWN: Final = 120


@dataclass(frozen=True, slots=True)
class Case:
    """One call to make, and what is expected of it."""

    tool: str
    name: str
    arguments: dict[str, Any]
    context: dict[str, Any] | None
    user: str | None
    expect: dict[str, Any]
    place: Fault

    def told(self, difference: str) -> str:
        """A difference with the place of the case."""
        return str(self.place._replace(path=self.name, message=difference))


def read(paths: Sequence[str]) -> list[Case]:
    """The cases of files and folders, in order.

    Raises:
        Wrong: something in them is wrong; all of it is told.
    """
    found = documents.read(paths, cases=True)
    cases = [case for document in found.documents for case in _cases(document, found.faults)]
    found.check()
    return cases


def tool_of(file: str) -> str:
    """The tool whose cases stand in this file."""
    name = PurePath(file).name
    return next(name.removesuffix(suffix) for suffix in documents.CASES if name.endswith(suffix))


def _cases(document: Document, faults: list[Fault]) -> Iterator[Case]:
    if not isinstance(document.value, list):
        faults.append(document.fault("is no list of cases: write each as - name: …, with arguments and expect"))
        return
    for number, value in enumerate(document.value):
        wrong = list(_wrong(document, str(number), value))
        faults += wrong
        if not wrong:
            yield Case(
                tool=tool_of(document.file),
                name=value["name"],
                arguments=value.get("arguments", {}),
                context=value.get("context"),
                user=value.get("user"),
                expect=value.get("expect", {}),
                place=document.fault("", str(number)),
            )


def _wrong(document: Document, path: str, value: Any) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield document.fault("is no case: write an object with name, arguments and expect", path)
        return
    yield from _wrong_fields(document, path, value, _FIELDS)
    if "name" not in value:
        yield document.fault("is missing; give it", below(path, "name"))
    expect = value.get("expect")
    if isinstance(expect, dict):
        path = below(path, "expect")
        yield from _wrong_fields(document, path, expect, _EXPECTED)
        yield from _wrong_words(document, path, expect)


def _wrong_fields(
    document: Document, path: str, value: Mapping[str, Any], fields: Mapping[str, str]
) -> Iterator[Fault]:
    for name, inner in value.items():
        wanted = fields.get(name)
        if wanted is None:
            near = get_close_matches(name[:64], fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"take {', '.join(fields)}"
            yield document.fault(f"is not a field here; {hint}", below(path, name))
        elif not isinstance(inner, _TYPES.get(wanted, object)):
            yield document.fault(f"must be {wanted}", below(path, name))


def _wrong_words(document: Document, path: str, expect: Mapping[str, Any]) -> Iterator[Fault]:
    for name, known in (("state", sorted(TERMINAL)), ("code", list(CODES))):
        word = expect.get(name)
        if isinstance(word, str) and word not in known:
            near = get_close_matches(word[:64], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"take one as in {known[0]}"
            yield document.fault(f"{word[:64]!r} is no {name} that a call ends with; {hint}", below(path, name))


# ---- what became of it --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """How a call stands, or why it was not accepted: its state is ``rejected`` then."""

    state: str
    code: str | None = None
    message: str = ""
    result: Mapping[str, Any] | None = None


def differences(case: Case, seen: Seen) -> list[str]:
    """What is other than expected; nothing is compared that the case does not name, but that the call succeeds."""
    expect = case.expect
    found = list(_ends(expect, seen))
    if found:
        return found
    result = seen.result or {}
    if "content" in expect and result.get("content") != expect["content"]:
        found.append(f"content: {_shown(result.get('content'))}, expected {_shown(expect['content'])}")
    if "structured" in expect:
        if "structured" in result:
            found += list(_compared(expect["structured"], result["structured"], "structured"))[:_MAX_TOLD]
        else:
            found.append("structured: there is none")
    return found


def _ends(expect: Mapping[str, Any], seen: Seen) -> Iterator[str]:
    """State and code. Who names a code alone leaves the state open."""
    state = expect.get("state", None if "code" in expect else "succeeded")
    why = f" ({seen.code}: {seen.message})" if seen.code else ""
    if state is not None and seen.state != state:
        yield f"state: {seen.state}{why}, expected {state}"
    elif "code" in expect and seen.code != expect["code"]:
        yield f"code: {seen.code or 'none'}{f' ({seen.message})' if seen.code else ''}, expected {expect['code']}"


def _compared(expected: Any, found: Any, path: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in dict.fromkeys([*expected, *found]):
            yield from _member(expected, found, name, path)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _compared(one, other, below(path, number))
    elif isinstance(expected, bool) != isinstance(found, bool) or expected != found:
        yield f"{path}: {_shown(found)}, expected {_shown(expected)}"


def _member(expected: Mapping[str, Any], found: Mapping[str, Any], name: str, path: str) -> Iterator[str]:
    where = below(path, name)
    if name not in found:
        yield f"{where}: is missing, expected {_shown(expected[name])}"
    elif name not in expected:
        yield f"{where}: {_shown(found[name])}, expected nothing"
    else:
        yield from _compared(expected[name], found[name], where)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
