"""The one door: every call enters here, whatever the front, as a list of named steps over one small value.

Fronts build an `Asked` and call `Door.admit`; what comes back is waited for by the correlator. There is no second door.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from toolyard import ids
from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION, Call, CallMessage
from toolyard.contracts.tools import fallback_pool
from toolyard.errors import FieldError, FieldsRefused, Refused
from toolyard.telemetry import logs, spans, tracing
from toolyard.telemetry.levels import LEVELS
from toolyard.timing import LONGEST_ATTEMPT
from toolyard.transport import topology
from toolyard_gateway.api import models
from toolyard_gateway.correlation import Correlator
from toolyard_gateway.fields import check_queue_timeout, check_timeout, check_user
from toolyard_gateway.one_at_a_time import OneAtATime
from toolyard_gateway.pending import Answer, Pending
from toolyard_gateway.position import LedgerWatch
from toolyard_gateway.principals import Principal
from toolyard_gateway.publishing import Publisher
from toolyard_gateway.recall import Before, Recall
from toolyard_gateway.registry import CompiledTool, Registry
from toolyard_gateway.sameness import Same, same_calls
from toolyard_gateway.schemas import argument_errors

DEFAULT_TIMEOUT: Final = models.DEFAULT_TIMEOUT
DEFAULT_DEADLINE: Final = 300.0
#: Bytes of one request.
MAX_REQUEST: Final = 1024 * 1024
#: Seconds in which an unconfirmed call is not sent again: by then the ledger shows whether it was taken.
UNCONFIRMED: Final = 5.0
#: Seconds that a call may be put off.
MAX_AHEAD: Final = 366 * 86_400.0

log = logs.logger("admission")
_sorted = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for.

    Attributes:
        version: the one asked for; ``None`` is the current one.
        key: the idempotency key.
        delivery: where the asking may be delivered more than once, what shows that it is the same one; whoever asks has
            not said it, so the key fields of the tool go before it.
        size: bytes of the request.
        not_before: a time; the deadline counts from it.
        within: seconds that the deadline may be away at most, whoever sets it; two requests do not differ by it.
        traceparent: the caller's own, where it sent one.
        test: an author tries the tool out.
    """

    principal: Principal
    tool: str
    arguments: dict[str, Any]
    size: int
    version: int | None = None
    user: str | None = None
    conversation: str | None = None
    context: dict[str, Any] | None = None
    timeout: float | None = None
    queue_timeout: float | None = None
    deadline: float | None = None
    not_before: float | None = None
    within: float | None = None
    key: str | None = None
    delivery: str | None = None
    traceparent: str | None = None
    test: bool = False

    @property
    def repeat(self) -> str | None:
        """What makes another request the same call, before its tool is looked at."""
        return self.delivery if self.key is None else self.key

    @property
    def body_hash(self) -> str:
        """What tells two requests under one key apart."""
        said: list[Any] = [self.tool, self.version, self.arguments, self.user, self.conversation, self.context]
        said += [self.timeout, self.queue_timeout, self.deadline, self.test]
        if self.not_before is not None:
            said.append(self.not_before)
        return sha256(_sorted.encode(said)).hexdigest()


@dataclass(slots=True)
class Admission:
    """A call on its way in.

    Attributes:
        answer: set where the same request was made before and has ended.
        pending: set once it was accepted, or found to have been accepted before.
        repeated: whether the same request was made before.
        same: what makes another call the same one, by the tool's key fields; ``None`` where nothing does.
    """

    asked: Asked
    call_id: str
    body_hash: str
    tool: CompiledTool | None = None
    answer: Answer | None = None
    pending: Pending | None = None
    repeated: bool = False
    same: Same | None = None

    @property
    def shared(self) -> bool:
        """Whether another gateway may accept the same call at the same moment."""
        return self.asked.repeat is not None or self.same is not None

    @property
    def settled(self) -> bool:
        """Whether no further step is needed."""
        return self.answer is not None or self.pending is not None

    @property
    def resolved(self) -> CompiledTool:
        """The tool, in the steps after `Door.resolve`."""
        if self.tool is None:
            raise AssertionError("the step that resolves the tool comes first")
        return self.tool


Step = Callable[[Admission], Awaitable[None]]


