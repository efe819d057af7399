"""What the model of the claim protocol is made of: one call, its messages, workers, schedulers, ledger and gateway.

Every value is a tuple of plain values, so that a state can be hashed and compared. The rules make new states of it; no
rule changes one.
"""

from typing import Final, NamedTuple


class Config(NamedTuple):
    """What one run explores.

    ``faults`` is how many losses may happen in one history; ``weakened`` names the deliberate weakenings, if any.
    """

    rerunnable: bool = False
    faults: int = 2
    max_attempts: int = 2
    workers: int = 2
    schedulers: int = 2
    cancel: bool = True
    time: bool = True
    weakened: frozenset[str] = frozenset()


class End(NamedTuple):
    """A terminal state and what it says of the world; the empty one is no end."""

    state: str = ""
    effect: str = ""


class Message(NamedTuple):
    """An attempt in the pool's queue. ``claimed``: must not start without a claim; ``again``: delivered before."""

    attempt: int
    claimed: bool
    again: bool = False


class Record(NamedTuple):
    """What is published to the log: claim, released, outcome, cancel, ending or settled."""

    kind: str
    claim: int = 0
    attempt: int = 0
    what: str = ""


class Sent(NamedTuple):
    """A record on its way: it reaches the log and the gateway's queue one after the other, in either order."""

    record: Record
    to_log: bool
    to_gateway: bool


NOTHING: Final = Message(0, False)
NOBODY: Final = -1


class Worker(NamedTuple):
    """One worker process and the one delivery it holds.

    Attributes:
        phase: idle, held, asking, granted, running, telling or untold (its outcome was lost).
        alive: whether the connection of its delivery stands; if not, the broker has delivered it again.
        claim: the ``claim_id`` of this delivery; 0 for none.
        outcome: what it tells.
    """

    phase: str = "idle"
    message: Message = NOTHING
    alive: bool = False
    claim: int = 0
    outcome: str = ""


IDLE: Final = Worker()


class Answer(NamedTuple):
    """The ledger's answer to a claim: granted, started or terminal."""

    claim: int
    what: str


class Scheduler(NamedTuple):
    """What one scheduler has in memory.

    Attributes:
        phase: idle; read (a transaction is prepared); stale (the other one moved the offset: only if weakened).
        answer: what it computed and has not sent.
        overdue: whether the queue timeout had passed when it read.
    """

    phase: str = "idle"
    answer: Answer = Answer(0, "")
    overdue: bool = False


class Ledger(NamedTuple):
    """The row of the call, and the rows beside it.

    Attributes:
        attempt: the attempt that may be claimed.
        holder: whose grant for this attempt stands; 0 for nobody.
        granted: how many grants for this attempt stand.
        refused: whether another claim was told ``started`` under this grant; its message is gone.
        spent: claims that were told ``started`` or given back: none of them is granted any more.
        lapsed: the lease was not renewed.
        ending: the claim that an ``ending`` was read back for; `NOBODY` where it is for the call itself.
        doomed: the end that the call shall have, although it may be running: cancelled or expired.
        effect: what earlier attempts may have done.
        outbox: attempts to dispatch.
    """

    end: End = End()
    attempt: int = 1
    holder: int = 0
    granted: int = 0
    refused: bool = False
    spent: tuple[int, ...] = ()
    lapsed: bool = False
    cancel: bool = False
    ending: int = 0
    doomed: End = End()
    effect: str = "none"
    outbox: tuple[int, ...] = ()


class Gateway(NamedTuple):
    """What a worker's outcome told the caller, and whether only the ledger's word counts from now on.

    The ledger's word needs no place here: it is the end in the ledger's row, as an event or looked up in the store.
    """

    told: End = End()
    ledger_only: bool = False


class State(NamedTuple):
    """Everything, at one moment.

    Attributes:
        faults: how many losses are still to come.
        late: the claim whose attempt deadline plus grace has passed.
        touched: starts whose effect is not known to be none (history, for the properties).
        starts: all starts (history).
        excused: a worker died with a claim, fell silent or was late (history).
        in_vain: an attempt started although the call had ended and its worker could have known (history).
    """

    queue: tuple[Message, ...]
    workers: tuple[Worker, ...]
    schedulers: tuple[Scheduler, ...]
    wire: tuple[Sent, ...] = ()
    log: tuple[Record, ...] = ()
    ledger: Ledger = Ledger()
    gateway: Gateway = Gateway()
    faults: int = 0
    claims: int = 0
    late: int = 0
    cancelled: bool = False
    overdue: bool = False
    touched: int = 0
    starts: int = 0
    excused: bool = False
    in_vain: bool = False


