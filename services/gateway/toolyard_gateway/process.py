"""One gateway process over RabbitMQ, put together from its settings, until a signal comes."""

import asyncio

from toolyard.errors import StoreError
from toolyard.security.keyfile import local_keyring, local_secret_keys
from toolyard.security.keys import SecretKeys
from toolyard.settings import NO_KEY_OF_POOLS, pools_to_tell_of
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.vault import check_keys
from toolyard.telemetry import machine
from toolyard.telemetry.export import exporting
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Board
from toolyard.timing import LONGEST_ATTEMPT
from toolyard.transport import topology
from toolyard.transport.alarm import Alarm
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope
from toolyard_gateway.app import build
from toolyard_gateway.assembly import Given
from toolyard_gateway.bindings import RUN
from toolyard_gateway.serving import Serving, listen
from toolyard_gateway.settings import GatewaySettings, name_of

_THREADS = 8
log = logger("gateway")


async def serve(settings: GatewaySettings) -> None:
    """Take calls until SIGTERM or SIGINT.

    Raises:
        ToolyardError: it cannot start: the broker contradicts the topology, the port is taken, secrets have no key.
    """
    name = name_of(settings)
    board = Board()
    machine.show(board, "gateway")
    with exporting("gateway", name, board):
        await _serve(settings, name, board)


async def _serve(settings: GatewaySettings, name: str, board: Board) -> None:
    keyring = settings.signing_keys or local_keyring(settings.data)
    secret_keys = settings.secret_keys
    if secret_keys is None and settings.profile != "production":
        secret_keys = local_secret_keys(settings.data)
    store = open_store(settings.database, connections=_THREADS)
    crossing = Crossing(_THREADS)
    declare = settings.topology == "declare"
    requests = settings.requests == "on"
    beside = [topology.queue(each) for each in (topology.REQUESTS, topology.REQUESTS_WAITING) if requests]
    transport = connect(settings.transport_url, name=name, declare=declare, watch=RUN, beside=beside, probe=True)
    envelope = Envelope(keyring)
    Alarm(transport, envelope, sender=name, board=board)
    app = build(
        Given(
            transport=transport,
            envelope=envelope,
            store=store,
            crossing=crossing,
            gateway_id=name,
            egress_allow=settings.egress_allow,
            first_key=settings.api_key,
            log_max_lag=settings.log_max_lag,
            longest_attempt=settings.longest_attempt or LONGEST_ATTEMPT,
            own_transport=False,
            sandbox_minimum=settings.sandbox_minimum,
            secret_keys=secret_keys,
            board=board,
            requests=requests,
        )
    )
    app.state.parts.least_rights = not declare
    if missing := pools_to_tell_of(settings.signing_keys, settings.profile):
        log.warning(NO_KEY_OF_POOLS, pools=missing)
    try:
        await _check_secrets(store, crossing, secret_keys, own=settings.secret_keys is None)
        await transport.open()
        await Serving(app, listen(settings.host, settings.port)).run()
    finally:
        await transport.close()
        await crossing.close()
        await asyncio.to_thread(store.close)


async def _check_secrets(store: Store, crossing: Crossing, keys: SecretKeys | None, *, own: bool) -> None:
    """Refuse to start without the keys of secrets that are there; a database that is away is looked at by others."""
    try:
        await crossing.run(check_keys, store.secrets, keys, own=own)
    except StoreError as error:
        log.info("whether secrets can be opened is not known yet", reason=str(error))
