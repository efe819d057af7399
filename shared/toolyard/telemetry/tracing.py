"""W3C trace context, and the spans of those traces that are recorded. No SDK: `export` gives this module one to feed.

Whether a trace is recorded is decided once, where it begins, and travels as a flag of its ``traceparent``. What is not
recorded has no spans: `start` looks at the flag, and returns None.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from hashlib import blake2b
from types import TracebackType
from typing import Final, Literal, Self

from toolyard.ids import random_hex

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool
#: Whether a trace is recorded, by its id and by what its caller says of it: None where it begins here.
Sampler = Callable[[str, bool | None], bool]

_TRACEPARENT: Final = re.compile(r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
#: The last digits of flags with the bit "recorded".
_RECORDED: Final = frozenset("13579bdf")
#: An error that has no code of ours.
OTHER: Final = "_OTHER"
#: What the current task works for: a ``traceparent``, recorded or not.
current: Final[ContextVar[str]] = ContextVar("traceparent", default="")


# ---- contexts -----------------------------------------------------------------------------------
def accept(given: str | None) -> str:
    """The ``traceparent`` that a request goes on with: its own where it is valid, else one of a trace that begins here.

    Its flag says what the sampler decides; where nothing is exported, what the caller says. To accept it again changes
    nothing.
    """
    sample = _recorder.sampler
    if given and _TRACEPARENT.match(given):
        if sample is None:
            return given
        return given[:53] + ("01" if sample(given[3:35], given[-1] in _RECORDED) else "00")
    trace = random_hex(32)
    return f"00-{trace}-{random_hex(16)}-{'01' if sample is not None and sample(trace, None) else '00'}"


def recording() -> bool:
    """Whether this process records spans at all."""
    return _recorder.take is not None


def is_recorded(traceparent: str | None) -> bool:
    """Whether this process records spans of this trace."""
    return (
        _recorder.take is not None
        and traceparent is not None
        and traceparent[-1:] in _RECORDED
        and _TRACEPARENT.match(traceparent) is not None
    )


def hand_on(traceparent: str | None) -> str:
    """The ``traceparent`` for others, where there is no span of ours between; one that has no form begins a trace."""
    return traceparent if traceparent and _TRACEPARENT.match(traceparent) else accept(None)


def derived(traceparent: str, *parts: object) -> str:
    """A context of the same trace that others derive as well, of the same parts: so that they can link to its span."""
    said = "\x1f".join(map(str, (traceparent[3:35], *parts)))
    return f"{traceparent[:36]}{blake2b(said.encode(), digest_size=8).hexdigest()}-01"


# ---- spans --------------------------------------------------------------------------------------
class Span:
    """What one part did for a trace, from now until `end`; one that is never ended is not exported.

    As a context manager it ends with what is raised in there.

    Attributes:
        parent: the ``traceparent`` of what it is a part of; empty for the first of a trace.
        links: those of other spans that it has to do with.
        events: what happened meanwhile: time (ns), name, attributes.
        error: the code of what went wrong; empty where nothing did.
    """

    __slots__ = (
        "attributes",
        "ended_at",
        "error",
        "events",
        "kind",
        "links",
        "name",
        "parent",
        "started_at",
        "traceparent",
    )

    def __init__(self, name: str, kind: Kind, traceparent: str, parent: str = "") -> None:
        self.name = name
        self.kind = kind
        self.traceparent = traceparent
        self.parent = parent
        self.attributes: dict[str, Value] = {}
        self.links: list[str] = []
        self.events: list[tuple[int, str, Mapping[str, Value]]] = []
        self.error = ""
        self.started_at = time.time_ns()
        self.ended_at = 0

    def event(self, name: str, attributes: Mapping[str, Value]) -> None:
        """Something happened now."""
        self.events.append((time.time_ns(), name, attributes))

    def end(self, error: str = "") -> None:
        """It is over, and leaves for the exporter; ``error`` is a code of ours where it failed."""
        self.ended_at = time.time_ns()
        self.error = error
        if error:
            self.attributes["error.type"] = error
        if _recorder.take is not None:
            _recorder.take(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self.end("" if error is None else code_of(error))


_UNRECORDED: Final = nullcontext()


def start(name: str, kind: Kind, parent: str | None, *, own: str = "") -> Span | None:
    """A span in the trace of its parent, with this context or one of its own; None where the trace is not recorded."""
    if parent is None or not is_recorded(parent):
        return None
    return Span(name, kind, own or f"{parent[:36]}{random_hex(16)}-01", parent)


def enter(name: str, kind: Kind, given: str | None) -> tuple[str, Span | None]:
    """The context of what comes in from outside, and its span: the first of a trace where the caller has none."""
    context = accept(given)
    if not is_recorded(context):
        return context, None
    if given is None or given[:52] != context[:52]:  # the trace begins here
        return context, Span(name, kind, context)
    span = Span(name, kind, f"{context[:36]}{random_hex(16)}-01", context)
    return span.traceparent, span


def lasting(span: Span | None) -> AbstractContextManager[object]:
    """A context in which a span lasts; where there is none, nothing happens."""
    return _UNRECORDED if span is None else span


def handed_on(span: Span | None, traceparent: str) -> str:
    """The ``traceparent`` for others: the span's, or the one that came, for there is nothing of ours between."""
    return traceparent if span is None else span.traceparent


def code_of(error: BaseException) -> str:
    """The code of what was raised, as far as it has one."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    found = getattr(error, "refusal", None) or getattr(error, "code", None)
    return found if isinstance(found, str) else OTHER


# ---- what records them --------------------------------------------------------------------------
class _Recorder:
    """Where ended spans go, who decides what is recorded, what carries our messages."""

    def __init__(self) -> None:
        self.take: Callable[[Span], None] | None = None
        self.sampler: Sampler | None = None
        self.messaging = ""


_recorder: Final = _Recorder()


def record(take: Callable[[Span], None] | None, sampler: Sampler | None = None, *, messaging: str = "") -> None:
    """Hand ended spans to this function from now on, or to nobody. Called by `export`."""
    _recorder.take = take
    _recorder.sampler = sampler
    _recorder.messaging = messaging


def messaging_system() -> str:
    """What carries our messages, in the words of OpenTelemetry."""
    return _recorder.messaging
