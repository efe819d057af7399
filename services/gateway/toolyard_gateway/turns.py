"""A turn: the tool calls of one assistant message, run side by side, each answered for itself, always by the deadline.

Every call goes through the door and is waited for by the correlator, like any other. It knows neither HTTP nor
providers: fronts hand in what a format read.
"""

import asyncio
import re
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from toolyard.clock import Clock
from toolyard.errors import Refused, StoreError, StoreUnavailable, TransportError, model_message
from toolyard.states import TERMINAL, State
from toolyard.store.base import NotStorable
from toolyard.telemetry.logs import logger
from toolyard_gateway.admission import Admission, Asked, Door
from toolyard_gateway.api.models import KEY
from toolyard_gateway.correlation import Correlator
from toolyard_gateway.llm import texts
from toolyard_gateway.llm.catalogue import Catalogue
from toolyard_gateway.llm.formats.base import Format, ToolAnswer, ToolCall
from toolyard_gateway.metrics import Metrics
from toolyard_gateway.pending import Answer, Pending
from toolyard_gateway.principals import Principal
from toolyard_gateway.registry import Registry

log = logger("turns")

#: Seconds for a turn, at most and where nobody says: so long a request may wait.
MAX_DEADLINE: Final = 300.0
#: The answer leaves so much before the deadline, in seconds and as a part of it, so that it comes by it.
_EARLY: Final = 0.2
_EARLY_PART: Final = 0.1
_KEY: Final = re.compile(KEY)
_ANOTHER: Final = "This Idempotency-Key was used for another turn; use a new key, or repeat the turn as it was."


@dataclass(frozen=True, slots=True)
class TurnAsked:
    """A turn to take.

    Attributes:
        size: bytes of the request.
        deadline: seconds for the whole turn, and for each of its calls.
        left: seconds of the deadline that are left, where it is taken again.
        key: the idempotency key of the turn; each call's is made of it.
        delivery: as `Asked.delivery`; each call's is made of it.
        traceparent: one for all calls.
    """

    principal: Principal
    form: Format
    calls: Sequence[ToolCall]
    size: int
    user: str | None = None
    conversation: str | None = None
    context: dict[str, Any] | None = None
    deadline: float | None = None
    left: float | None = None
    key: str | None = None
    delivery: str | None = None
    traceparent: str | None = None

    @property
    def seconds(self) -> float:
        """In which it is answered."""
        return self.left or self.deadline or MAX_DEADLINE

    @property
    def repeatable(self) -> bool:
        """Whether a repeat finds the same calls."""
        return self.key is not None or self.delivery is not None


