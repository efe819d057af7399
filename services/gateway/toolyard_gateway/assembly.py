"""How the parts of a gateway are put together: each is made once, of those that it names, when one needs it first."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from toolyard.clock import SYSTEM, Clock
from toolyard.sandbox.jail.levels import Level
from toolyard.security.egress import AllowList
from toolyard.security.keys import SecretKeys
from toolyard.store.base import CallRow
from toolyard.store.crossing import Crossing
from toolyard.store.vault import Vault
from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import Board
from toolyard.timing import LONGEST_ATTEMPT
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_gateway.admission import Door
from toolyard_gateway.amqp.front import Front
from toolyard_gateway.amqp.waiting import Waiting
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.api.replays import Replays
from toolyard_gateway.authentication import Authenticator
from toolyard_gateway.breakers import Breakers
from toolyard_gateway.callbacks import NangoCallbacks
from toolyard_gateway.code_check import Checker, CodeCheck, OwnRunner
from toolyard_gateway.consent_asking import ConsentAsker
from toolyard_gateway.correlation import Correlator
from toolyard_gateway.inbox import Inbox
from toolyard_gateway.isolation import Isolation
from toolyard_gateway.live.asking import Asker
from toolyard_gateway.live.bounds import DEFAULT, Bounds
from toolyard_gateway.live.following import Live
from toolyard_gateway.metrics import Metrics
from toolyard_gateway.position import LedgerWatch
from toolyard_gateway.publishing import Publisher
from toolyard_gateway.reading import Calls
from toolyard_gateway.recall import Recall
from toolyard_gateway.registry import Registry
from toolyard_gateway.stores import StoreAccess, Stores
from toolyard_gateway.turns import Turns

_NO_EGRESS: Final = AllowList()


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a gateway is made of.

    Attributes:
        transport: carries calls and answers.
        envelope: seals and opens messages.
        store: tools, keys and calls.
        crossing: brings the store to the loop.
        gateway_id: the word of its reply queue.
        clock: of this gateway.
        egress_allow: private destinations that tools may name, as the executors have them.
        first_key: becomes the admin key where there is none yet.
        log_max_lag: seconds that the ledger may be behind before calls are refused.
        longest_attempt: seconds that one attempt may take, whoever asks.
        max_open: calls open at a time.
        own_transport: the app opens and closes the transport; if not, whoever made it does.
        live_bounds: how much live events may take.
        code_check: looks at the code of tools; whoever made it starts and stops it. Where none is given, the app has
            one of its own, from the first definition that needs it.
        sandbox_minimum: the isolation below which that one looks at nothing.
        secret_keys: what secrets are sealed with; without them none can be set here.
        board: where its numbers are shown, and what `/metrics` tells; one of its own where none is given.
        requests: take requests from the queue, too; only where others can publish to it.
    """

    transport: Transport
    envelope: Envelope
    store: Stores
    crossing: Crossing
    gateway_id: str
    clock: Clock = SYSTEM
    egress_allow: AllowList = _NO_EGRESS
    first_key: str | None = None
    log_max_lag: float = 900.0
    longest_attempt: float = LONGEST_ATTEMPT
    max_open: int = 10_000
    own_transport: bool = True
    live_bounds: Bounds = DEFAULT
    code_check: Checker | None = None
    sandbox_minimum: Level = Level.CONTAINER
    secret_keys: SecretKeys | None = None
    board: Board | None = None
    requests: bool = False


