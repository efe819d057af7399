"""What the operations work with: the gateway's parts, put on the app by its composition root."""

from dataclasses import dataclass
from typing import Protocol

from fastapi import Request

from toolyard.clock import Clock
from toolyard.security.egress import AllowList
from toolyard.store.vault import Vault
from toolyard.transport.base import Transport
from toolyard_gateway.admission import Door
from toolyard_gateway.api.replays import Replays
from toolyard_gateway.authentication import Authenticator
from toolyard_gateway.breakers import Breakers
from toolyard_gateway.callbacks import NangoCallbacks
from toolyard_gateway.code_check import CodeCheck
from toolyard_gateway.consent_asking import ConsentAsker
from toolyard_gateway.correlation import Correlator
from toolyard_gateway.inbox import Inbox
from toolyard_gateway.isolation import Isolation
from toolyard_gateway.live.following import Live
from toolyard_gateway.metrics import Metrics
from toolyard_gateway.publishing import Publisher
from toolyard_gateway.reading import Calls
from toolyard_gateway.registry import Registry
from toolyard_gateway.stores import StoreAccess
from toolyard_gateway.turns import Turns


class QueueFront(Protocol):
    """Takes requests from the queue `toolyard.requests`."""

    @property
    def unready(self) -> str:
        """Why requests are not taken although calls may be accepted; empty where all is well."""

    async def start(self) -> None:
        """Consume the queue."""

    async def watch(self) -> None:
        """Take requests while calls may be accepted, and none else; for ever."""

    def leave(self) -> None:
        """Take nothing more: what cannot be accepted any more goes back to the queue."""

    async def stop(self) -> None:
        """Let go of what is in hand, and consume no more."""


@dataclass(slots=True)
class Parts:
    """The parts of one gateway.

    Attributes:
        vault: seals secrets; none where this gateway has no key for that.
        tables_known: this build was seen to get along with the tables of the database.
        misfit: why it does not; empty where that is not known.
        keyless: the operator's first key is not made yet, so that nobody could be let in.
        least_rights: its user at the broker may publish what gateways publish, and nothing else.
        draining: it is about to stop: no longer ready.
        front: takes requests from the queue; none where nobody can publish to it, or the operator wants none.
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
    breakers: Breakers
    isolation: Isolation
    live: Live
    publisher: Publisher
    metrics: Metrics
    replays: Replays
    code_check: CodeCheck
    vault: Vault | None
    callbacks: NangoCallbacks
    consents: ConsentAsker
    allow: AllowList
    clock: Clock
    tables_known: bool = False
    misfit: str = ""
    keyless: bool = False
    least_rights: bool = False
    draining: bool = False
    front: QueueFront | None = None


def parts(request: Request) -> Parts:
    """The parts behind this request."""
    found: Parts = request.app.state.parts
    return found
