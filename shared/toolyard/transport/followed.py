"""What followers at the broker get: an event in the binary mode of CloudEvents, as their binding to AMQP has it.

Not signed: followers have none of our keys, and nothing that is theirs is ever read by us. Published by the scheduler.
"""

from typing import Final

from msgspec import Struct

from toolyard.clock import rfc3339
from toolyard.contracts.codec import encode_json
from toolyard.contracts.control import BreakerTold
from toolyard.contracts.feed import BreakerData, EventView
from toolyard.transport import topology
from toolyard.transport.base import Header, Message

#: What the names of an event's attributes begin with, among the headers.
PREFIX: Final = "cloudEvents_"
_SPECVERSION: Final = "1.0"
_JSON: Final = "application/json"


def of_a_call(view: EventView, data: Struct, event: str, pool: str, *, persistent: bool = True) -> Message:
    """An event of a call; ``data`` is what its body says."""
    org, tool = view.data.org, view.data.tool
    key = topology.feed_key(org, "call", event, pool, tool)
    attributes = (view.id, org, view.type, view.subject, view.time)
    more: dict[str, Header] = {f"{PREFIX}sequence": view.sequence}
    if view.traceparent is not None:
        more[f"{PREFIX}traceparent"] = view.traceparent
    return _message(key, attributes, more, data, persistent=persistent)


def of_a_breaker(told: BreakerTold) -> Message:
    """How the breaker of a worker stands: who reads it knows what is behind the circuit."""
    key = topology.feed_key(told.org, "monitor", "breaker", told.pool, "-")
    event_id = f"{told.episode}/{told.worker}/{told.openings}/{told.state}"
    attributes = (event_id, told.org, "io.toolyard.monitor.breaker.v1", told.circuit, rfc3339(told.time))
    data = BreakerData(
        org=told.org,
        pool=told.pool,
        worker=told.worker,
        circuit=told.circuit,
        state=told.state,
        since=rfc3339(told.since),
        retry_in=told.seconds,
        failures=told.failures,
    )
    return _message(key, attributes, {}, data, persistent=False)


def _message(
    key: str, attributes: tuple[str, str, str, str, str], more: dict[str, Header], data: Struct, *, persistent: bool
) -> Message:
    event_id, org, kind, subject, time = attributes
    headers: dict[str, Header] = {
        f"{PREFIX}specversion": _SPECVERSION,
        f"{PREFIX}id": event_id,
        f"{PREFIX}source": f"/orgs/{org}",
        f"{PREFIX}type": kind,
        f"{PREFIX}subject": subject,
        f"{PREFIX}time": time,
        **more,
    }
    body = encode_json(data)
    return Message(topology.FEED, key, body, event_id, headers, persistent=persistent, content_type=_JSON)
