"""What `runtime` knows of one delivery on its way, and of the pinned versions it has met. Plain state, no I/O."""

import asyncio
from typing import Final, Literal

from toolyard.contracts import codec
from toolyard.contracts.calls import Authorization, CallMessage, ErrorInfo, Report, Result
from toolyard.contracts.control import Granted
from toolyard.contracts.events import End, Parked
from toolyard.contracts.tools import PinnedTool, pool_of
from toolyard.errors import ContractError
from toolyard.needed_secrets import needed_secrets
from toolyard.states import Effect, State
from toolyard.telemetry.tracing import Span
from toolyard.transport.base import Delivery
from toolyard_executors import lifecycle
from toolyard_executors.executor import Executor
from toolyard_executors.limit import Limit
from toolyard_executors.outputs import Check, output_check
from toolyard_executors.progress import Progress

_TOOLS_KEPT: Final = 1024

#: The same for each delivery of one attempt: org, call and attempt.
Key = tuple[str, str, int]


class KnownTool:
    """A pinned version, and what was worked out of it once.

    Attributes:
        secrets: the names of those that it needs.
    """

    def __init__(self, tool: PinnedTool, executor: Executor) -> None:
        self.tool = tool
        self.plan = executor.prepare(tool)
        self.check: Check = output_check(tool.output)
        self.secrets = needed_secrets(tool)


class KnownTools:
    """The pinned versions that this process has met, by their bytes; the oldest is forgotten first."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._known: dict[bytes, KnownTool] = {}

    def get(self, raw: bytes) -> KnownTool:
        """The version that these bytes are.

        Raises:
            ContractError: not a binding that this build reads, or one of another pool.
            ValueError: it can never run here; says why.
        """
        known = self._known.get(raw)
        if known is None:
            tool = codec.decode_pinned(raw)
            if pool_of(tool.binding) != self._executor.pool:
                raise ContractError(f"a {pool_of(tool.binding)} binding came to the pool {self._executor.pool}")
            known = KnownTool(tool, self._executor)
            if len(self._known) >= _TOOLS_KEPT:
                del self._known[next(iter(self._known))]
            self._known[raw] = known
        return known


class Life:
    """One delivery on its way through the steps.

    Attributes:
        worker: the id of this process.
        received: when it came, on the monotonic clock.
        remaining: seconds until the deadline, at that moment.
        decided: whether it is clear how this ends: by one of the methods below, or in quarantine.
        outcome: how it ended; None where it is only dropped, parked, given back or quarantined.
        parked: the event that leaves it to the ledger until a pause is over.
        quarantine: why it is no message of ours.
        settle: what becomes of the delivery in the end; ``leave`` where its connection is gone.
        grant: the ledger's leave to start; None where none was needed, or none is held.
        claimed_at: when its claim was published (last), on the monotonic clock; ``late`` where a grant may be over.
        has_slot: whether it has one of the slots; ``in_lane``: whether the lane of one.
        started_at: when its attempt started; None where none did. ``announcement``: others are told so while it runs.
        limit: the time limit of what runs; None where nothing runs. ``timer``: what is told of it next.
        over: set when everything is done; ``told`` says whether that was confirmed.
        progress: what its tool says of it, once it does. ``said``: events that were told while it ran.
        span: of this delivery, where its trace is recorded. From then on ``message`` has its context.
    """

    message: CallMessage
    known: KnownTool

    def __init__(self, delivery: Delivery, *, worker: str, received: float) -> None:
        self.delivery = delivery
        self.worker = worker
        self.received = received
        self.remaining = 0.0
        self.decided = False
        self.outcome: End | None = None
        self.parked: Parked | None = None
        self.quarantine = ""
        self.settle: Literal["ack", "release", "leave"] = "ack"
        self.grant: Granted | None = None
        self.claimed_at = 0.0
        self.late = False
        self.has_slot = False
        self.in_lane = False
        self.started_at: float | None = None
        self.announcement: asyncio.Future[None] | None = None
        self.limit: Limit | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.cancelled = False
        self.task: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        self.told = False
        self.progress: Progress | None = None
        self.said = 0
        self.span: Span | None = None

    @property
    def key(self) -> Key:
        """The same for each delivery of one attempt."""
        call = self.message.call
        return call.org, call.call_id, self.message.attempt

    @property
    def number(self) -> int:
        """Which attempt of its call it is."""
        return self.message.attempt

    @property
    def announced(self) -> bool:
        """Whether others were told that its attempt runs, for certain.

        What is told twice has the same id, and is known by it; what is told never would be missing.
        """
        sent = self.announcement
        return sent is not None and sent.done() and not sent.cancelled() and sent.exception() is None

    def cancel(self) -> None:
        """Stop what runs; its outcome says so."""
        if self.limit is not None and not self.limit.over:
            self.cancelled = True
            self.limit.now()

    # ---- how it ends ----------------------------------------------------------------------------
    def reject(self, why: str) -> None:
        """It is no message of ours: to the quarantine."""
        self.decided, self.quarantine = True, why

    def drop(self) -> None:
        """Its connection is gone: the broker delivers it again, and nothing is told."""
        self.decided, self.settle = True, "leave"

    def forget(self) -> None:
        """The ledger owns the call: the delivery is done with, and nothing is told."""
        self.decided = True

    def put_back(self) -> None:
        """Not now, or not by us: the grant goes back to the ledger, if there is one, and then the delivery."""
        self.decided, self.settle = True, "release"

    def park(self, *, now: float) -> None:
        """It waits for the end of a pause, with the ledger."""
        self.decided, self.parked = True, lifecycle.paused(self.message.call, self.number, now=now)

    def end(
        self,
        state: State,
        effect: Effect,
        *,
        now: float,
        error: ErrorInfo | None = None,
        result: Result | None = None,
        report: Report | None = None,
        authorization: Authorization | None = None,
    ) -> None:
        """It ended, with or without an attempt."""
        self.decided = True
        self.outcome = lifecycle.ended(
            self.message.call,
            self.number,
            state,
            effect=effect,
            worker=self.worker,
            now=now,
            started_at=self.started_at,
            announced=self.announced,
            result=result,
            error=error,
            report=report,
            authorization=authorization,
            grant=self.grant,
            waived=self.message.waived,
        )