class Door:
    """Lets calls in."""

    def __init__(
        self,
        *,
        gateway_id: str,
        registry: Registry,
        recall: Recall,
        correlator: Correlator,
        publisher: Publisher,
        ledger: LedgerWatch,
        clock: Clock,
        longest_attempt: float = LONGEST_ATTEMPT,
    ) -> None:
        self._longest_attempt = longest_attempt
        self._gateway_id = gateway_id
        self._registry = registry
        self._recall = recall
        self._correlator = correlator
        self._publisher = publisher
        self._ledger = ledger
        self._clock = clock
        #: Of several requests for the same call, the second one finds what the first one made.
        self._one_at_a_time = OneAtATime()
        self._unconfirmed: dict[str, float] = {}
        self.closed = False
        #: The way in. `authenticate` comes before it, at the front: it needs no body. In the second part, one of
        #: several requests that are for the same call goes at a time.
        self.steps: tuple[Step, ...] = (self.recall, self.resolve, self.validate, self.authorize)
        self.last_steps: tuple[Step, ...] = (self.recognise, self.limit, self.approve, self.publish)

    async def admit(self, asked: Asked) -> Admission:
        """Take a call in, or find the one that the same request made before.

        Raises:
            Refused: nothing was accepted; the code says why.
            StoreUnavailable: the store is away, and this call needs it.
        """
        repeat = asked.repeat
        admission = Admission(asked, "" if repeat is not None else ids.new_id(), asked.body_hash)
        if repeat is None:
            return await self._enter(admission)
        async with self._one_at_a_time.only((asked.principal.org, repeat)):
            return await self._enter(admission)

    async def _enter(self, admission: Admission) -> Admission:
        await self._walk(admission, self.steps)
        return await self._end(admission)

    async def _end(self, admission: Admission) -> Admission:
        same = admission.same
        if same is None:
            return await self._walk(admission, self.last_steps)
        async with self._one_at_a_time.only((same.org, same.body_hash)):
            return await self._walk(admission, self.last_steps)

    async def _walk(self, admission: Admission, steps: tuple[Step, ...]) -> Admission:
        for step in steps:
            if admission.settled:
                break
            if LEVELS.detail:
                _tell(step, admission)
            await step(admission)
        return admission

    # ---- the steps ----------------------------------------------------------------------------
    async def recall(self, admission: Admission) -> None:
        """The same key was used before: the same request gets the same call, another one is refused."""
        asked = admission.asked
        if asked.repeat is None:
            return
        self.allow(asked)
        self._found(admission, await self._recall.by_key(asked.principal.org, asked.repeat))
        if admission.settled:
            _check_same(admission)

    def _found(self, admission: Admission, before: Before) -> None:
        admission.call_id = before.call_id
        admission.answer = before.call if isinstance(before.call, Answer) else None
        admission.pending = before.call if isinstance(before.call, Pending) else None
        admission.repeated = admission.settled

    async def resolve(self, admission: Admission) -> None:
        """Find the tool and its version; where the current one is deleted or disabled, none runs."""
        asked = admission.asked
        admission.tool = await self._registry.runnable(
            asked.principal.org, asked.tool, asked.version, disabled_too=asked.test
        )

    async def validate(self, admission: Admission) -> None:
        """Check the arguments against the tool's schema, the context against what it needs, and the limits of time."""
        asked, tool = admission.asked, admission.resolved
        errors = argument_errors(tool.validator, asked.arguments, "arguments")
        errors += check_queue_timeout(asked.queue_timeout, _budget(admission))
        errors += check_timeout(_attempt(admission), self._longest_attempt)
        errors += check_user(asked.user, needed=tool.needs_user)
        if errors:
            raise FieldsRefused(errors)
        missing = sorted(tool.needs_context - (asked.context or {}).keys())
        if missing:
            fields = tuple(FieldError(f"context.{name}", "is needed by the tool; give it") for name in missing)
            raise FieldsRefused(fields, code="context_required")
        self._check_time(asked.not_before)

    def _check_time(self, not_before: float | None) -> None:
        """Only of a new call: a repeat may come when the time is over."""
        if not_before is None:
            return
        ahead = not_before - self._clock.now()
        if ahead <= 0:
            raise FieldsRefused((FieldError("not_before", "is over; give a time to come, or leave it out"),))
        if ahead > MAX_AHEAD:
            raise FieldsRefused((FieldError("not_before", "is more than a year ahead; give an earlier time"),))

    async def authorize(self, admission: Admission) -> None:
        """Check that the principal may call this tool, and see what would be the same call of it."""
        asked = admission.asked
        self.allow(asked)
        if asked.key is None and not asked.test:
            spec = admission.resolved.spec
            admission.same = same_calls(spec, asked.principal.org, asked.user, asked.arguments)

    async def recognise(self, admission: Admission) -> None:
        """The key fields of the tool were the same a short while ago: it is that call, whatever else is said."""
        if admission.same is not None:
            admission.body_hash = admission.same.body_hash
            self._found(admission, await self._recall.by_fields(admission.same))

    async def limit(self, admission: Admission) -> None:
        """Refuse what would be too much at this moment."""
        if self.closed:
            raise Refused("unavailable", "This gateway is stopping; ask another one.", retry_after=1)
        self._ledger.check()
        self._correlator.check_room(admission.asked.size)
        until = self._unconfirmed.get(admission.call_id, 0.0)
        if until > self._clock.monotonic():
            detail = "It is not known yet whether the last request under this key was taken; repeat it."
            raise Refused("unavailable", detail, retry_after=1, extra={"call_id": admission.call_id})

    async def approve(self, admission: Admission) -> None:
        """The place where a person will be asked; nobody is asked yet."""

    async def publish(self, admission: Admission) -> None:
        """Hand the call over; from here on it is durable."""
        asked, tool = admission.asked, admission.resolved
        context = tracing.accept(asked.traceparent)
        span = spans.send(topology.CALLS, context)
        call = self._call(admission, tracing.handed_on(span, context))
        logs.about.set(call)
        pending = self._correlator.expect(call, asked.size, shared=admission.shared)
        left = call.deadline - call.accepted_at
        try:
            message = CallMessage(v=VERSION, call=call, tool=tool.pinned, budget=left)
            await self._publisher.call(message, repeatable=admission.shared, span=span)
        except BaseException as error:
            self._correlator.forget(pending)
            if isinstance(error, Refused) and error.extra.get("unconfirmed"):
                self._note_unconfirmed(call.call_id)
            raise
        pending.accepted = True
        admission.pending = pending

    # ---- what the steps use -------------------------------------------------------------------
    def allow(self, asked: Asked) -> None:
        """Check the role; raises `Refused` (permission_denied)."""
        asked.principal.require("test_tools" if asked.test else "call")

    def _call(self, admission: Admission, traceparent: str) -> Call:
        asked, spec = admission.asked, admission.resolved.spec
        now = self._clock.now()
        return Call(
            call_id=admission.call_id,
            org=asked.principal.org,
            tool=spec.name,
            version=spec.version,
            pool=spec.pool,
            gateway=self._gateway_id,
            principal=asked.principal.key_id,
            arguments=asked.arguments,
            body_hash=admission.body_hash,
            accepted_at=now,
            deadline=(asked.not_before or now) + _budget(admission),
            timeout=_attempt(admission),
            queue_timeout=asked.queue_timeout or spec.queue_timeout,
            not_before=asked.not_before,
            retry=spec.retry if spec.retry.max_attempts > 1 else None,
            rerunnable=admission.resolved.rerunnable,
            user=asked.user,
            conversation=asked.conversation,
            context=asked.context,
            test=asked.test,
            traceparent=traceparent,
            fallback=fallback_pool(spec),
        )

    def _note_unconfirmed(self, call_id: str) -> None:
        now = self._clock.monotonic()
        self._unconfirmed = {one: until for one, until in self._unconfirmed.items() if until > now}
        self._unconfirmed[call_id] = now + UNCONFIRMED


