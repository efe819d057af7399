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
REQUESTS_WAITING: Final = "toolyard.requests.waiting"
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

#: Requests from outside that may wait, and their bytes; more are refused to their publishers.
REQUESTS_MAX_LENGTH: Final = 100_000
REQUESTS_MAX_BYTES: Final = 2 * 1024 * 1024 * 1024
#: Milliseconds until a request whose call is open is looked at again.
REQUESTS_LOOK_EVERY: Final = 10_000
#: How all names that are Toolyard's own begin.
OWN: Final = "toolyard."

#: How the keys of outcomes that travel together begin.
OUTCOMES: Final = "call.outcomes."
#: How the keys of sealed secrets begin.
SECRETS_TOLD: Final = "secrets.told."
#: How the keys of workers' heartbeats begin.
HEARTBEATS: Final = "monitor.heartbeat."
#: The pool whose heartbeats tell something that gateways show.
_LOCKED_UP: Final = "sandbox"
#: How the keys of gateways' questions for consents begin, and those of the answers.
CONSENT_ASKED: Final = "monitor.consent_asked."
CONSENT_TOLD: Final = "monitor.consent_told."
#: How the keys of what workers tell of their breakers begin.
BREAKERS: Final = "monitor.breaker."
#: How the keys of what attempts tell of their progress begin.
PROGRESS: Final = "call.progress."
#: How the keys of security events begin.
SECURITY: Final = "monitor.security."
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
        needed: no call may be started while it is missing, where somebody looks.
    """

    name: str
    arguments: dict[str, str | int] = field(default_factory=dict)
    bindings: tuple[tuple[str, str], ...] = ()
    needed: bool = True


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
    return f"{HEARTBEATS}{pool}.-.-.-"


def breaker_key(pool: str, org: str, worker: str) -> str:
    """The key, on the control exchange, of how a worker's breaker stands; the log does not take it."""
    return f"{BREAKERS}{pool}.{org}.{worker}.-"


def security_key(pool: str, sender: str) -> str:
    """The key, on the control exchange, of a security event; the log does not take it."""
    return f"{SECURITY}{pool}.-.{sender}.-"


def live_queue(gateway: str) -> str:
    """The queue of one gateway's pages of the feed: beside its answers, so that followers are in nobody's way."""
    return f"toolyard.live.{gateway}"


def feed_asked_key(org: str, gateway: str) -> str:
    """The key, on the control exchange, of a gateway's question for a page of the feed; the log does not take it."""
    return f"monitor.feed_asked.-.{org}.{gateway}.-"


def consent_asked_key(org: str, gateway: str) -> str:
    """The key, on the control exchange, of a gateway's question for a consent; the log does not take it."""
    return f"{CONSENT_ASKED}-.{org}.{gateway}.-"


def consent_told_key(org: str, gateway: str) -> str:
    """The key, on the control exchange, of the answer for that gateway; the log does not take it."""
    return f"{CONSENT_TOLD}-.{org}.{gateway}.-"


def secrets_asked_key(pool: str, org: str, worker: str, tool: str) -> str:
    """The key, on the control exchange, of a worker's question for secrets; the log does not take it."""
    return f"secrets.asked.{pool}.{org}.{worker}.{tool.replace('.', ':')}"


def secrets_told_key(pool: str, org: str, worker: str) -> str:
    """The key, on the control exchange, of sealed secrets for a worker; the log does not take it."""
    return f"{SECRETS_TOLD}{pool}.{org}.{worker}.-"


def feed_page_key(org: str, gateway: str) -> str:
    """The key, on the control exchange, of a page of the feed for a gateway; the log does not take it."""
    return f"monitor.feed_page.-.{org}.{gateway}.-"


def feed_key(org: str, channel: str, event: str, pool: str, tool: str) -> str:
    """The key of what followers are told, on the exchange of the feed; ``-`` stands where nothing applies.

    The org comes first, so that a user of the broker can be held to it; the tool last, with the dots of its name.
    """
    return f"{org}.{channel}.{event}.{pool}.{tool}"


def feed_stream(org: str, kept: int) -> Queue:
    """The stream that keeps an org's part of the feed for replay, for so many seconds."""
    arguments = _STREAM | {"x-max-age": f"{kept}s"}
    return Queue(f"{FEED}.{org}", arguments, ((FEED, f"{org}.#"),), needed=False)


def live_bindings(gateway: str) -> tuple[tuple[str, str], ...]:
    """What comes to a gateway's live queue: the pages that it asked for."""
    return ((CONTROL, f"monitor.feed_page.*.*.{gateway}.*"),)


