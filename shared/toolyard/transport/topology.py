"""The one truth about names: exchanges, queues, bindings and routing keys. Pure data and functions over it.

Both transports declare from it, `toolyard topology export` prints it, and nobody else writes a queue's name.
"""

from dataclasses import dataclass, field
from typing import Final

from toolyard.contracts.tools import POOLS

CALLS: Final = "toolyard.calls"
EVENTS: Final = "toolyard.events"
CONTROL: Final = "toolyard.control"
FEED: Final = "toolyard.feed"

LOG: Final = "toolyard.log"
DEAD: Final = "toolyard.dead"
QUARANTINE: Final = "toolyard.quarantine"
REQUESTS: Final = "toolyard.requests"
SECRETS: Final = "toolyard.secrets"
SCHEDULER: Final = "toolyard.scheduler"
RELAY: Final = "toolyard.relay"

#: Seconds that a process's own queue outlives its consumer.
OWN_QUEUE_EXPIRES: Final = 60
#: Deliveries after which the broker gives up: a last net, because lost connections count too; the ledger counts
#: attempts itself. Set explicitly, because its default differs between broker versions.
DELIVERY_LIMIT: Final = 1000
#: Calls that may wait in one pool queue; more are refused to their publisher.
POOL_MAX_LENGTH: Final = 100_000

#: How the keys of outcomes that travel together begin.
OUTCOMES: Final = "call.outcomes."
#: How the keys of sealed secrets begin.
SECRETS_TOLD: Final = "secrets.told."
#: Lifecycle events that the log keeps; ``progress`` stays out.
LOGGED_EVENTS: Final[tuple[str, ...]] = (
    "started",
    "soft_timeout",
    "claimed",
    "attempt_failed",
    "parked",
    "resumed",
    "authorization_required",
    "succeeded",
    "failed",
    "timed_out",
    "expired",
    "cancelled",
    "rejected",
    "withdrawn",
    "ending",
    "late_result",
    "outcomes",
)


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and what is bound to it.

    Attributes:
        arguments: as declared at the broker.
        bindings: pairs of exchange and key pattern.
    """

    name: str
    arguments: dict[str, str | int] = field(default_factory=dict)
    bindings: tuple[tuple[str, str], ...] = ()


def pool_queue(pool: str) -> str:
    """The queue that the workers of a pool consume."""
    return f"toolyard.call.{pool}"


def reply_queue(gateway: str) -> str:
    """The queue of one gateway's answers."""
    return f"toolyard.reply.{gateway}"


def worker_queue(pool: str, worker: str) -> str:
    """The queue of one worker process: control, claim answers, sealed secrets."""
    return f"toolyard.worker.{pool}.{worker}"


def call_key(event: str, pool: str, org: str, gateway: str, tool: str) -> str:
    """The key of a call message (``accepted``, ``dispatched``) or of a lifecycle event: six words, always.

    Dots in the tool's name are written as colons, so that bindings need no ``#``, which costs the broker a search at
    every word (docs/decisions/0006).
    """
    return f"call.{event}.{pool}.{org}.{gateway}.{tool.replace('.', ':')}"


def outcomes_key(pool: str, gateway: str) -> str:
    """The key of outcomes that travel together: of one pool, for one gateway."""
    return f"{OUTCOMES}{pool}.-.{gateway}.-"


def control_key(event: str, *, pool: str = "-", org: str = "-", gateway: str = "-", tool: str = "-") -> str:
    """The key of a control message; ``-`` stands where nothing applies."""
    return f"control.{event}.{pool}.{org}.{gateway}.{tool.replace('.', ':')}"


def quarantine_key(pool: str) -> str:
    """The key, on the control exchange, of what does not verify or decode; the log does not take it."""
    return f"quarantine.message.{pool}.-.-.-"


def heartbeat_key(pool: str) -> str:
    """The key, on the control exchange, of a worker's heartbeat; the log does not take it."""
    return f"monitor.heartbeat.{pool}.-.-.-"


def live_queue(gateway: str) -> str:
    """The queue of one gateway's pages of the feed: beside its answers, so that followers are in nobody's way."""
    return f"toolyard.live.{gateway}"


def feed_asked_key(org: str, gateway: str) -> str:
    """The key, on the control exchange, of a gateway's question for a page of the feed; the log does not take it."""
    return f"monitor.feed_asked.-.{org}.{gateway}.-"


def secrets_asked_key(pool: str, org: str, worker: str, tool: str) -> str:
    """The key, on the control exchange, of a worker's question for secrets; the log does not take it."""
    return f"secrets.asked.{pool}.{org}.{worker}.{tool.replace('.', ':')}"


