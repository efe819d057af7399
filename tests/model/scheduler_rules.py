"""What two schedulers do over one store: apply the log by compare-and-set, answer, dispatch, end what is overdue.

The store keeps the offset: the log of a state begins there. A claim may be answered in two ways while its time runs
out, so its transaction is read and committed in two steps, and the other scheduler may come between.
"""

from collections.abc import Iterator
from typing import Final

from tests.model.ledger import SILENT, apply, verdict
from tests.model.state import (
    NOBODY,
    Answer,
    Config,
    Message,
    Record,
    Scheduler,
    State,
    append,
    half_arrived,
    publish,
    under_way,
    with_message,
    with_scheduler,
)
from tests.model.worker_rules import answered

Moves = Iterator[tuple[str, State]]
IDLE: Final = Scheduler()


def fold(s: State, c: Config) -> Moves:
    """Step 3 where it does not matter who commits: one transaction applies the record and moves the offset."""
    if s.log and not _matters_who(s, c):
        yield from apply_next(s, c)


def apply_next(s: State, c: Config, *, sends: bool = True) -> Moves:
    """Steps 3 and 5: the transaction is committed, then the answer leaves (unless its sender dies)."""
    record = s.log[0]
    ledger, computed = apply(s.ledger, record, c, overdue=s.overdue)
    after = _moved(s._replace(ledger=ledger), c)
    label = f"the ledger commits {_named(record, computed)}"
    yield label, _sent(after, computed, c) if sends else after


def read(s: State, c: Config) -> Moves:
    """Step 3: a scheduler at the stored offset reads a claim and prepares its transaction."""
    if s.log and _matters_who(s, c):
        for index, scheduler in enumerate(s.schedulers):
            if scheduler.phase == "idle":
                _, computed = apply(s.ledger, s.log[0], c, overdue=s.overdue)
                reading = Scheduler("read", computed, s.overdue)
                yield f"a scheduler reads {_named(s.log[0], SILENT)}", with_scheduler(s, index, reading)
                break  # two that stand at the same offset are alike


def commit(s: State, c: Config) -> Moves:
    """Steps 3 and 5: the offset is as it was read: the grant is stored, the offset moved, and then the answer leaves.

    Another scheduler that had read at the same offset has lost the compare-and-set: it sends nothing.
    """
    for index, scheduler in enumerate(s.schedulers):
        if scheduler.phase == "read":
            ledger, computed = apply(s.ledger, s.log[0], c, overdue=scheduler.overdue)
            after = _moved(with_scheduler(s, index, IDLE)._replace(ledger=ledger), c)
            yield f"a scheduler commits {_named(s.log[0], computed)}", _sent(after, computed, c)


def send_early(s: State, c: Config) -> Moves:
    """Step 5, weakened: the answer leaves before the commit, or after a compare-and-set that was lost."""
    before = "answers_before_the_commit" in c.weakened
    early = "read" if before else "stale"  # nobody is stale in the protocol as it is
    for index, scheduler in enumerate(s.schedulers):
        if scheduler.phase == early and scheduler.answer != SILENT:
            after = with_scheduler(s, index, scheduler._replace(answer=SILENT) if before else IDLE)
            answer = scheduler.answer
            yield f"a scheduler answers claim {answer.claim} without a commit: {answer.what}", _sent(after, answer, c)


def dispatch(s: State, c: Config) -> Moves:
    """Step 11: an attempt is published from the outbox, and its row goes after the confirm. It requires a claim."""
    for attempt in sorted(set(s.ledger.outbox)):
        rows = list(s.ledger.outbox)
        rows.remove(attempt)
        cleared = s._replace(ledger=s.ledger._replace(outbox=tuple(rows)))
        yield f"a scheduler dispatches attempt {attempt}", with_message(cleared, Message(attempt, claimed=True))


def notice(s: State, c: Config) -> Moves:
    """Step 10: a lapsed lease, or a passed attempt deadline plus grace: ``ending`` is published.

    The lease of a claim that no live worker names in its heartbeat lapses by itself; that takes longer than the broker
    needs to route.
    """
    row = s.ledger
    orphaned = all(worker.claim != row.holder for worker in s.workers) and not half_arrived(s)
    silent = row.holder != 0 and (row.lapsed or s.late == row.holder or orphaned)
    if row.end.state or row.ending or not (silent or row.doomed.state):
        return
    if "gives_a_verdict_without_reading_back" in c.weakened:
        yield "a scheduler gives its verdict at once", s._replace(ledger=verdict(row, c))
    elif not under_way(s, "ending"):
        yield "a scheduler publishes ending", publish(s, Record("ending", row.holder or NOBODY, row.attempt))


def settle(s: State, c: Config) -> Moves:
    """Section 3, one end told once: ``ending`` is confirmed and was read back; a second mark follows.

    It follows late enough that what the gateway saw before ``ending`` is in the log by then.
    """
    waiting = s.ledger.ending and not s.ledger.end.state
    settled = not under_way(s, "ending") and not half_arrived(s)
    if waiting and settled and not under_way(s, "settled"):
        yield "a scheduler publishes its second mark", append(s, Record("settled", s.ledger.ending))


SCHEDULER_RULES = (fold, read, commit, send_early, dispatch, notice, settle)


# ---- what they share ------------------------------------------------------------------------------
def _matters_who(s: State, c: Config) -> bool:
    """Two schedulers can answer a claim differently only while its time runs out between them."""
    reading = any(scheduler.phase == "read" for scheduler in s.schedulers)
    running_out = reading or (c.time and not s.overdue)
    return s.log[0].kind == "claim" and not s.ledger.end.state and running_out


def _moved(s: State, c: Config) -> State:
    """The offset moves by one: whoever else has read at the old one has lost the compare-and-set and steps back."""
    lost = Scheduler._replace if "sends_after_a_lost_compare_and_set" in c.weakened else _back
    schedulers = (lost(x, phase="stale") if x.phase == "read" else x for x in s.schedulers)
    log = s.log[1:]
    if s.ledger.end.state and "lets_a_late_result_win" not in c.weakened:
        log = tuple(record for record in log if record.kind == "claim")  # the rest is only recorded
    return s._replace(log=log, schedulers=tuple(sorted(schedulers)))


def _back(scheduler: Scheduler, *, phase: str) -> Scheduler:
    return IDLE


def _sent(s: State, answer: Answer, c: Config) -> State:
    """Step 5: the answer leaves for the worker's own queue.

    A grant of a rerunnable tool means that a second worker may soon publish an outcome: the gateway is told first, and
    that is confirmed, so that from here on it takes the ledger's word alone.
    """
    tells = c.rerunnable and "grants_without_telling_the_gateway" not in c.weakened
    if answer.what == "granted" and tells:
        s = s._replace(gateway=s.gateway._replace(ledger_only=True))
    return answered(s, answer.claim, answer.what, c)


def _named(record: Record, answer: Answer) -> str:
    words = (record.kind, record.claim if record.claim > 0 else "", record.what, answer.what and f"-> {answer.what}")
    return " ".join(str(word) for word in words if word)
