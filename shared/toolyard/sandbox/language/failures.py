"""An exception of a tool, as its author is told: what, where in his own code, and nothing of ours.

The exception is the tool's object: asking it for its text runs the tool's code once more, in the same locked process.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from toolyard.sandbox.language.names import FILE

#: Characters of a message, and calls of a traceback.
_MOST: Final = 2_000
_CALLS: Final = 20
_CAUSES: Final = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """What is told.

    Attributes:
        message: the kind of the exception, and its text.
        line: where in the source; None if the code of the tool had not begun.
        traceback: one line a call, the last call last; then what caused it.
    """

    message: str
    line: int | None
    traceback: tuple[str, ...]


def failure_of(exception: BaseException) -> Failure:
    """What to tell of an exception that left the tool."""
    places = list(_places(exception))
    return Failure(told(exception), places[-1][0] if places else None, tuple(_traceback(exception, places)))


def told(exception: BaseException) -> str:
    """Its kind and its text."""
    name = type(exception).__name__
    text = _text(exception)
    return f"{name}: {text}" if text else name


def _text(exception: BaseException) -> str:
    try:
        text = str.__str__(str(exception))
    except BaseException:  # noqa: BLE001 - whatever the tool's own text does
        return "(its text could not be read)"
    cut = text if len(text) <= _MOST else f"{text[:_MOST]}…"
    return cut.encode(errors="backslashreplace").decode()


def _places(exception: BaseException) -> Iterator[tuple[int, str]]:
    entry: TracebackType | None = exception.__traceback__
    while entry is not None:
        code = entry.tb_frame.f_code
        if code.co_filename == FILE:
            yield entry.tb_lineno, code.co_name
        entry = entry.tb_next


def _traceback(exception: BaseException, places: list[tuple[int, str]]) -> Iterator[str]:
    shown = places if len(places) <= _CALLS else [*places[: _CALLS // 2], (0, ""), *places[-_CALLS // 2 :]]
    for line, name in shown:
        yield f"line {line}, in {name}" if line else f"… {len(places) - _CALLS} more calls"
    cause, seen = exception.__cause__, 0
    while cause is not None and seen < _CAUSES:
        where = next(reversed(list(_places(cause))), None)
        yield f"caused by {told(cause)}" + (f" (line {where[0]})" if where else "")
        cause, seen = cause.__cause__, seen + 1