def secrets_told_key(pool: str, org: str, worker: str) -> str:
    """The key, on the control exchange, of sealed secrets for a worker; the log does not take it."""
    return f"{SECRETS_TOLD}{pool}.{org}.{worker}.-"


def feed_page_key(org: str, gateway: str) -> str:
    """The key, on the control exchange, of a page of the feed for a gateway; the log does not take it."""
    return f"monitor.feed_page.-.{org}.{gateway}.-"


def live_bindings(gateway: str) -> tuple[tuple[str, str], ...]:
    """What comes to a gateway's live queue: the pages that it asked for."""
    return ((CONTROL, f"monitor.feed_page.*.*.{gateway}.*"),)


def reply_bindings(gateway: str) -> tuple[tuple[str, str], ...]:
    """What a gateway hears: all events of its calls, changed tools, the ledger's position."""
    return (
        (EVENTS, f"call.*.*.*.{gateway}.*"),
        (CONTROL, "control.tool_changed.#"),
        (CONTROL, "control.ledger_position.#"),
    )


def worker_bindings(pool: str, worker: str) -> tuple[tuple[str, str], ...]:
    """What a worker hears beside its calls: answers to what it asked, cancels, pauses, withdrawn calls.

    Answers carry the worker's id in the place of the gateway.
    """
    return (
        (CONTROL, f"control.granted.*.*.{worker}.*"),
        (CONTROL, f"control.refused.*.*.{worker}.*"),
        (CONTROL, f"control.pauses.*.*.{worker}.*"),
        (CONTROL, f"{SECRETS_TOLD}{pool}.*.{worker}.*"),
        (CONTROL, "control.cancel.#"),
        (CONTROL, "control.pause.#"),
        (CONTROL, "control.resume.#"),
        (EVENTS, f"call.withdrawn.{pool}.*.*.*"),
    )


EXCHANGES: Final[tuple[str, ...]] = (CALLS, EVENTS, CONTROL, FEED)

_QUORUM: Final[dict[str, str | int]] = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}


def _pool(pool: str) -> Queue:
    return Queue(
        pool_queue(pool),
        _QUORUM
        | {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": DEAD,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-max-length": POOL_MAX_LENGTH,
        },
        ((CALLS, f"call.accepted.{pool}.*.*.*"), (CALLS, f"call.dispatched.{pool}.*.*.*")),
    )


def _log() -> Queue:
    lifecycle = tuple((EVENTS, f"call.{event}.*.*.*.*") for event in LOGGED_EVENTS)
    return Queue(
        LOG,
        {
            "x-queue-type": "stream",
            "x-max-age": "7D",
            "x-max-length-bytes": 20_000_000_000,
            "x-stream-max-segment-size-bytes": 100_000_000,
        },
        ((CALLS, "call.*.*.*.*.*"), (CONTROL, "control.#"), *lifecycle),
    )


#: Every shared queue, in the order of declaration: where dead letters go comes before what sends them there.
QUEUES: Final[tuple[Queue, ...]] = (
    Queue(DEAD, dict(_QUORUM)),
    Queue(QUARANTINE, dict(_QUORUM), ((CONTROL, "quarantine.#"),)),
    Queue(
        SCHEDULER,
        {"x-queue-type": "classic", "x-max-length": 10_000, "x-message-ttl": 30_000},
        ((CONTROL, "monitor.heartbeat.*.*.*.*"), (CONTROL, "monitor.feed_asked.*.*.*.*")),
    ),
    Queue(
        SECRETS,
        {
            "x-queue-type": "classic",
            "x-max-length": 10_000,
            "x-max-length-bytes": 256 * 1024 * 1024,
            "x-message-ttl": 10_000,
        },
        ((CONTROL, "secrets.asked.*.*.*.*"),),
    ),
    _log(),
    *(_pool(pool) for pool in POOLS),
)


def matches(pattern: str, routing_key: str) -> bool:
    """Whether a topic pattern takes a key: ``*`` is one word, ``#`` any number of words, none included."""
    return _match(pattern.split("."), routing_key.split("."))


def destinations(exchange: str, routing_key: str) -> list[str]:
    """The shared queues that a message is bound for."""
    ways = ((queue.name, pattern) for queue in QUEUES for source, pattern in queue.bindings if source == exchange)
    return sorted({name for name, pattern in ways if matches(pattern, routing_key)})


def _match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_match(rest, words[n:]) for n in range(len(words) + 1))
    return bool(words) and head in ("*", words[0]) and _match(rest, words[1:])
