"""How much live events may take, and how long: one place, so that tests can be small."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one gateway. Sizes are in bytes, times in seconds.

    What waits is counted before it grows: a queue of `queue_bytes` may go over it by one event.

    Attributes:
        followers: streams and subscriptions of all orgs.
        catching_up: followers that read old pages at a time; the others take turns.
        ring_items: newest events of an org that are kept for those who come back; ``ring_bytes``: their size.
        queue_items: events that wait for one follower; ``queue_bytes``: their size.
        socket_bytes: of what waits for all subscriptions of one connection.
        patience: that an answer with nothing to tell may take.
        late: beyond which an answer that has not come is asked for again.
        old_page: after which a page of an old part is asked for again; the scheduler reads the log for one at a time.
        opening: within which the scheduler must answer somebody who begins to follow.
        linger: that an org's events are read on after its last follower left.
        stalled: after which one that catches up, and takes nothing, is cut off.
        heartbeat: between signs of life on a stream that is quiet.
        recheck: between looks at whether the keys of those who follow still hold.
        last_words: that writing takes at most once a connection is to end.
        abort_after: that a closed connection is given to send what was written before.
    """

    followers: int = 2_000
    catching_up: int = 4
    ring_items: int = 5_000
    ring_bytes: int = 16 * MIB
    queue_items: int = 1_000
    queue_bytes: int = 2 * MIB
    socket_bytes: int = 4 * MIB
    patience: float = 10.0
    late: float = 5.0
    old_page: float = 20.0
    opening: float = 10.0
    linger: float = 30.0
    stalled: float = 10.0
    heartbeat: float = 15.0
    recheck: float = 30.0
    last_words: float = 1.0
    abort_after: float = 5.0


DEFAULT = Bounds()
