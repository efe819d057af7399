"""One look at a broker: whether it answers, which version it is, and what is missing there. `toolyard doctor` calls it.

Synchronous, and over at once: nothing is declared, and nothing is kept open.
"""

from dataclasses import dataclass
from typing import Any

from pika import BlockingConnection
from pika.exceptions import ChannelClosedByBroker

from toolyard.transport import topology
from toolyard.transport.rabbitmq.errors import translated
from toolyard.transport.rabbitmq.link import parameters

_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Broker:
    """What was seen.

    Attributes:
        missing: exchanges and queues of the topology that are not there.
    """

    product: str
    version: str
    missing: tuple[str, ...]


def probe(url: str) -> Broker:
    """Look at the broker of this URL.

    Raises:
        SettingsError: the URL, the login or the vhost is wrong.
        Unavailable: nothing answers.
    """
    with translated("asking the broker"):
        connection = BlockingConnection(parameters(url, "toolyard doctor"))
        try:
            # pika's blocking connection shows them nowhere else
            properties: dict[str, Any] = connection._impl.server_properties  # noqa: SLF001
            missing = [name for name in topology.EXCHANGES if not _is_there(connection, exchange=name)]
            missing += [queue.name for queue in topology.QUEUES if not _is_there(connection, queue=queue.name)]
        finally:
            connection.close()
    return Broker(str(properties.get("product", "")), str(properties.get("version", "")), tuple(missing))


def _is_there(connection: BlockingConnection, **name: str) -> bool:
    channel = connection.channel()
    try:
        if "exchange" in name:
            channel.exchange_declare(passive=True, **name)
        else:
            channel.queue_declare(passive=True, **name)
    except ChannelClosedByBroker as error:
        if error.reply_code != _NOT_FOUND:
            raise
        return False
    channel.close()
    return True
