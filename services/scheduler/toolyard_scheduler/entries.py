"""What goes into the ledger's pure parts and what comes out of them: records, and what a batch of them came to."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from toolyard.contracts.calls import Authorization, Call, CallMessage
from toolyard.contracts.control import (
    AuthorizationAsked,
    Authorized,
    Cancel,
    Claim,
    ClaimRefused,
    Granted,
    Pause,
    Pauses,
    PausesAsked,
    Released,
    Resume,
    Settled,
)
from toolyard.contracts.events import Claimed, Event, Parked
from toolyard.store.ledger_consents import Asked
from toolyard.store.ledger_rows import LedgerRow, Submission

AboutCall = Event | Claim | Released | Settled | Cancel | Authorized
AboutMany = Pause | Resume | PausesAsked | AuthorizationAsked
Content = CallMessage | AboutCall | AboutMany
_ABOUT_MANY = (Pause, Resume, PausesAsked, AuthorizationAsked)


class Entry(NamedTuple):
    """A verified record of the log that the ledger acts on, or one of the events of such a record.

    Attributes:
        place: among those of its record, from 0 on.
        pool: whose worker says it, where it does not tell that itself.
    """

    offset: int
    message_id: str
    content: Content
    place: int = 0
    pool: str = ""

    @property
    def call_id(self) -> str:
        """The call it is about; empty where it is about many, or none."""
        content = self.content
        if isinstance(content, CallMessage):
            return content.call.call_id
        return "" if isinstance(content, _ABOUT_MANY) else content.call_id


class Answer(NamedTuple):
    """What a worker is told, once the batch is committed.

    Attributes:
        reply: the worker.
        first: an event that must be confirmed before.
    """

    reply: str
    pool: str
    org: str
    message: Granted | ClaimRefused | Pauses
    first: Claimed | None = None


class Consent(NamedTuple):
    """What the user of a call was asked to consent to, and when."""

    authorization: Authorization
    call: Call
    at: float

    @property
    def asked(self) -> Asked:
        """Who was asked, and for what."""
        call = self.call
        return Asked(call.org, call.user or "", call.tool, call.call_id)


class Grant(NamedTuple):
    """A claim that holds an attempt of a call, for so many seconds from its answer on, at the longest."""

    call_id: str
    claim_id: str
    lasts: float


@dataclass(slots=True)
class Folded:
    """What a batch came to.

    Attributes:
        rows: the calls it was about.
        submissions: calls that were submitted once more.
        answers: to claims and questions; they may leave after the commit.
        granted: claims that were granted.
        freed: claims that hold nothing any more.
        parked: calls that wait now, for those who follow events.
        consents: what their users were asked for.
        soonest: when something of this is to be dispatched or decided, at the earliest.
        foreign: what workers said about calls of other pools; nothing was done with it.
        untrue: calls whose rows were made of what workers of other pools said of them; they are made anew.
        counts: what happened how often, for the metrics.
    """

    rows: dict[str, LedgerRow] = field(default_factory=dict)
    submissions: list[Submission] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    granted: list[Grant] = field(default_factory=list)
    freed: list[str] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    consents: list[Consent] = field(default_factory=list)
    soonest: float = math.inf
    foreign: list[Entry] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def note_times(self, rows: Sequence[LedgerRow]) -> None:
        """Note when these calls need something done."""
        for row in rows:
            for at in (row.due_at, row.watch_at):
                if at is not None and at < self.soonest:
                    self.soonest = at
