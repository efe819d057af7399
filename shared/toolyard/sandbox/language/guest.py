"""The door of this package: what the jail calls in its fork server (`preload`) and in each child (`warm`, `serve`).

Whatever a tool does, `serve` answers; the bytes of its answer are the last thing that the child does.
"""

import base64
import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from toolyard.sandbox.language.checking import check
from toolyard.sandbox.language.facades.web import Asking
from toolyard.sandbox.language.failures import failure_of, shortened
from toolyard.sandbox.language.preloading import ORDINARY, SAMPLE, load
from toolyard.sandbox.language.printing import Printer
from toolyard.sandbox.language.progress import Steps
from toolyard.sandbox.language.redacting import Redactor
from toolyard.sandbox.language.running import Given, run
from toolyard.sandbox.language.values import NotJSON, TooLarge, as_json

__all__ = ["preload", "serve", "warm"]

#: Memory that is given back when it ran out, so that there is some to say so. It is there before children are forked:
#: to touch that much in each of them would take longer than most tools.
_RESERVE: Final[list[bytes]] = []
_RESERVED: Final = 1_048_576
#: What `warm` runs.
_WARMING: Final[list[bytes]] = []
_LENGTH: Final = 4
#: As often Python runs a function until it has found its fastest way through it.
_SAMPLES: Final = 10


class _Check(msgspec.Struct):
    """What `check` is asked."""

    source: str
    allowed_imports: list[str] | None = None


class _Limits(msgspec.Struct):
    """Bytes of what is printed and of the value, requests, and bytes of each."""

    prints: int = 65_536
    output: int = 1_048_576
    requests: int = 10
    question: int = 1_048_576


class _Run(msgspec.Struct):
    """What `run` is asked; whether a host may be reached is for the worker to say."""

    parameters: dict[str, Any] = {}
    context: dict[str, Any] = {}
    environment: dict[str, str] = {}
    allowed_imports: list[str] | None = None
    limits: _Limits = msgspec.field(default_factory=_Limits)


def preload() -> None:
    """Import and read everything that could be wanted later, and serve a sample: what is done first takes longest."""
    load()
    _RESERVE.append(bytes(_RESERVED))
    for number in range(_SAMPLES):
        for source in (SAMPLE, ORDINARY):
            _WARMING[:] = [_payload(source, number)]
            warm()
    _WARMING[:] = [_payload(ORDINARY, _SAMPLES)]


def warm() -> None:
    """Run something ordinary, so that what it touches is there when a request comes."""
    serve("run", _WARMING[0], _refuse)


def _payload(source: str, number: int) -> bytes:
    """A sample, with a pattern of its own: Python remembers those that it has read."""
    checked = json.loads(serve("check", msgspec.json.encode(_Check(source)), _refuse))
    parameters = {"text": "One tool, 2 words.", "pattern": f"[a-z]+|[0-9]{{1,{number + 1}}}"}
    header = msgspec.json.encode(_Run(parameters=parameters))
    return len(header).to_bytes(_LENGTH) + header + base64.b64decode(checked["code"])


def _refuse(question: bytes) -> bytes:
    raise NotImplementedError


def _unheard(word: bytes) -> None:
    """Nobody listens."""


def serve(
    operation: str, payload: bytes, ask: Callable[[bytes], bytes], tell: Callable[[bytes], None] = _unheard
) -> bytes:
    """Do one thing and answer.

    Args:
        operation: `check` or `run`.
        payload: JSON; for `run` the length of its JSON in 4 bytes, the JSON, and the code.
        ask: sends one request to the worker and waits for its answer.
        tell: sends it a word that it does not answer.

    Raises:
        ValueError: an operation that there is not.
    """
    if operation == "check":
        return _check(payload)
    if operation == "run":
        return _run(payload, ask, tell)
    raise ValueError(f"no such operation: {operation}")


def _check(payload: bytes) -> bytes:
    asked = msgspec.json.decode(payload, type=_Check)
    checked = check(asked.source, asked.allowed_imports)
    problems = [
        {"line": problem.line, "column": problem.column, "message": shortened(problem.message)}
        for problem in checked.problems
    ]
    code = None if checked.code is None else base64.b64encode(checked.code).decode()
    return _bytes({"problems": problems, "code": code})


def _run(payload: bytes, ask: Callable[[bytes], bytes], tell: Callable[[bytes], None]) -> bytes:
    end = _LENGTH + int.from_bytes(payload[:_LENGTH])
    # Python's own reader: it keeps numbers of any size as they are.
    asked = msgspec.convert(json.loads(payload[_LENGTH:end]), _Run)
    given = Given(asked.parameters, asked.context, asked.environment, asked.allowed_imports)
    limits = asked.limits
    redactor = Redactor(asked.environment)
    printer, asking = Printer(limits.prints, redactor), Asking(ask, limits.requests, limits.question)
    steps = Steps(tell, redactor)
    try:
        told = _told(lambda: run(payload[end:], given, printer, asking, steps), redactor, limits.output)
        steps.flush()
    except MemoryError:
        _RESERVE.clear()
        told = _error("resource_exhausted", "the tool needed more memory than it may have")
    rest = _bytes({"prints": printer.printed(), "requests": asking.asked})
    return told[:-1] + b"," + rest[1:]


def _told(ran: Callable[[], object], redactor: Redactor, most: int) -> bytes:
    try:
        return _outcome(ran(), redactor, most)
    except MemoryError:
        raise
    except BaseException as failed:  # noqa: BLE001 - whatever a tool raises is its answer
        return _failed(failed, redactor)


def _outcome(value: object, redactor: Redactor, most: int) -> bytes:
    try:
        plain = _bytes(as_json(value, most))
    except NotJSON as wrong:
        return _error("output_invalid", shortened(wrong.told(redactor)))
    except TooLarge:
        plain = None
    if plain is None or len(plain) > most:
        return _error("output_too_large", f"the returned value takes more than {most:,} bytes")
    return b'{"kind":"value","value":' + plain + b"}"


def _failed(exception: BaseException, redactor: Redactor) -> bytes:
    try:
        failure = failure_of(exception, redactor)
    except MemoryError:
        raise
    except BaseException:  # noqa: BLE001 - it is the tool's object, and may be anything
        return _error("tool_error", "an exception that could not be read")
    about = {"line": failure.line, "traceback": failure.traceback, "retryable": failure.retryable}
    return _error(failure.code, failure.message, **about)


def _error(code: str, message: str, **about: object) -> bytes:
    rest = {"line": None, "traceback": (), "retryable": False} | about
    return _bytes({"kind": "error", "code": code, "message": message} | rest)


def _bytes(told: object) -> bytes:
    return json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
