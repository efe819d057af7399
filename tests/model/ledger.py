"""What the ledger makes of a record: pure, one function a kind, applied in the order of the log (step 3).

Each takes the row and a record, and gives the row after it and the answer that may leave once that is committed.
"""

from typing import Final

from tests.model.state import NOBODY, Answer, Config, End, Ledger, Record

SILENT: Final = Answer(0, "")
UNKNOWN: Final = End("failed: outcome_unknown", "unknown")
POISONED: Final = End("failed: poisoned", "unknown")


def apply(row: Ledger, record: Record, c: Config, *, overdue: bool) -> tuple[Ledger, Answer]:
    """Fold one record into the row."""
    if record.kind == "claim":
        after, answer = _claim(row, record, c, overdue=overdue)
        return _closed(after), answer
    if row.end.state and "lets_a_late_result_win" not in c.weakened:
        return row, SILENT
    fold = {
        "released": _released,
        "outcome": _outcome,
        "cancel": _cancel,
        "ending": _ending,
        "settled": _settled,
    }[record.kind]
    return _closed(fold(row, record, c)), SILENT


def verdict(row: Ledger, c: Config) -> Ledger:
    """Step 10: rerunnable, then the next attempt while there is one; else the end, and never another grant."""
    if row.doomed.state:
        return row._replace(end=row.doomed)
    if c.rerunnable or "grants_again_after_unknown" in c.weakened:
        if row.attempt < c.max_attempts:
            return _next_attempt(row, "unknown")
        return row._replace(end=POISONED, ending=0)
    return row._replace(end=UNKNOWN, ending=0)


def _claim(row: Ledger, record: Record, c: Config, *, overdue: bool) -> tuple[Ledger, Answer]:
    """Steps 3 and 4: one grant for (call, attempt); the same claim, the same answer; another one, ``started``."""
    name = record.claim
    if row.end.state:
        return row, Answer(name, "terminal")
    if name == row.holder:
        return row, Answer(name, "granted")
    if record.attempt < row.attempt or name in row.spent or row.doomed.state:
        return row, Answer(name, "started")
    if row.holder and "grants_without_the_unique_constraint" not in c.weakened:
        spent = row.spent if "forgets_refused_claims" in c.weakened else _with(row.spent, name)
        return row._replace(refused=True, spent=spent), Answer(name, "started")
    if row.cancel or overdue:
        end = End("cancelled" if row.cancel else "expired", _so_far(row, c))
        if c.rerunnable and "ends_without_ending" not in c.weakened:  # an earlier delivery may be running
            return row._replace(doomed=end), Answer(name, "started")
        return row._replace(end=end), Answer(name, "terminal")
    return row._replace(holder=name, granted=row.granted + 1), Answer(name, "granted")


def _released(row: Ledger, record: Record, c: Config) -> Ledger:
    """Step 8: the attempt is free again. If another message was refused and dropped meanwhile, it is dispatched."""
    if record.claim != row.holder:
        return row
    needed = row.refused and "releases_without_a_dispatch" not in c.weakened
    return row._replace(
        holder=0,
        granted=row.granted - 1,
        spent=row.spent if "forgets_released_claims" in c.weakened else _with(row.spent, record.claim),
        lapsed=False,
        ending=0,
        refused=False,
        outbox=_dispatched(row, row.attempt) if needed else row.outbox,
    )


def _outcome(row: Ledger, record: Record, c: Config) -> Ledger:
    """A success of any attempt ends the call; a failure of an older attempt is only recorded (section 3)."""
    if record.what == "succeeded":
        return row._replace(end=End("succeeded", "done"))
    if record.attempt < row.attempt:
        return row
    if record.what == "dropped":
        return _dropped(row, record, c)
    if record.what == "failed":
        return row._replace(end=End("failed", "unknown"))
    effect = "none" if record.what == "refused" else "unknown"
    if row.attempt < c.max_attempts:
        return _next_attempt(row, effect)
    return row._replace(end=End("failed", _worse(effect, _so_far(row, c))))


def _dropped(row: Ledger, record: Record, c: Config) -> Ledger:
    """A worker did not start it. That is an end only if no other worker may: none holds a grant."""
    if record.claim != row.holder and "lets_any_drop_end_the_call" not in c.weakened:
        return row
    effect = _so_far(row, c) if record.claim else "none"
    return row._replace(end=End("cancelled", effect))


def _cancel(row: Ledger, record: Record, c: Config) -> Ledger:
    """Ends what nobody can have started; for the rest it is a request, which refuses further claims."""
    claimed_only = not c.rerunnable or row.attempt > 1
    if not row.holder and claimed_only:
        return row._replace(end=End("cancelled", _so_far(row, c)))
    return row._replace(cancel=True)


def _ending(row: Ledger, record: Record, c: Config) -> Ledger:
    """Step 10, read back: from here on the gateway waits for the ledger's word."""
    over = row.holder or (NOBODY if row.doomed.state else 0)
    if not over or record.attempt != row.attempt:
        return row
    if record.claim != over and "ends_whoever_holds" not in c.weakened:
        return row
    return verdict(row, c) if "decides_at_ending" in c.weakened else row._replace(ending=over)


def _settled(row: Ledger, record: Record, c: Config) -> Ledger:
    """The second mark after ``ending``: no outcome stands before it, so the verdict is given."""
    return verdict(row, c) if record.claim == row.ending else row


# ---- what they share ------------------------------------------------------------------------------
def _next_attempt(row: Ledger, effect: str) -> Ledger:
    following = row.attempt + 1
    return row._replace(
        attempt=following,
        holder=0,
        granted=0,
        refused=False,
        spent=(),
        lapsed=False,
        ending=0,
        doomed=End(),
        effect=_worse(row.effect, effect),
        outbox=_dispatched(row, following),
    )


def _closed(row: Ledger) -> Ledger:
    """What is still looked at once the call has ended; the rest is forgotten."""
    return Ledger(end=row.end, lapsed=row.lapsed, outbox=row.outbox) if row.end.state else row


def _dispatched(row: Ledger, attempt: int) -> tuple[int, ...]:
    """Step 11: a row of the outbox, in the same transaction."""
    return tuple(sorted((*row.outbox, attempt)))


def _with(claims: tuple[int, ...], name: int) -> tuple[int, ...]:
    return tuple(sorted((*claims, name)))


def _so_far(row: Ledger, c: Config) -> str:
    """What the call may have done up to now: an unclaimed attempt leaves no trace here before its outcome."""
    if "promises_none_for_a_parked_call" in c.weakened:
        return "none"
    return "unknown" if c.rerunnable else row.effect


def _worse(one: str, other: str) -> str:
    return "unknown" if "unknown" in (one, other) else "none"