class Assembly:
    """The parts of one gateway, as far as somebody has asked for them."""

    def __init__(self, given: Given) -> None:
        self._given = given

    @cached_property
    def parts(self) -> Parts:
        """All that the operations work with."""
        given = self._given
        self._show(self._metrics.board)
        return Parts(
            gateway_id=given.gateway_id,
            transport=given.transport,
            store=self._store,
            authenticator=self._authenticator,
            registry=self._registry,
            door=self._door,
            calls=self._calls,
            turns=self._turns,
            correlator=self._correlator,
            inbox=self._inbox,
            breakers=self._breakers,
            isolation=self._isolation,
            live=self._live,
            publisher=self._publisher,
            metrics=self._metrics,
            replays=Replays(given.clock),
            code_check=CodeCheck(given.code_check or self.own_checker),
            vault=self._vault,
            callbacks=NangoCallbacks(self._store, self._vault, self._publisher, self._metrics),
            consents=self._consents,
            allow=given.egress_allow,
            clock=given.clock,
            front=self._front if given.requests else None,
        )

    @cached_property
    def own_checker(self) -> OwnRunner:
        """Looks at code where nobody else does; nothing of it runs until it is asked."""
        return OwnRunner(self._given.sandbox_minimum, self._given.clock)

    # ---- the way of a call --------------------------------------------------------------------
    @cached_property
    def _authenticator(self) -> Authenticator:
        return Authenticator(self._store, self._given.clock)

    @cached_property
    def _registry(self) -> Registry:
        return Registry(self._store, self._given.clock)

    @cached_property
    def _door(self) -> Door:
        return Door(
            gateway_id=self._given.gateway_id,
            registry=self._registry,
            recall=Recall(self._store, self._correlator, self._given.clock),
            correlator=self._correlator,
            publisher=self._publisher,
            ledger=self._ledger,
            clock=self._given.clock,
            longest_attempt=self._given.longest_attempt,
        )

    @cached_property
    def _publisher(self) -> Publisher:
        return Publisher(self._given.transport, self._given.envelope, self._given.clock, self._given.gateway_id)

    @cached_property
    def _inbox(self) -> Inbox:
        return Inbox(
            gateway_id=self._given.gateway_id,
            transport=self._given.transport,
            envelope=self._given.envelope,
            correlator=self._correlator,
            registry=self._registry,
            ledger=self._ledger,
            breakers=self._breakers,
            consents=self._consents,
            isolation=self._isolation,
            publisher=self._publisher,
            clock=self._given.clock,
        )

    @cached_property
    def _correlator(self) -> Correlator:
        async def ended(call_ids: Sequence[str]) -> Sequence[CallRow]:
            return await self._store.ask(self._store.calls.ended, call_ids, or_asking=True)

        return Correlator(look_up=ended, clock=self._given.clock, max_open=self._given.max_open)

    @cached_property
    def _calls(self) -> Calls:
        return Calls(self._store, self._correlator, self._given.clock)

    # ---- the other fronts ---------------------------------------------------------------------
    @cached_property
    def _turns(self) -> Turns:
        return Turns(
            door=self._door,
            registry=self._registry,
            correlator=self._correlator,
            metrics=self._metrics,
            clock=self._given.clock,
        )

    @cached_property
    def _front(self) -> Front:
        given = self._given
        waiting = Waiting(
            store=self._store, correlator=self._correlator, calls=self._calls, turns=self._turns, clock=given.clock
        )
        return Front(
            transport=given.transport,
            envelope=given.envelope,
            authenticator=self._authenticator,
            door=self._door,
            calls=self._calls,
            turns=self._turns,
            waiting=waiting,
            ledger=self._ledger,
            publisher=self._publisher,
            metrics=self._metrics,
            clock=given.clock,
        )

    @cached_property
    def _live(self) -> Live:
        given = self._given
        asker = Asker(
            gateway_id=given.gateway_id,
            transport=given.transport,
            envelope=given.envelope,
            publisher=self._publisher,
            bounds=given.live_bounds,
        )
        return Live(asker, self._store, self._metrics, given.live_bounds)

    # ---- what they know -----------------------------------------------------------------------
    @cached_property
    def _store(self) -> StoreAccess:
        return StoreAccess(self._given.store, self._given.crossing, self._given.clock)

    @cached_property
    def _vault(self) -> Vault | None:
        keys = self._given.secret_keys
        return None if keys is None else Vault(self._given.store.secrets, keys)

    @cached_property
    def _ledger(self) -> LedgerWatch:
        return LedgerWatch(self._given.clock, max_lag=self._given.log_max_lag)

    @cached_property
    def _breakers(self) -> Breakers:
        return Breakers(self._given.clock)

    @cached_property
    def _isolation(self) -> Isolation:
        return Isolation(self._given.clock)

    @cached_property
    def _consents(self) -> ConsentAsker:
        given = self._given
        return ConsentAsker(gateway_id=given.gateway_id, transport=given.transport, envelope=given.envelope)

    @cached_property
    def _metrics(self) -> Metrics:
        return Metrics(self._given.board)

    def _show(self, board: Board) -> None:
        board.ask(catalogue.OPEN_CALLS, lambda: self._correlator.open)
        board.ask(catalogue.WAITING, lambda: self._correlator.waiting)
        board.ask(catalogue.POSITION_AGE, lambda: round(self._ledger.lag, 3))
        board.ask(catalogue.FOLLOWERS, lambda: self._live.followers)
