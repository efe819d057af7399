"""An exception of a tool, as its author is told: what, where in his own code, and nothing of ours.

The exception is the tool's object: asking it for its text runs the tool's code once more, in the same locked process.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from toolyard.sandbox.language.facades.web_answers import Response
from toolyard.sandbox.language.facades.web_errors import (
    ChunkedEncodingError,
    ConnectionError,  # noqa: A004 - the name that authors know
    HTTPError,
    JSONDecodeError,
    Timeout,
    TooManyRedirects,
)
from toolyard.sandbox.language.names import FILE
from toolyard.sandbox.language.redacting import NOTHING, Redactor

#: Characters of a message and of a name in it, calls of a traceback, and causes.
_MOST: Final = 2_000
_NAME: Final = 100
_CALLS: Final = 20
_CAUSES: Final = 3

#: What an upstream did wrong. A request that was wrong itself, or one too many, is the tool's own error.
_UPSTREAMS: Final = (HTTPError, ConnectionError, Timeout, TooManyRedirects, ChunkedEncodingError, JSONDecodeError)
#: Statuses below 500 after which another try makes sense.
_TRY_AGAIN: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Failure:
    """What is told.

    Attributes:
        code: ``upstream_error`` where a request failed and the tool left it at that, else ``tool_error``.
        message: the kind of the exception, and its text.
        line: where in the source; None if the code of the tool had not begun.
        traceback: one line a call, the last call last; then what caused it.
        retryable: whether the upstream may answer better another time.
    """

    code: str
    message: str
    line: int | None
    traceback: tuple[str, ...]
    retryable: bool


def failure_of(exception: BaseException, redactor: Redactor = NOTHING) -> Failure:
    """What to tell of an exception that left the tool."""
    places = list(_places(exception))
    return Failure(
        "upstream_error" if isinstance(exception, _UPSTREAMS) else "tool_error",
        told(exception, redactor),
        places[-1][0] if places else None,
        tuple(_traceback(exception, places, redactor)),
        _may_pass(exception),
    )


def told(exception: BaseException, redactor: Redactor = NOTHING) -> str:
    """Its kind and its text."""
    name = redactor.text(type(exception).__name__)[:_NAME]
    text = _text(exception, redactor)
    return f"{name}: {text}" if text else name


def _may_pass(exception: BaseException) -> bool:
    if isinstance(exception, HTTPError):
        status = _status(exception)
        return status >= 500 or status in _TRY_AGAIN
    return isinstance(exception, ConnectionError | Timeout)


def _status(exception: HTTPError) -> int:
    """Of its answer; 0 where there is none. Both are the tool's to set, and may be anything."""
    try:
        answer = exception.response
    except BaseException:  # noqa: BLE001 - whatever the tool's own property does
        return 0
    status = answer.status_code if isinstance(answer, Response) else 0
    return status if type(status) is int else 0


def _text(exception: BaseException, redactor: Redactor) -> str:
    try:
        text = str.__str__(str(exception))
    except BaseException:  # noqa: BLE001 - whatever the tool's own text does
        return "(its text could not be read)"
    return shortened(text, redactor)


def shortened(text: str, redactor: Redactor = NOTHING) -> str:
    """As much of a text as is told, as text that can be sent; what must not be told is taken out before."""
    shown = redactor.text(text)
    cut = shown if len(shown) <= _MOST else f"{shown[:_MOST]}…"
    return cut.encode(errors="replace").decode()


def _places(exception: BaseException) -> Iterator[tuple[int, str]]:
    entry: TracebackType | None = exception.__traceback__
    while entry is not None:
        code = entry.tb_frame.f_code
        if code.co_filename == FILE:
            yield entry.tb_lineno, code.co_name[:_NAME]
        entry = entry.tb_next


def _traceback(exception: BaseException, places: list[tuple[int, str]], redactor: Redactor) -> Iterator[str]:
    shown = places if len(places) <= _CALLS else [*places[: _CALLS // 2], (0, ""), *places[-_CALLS // 2 :]]
    for line, name in shown:
        yield f"line {line}, in {name}" if line else f"… {len(places) - _CALLS} more calls"
    cause, seen = exception.__cause__, 0
    while cause is not None and seen < _CAUSES:
        where = next(reversed(list(_places(cause))), None)
        yield f"caused by {told(cause, redactor)}" + (f" (line {where[0]})" if where else "")
        cause, seen = cause.__cause__, seen + 1
