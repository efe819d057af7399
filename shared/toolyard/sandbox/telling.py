"""What a child says in the end, read and believed as far as it can be checked: it may be anybody by then.

The other end of `toolyard.sandbox.language.guest`, for `runner`. Pure. What an honest guest never sends is `Untrue`.
"""

import base64
import binascii
import re
from itertools import accumulate
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from toolyard.sandbox.jail.frames import Untrue

__all__ = [
    "MAX_DEPTH",
    "Checked",
    "Code",
    "Problem",
    "Step",
    "Told",
    "Untrue",
    "checked_of",
    "room_for",
    "step_of",
    "told_of",
]

#: Levels of lists and dicts in a value.
MAX_DEPTH: Final = 100
#: Bytes that the guest adds to what was printed where it did not keep all, and those of everything else that it says
#: beside value and prints: message and traceback of an error.
_NOTE: Final = 100
_ERROR_ROOM: Final = 256 << 10
#: Bytes of JSON that one byte of printed text can take: ``\u0001``.
_ESCAPED: Final = 6

#: The texts of a JSON text, and all bytes but brackets.
_TEXTS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))

_Text = Annotated[str, Meta(max_length=4_096)]
_Amount = Annotated[float, Meta(ge=0.0, le=2.0**53)]
_Place = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Step(Struct, frozen=True):
    """How far a tool has come: so much is done, of so much where that is known."""

    done: _Amount
    total: _Amount | None = None
    message: _Text | None = None


class Problem(Struct, frozen=True):
    """One thing that is wrong with a source.

    Attributes:
        line: counted from 1; 0 is the source as a whole.
        column: in characters, counted from 1; 0 is the whole line.
        message: what is wrong, and what to write instead.
    """

    line: _Place
    column: _Place
    message: _Text


class Checked(Struct, frozen=True):
    """What came of a source.

    Attributes:
        problems: everything that is wrong, in the order of the source.
        code: what a child runs; None where there are problems. Of no meaning outside of one.
    """

    problems: tuple[Problem, ...]
    code: bytes | None


#: Of the errors that the guest tells of itself.
Code = Literal["tool_error", "output_invalid", "output_too_large", "resource_exhausted", "upstream_error"]


class Told(Struct, frozen=True, kw_only=True):
    """What a tool ended with: a value where there is no code.

    Attributes:
        value: the JSON text of what it returned, and ``plain``: the value itself.
        code: of its error.
        message: what went wrong, for its author. It is the tool's text.
        line: where in the source; None where it is not known.
        traceback: one line a call, the last call last.
        retryable: whether another try may end better; it says so of the upstream alone.
        prints: what it printed.
    """

    value: Raw | UnsetType = UNSET
    plain: Any = None
    code: Code | None = None
    message: str = ""
    line: int | None = None
    traceback: tuple[str, ...] = ()
    retryable: bool = False
    prints: str = ""


class _Checked(Struct, forbid_unknown_fields=True):
    problems: Annotated[tuple[Problem, ...], Meta(max_length=100)]
    code: str | None


class _Ended(Struct, forbid_unknown_fields=True, tag_field="kind"):
    prints: str
    requests: _Place


class _Value(_Ended, tag="value"):
    value: Raw


class _Error(_Ended, tag="error"):
    code: Code
    message: _Text
    line: _Place | None
    traceback: Annotated[tuple[_Text, ...], Meta(max_length=64)]
    retryable: bool


_checked = msgspec.json.Decoder(_Checked)
_step = msgspec.json.Decoder(Step)
_ended: msgspec.json.Decoder[_Value | _Error] = msgspec.json.Decoder(_Value | _Error)

#: What reading a hostile text raises: the latter two for text that is not UTF-8, and for deep nesting.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def room_for(output: int, prints: int) -> int:
    """Bytes of the longest answer to a run with these limits."""
    return output + _ESCAPED * (prints + _NOTE) + _ERROR_ROOM


def checked_of(body: bytes) -> Checked:
    """The answer to `check`.

    Raises:
        Untrue: it is none.
    """
    found: _Checked = _read(_checked, body)
    if (found.code is None) == (not found.problems):
        raise Untrue("neither code nor problems, or both")
    try:
        code = None if found.code is None else base64.b64decode(found.code, validate=True)
    except (binascii.Error, ValueError):
        raise Untrue("code that cannot be read") from None
    return Checked(found.problems, code)


def step_of(body: bytes) -> Step:
    """How far it has come, as it says on its way.

    Raises:
        Untrue: it says no such thing.
    """
    step: Step = _read(_step, body)
    return step if step.message is None else msgspec.structs.replace(step, message=_without_nul(step.message))


def told_of(body: bytes, *, output: int, prints: int) -> Told:
    """The answer to `run`.

    Args:
        body: the bytes.
        output: bytes that the value may have.
        prints: bytes that are kept of what was printed.

    Raises:
        Untrue: it is none, or more than that.
    """
    found: _Value | _Error = _read(_ended, body)
    if len(found.prints.encode()) > prints + _NOTE:
        raise Untrue("more was printed than is kept")
    printed = _without_nul(found.prints)
    if isinstance(found, _Error):
        return Told(
            code=found.code,
            message=_without_nul(found.message),
            line=found.line,
            traceback=tuple(map(_without_nul, found.traceback)),
            retryable=found.retryable,
            prints=printed,
        )
    raw = bytes(found.value)
    if len(raw) > output:
        raise Untrue("a value that is larger than allowed")
    if _depth(raw) > MAX_DEPTH:
        raise Untrue("a value that is nested too deep")
    return Told(value=Raw(raw), plain=_read(_plain, raw), prints=printed)


_plain: Final = msgspec.json.Decoder()


def _read(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except _UNREADABLE as error:
        raise Untrue(f"no answer of a guest ({type(error).__name__})") from None


def _depth(raw: bytes) -> int:
    """The levels of nesting of a JSON text; 0 where it is too short to have too many."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return 0
    brackets = _TEXTS.sub(b"", raw).translate(None, delete=_NO_BRACKETS)
    return max(accumulate(1 if byte in b"[{" else -1 for byte in brackets), default=0)


def _without_nul(text: str) -> str:
    """No database keeps a NUL in a text."""
    return text.replace("\x00", "\ufffd")
