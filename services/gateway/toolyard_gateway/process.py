"""One gateway process over RabbitMQ, put together from its settings, until a signal comes."""

import asyncio

from toolyard.errors import StoreError
from toolyard.security.keyfile import local_keyring, local_secret_keys
from toolyard.security.keys import SecretKeys
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.vault import check_keys
from toolyard.telemetry.logs import logger
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope
from toolyard_gateway.app import build
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
    keyring = settings.signing_keys or local_keyring(settings.data)
    secret_keys = settings.secret_keys
    if secret_keys is None and settings.profile != "production":
        secret_keys = local_secret_keys(settings.data)
    store = open_store(settings.database, connections=_THREADS)
    crossing = Crossing(_THREADS)
    declare = settings.topology == "declare"
    transport = connect(settings.transport_url, name=name, declare=declare, watch=RUN)
    app = build(
        transport=transport,
        envelope=Envelope(keyring),
        store=store,
        crossing=crossing,
        gateway_id=name,
        egress_allow=settings.egress_allow,
        first_key=settings.api_key,
        log_max_lag=settings.log_max_lag,
        own_transport=False,
        sandbox_minimum=settings.sandbox_minimum,
        secret_keys=secret_keys,
    )
    try:
        await _check_secrets(store, crossing, secret_keys)
        await transport.open()
        await Serving(app, listen(settings.host, settings.port)).run()
    finally:
        await transport.close()
        await crossing.close()
        await asyncio.to_thread(store.close)


async def _check_secrets(store: Store, crossing: Crossing, keys: SecretKeys | None) -> None:
    """Refuse to start without the keys of secrets that are there; a database that is away is looked at by others."""
    try:
        await crossing.run(check_keys, store.secrets, keys)
    except StoreError as error:
        log.info("whether secrets can be opened is not known yet", reason=str(error))
