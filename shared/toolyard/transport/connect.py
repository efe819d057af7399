"""From a URL to the transport that it means. Called by the composition roots of the services.

The embedded transport needs a store and is wired by `toolyard_embedded`, not here.
"""

from collections.abc import Sequence

from toolyard.errors import SettingsError
from toolyard.transport.base import Transport
from toolyard.transport.topology import Queue


def connect(
    url: str,
    *,
    name: str,
    declare: bool,
    watch: Sequence[str] = (),
    beside: Sequence[Queue] = (),
    publish_timeout: float = 2.0,
    probe: bool = False,
) -> Transport:
    """The transport of a URL, not opened yet.

    Args:
        url: ``amqp://`` or ``amqps://``.
        name: what the broker's own screens call our connections.
        declare: declare the topology, or only look whether it is there.
        watch: pools whose queues, and the log, must be there before a call is published.
        beside: queues that are declared, or looked for, beside the shared ones.
        publish_timeout: seconds within which every publish ends.
        probe: find out that the broker blocks publishing where nothing is published.

    Raises:
        SettingsError: another scheme, or a URL that cannot be read; its password is not in the text.
    """
    scheme, mark, _ = url.partition("://")
    if not mark or scheme.lower() not in ("amqp", "amqps"):
        named = f"begins with {scheme}://" if mark else "has no scheme"
        raise SettingsError(f"TOOLYARD_TRANSPORT_URL {named}; a broker's URL begins with amqp:// or amqps://")
    from toolyard.transport.rabbitmq import RabbitTransport  # here, because a client without pika may read this module

    return RabbitTransport(
        url, name=name, declare=declare, watch=watch, beside=beside, publish_timeout=publish_timeout, probe=probe
    )