def first(c: Config) -> State:
    """A call was accepted: its message is in the pool's queue."""
    return State(
        queue=(Message(1, claimed=not c.rerunnable),),
        workers=(IDLE,) * c.workers,
        schedulers=(Scheduler(),) * c.schedulers,
        faults=c.faults,
    )


# ---- how the rules make a new state of an old one -------------------------------------------------
def with_worker(s: State, index: int, worker: Worker) -> State:
    """The same with this worker in that place; workers are alike, so their order is of no account."""
    workers = list(s.workers)
    workers[index] = worker
    return s._replace(workers=tuple(sorted(workers)))


def with_scheduler(s: State, index: int, scheduler: Scheduler) -> State:
    """The same with this scheduler in that place; their order is of no account either."""
    schedulers = list(s.schedulers)
    schedulers[index] = scheduler
    return s._replace(schedulers=tuple(sorted(schedulers)))


def with_message(s: State, message: Message) -> State:
    """The same with one message more in the queue; what needs a claim anyway needs no mark for a redelivery."""
    return s._replace(queue=tuple(sorted((*s.queue, message._replace(again=message.again and not message.claimed)))))


def tidy(s: State, c: Config) -> State:
    """The same without differences that make none.

    Claims are only ever compared, so they are numbered anew, in their order, as far as anything still knows them. After
    the end a cancel or a timeout may always come, and reasons for that end are not asked for again.
    """
    if s.ledger.end.state and not s.excused:
        s = s._replace(excused=True, cancelled=c.cancel, overdue=c.time)
    row = s.ledger
    flying = {sent.record.claim for sent in s.wire} | {record.claim for record in s.log}
    spent = tuple(name for name in row.spent if name in flying)
    known = flying.union(spent, (worker.claim for worker in s.workers), (row.holder, row.ending))
    names = {name: number for number, name in enumerate(sorted(name for name in known if name > 0), 1)}
    if len(names) == s.claims and spent == row.spent:
        return s
    names.update({0: 0, NOBODY: NOBODY})
    return s._replace(
        workers=tuple(sorted(worker._replace(claim=names[worker.claim]) for worker in s.workers)),
        schedulers=tuple(
            sorted(x._replace(answer=x.answer._replace(claim=names.get(x.answer.claim, 0))) for x in s.schedulers)
        ),
        wire=tuple(sorted(sent._replace(record=_renamed(sent.record, names)) for sent in s.wire)),
        log=tuple(_renamed(record, names) for record in s.log),
        ledger=row._replace(
            holder=names[row.holder], ending=names[row.ending], spent=tuple(names[name] for name in spent)
        ),
        late=names.get(s.late, 0),
        claims=len(names) - 2,
    )


def _renamed(record: Record, names: dict[int, int]) -> Record:
    return record._replace(claim=names[record.claim])


def without_message(s: State, message: Message) -> State:
    """The same with this message taken from the queue."""
    queue = list(s.queue)
    queue.remove(message)
    return s._replace(queue=tuple(queue))


def publish(s: State, record: Record) -> State:
    """The same with this record on its way, to the log and to the gateway."""
    sent = Sent(record, to_log=True, to_gateway=True)
    return s._replace(wire=tuple(sorted((*s.wire, sent))))


def append(s: State, record: Record) -> State:
    """The same with this record in the log; a slow way there is a publisher that was slow before."""
    return s._replace(log=(*s.log, record))


def replace_sent(s: State, old: Sent, *new: Sent) -> State:
    """The same with this record further on its way, or there."""
    wire = list(s.wire)
    wire.remove(old)
    return s._replace(wire=tuple(sorted((*wire, *new))))


def under_way(s: State, kind: str, claim: int = 0) -> bool:
    """Whether such a record (of this claim, if given) is on its way or in the log and not yet applied."""
    records = (*(sent.record for sent in s.wire), *s.log)
    return any(record.kind == kind and claim in (0, record.claim) for record in records)


def listens(gateway: Gateway, outcome: str, c: Config) -> bool:
    """Whether this outcome can end the call for the gateway (section 3).

    Not if it has its answer or waits for the ledger's word; nor by what is retryable, nor by what was not started: the
    ledger alone knows whether somebody else may start it.
    """
    waits = gateway.ledger_only and "tells_outcomes_after_ending" not in c.weakened
    tells = outcome in ("succeeded", "failed") or (outcome == "dropped" and "tells_drops_at_once" in c.weakened)
    return tells and not waits and not gateway.told.state


def half_arrived(s: State) -> bool:
    """Whether the gateway has seen an outcome that the log has not: for no longer than a broker needs to route."""
    return any(sent.record.kind == "outcome" and sent.to_log and not sent.to_gateway for sent in s.wire)
