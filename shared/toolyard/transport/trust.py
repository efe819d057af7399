"""Who may say what, and who hears it: the one table of it, over the words of routing keys. Pure data and functions.

`toolyard.transport.envelope` believes by it and signs by it, and `toolyard.transport.rights` makes the rights of the
broker's users of it. What stands in no row is said by the core, gateways and schedulers, and heard by the core alone.
A kind is the first two words of a key; the third is the pool (docs/decisions/0027).
"""

from collections.abc import Collection, Mapping
from typing import Final

from toolyard.contracts.control import Claim, Control, control_name
from toolyard.contracts.events import Ended, Event, Parked, event_name
from toolyard.errors import BadSignature
from toolyard.transport import topology

_NOTHING: Final[frozenset[str]] = frozenset()
#: What the workers of a pool may say, of this pool: by exchange, the kinds.
SAID_BY_POOLS: Final[Mapping[str, frozenset[str]]] = {
    topology.EVENTS: frozenset(
        {
            "call.started",
            "call.progress",
            "call.soft_timeout",
            "call.attempt_failed",
            "call.parked",
            "call.succeeded",
            "call.failed",
            "call.timed_out",
            "call.expired",
            "call.cancelled",
            "call.outcomes",
        }
    ),
    topology.CONTROL: frozenset(
        {
            "control.claim",
            "control.released",
            "control.pauses_asked",
            "monitor.heartbeat",
            "monitor.breaker",
            "monitor.security",
            "secrets.asked",
            "quarantine.message",
        }
    ),
}
#: What the core says to the workers of the pool that the key names, or of every one where it names none.
HEARD_BY_POOLS: Final[Mapping[str, frozenset[str]]] = {
    topology.CALLS: frozenset({"call.accepted", "call.dispatched"}),
    topology.EVENTS: frozenset({"call.withdrawn"}),
    topology.CONTROL: frozenset({"control.granted", "control.refused", "control.pauses", "secrets.told"}),
}
#: What the core says to the workers of all pools, whatever the key names: a call may have gone on to its fallback.
HEARD_BY_ALL: Final[frozenset[str]] = frozenset(
    {"control.cancel", "control.log_level", "control.pause", "control.resume"}
)


def audience(exchange: str, key: str, pools: Collection[str]) -> Collection[str]:
    """The pools, of these, whose workers have to verify what the core says under this key."""
    kind, pool = _words(key)
    if kind in HEARD_BY_ALL and exchange == topology.CONTROL:
        return pools
    if kind not in HEARD_BY_POOLS.get(exchange, _NOTHING):
        return ()
    return pools if pool == "-" else (pool,)


def check_said(signer: str, exchange: str, key: str) -> None:
    """Whether this pool may say anything under this key.

    Raises:
        BadSignature: it may not.
    """
    kind, pool = _words(key)
    if kind not in SAID_BY_POOLS.get(exchange, _NOTHING):
        raise BadSignature(f"a worker of the pool {signer} may not say {kind!r}", reason="not_entitled")
    if pool != signer:
        raise BadSignature(f"a worker of the pool {signer} may not speak for another pool", reason="not_entitled")


def check_event(signer: str, key: str, event: Event) -> None:
    """Whether this pool may say this event under this key, which it may use.

    Raises:
        BadSignature: it is about another pool's call, of another kind than the key says, or the scheduler's to say.
    """
    if event.pool != signer:
        raise BadSignature(f"a worker of the pool {signer} may not speak for another pool", reason="not_entitled")
    together = key.startswith(topology.OUTCOMES)
    if (isinstance(event, Ended | Parked) and event.by != "executor") or (together and not isinstance(event, Ended)):
        raise BadSignature(f"a worker of the pool {signer} may not say so", reason="not_entitled")
    if not together and key.split(".", 2)[1] != event_name(event):
        raise BadSignature("the routing key is not the one of this event", reason="moved")
    _check_names(event.org, event.gateway, event.tool)


def check_control(signer: str, key: str, message: Control) -> None:
    """Whether this pool may say this control message under this key, which it may use; raises as `check_event` does."""
    if key.split(".", 2)[1] != control_name(message):
        raise BadSignature("the routing key is not the one of this message", reason="moved")
    if isinstance(message, Claim):
        if message.pool != signer:
            raise BadSignature(f"a worker of the pool {signer} may not claim for another pool", reason="not_entitled")
        _check_names(message.org, message.gateway, message.tool)


def not_theirs() -> BadSignature:
    """The error of what a worker says of another pool's call, as only the ledger can see."""
    return BadSignature("a worker speaks of a call of another pool", reason="not_entitled")


def _check_names(org: str, gateway: str, tool: str) -> None:
    """Whether they can stand in a routing key: the scheduler could tell nobody, not even itself, of any other call."""
    if not (org.isascii() and gateway.isascii() and tool.isascii()) or "." in org or "." in gateway:
        raise BadSignature("a worker speaks of a call whose names are none of ours", reason="not_entitled")


def pool_of(key: str) -> str:
    """The pool that a routing key names; ``-`` for none."""
    return _words(key)[1]


def _words(key: str) -> tuple[str, str]:
    """The kind and the pool of a routing key; of one that is none of ours, something that is neither."""
    first, _, rest = key.partition(".")
    second, _, rest = rest.partition(".")
    return f"{first}.{second}", rest.partition(".")[0]
