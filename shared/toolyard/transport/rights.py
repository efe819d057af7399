"""What each part may do at the broker: one user for each part, with the rights that its work needs and no more.

Made of the names in `topology` and of who may say what in `trust`; `toolyard topology export --users` prints it. A
right is a regular expression over whole names: ``configure`` declares and deletes, ``write`` publishes to an exchange
and binds a queue, ``read`` consumes a queue and binds to an exchange. On topic exchanges the keys are bounded too: what
may be published, and the patterns that may be bound (docs/operations/broker-users.md).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from toolyard.contracts.tools import POOLS
from toolyard.transport import topology, trust

#: Stands for an id of the part's own in the names and patterns of `topology`.
_ANY: Final = "AnyWord"
#: What the default exchange is called in rights. Keys cannot be bounded there, but no part believes what came over it.
_DEFAULT_EXCHANGE: Final = "amq.default"
_EVERYTHING: Final = ".*"
#: Nothing at all; an empty expression is nothing too, and looks like everything.
NOTHING: Final = "^$"

#: What gateways publish, by exchange: the first two words of the keys.
_SAID_BY_GATEWAYS: Final[Mapping[str, tuple[str, ...]]] = {
    topology.CALLS: ("call.accepted", "call.scheduled"),
    topology.EVENTS: ("call.withdrawn",),
    topology.CONTROL: (
        "control.authorized",
        "control.cancel",
        "control.log_level",
        "control.pause",
        "control.resume",
        "control.tool_changed",
        "monitor.consent_asked",
        "monitor.feed_asked",
        "monitor.security",
        "quarantine.message",
    ),
}
#: What schedulers publish, by exchange.
_SAID_BY_SCHEDULERS: Final[Mapping[str, tuple[str, ...]]] = {
    topology.CALLS: ("call.accepted", "call.dispatched"),
    topology.EVENTS: (
        "call.cancelled",
        "call.claimed",
        "call.ending",
        "call.expired",
        "call.failed",
        "call.outcomes",
        "call.parked",
        "call.rejected",
        "call.succeeded",
        "call.timed_out",
    ),
    topology.CONTROL: (
        "control.authorization_asked",
        "control.authorized",
        "control.granted",
        "control.ledger_position",
        "control.pauses",
        "control.pauses_asked",  # the mark that `toolyard ledger rebuild`, which signs in as they do, sets in the log
        "control.refused",
        "control.settled",
        "monitor.consent_told",
        "monitor.feed_page",
        "monitor.security",
        "quarantine.message",
        "secrets.told",
    ),
}


@dataclass(frozen=True, slots=True)
class Topic:
    """The keys of one topic exchange that may be published, and the patterns that may be bound to it."""

    exchange: str
    write: str = NOTHING
    read: str = NOTHING


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights of one part's user.

    Attributes:
        part: ``gateway``, ``scheduler`` or ``worker-<pool>``.
        topics: one for every topic exchange, since where nothing is said everything may be.
    """

    part: str
    configure: str
    write: str
    read: str
    topics: tuple[Topic, ...] = field(default=())

    def may_publish(self, exchange: str, key: str) -> bool:
        """Whether it may publish a message under this key to this exchange of ours."""
        if not re.fullmatch(self.write, exchange):
            return False
        return any(topic.exchange == exchange and re.match(topic.write, key) for topic in self.topics)


def gateway() -> Rights:
    """A gateway: hears its own answers and the requests from outside, and runs nothing."""
    own = _names(topology.reply_queue(_ANY), topology.live_queue(_ANY))
    bound = (*topology.reply_bindings(_ANY), *topology.live_bindings(_ANY))
    return Rights(
        "gateway",
        configure=_one_of(own),
        write=_one_of((*own, *_names(*_SAID_BY_GATEWAYS, _DEFAULT_EXCHANGE))),
        read=_one_of((*own, *_names(topology.REQUESTS, topology.EVENTS, topology.CONTROL))),
        topics=_topics(_SAID_BY_GATEWAYS, bound),
    )


def scheduler() -> Rights:
    """A scheduler: reads the log, and alone writes what followers get."""
    streams = (re.escape(f"{topology.FEED}.") + r"[^.]+",)
    queues = (topology.LOG, topology.SCHEDULER, topology.SECRETS, topology.DEAD, topology.QUARANTINE, topology.RELAY)
    every = Topic(topology.FEED, write=_EVERYTHING, read=r"^[^.*#]+\.#$")
    return Rights(
        "scheduler",
        configure=_one_of(streams),
        write=_one_of((*streams, *_names(*_SAID_BY_SCHEDULERS, topology.FEED))),
        read=_one_of(_names(*queues, topology.FEED)),
        topics=(*_topics(_SAID_BY_SCHEDULERS, ())[:-1], every),
    )


def worker(pool: str) -> Rights:
    """A worker of this pool: takes its calls, tells of them, and hears what is for it."""
    own = _names(topology.worker_queue(pool, _ANY))
    said = {exchange: sorted(kinds) for exchange, kinds in trust.SAID_BY_POOLS.items()}
    return Rights(
        f"worker-{pool}",
        configure=_one_of(own),
        write=_one_of((*own, *_names(*said))),
        read=_one_of((*own, *_names(topology.pool_queue(pool), topology.EVENTS, topology.CONTROL))),
        topics=_topics(said, topology.worker_bindings(pool, _ANY), pool),
    )


def every_part() -> tuple[Rights, ...]:
    """The rights of all parts."""
    return (gateway(), scheduler(), *(worker(pool) for pool in POOLS))


# ---- regular expressions ------------------------------------------------------------------------
def _topics(
    said: Mapping[str, Iterable[str]], bound: Iterable[tuple[str, str]], pool: str | None = None
) -> tuple[Topic, ...]:
    """For every topic exchange: these kinds, of this pool where one is named, and these patterns."""
    patterns = list(bound)
    return tuple(
        Topic(
            exchange,
            write=_keys(said.get(exchange, ()), pool),
            read=_one_of(_names(*(pattern for source, pattern in patterns if source == exchange))),
        )
        for exchange in topology.EXCHANGES
    )


def _keys(kinds: Iterable[str], pool: str | None) -> str:
    found = "|".join(re.escape(kind) for kind in kinds)
    if not found:
        return NOTHING
    return rf"^({found})\." + (rf"{re.escape(pool)}\." if pool else "")


def _names(*names: str) -> tuple[str, ...]:
    """Names as parts of a regular expression; an id of its own may be any word."""
    return tuple(re.escape(name).replace(_ANY, "[^.*#]+") for name in names)


def _one_of(parts: Iterable[str]) -> str:
    found = "|".join(dict.fromkeys(parts))
    return f"^({found})$" if found else NOTHING
