"""What happens around workers and schedulers: the broker routes, the gateway tells, time passes, things are lost.

The rules of the broker and the gateway go on by themselves. What somebody does (cancel) or time does is not relied upon
for an end, and each loss uses up one of the losses that a history may have.
"""

from collections.abc import Iterator
from typing import Final

from tests.model.scheduler_rules import apply_next
from tests.model.state import (
    IDLE,
    Config,
    End,
    Message,
    Record,
    Scheduler,
    Sent,
    State,
    append,
    listens,
    publish,
    replace_sent,
    with_message,
    with_scheduler,
    with_worker,
)
from tests.model.worker_rules import confirmed

Moves = Iterator[tuple[str, State]]


# ---- the broker and the gateway -------------------------------------------------------------------
def reach_log(s: State, c: Config) -> Moves:
    """A record on its way is appended to the log."""
    for sent in sorted(set(s.wire)):
        if sent.to_log:
            after = _arrived(s, sent, sent._replace(to_log=False))
            yield f"{sent.record.kind} reaches the log", append(after, sent.record)


def reach_gateway(s: State, c: Config) -> Moves:
    """A record on its way reaches the gateway's queue; two publishers may reach it in another order than the log."""
    for sent in sorted(set(s.wire)):
        if sent.to_gateway:
            after = _arrived(s, sent, sent._replace(to_gateway=False))
            yield f"{sent.record.kind} reaches the gateway", _seen(after, sent.record, c)


# ---- what may happen ------------------------------------------------------------------------------
def cancel(s: State, c: Config) -> Moves:
    """Somebody cancels the call: the log hears of it, and each worker, at any time from now on."""
    if c.cancel and not s.cancelled and not s.ledger.end.state:
        yield "the call is cancelled", append(s._replace(cancelled=True), Record("cancel"))


def overdue(s: State, c: Config) -> Moves:
    """The queue timeout passes."""
    if c.time and not s.overdue and not s.ledger.end.state:
        yield "the queue timeout passes", s._replace(overdue=True)


# ---- what may be lost -----------------------------------------------------------------------------
def crash_worker(s: State, c: Config) -> Moves:
    """A worker dies; the broker delivers again what it had not acked."""
    for index, worker in enumerate(s.workers):
        if worker.phase != "idle":
            lost_claim = worker.claim != 0 and not c.rerunnable
            after = with_worker(s, index, IDLE)._replace(excused=s.excused or lost_claim)
            if worker.alive:
                after = with_message(after, worker.message._replace(again=True))
            yield f"a worker dies ({worker.phase})", after


def lose_connection(s: State, c: Config) -> Moves:
    """A worker's connection is lost: its message is delivered again while it lives on."""
    for index, worker in enumerate(s.workers):
        if worker.alive:
            after = with_worker(s, index, worker._replace(alive=False))
            after = with_message(after, worker.message._replace(again=True))
            yield f"a worker's connection is lost ({worker.phase})", after


def crash_scheduler(s: State, c: Config) -> Moves:
    """A scheduler dies before its commit, or between a dispatch and its confirm (after the commit: `lose_answer`)."""
    for index, scheduler in enumerate(s.schedulers):
        if scheduler.phase == "read":
            yield "a scheduler dies before its commit", with_scheduler(s, index, Scheduler())
    for attempt in sorted(set(s.ledger.outbox)):
        again = with_message(s, Message(attempt, claimed=True))
        yield f"a scheduler dispatches attempt {attempt} and dies before the confirm", again
        if "dispatches_from_memory" in c.weakened:
            outbox = tuple(row for row in s.ledger.outbox if row != attempt)
            yield "a scheduler dies before its dispatch", s._replace(ledger=s.ledger._replace(outbox=outbox))


def lose_answer(s: State, c: Config) -> Moves:
    """The answer is lost: with the scheduler that dies after its commit, or in the worker's own queue."""
    if s.log and s.log[0].kind == "claim":
        for label, after in apply_next(s, c, sends=False):
            yield f"{label}, and the answer is lost", after


def lose_outcome(s: State, c: Config) -> Moves:
    """An outcome is lost before the broker has it."""
    for sent in sorted(set(s.wire)):
        if sent.record.kind == "outcome" and sent.to_log and sent.to_gateway:
            after = replace_sent(s, sent)
            for index, worker in enumerate(s.workers):
                if worker.phase == "telling" and worker.claim == sent.record.claim:
                    after = with_worker(after, index, worker._replace(phase="untold"))
            yield "the outcome is lost", after


def repeat_early(s: State, c: Config) -> Moves:
    """Step 6: the answer is only slow, and the worker repeats its claim; the repeat may arrive much later."""
    for worker in s.workers:
        if worker.phase == "asking" and not any(x.record.kind == "claim" for x in s.wire):
            repeated = Record("claim", worker.claim, worker.message.attempt)
            yield f"claim {worker.claim} is repeated before its answer came", publish(s, repeated)


def fall_silent(s: State, c: Config) -> Moves:
    """Heartbeats are lost, or the worker is stopped: the lease lapses although the worker lives."""
    row = s.ledger
    if row.holder and not row.lapsed and not row.end.state and any(w.claim == row.holder for w in s.workers):
        silent = s._replace(ledger=row._replace(lapsed=True), excused=not c.rerunnable)
        yield "the lease lapses: the worker is silent", silent


def be_late(s: State, c: Config) -> Moves:
    """The attempt deadline plus grace passes before the start (after it, the worker is as good as silent)."""
    row = s.ledger
    waiting = any(w.claim == row.holder and w.phase in ("asking", "granted") for w in s.workers)
    if row.holder and waiting and s.late != row.holder:
        yield "the attempt deadline passes", s._replace(late=row.holder, excused=not c.rerunnable)


def submit_again(s: State, c: Config) -> Moves:
    """A second gateway submits the call under the same key (a rerunnable tool may run for each: not looked at)."""
    if not c.rerunnable:
        yield "the call is submitted once more", with_message(s, Message(1, claimed=True))


WORLD_RULES = (reach_log, reach_gateway)
CHANCES = (cancel, overdue)
FAULTS = (
    crash_worker,
    lose_connection,
    crash_scheduler,
    lose_answer,
    lose_outcome,
    repeat_early,
    fall_silent,
    be_late,
    submit_again,
)


# ---- what they share ------------------------------------------------------------------------------
def _arrived(s: State, old: Sent, new: Sent) -> State:
    """One place has it. With the last one the publisher has its confirm."""
    if new.to_log or new.to_gateway:
        return replace_sent(s, old, new)
    return confirmed(replace_sent(s, old), old.record)


_TOLD: Final = {
    "succeeded": End("succeeded", "done"),
    "failed": End("failed", "unknown"),
    "dropped": End("cancelled", "none"),
}


def _seen(s: State, record: Record, c: Config) -> State:
    """What the gateway makes of an event in its queue."""
    if record.kind == "ending":
        return s._replace(gateway=s.gateway._replace(ledger_only=True))
    if not listens(s.gateway, record.what, c):
        return s
    return s._replace(gateway=s.gateway._replace(told=_TOLD[record.what]))
