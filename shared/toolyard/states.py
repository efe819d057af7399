"""Which state may follow which: the one table, and two pure functions over it.

Every state of a call that the ledger writes passes through `follow`; docs/concepts/call-lifecycle.md draws the table.
"""

from typing import Final, Literal, get_args

State = Literal[
    "accepted",
    "queued",
    "scheduled",
    "awaiting_approval",
    "awaiting_authorization",
    "retrying",
    "running",
    "succeeded",
    "failed",
    "timed_out",
    "cancelled",
    "expired",
    "rejected",
]

#: What the world saw of a call.
Effect = Literal["none", "done", "unknown"]

STATES: Final[tuple[State, ...]] = get_args(State)
TERMINAL: Final[frozenset[State]] = frozenset({"succeeded", "failed", "timed_out", "cancelled", "expired", "rejected"})
#: Waits for a person or a time; holds no slot, no delivery and no memory of a worker.
PARKED: Final[frozenset[State]] = frozenset({"scheduled", "awaiting_approval", "awaiting_authorization", "retrying"})

_ENDS: Final[frozenset[State]] = frozenset({"succeeded", "failed", "timed_out", "cancelled", "expired"})

#: from -> to. A short call is never seen running: its end follows ``queued`` at once. What is parked may end all the
#: same: another delivery of it was under way.
MOVES: Final[dict[State, frozenset[State]]] = {
    "accepted": frozenset[State]({"queued", "running", "rejected"}) | PARKED | _ENDS,
    "queued": frozenset[State]({"running", "rejected"}) | PARKED | _ENDS,
    "running": PARKED | _ENDS | {"queued"},
    "scheduled": frozenset[State]({"queued", "retrying"}) | _ENDS,
    "awaiting_approval": frozenset({"queued", "rejected", "cancelled", "expired", "failed"}),
    "awaiting_authorization": frozenset[State]({"queued"}) | _ENDS,
    "retrying": frozenset[State]({"queued", "scheduled"}) | _ENDS,
    **{state: frozenset[State]() for state in TERMINAL},
}


def is_terminal(state: State) -> bool:
    """Whether nothing can follow: a terminal state never changes."""
    return state in TERMINAL


def may_follow(before: State, after: State) -> bool:
    """Whether a call may go from one state to the other."""
    return after in MOVES[before]