class TurnCall(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a tool call.

    Attributes:
        call_id: ``None`` where nothing was accepted; its state is ``rejected`` then.
        tool: the tool; where there is none of that name, the name as the model gave it.
        code: why it did not succeed, where that is known.
    """

    call_id: str | None
    tool_call_id: str
    tool: str
    state: str
    code: str | None = None


class Turned(msgspec.Struct, frozen=True):
    """The answer to a turn."""

    messages: list[dict[str, Any]]
    calls: list[TurnCall]


@dataclass(frozen=True, slots=True)
class _Told:
    text: str
    state: str
    code: str | None = None
    call_id: str | None = None

    @property
    def settled(self) -> bool:
        """Whether a repeat, at another gateway, would be told nothing else."""
        return self.state in TERMINAL and self.code != "unavailable"


@dataclass(slots=True)
class _Entry:
    """A tool call on its way through a turn, with what it has come to.

    Attributes:
        asked: set once it is ready to be let in.
        sent: whether letting it in has begun.
        pending: set once it was let in and has not ended.
        told: set once it is known what the model is told.
    """

    call: ToolCall
    tool: str
    asked: Asked | None = None
    sent: bool = False
    pending: Pending | None = None
    told: _Told | None = None


class _Result(msgspec.Struct):
    content: str


class _Error(msgspec.Struct):
    code: str
    model_message: str


class _View(msgspec.Struct):
    """What a turn reads of a call."""

    call_id: str
    state: State
    result: _Result | None = None
    error: _Error | None = None


_view = msgspec.json.Decoder(_View)


class Turns:
    """Takes turns."""

    def __init__(
        self, *, door: Door, registry: Registry, correlator: Correlator, metrics: Metrics, clock: Clock
    ) -> None:
        self._door = door
        self._registry = registry
        self._correlator = correlator
        self._metrics = metrics
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()

    async def take(self, asked: TurnAsked) -> Turned:
        """Run all calls, and answer each.

        Raises:
            Refused: ``idempotency_mismatch``: a call was made before under this key, and was another one;
                ``unavailable``: the gateway stops: nothing was called, or the key lets the turn be repeated.
        """
        return self._answer(asked, await self._taken(asked, asked.seconds))

    async def look(self, asked: TurnAsked, within: float) -> Turned | None:
        """The same, but no longer than so many seconds: None where something is open then. Taken again, it goes on.

        Raises:
            Refused: as `take`.
        """
        if asked.seconds <= within:
            return await self.take(asked)
        entries = await self._taken(asked, within)
        return self._answer(asked, entries) if all(map(_settled, entries)) else None

    async def _taken(self, asked: TurnAsked, seconds: float) -> list[_Entry]:
        """Its calls after so many seconds, or once all of them have ended."""
        if self._door.closed:
            raise Refused("unavailable", "This gateway is stopping; ask another one.", retry_after=1)
        early = min(_EARLY, seconds * _EARLY_PART)
        until = self._clock.monotonic() + seconds - early
        entries = [_Entry(call, call.name) for call in asked.calls]
        catalogue = Catalogue(self._registry, asked.principal.org, asked.form)
        preparing = asyncio.ensure_future(self._prepare_all(asked, entries, catalogue))
        if await self._done_by(until, [preparing]):
            preparing.result()
            runs = [self._run(entry, catalogue, until) for entry in entries if entry.told is None]
            await self._run_all(runs, until + early / 2)
        else:
            preparing.cancel()
        return entries

    def _answer(self, asked: TurnAsked, entries: Sequence[_Entry]) -> Turned:
        told = [entry.told or self._unfinished(entry, asked.deadline or MAX_DEADLINE) for entry in entries]
        if asked.repeatable and _is_another(told):
            raise Refused("idempotency_mismatch", _ANOTHER)
        if asked.repeatable and self._door.closed and not all(one.settled for one in told):
            raise Refused("unavailable", "This gateway is stopping; repeat the turn with its key.", retry_after=1)
        return _turned(asked.form, entries, told)

    async def _done_by(self, until: float, tasks: Sequence[asyncio.Task[None]]) -> bool:
        """Wait for these tasks, but no longer than until then (monotonic); whether all of them have ended."""
        _, late = await asyncio.wait(tasks, timeout=max(0.0, until - self._clock.monotonic()))
        return not late

    async def _run_all(self, runs: Sequence[Coroutine[Any, Any, None]], until: float) -> None:
        """Run them side by side. One that is being sent at the end is not torn off: nobody would withdraw its call."""
        tasks = [asyncio.ensure_future(run) for run in runs]
        if not tasks:
            return
        self._running.update(tasks)
        for task in tasks:
            task.add_done_callback(self._ran)
        await self._done_by(until, tasks)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("a call of a turn failed", error=type(fault).__name__)

    # ---- before anything is sent --------------------------------------------------------------
    async def _prepare_all(self, asked: TurnAsked, entries: Sequence[_Entry], catalogue: Catalogue) -> None:
        await asyncio.gather(*(self._prepare(asked, entry, catalogue) for entry in entries))
        if asked.repeatable:
            await asyncio.gather(*(self._check_key(entry.asked) for entry in entries if entry.asked is not None))

    async def _prepare(self, asked: TurnAsked, entry: _Entry, catalogue: Catalogue) -> None:
        if entry.call.wrong:
            entry.told = self._refused("validation_failed", f"This was not called: {entry.call.wrong}.")
            return
        try:
            entry.tool = await catalogue.tool_of(entry.call.name)
            entry.asked = _asked(asked, entry)
            if asked.key is None:  # a repeat finds its call also where the tool is gone
                await self._registry.runnable(catalogue.org, entry.tool)
        except (Refused, StoreError) as error:
            entry.told = await self._told(entry, _refusal(error), catalogue)

    async def _check_key(self, asked: Asked) -> None:
        """Another request under the same key is refused as a whole, before any of its calls is made."""
        try:
            await self._door.recall(Admission(asked, "", asked.body_hash))
        except StoreUnavailable:
            return  # the door will say so
        except Refused as refused:
            if refused.refusal == "idempotency_mismatch":
                raise

    # ---- a call -------------------------------------------------------------------------------
    async def _run(self, entry: _Entry, catalogue: Catalogue, until: float) -> None:
        """Let it in and wait for its end; whatever goes wrong is told for this call alone."""
        if entry.asked is None:
            raise AssertionError("what was prepared is ready or was told")
        entry.sent = True
        try:
            admission = await self._door.admit(entry.asked)
            self._metrics.accepted()
            answer = admission.answer
            if answer is None and admission.pending is not None:
                entry.pending = admission.pending
                await self._correlator.wait(entry.pending, until - self._clock.monotonic(), for_user=False)
                answer = entry.pending.now()
            if answer is not None and answer.terminal:
                entry.told = _of_answer(answer)
        except (Refused, StoreError, TransportError) as error:
            entry.told = await self._told(entry, _refusal(error), catalogue)

    # ---- what is told -------------------------------------------------------------------------
    async def _told(self, entry: _Entry, refused: Refused, catalogue: Catalogue) -> _Told:
        """What is told of a call that was not accepted; an unknown tool goes before all that is wrong beside it."""
        compiled = None
        try:
            if texts.is_of_arguments(refused):
                compiled = await self._registry.runnable(catalogue.org, entry.tool)
        except (Refused, StoreError) as error:
            refused = _refusal(error)
        if refused.refusal == "tool_not_found":
            entry.tool = entry.call.name
            near = await catalogue.near(entry.call.name)
            return self._refused("tool_not_found", texts.of_unknown_tool(entry.call.name, near))
        call_id = refused.extra.get("call_id")
        text = texts.of_refusal(refused, compiled)
        return self._refused(refused.refusal, text, call_id if isinstance(call_id, str) else None)

    def _refused(self, code: str, text: str, call_id: str | None = None) -> _Told:
        self._metrics.refused(code)
        return _Told(text, "rejected", code, call_id)

    def _unfinished(self, entry: _Entry, seconds: float) -> _Told:
        """What is told of a call that has not ended, and cannot be waited for any longer."""
        if entry.pending is not None:
            call_id, state = entry.pending.call.call_id, entry.pending.state
            consent = entry.pending.consent
            if consent is not None:
                return _Told(texts.of_consent(consent.url), state, "authorization_required", call_id)
            return _Told(
                texts.of_unfinished(state, None if self._correlator.released else seconds), state, None, call_id
            )
        if entry.sent:
            return self._refused("unavailable", texts.of_unconfirmed(seconds))
        return self._refused("expired", texts.of_unsent(seconds))


def _settled(entry: _Entry) -> bool:
    """Whether taking it again would tell nothing else; a call that waits for its user is told so."""
    if entry.told is not None:
        return entry.told.settled
    return entry.pending is not None and entry.pending.consent is not None


def _is_another(told: Sequence[_Told]) -> bool:
    """Whether another turn under the same key, at the same moment, was faster, and nothing was made of this one."""
    codes = {one.code for one in told}
    return (
        "idempotency_mismatch" in codes and "unavailable" not in codes and all(one.state == "rejected" for one in told)
    )


def _asked(asked: TurnAsked, entry: _Entry) -> Asked:
    return Asked(
        principal=asked.principal,
        tool=entry.tool,
        arguments=texts.read_arguments(entry.call.arguments),
        size=asked.size // len(asked.calls),
        user=asked.user,
        conversation=asked.conversation,
        context=asked.context,
        deadline=asked.deadline,
        within=MAX_DEADLINE,
        key=None if asked.key is None else call_key(asked.key, entry.call.id),
        delivery=None if asked.delivery is None else call_key(asked.delivery, entry.call.id),
        traceparent=asked.traceparent,
    )


def call_key(key: str, tool_call_id: str) -> str:
    """The idempotency key of a call in a turn with a key: ``<key>/<tool_call_id>``.

    It is a hash where that is no key, or where the id has a slash: it could be that of a turn under another key.
    """
    made = f"{key}/{tool_call_id}"
    if _KEY.fullmatch(made) and "/" not in tool_call_id:
        return made
    return f"sha256:{sha256(f'{len(key)}:{made}'.encode()).hexdigest()}"


def _refusal(error: Exception) -> Refused:
    """What went wrong before a call was accepted, as a refusal."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, NotStorable):
        return Refused("validation_failed", "The call holds a value that the database cannot keep.")
    return Refused("unavailable", "A service that is needed for this is away; try again.")


def _of_answer(answer: Answer) -> _Told:
    """What is told of a call that has ended."""
    seen = _view.decode(answer.body)
    if seen.result is not None and seen.error is None:
        text = seen.result.content
        return _Told(text if text.strip() else texts.NO_TEXT, seen.state, None, seen.call_id)
    error = seen.error or _Error("internal", model_message("internal", ""))
    return _Told(error.model_message, seen.state, error.code, seen.call_id)


def _turned(form: Format, entries: Sequence[_Entry], told: Sequence[_Told]) -> Turned:
    answers = [
        ToolAnswer(entry.call, one.text, failed=one.state != "succeeded")
        for entry, one in zip(entries, told, strict=True)
    ]
    calls = [
        TurnCall(call_id=one.call_id, tool_call_id=entry.call.id, tool=entry.tool, state=one.state, code=one.code)
        for entry, one in zip(entries, told, strict=True)
    ]
    return Turned(form.answer(answers), calls)
