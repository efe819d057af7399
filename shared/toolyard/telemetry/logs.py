"""Structured logs: one line a fact, as JSON for machines or text for a terminal. Secrets never reach them.

A line about a call has ``call_id`` and ``trace_id``, and ``span_id`` where its trace is recorded: of the call that the
task works on (`about`), or of what the line names (`of`).
"""

import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Final, Protocol

import structlog

from toolyard.telemetry import tracing
from toolyard.telemetry.levels import LEVELS, NUMBERS


class Named(Protocol):
    """What says which call it is about: the call itself, and each of its events."""

    @property
    def call_id(self) -> str:
        """Its id."""

    @property
    def org(self) -> str:
        """Whose it is."""

    @property
    def tool(self) -> str:
        """What is called."""

    @property
    def traceparent(self) -> str | None:
        """Its context."""


#: The call that the current task works on.
about: Final[ContextVar[Named | None]] = ContextVar("call", default=None)

_Event = MutableMapping[str, Any]


def configure(*, service: str, level: str = "info", form: str = "") -> None:
    """Set up logging for this process, once; ``form`` is ``json``, ``text`` or empty (text on a terminal)."""
    as_text = form == "text" or (not form and sys.stderr.isatty())
    last: Any = structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _of_its_call,
            _unless_unwanted,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        logger_factory=_printing,
        cache_logger_on_first_use=False,
    )
    LEVELS.begin(level, _let_through)
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, handlers=[_Theirs()], force=True)


def logger(name: str) -> Any:
    """A logger whose lines carry the name of the part that writes them."""
    return structlog.get_logger(part=name)


def of(call: Named) -> dict[str, str]:
    """What a line says of the call that it is about, where the task works on no call, or on another one."""
    said = {"call_id": call.call_id, "org": call.org, "tool": call.tool}
    return said | trace_of(call.traceparent)


def trace_of(context: str | None) -> dict[str, str]:
    """What a line says of a trace: its id, and the span's where it is recorded here."""
    if not context:
        return {}
    said = {"trace_id": context[3:35]}
    return said | {"span_id": context[36:52]} if tracing.is_recorded(context) else said


# ---- what becomes of a line ---------------------------------------------------------------------
def _let_through(lowest: int) -> None:
    """Lines below this level end where they are written."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(lowest))


def _of_its_call(_: Any, __: str, event: _Event) -> _Event:
    """Say which call it is about, and of which trace, where the line does not say it itself."""
    call = about.get()
    if call is not None and event.get("call_id", call.call_id) == call.call_id:
        for name, value in of(call).items():
            event.setdefault(name, value)
    elif "call_id" not in event and (context := tracing.current.get()):
        event.update(trace_of(context))
    return event


def _unless_unwanted(_: Any, method: str, event: _Event) -> _Event:
    """What is told of security is told whatever the operators of its org want to see: they may be whom it is about."""
    number = NUMBERS.get(method, logging.ERROR)
    if event.get("security"):
        return event
    if not LEVELS.wanted(number, str(event.get("org", "")), str(event.get("tool", ""))):
        raise structlog.DropEvent
    return event


def _printing(*_: Any) -> structlog.PrintLogger:
    """Prints to standard error, whatever that is by now: who replaced it may have closed what was there before."""
    return structlog.PrintLogger(sys.stderr)


class _Theirs(logging.Handler):
    """Lines of others, of uvicorn and of asyncio, in the form of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        say = logger(record.name)
        word = next((word for word, number in reversed(NUMBERS.items()) if record.levelno >= number), "debug")
        getattr(say, word)(record.getMessage(), **({"exc_info": record.exc_info} if record.exc_info else {}))