def reply_bindings(gateway: str) -> tuple[tuple[str, str], ...]:
    """What a gateway hears: all events of its calls, changed tools, the ledger's position, how workers stand."""
    return (
        (EVENTS, f"call.*.*.*.{gateway}.*"),
        (CONTROL, "control.tool_changed.#"),
        (CONTROL, "control.log_level.#"),
        (CONTROL, f"{CONSENT_TOLD}*.*.{gateway}.*"),
        (CONTROL, "control.ledger_position.#"),
        (CONTROL, f"{BREAKERS}*.*.*.*"),
        (CONTROL, f"{HEARTBEATS}{_LOCKED_UP}.*.*.*"),
    )


def worker_bindings(pool: str, worker: str) -> tuple[tuple[str, str], ...]:
    """What a worker hears beside its calls: answers to what it asked, cancels, pauses, breakers, withdrawn calls.

    Answers carry the worker's id in the place of the gateway.
    """
    return (
        (CONTROL, f"control.granted.{pool}.*.{worker}.*"),
        (CONTROL, f"control.refused.{pool}.*.{worker}.*"),
        (CONTROL, f"control.pauses.*.*.{worker}.*"),
        (CONTROL, f"{SECRETS_TOLD}{pool}.*.{worker}.*"),
        (CONTROL, f"{BREAKERS}{pool}.*.*.*"),
        (CONTROL, "control.cancel.#"),
        (CONTROL, "control.pause.#"),
        (CONTROL, "control.resume.#"),
        (CONTROL, "control.log_level.#"),
        (EVENTS, f"call.withdrawn.{pool}.*.*.*"),
    )


EXCHANGES: Final[tuple[str, ...]] = (CALLS, EVENTS, CONTROL, FEED)

_QUORUM: Final[dict[str, str | int]] = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
#: Bytes that the log is declared with; a policy of the broker may say others (docs/operations/capacity.md).
LOG_BYTES: Final = 20_000_000_000
_STREAM: Final[dict[str, str | int]] = {
    "x-queue-type": "stream",
    "x-max-age": "7D",
    "x-max-length-bytes": LOG_BYTES,
    "x-stream-max-segment-size-bytes": 100_000_000,
}


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


def _requests() -> tuple[Queue, Queue]:
    """What is asked from outside, and what was asked and is not answered yet: it comes back after a while.

    Nothing is dead-lettered from the first one, whose messages may hold keys.
    """
    bounds: dict[str, str | int] = {"x-overflow": "reject-publish", "x-max-length": REQUESTS_MAX_LENGTH}
    back: dict[str, str | int] = {
        "x-message-ttl": REQUESTS_LOOK_EVERY,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": REQUESTS,
        "x-dead-letter-strategy": "at-least-once",
    }
    return (
        Queue(REQUESTS, _QUORUM | bounds | {"x-max-length-bytes": REQUESTS_MAX_BYTES}, needed=False),
        Queue(REQUESTS_WAITING, _QUORUM | back | bounds, needed=False),
    )


def _log() -> Queue:
    lifecycle = tuple((EVENTS, f"call.{event}.*.*.*.*") for event in LOGGED_EVENTS)
    return Queue(
        LOG,
        dict(_STREAM),
        ((CALLS, "call.*.*.*.*.*"), (CONTROL, "control.#"), *lifecycle),
    )


#: Every shared queue, in the order of declaration: where dead letters go comes before what sends them there.
QUEUES: Final[tuple[Queue, ...]] = (
    Queue(DEAD, dict(_QUORUM)),
    Queue(QUARANTINE, dict(_QUORUM), ((CONTROL, "quarantine.#"),)),
    Queue(
        SCHEDULER,
        {"x-queue-type": "classic", "x-max-length": 10_000, "x-message-ttl": 30_000},
        (
            (CONTROL, f"{HEARTBEATS}*.*.*.*"),
            (CONTROL, "monitor.feed_asked.*.*.*.*"),
            (CONTROL, f"{CONSENT_ASKED}*.*.*.*"),
        ),
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
    *_requests(),
    Queue(
        RELAY,
        {"x-queue-type": "classic", "x-max-length": 10_000, "x-overflow": "drop-head"},
        ((EVENTS, f"{PROGRESS}*.*.*.*"), (CONTROL, f"{BREAKERS}*.*.*.*")),
        needed=False,
    ),
    _log(),
    *(_pool(pool) for pool in POOLS),
)


def queue(name: str) -> Queue:
    """The shared queue of this name."""
    return next(each for each in QUEUES if each.name == name)


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