def _tell(step: Step, admission: Admission) -> None:
    """For whoever has set the level ``debug`` for this tool or org. No arguments: they are the caller's."""
    asked = admission.asked
    about: dict[str, Any] = {"org": asked.principal.org, "tool": asked.tool}
    if admission.call_id:
        about["call_id"] = admission.call_id
    about |= logs.trace_of(asked.traceparent)
    log.debug("a step of the admission", step=getattr(step, "__name__", ""), **about)


def _attempt(admission: Admission) -> float:
    """Seconds for one attempt."""
    return admission.asked.timeout or admission.resolved.spec.timeout or DEFAULT_TIMEOUT


def _budget(admission: Admission) -> float:
    """Seconds for everything."""
    seconds = admission.asked.deadline or admission.resolved.spec.deadline or DEFAULT_DEADLINE
    return seconds if admission.asked.within is None else min(seconds, admission.asked.within)


def _check_same(admission: Admission) -> None:
    known = admission.answer or admission.pending
    before = known.body_hash if isinstance(known, Answer) else known.call.body_hash if known else ""
    if before != admission.body_hash:
        what = "message_id (or correlation_id)" if admission.asked.key is None else "Idempotency-Key"
        raise Refused(
            "idempotency_mismatch",
            f"This {what} was used for another request; use a new one, or repeat the request as it was.",
            extra={"call_id": admission.call_id},
        )
