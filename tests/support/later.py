"""A later minor version, made of the present code: a fake, for tests of upgrades to what is not written yet.

It differs in what a minor version may change. All that it writes has fields that nobody else knows, on the wire and in
the tables; the tables have a further column and a further table; and `say` says what only such a version would.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pika
from msgspec import Raw
from pika.adapters.blocking_connection import BlockingChannel
from tests.support.previous import ROOT, environment

from toolyard.contracts import codec
from toolyard.contracts.calls import Call, CallMessage
from toolyard.ids import new_id
from toolyard.security.signing import HEADER, Keyring
from toolyard.store import migrate
from toolyard.transport import topology

_WRITES_MORE: Final = '''

# ---- what a later version writes beside ---------------------------------------------------------
_encode_as_now = encode


def encode(message: Encoded) -> bytes:
    """As now, with fields that nobody knows yet."""
    body = _encode_as_now(message)
    return body[:-1].replace(b'"call":{', b'"call":{"later":{"shape":[1,2]},', 1) + b',"later":{"shape":[1,2]}}'
'''

_MIGRATION: Final = '''"""A later version: a column and a table more, and nothing less."""

import sqlalchemy as sa
from alembic import op

revision = "{later}"
down_revision = "{newest}"


def upgrade() -> None:
    """Make them."""
    op.add_column("calls", sa.Column("later", sa.Integer, nullable=False, server_default="7"))
    op.create_table("later", sa.Column("id", sa.Integer, primary_key=True))
'''


def program(folder: Path) -> list[str]:
    """The command line that is `toolyard` of a later version; its files are put into a new folder."""
    source = folder / "source"
    for name in ("shared", "services"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    with (source / "shared/toolyard/contracts/codec.py").open("a") as file:
        file.write(_WRITES_MORE)
    newest = migrate.revisions()[-1]
    later = f"{int(newest) + 1:04}"
    migration = source / f"shared/toolyard/store/migrations/versions/{later}_later.py"
    migration.write_text(_MIGRATION.format(later=later, newest=newest))
    return environment(folder / "environment", source)


class Speaker:
    """Says, with a key of the system, what only another version would say; waits for each confirm."""

    def __init__(self, channel: BlockingChannel, keyring: Keyring) -> None:
        self._channel = channel
        self._keyring = keyring
        channel.confirm_delivery()

    def later_things(self, gateways: list[str]) -> None:
        """Kinds of messages that nobody knows, wherever one is heard, and a topology that nobody knows."""
        self._channel.exchange_declare("toolyard.later", "topic", durable=True)
        self._channel.queue_declare("toolyard.later", durable=True)
        self._channel.queue_bind("toolyard.later", topology.CONTROL, "control.teleported.#")
        self._channel.queue_bind(topology.LOG, topology.EVENTS, "call.teleported.*.*.*.*")
        self._channel.queue_bind(topology.SCHEDULER, topology.CONTROL, "monitor.teleported.*.*.*.*")
        body = b'{"v":1,"event":"teleported","whither":["home"]}'
        for gateway in gateways:
            self._say(topology.EVENTS, topology.call_key("teleported", "http", "default", gateway, "reads"), body)
        self._say(topology.CONTROL, "control.teleported.-.default.-.-", body)  # for the log
        self._say(topology.CONTROL, "control.tool_changed.-.default.-.reads", body)  # for gateways
        self._say(topology.CONTROL, "control.resume.-.default.-.-", body)  # for workers and the ledger
        self._say(topology.CONTROL, "monitor.teleported.-.default.-.-", body)  # for schedulers

    def call_of_another_major_version(self, call: Call) -> str:
        """A call that nobody here can read; the id of its message."""
        message = CallMessage(v=1, call=call, tool=Raw(b"{}"), attempt=1, budget=60.0)
        key = topology.call_key("accepted", call.pool, call.org, call.gateway, call.tool)
        return self._say(topology.CALLS, key, codec.encode(message).replace(b'"v":1', b'"v":2', 1))

    def _say(self, exchange: str, key: str, body: bytes) -> str:
        message_id = new_id()
        signature = self._keyring.sign(exchange, key, message_id, "", body)
        properties = pika.BasicProperties(message_id=message_id, delivery_mode=2, headers={HEADER: signature})
        self._channel.basic_publish(exchange, key, body, properties)
        return message_id


@contextmanager
def speaker(amqp_url: str, keys: str) -> Iterator[Speaker]:
    """One who holds these signing keys."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    try:
        yield Speaker(connection.channel(), Keyring.parse(keys))
    finally:
        connection.close()
