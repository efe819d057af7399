"""What the operations work with: the gateway's parts, put on the app by its composition root."""

from dataclasses import dataclass

from fastapi import Request

from toolyard.clock import Clock
from toolyard.security.egress import AllowList
from toolyard.store.vault import Vault
from toolyard.transport.base import Transport
from toolyard_gateway.admission import Door
from toolyard_gateway.api.replays import Replays
from toolyard_gateway.authentication import Authenticator
from toolyard_gateway.code_check import CodeCheck
from toolyard_gateway.correlation import Correlator
from toolyard_gateway.inbox import Inbox
from toolyard_gateway.live.following import Live
from toolyard_gateway.metrics import Metrics
from toolyard_gateway.publishing import Publisher
from toolyard_gateway.reading import Calls
from toolyard_gateway.registry import Registry
from toolyard_gateway.stores import StoreAccess
from toolyard_gateway.turns import Turns


@dataclass(slots=True)
class Parts:
    """The parts of one gateway.

    Attributes:
        vault: seals secrets; none where this gateway has no key for that.
        keyless: the operator's first key is not made yet, so that nobody could be let in.
        draining: it is about to stop: no longer ready.
    """

    gateway_id: str
    transport: Transport
    store: StoreAccess
    authenticator: Authenticator
    registry: Registry
    door: Door
    calls: Calls
    turns: Turns
    correlator: Correlator
    inbox: Inbox
    live: Live
    publisher: Publisher
    metrics: Metrics
    replays: Replays
    code_check: CodeCheck
    vault: Vault | None
    allow: AllowList
    clock: Clock
    keyless: bool = False
    draining: bool = False


def parts(request: Request) -> Parts:
    """The parts behind this request."""
    found: Parts = request.app.state.parts
    return found
