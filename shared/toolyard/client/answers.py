"""What a gateway answers: JSON values, problem documents as errors, and event streams.

Pure: the shells bring the bytes.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from toolyard.client.errors import Unexpected
from toolyard.client.shapes import Event
from toolyard.errors import FieldError, Refused

_PROBLEM_MEMBERS: Final = frozenset({"type", "title", "status", "detail", "instance", "code", "errors"})
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SHOWN: Final = 200
#: The comment by which a gateway says that from here on it tells what happens.
_FOLLOWS: Final = "following"


def read(status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """The JSON value of an answer; None where it has no body.

    Raises:
        Refused: a problem document.
        Unexpected: anything else that is no answer of ours.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/problem+json":
        raise refusal(_json(status, body), retry_after=_seconds(headers.get("retry-after")))
    if not 200 <= status < 300:
        raise Unexpected(f"HTTP {status} without a problem document: {_excerpt(body)}", status=status)
    return _json(status, body) if body else None


def refusal(problem: Any, *, retry_after: float | None = None) -> Refused:
    """The error that a problem document tells."""
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        raise Unexpected("a problem document without a code")
    errors = problem.get("errors")
    fields = tuple(
        FieldError(str(entry.get("path", "")), str(entry.get("message", "")))
        for entry in (errors if isinstance(errors, list) else ())
        if isinstance(entry, dict)
    )
    extra = {name: value for name, value in problem.items() if name not in _PROBLEM_MEMBERS}
    detail = str(problem.get("detail") or problem.get("title") or problem["code"])
    return Refused(problem["code"], detail, fields=fields, retry_after=retry_after, extra=extra)


class EventReader:
    """Takes an event stream (WHATWG server-sent events) apart, from its bytes in whatever pieces.

    Attributes:
        place: the last id that was said, also by a block that tells nothing else.
        follows: whether the gateway has said that from here on it tells what happens.
    """

    def __init__(self) -> None:
        self.place = ""
        self.follows = False
        self._following = False
        self._rest = b""
        self._last_id = ""
        self._name = "message"
        self._data: list[str] = []

    def read(self, chunk: bytes) -> Iterator[Event]:
        """The events that these bytes complete."""
        # Lines end at line feeds alone: JSON text may hold what Unicode calls line ends.
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            event = self._line(line.removesuffix(b"\r").decode(errors="replace"))
            if event is not None:
                yield event

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._end()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "id":
                self._last_id = value
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "" if value == _FOLLOWS:
                self._following = True
            case _:  # another comment, or a field of a later version
                pass
        return None

    def _end(self) -> Event | None:
        name, data = self._name, self._data
        self._name, self._data = "message", []
        self.place, self.follows = self._last_id, self._following
        return Event(id=self._last_id, event=name, data=_event_data("\n".join(data))) if data else None


def _event_data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json(status: int, body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Unexpected(f"HTTP {status} with something that is no JSON: {_excerpt(body)}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _excerpt(body: bytes) -> str:
    text = body[: _SHOWN * 4].decode(errors="replace").strip()
    return repr(text[:_SHOWN]) if text else "an empty body"


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; our gateways never send a date."""
    return float(header) if header and _SECONDS.fullmatch(header) else None
