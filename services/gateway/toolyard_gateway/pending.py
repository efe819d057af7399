"""Calls that a gateway remembers: those it waits for, and for a short while those that ended. Bounded, in memory.

Used by the correlator and by whoever reads calls. Nothing here talks to anybody.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct, structs

from toolyard.clock import rfc3339
from toolyard.contracts import codec
from toolyard.contracts.calls import Authorization, Call, CallView
from toolyard.contracts.events import End, Parked, SoftTimeout, sequence
from toolyard.contracts.views import call_view, ended_view
from toolyard.errors import Refused
from toolyard.states import State, is_terminal
from toolyard.store.base import CallRow

#: Seconds that an ended call is remembered: longer than the ledger ever lags in health.
REMEMBERED: Final = 60.0
#: Bytes of ended calls that are remembered at most, and what one of them costs beside its own bytes.
MAX_BYTES: Final = 64 * 1024 * 1024
_OVERHEAD: Final = 600
#: Happenings of one call that are remembered for its followers.
MAX_TOLD: Final = 64
#: What a call waits for -> its state; everything else waits for a time, or for somebody to resume it.
_PARKED: Final[dict[str, State]] = {"retry": "retrying", "authorization": "awaiting_authorization"}
#: Where among the events of an attempt followers are told of these; the same numbers whoever tells them.
SOFT_TIMEOUT: Final = 500_000
PARKED: Final = 900_000


#: The state of a call that goes on once its user has consented.
AWAITS_USER: Final[State] = "awaiting_authorization"


class Answer(Struct, frozen=True):
    """A call as it stands, ready to be sent.

    Attributes:
        body: the JSON of its `CallView`.
        state: the same word as in the body.
    """

    call_id: str
    org: str
    body_hash: str
    body: bytes
    terminal: bool

    def deduplicated(self) -> "Answer":
        """The same, marked as the answer to a repeated request."""
        body = self.body[:-1] + b',"deduplicated":true}'
        return Answer(self.call_id, self.org, self.body_hash, body, self.terminal)


def answer_of(call: Call, view: CallView, *, terminal: bool) -> Answer:
    """A view as an answer."""
    return Answer(call.call_id, call.org, call.body_hash, codec.encode_json(view), terminal)


def row_answer(row: CallRow) -> Answer:
    """What the ledger has, as an answer."""
    view = call_view(
        row.call,
        state=row.state,
        effect=row.effect,
        attempts=row.attempts,
        started_at=row.started_at,
        finished_at=row.finished_at,
        result=row.result,
        error=row.error,
        report=row.report,
        authorization=row.authorization if row.state == AWAITS_USER else None,
    )
    return answer_of(row.call, view, terminal=is_terminal(row.state))


class Pending:
    """A call that somebody waits for, or may ask for.

    Attributes:
        call: as it was accepted; of another gateway's call, as the ledger has it.
        row: given for a call that another gateway accepted: only the ledger tells its end.
        since: when waiting began, on the monotonic clock.
        look_at: when the store is asked for its end, on the same clock.
        pause: seconds from one such look to the next.
        size: bytes that it holds, for the bound.
        accepted: it is durable; before that it is nobody's to forget.
        over: ends when the call has ended.
        waiting: how many wait for it at this moment.
        attempt: the newest one that is known of.
        attempts: how many are known to have started.
        started_at: when the first of them did.
        parked: the state in which it waits for a time, for the end of a pause or for its user.
        authorization: what its user has to consent to.
        told: what followers are told beside its start and end, each with its number.
        ledger_only: a verdict is under way, or a second worker may speak: only the ledger tells the end.
        held: an outcome came that only the ledger may confirm: it is asked in every turn.
        suspect: events may have been missed: the ledger is asked once.
    """

    __slots__ = (
        "accepted",
        "answer",
        "attempt",
        "attempts",
        "authorization",
        "call",
        "held",
        "ledger_only",
        "look_at",
        "over",
        "parked",
        "pause",
        "refusal",
        "row",
        "since",
        "size",
        "started_at",
        "suspect",
        "told",
        "waiting",
        "wakers",
        "watchers",
    )

    def __init__(
        self, call: Call, *, over: "asyncio.Future[None]", since: float, size: int, row: CallRow | None = None
    ) -> None:
        self.call = call
        self.row = row
        self.since = since
        self.look_at = since
        self.pause = 0.0
        self.size = size
        self.accepted = row is not None
        self.over = over
        self.waiting = 0
        self.ledger_only = False
        self.held = False
        self.suspect = False
        self.attempt = 1
        self.attempts = 0
        self.started_at: float | None = None
        self.parked: State | None = None if call.not_before is None else "scheduled"
        self.authorization: Authorization | None = None
        self.told: list[tuple[int, str]] = []
        self.answer: Answer | None = None
        self.refusal: Refused | None = None
        self.watchers: list[asyncio.Event] = []
        self.wakers: list[Callable[[], None]] = []

    def now(self) -> Answer:
        """The call as it stands, as far as this gateway knows.

        Raises:
            Refused: ``conflict``: the ledger has another request under this id.
        """
        if self.refusal is not None:
            raise self.refusal
        if self.answer is not None:
            return self.answer
        if self.row is not None:
            return row_answer(self.row)
        view = call_view(
            self.call,
            state=self.state,
            attempts=self.attempts,
            started_at=self.started_at,
            authorization=self.authorization,
        )
        return answer_of(self.call, view, terminal=False)

    # ---- what happens to it ---------------------------------------------------------------------
    def start(self, attempt: int, at: float) -> None:
        """An attempt runs."""
        self.ran(attempt, at)
        self.parked = self.authorization = None
        self.tell()

    def ran(self, attempt: int, at: float) -> None:
        """An attempt started then."""
        self.attempt = max(self.attempt, attempt)
        self.attempts = max(self.attempts, attempt)
        self.started_at = at if self.started_at is None else min(self.started_at, at)

    def park(self, event: Parked) -> None:
        """It waits, and holds nothing of a worker. For its user nobody waits any longer who would not be told else."""
        again = self.awaits_user and event.authorization == self.authorization
        self.parked, self.authorization = _PARKED.get(event.reason, "scheduled"), event.authorization
        if again:  # the ledger has told it before
            return
        name = "parked" if event.authorization is None else "authorization_required"
        self._note(sequence(self.attempts, PARKED), name)
        if self.awaits_user:
            self._send_away()

    def park_from(self, row: CallRow) -> None:
        """The ledger says that it waits for its user: nobody has told us, or it is another gateway's."""
        known = self.awaits_user or row.attempts < self.attempts or row.call.body_hash != self.call.body_hash
        if known or row.authorization is None:
            return
        if self.foreign:
            self.row = row
        self.attempts = row.attempts
        self.parked, self.authorization = AWAITS_USER, row.authorization
        self._note(sequence(self.attempts, PARKED), "authorization_required")
        self._send_away()

    def go_on(self) -> None:
        """Its user has consented, and its next attempt is on its way."""
        self.parked = self.authorization = None

    def _send_away(self) -> None:
        for wake in self.wakers:
            wake()

    def warn(self, event: SoftTimeout) -> None:
        """An attempt has used most of its time."""
        self._note(sequence(event.attempt, SOFT_TIMEOUT), "soft_timeout")

    def _note(self, number: int, name: str) -> None:
        if self.told and number <= self.told[-1][0]:  # parked once more in the same attempt
            number = self.told[-1][0] + 1
        if len(self.told) < MAX_TOLD:
            self.told.append((number, name))
        self.tell()

    def end(self, event: End) -> None:
        """It ended so."""
        view = ended_view(self.call, event)
        if self.started_at is not None and event.started_at is not None and self.started_at < event.started_at:
            view = structs.replace(view, started_at=rfc3339(self.started_at))
        self._finish(answer_of(self.call, view, terminal=True))

    def end_from(self, row: CallRow) -> None:
        """The ledger says that it ended so."""
        if row.call.body_hash != self.call.body_hash:
            self.refusal = Refused("conflict", "Another request was accepted under this id.", extra=_id(self.call))
            self._settle()
        else:
            self._finish(row_answer(row))

    def _finish(self, answer: Answer) -> None:
        self.answer = answer
        self._settle()

    def _settle(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
        self.tell()

    @property
    def state(self) -> State:
        """Where it stands, as far as this gateway knows."""
        if self.row is not None:
            return self.row.state
        return self.parked or ("running" if self.attempts else "accepted")

    @property
    def awaits_user(self) -> bool:
        """Whether nothing will happen before its user has consented."""
        return self.state == AWAITS_USER

    @property
    def consent(self) -> Authorization | None:
        """What its user has to consent to, while it waits for that."""
        if not self.awaits_user:
            return None
        return self.authorization if self.row is None else self.row.authorization

    @property
    def foreign(self) -> bool:
        """Whether another gateway accepted it."""
        return self.row is not None

    @property
    def watched(self) -> bool:
        """Whether somebody waits for it or follows its events."""
        return self.waiting > 0 or bool(self.watchers)

    def tell(self) -> None:
        """Wake those who follow the call's events."""
        for watcher in self.watchers:
            watcher.set()


def _id(call: Call) -> dict[str, object]:
    return {"call_id": call.call_id}


class Ended:
    """Calls that ended a short while ago, the oldest forgotten first."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, tuple[Answer, float]] = OrderedDict()
        self._bytes = 0

    def add(self, answer: Answer, now: float) -> None:
        """Remember a call."""
        self._drop(answer.call_id)
        self._answers[answer.call_id] = (answer, now)
        self._bytes += _cost(answer)
        while self._bytes > MAX_BYTES:
            self._drop(next(iter(self._answers)))

    def get(self, org: str, call_id: str) -> Answer | None:
        """A call of this org."""
        found = self._answers.get(call_id)
        return found[0] if found is not None and found[0].org == org else None

    def forget_old(self, now: float) -> None:
        """Forget what ended too long ago."""
        while self._answers:
            call_id, (_, at) = next(iter(self._answers.items()))
            if now - at < REMEMBERED:
                return
            self._drop(call_id)

    def _drop(self, call_id: str) -> None:
        dropped = self._answers.pop(call_id, None)
        if dropped is not None:
            self._bytes -= _cost(dropped[0])


def _cost(answer: Answer) -> int:
    return len(answer.body) + _OVERHEAD
