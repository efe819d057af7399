"""What each part's user may do at the broker and what not, tried on a real one with the shipped definitions."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker
from tests.support.broker_users import Users
from tests.support.rabbit import RabbitNode

from toolyard.contracts.control import Pause
from toolyard.errors import BadSignature
from toolyard.security.signing import Keyring, new_keys
from toolyard.transport import topology
from toolyard.transport.base import Delivery
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope

#: At the broker: ACCESS_REFUSED.
REFUSED = 403
Tried = Callable[[BlockingChannel], Any]


@pytest.fixture(scope="module")
def users(private_broker_module: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    found = Users(private_broker_module, "rights", tmp_path_factory.mktemp("rights"))
    with Signed(found.admin) as admin:
        for name in ("toolyard.reply.gw-1", "toolyard.worker.http.w1", "toolyard.worker.lambda.w1"):
            admin.queue_declare(name, durable=True, arguments={"x-expires": 600_000})
    yield found
    found.remove()


class Signed:
    """A channel of somebody who signed in."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))

    def __enter__(self) -> BlockingChannel:
        channel = self._connection.channel()
        channel.confirm_delivery()
        return channel

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def publish(exchange: str, key: str) -> Tried:
    return lambda channel: channel.basic_publish(exchange, key, b"{}")


def consume(queue: str) -> Tried:
    return lambda channel: channel.basic_consume(queue, lambda *_: None)


def take(queue: str) -> Tried:
    return lambda channel: channel.basic_get(queue)


def read_stream(queue: str) -> Tried:
    def tried(channel: BlockingChannel) -> None:
        channel.basic_qos(prefetch_count=10)
        channel.basic_consume(queue, lambda *_: None, arguments={"x-stream-offset": "next"})

    return tried


def declare(queue: str) -> Tried:
    return lambda channel: channel.queue_declare(queue, durable=True, arguments={"x-expires": 600_000})


def declare_dying(exchange: str, key: str) -> Tried:
    """A queue of its own whose dead letters go there."""
    dying = {"x-expires": 600_000, "x-message-ttl": 0, "x-dead-letter-exchange": exchange}
    arguments = dying | {"x-dead-letter-routing-key": key}
    return lambda channel: channel.queue_declare("toolyard.worker.http.w2", durable=True, arguments=arguments)


def delete(queue: str) -> Tried:
    return lambda channel: channel.queue_delete(queue)


def purge(queue: str) -> Tried:
    return lambda channel: channel.queue_purge(queue)


def bind(queue: str, exchange: str, pattern: str) -> Tried:
    return lambda channel: channel.queue_bind(queue, exchange, pattern)


def exchange(name: str) -> Tried:
    return lambda channel: channel.exchange_declare(name, "topic", durable=True)


CALLS, EVENTS, CONTROL, FEED = topology.EXCHANGES
HTTP, SANDBOX, GATEWAY, SCHEDULER = "worker-http", "worker-sandbox", "gateway", "scheduler"
OWN, REPLY = "toolyard.worker.http.w1", "toolyard.reply.gw-1"
FORBIDDEN: dict[str, tuple[str, Tried]] = {
    "a worker reads another pool's calls": (HTTP, consume("toolyard.call.lambda")),
    "a worker takes one of another pool's calls": (HTTP, take("toolyard.call.sandbox")),
    "a worker throws its pool's calls away": (SANDBOX, purge("toolyard.call.lambda")),
    "a worker reads the log": (HTTP, read_stream(topology.LOG)),
    "a worker reads questions for secrets": (HTTP, consume(topology.SECRETS)),
    "a worker reads the quarantine": (HTTP, take(topology.QUARANTINE)),
    "a worker reads requests from outside": (HTTP, consume(topology.REQUESTS)),
    "a worker reads a gateway's answers": (HTTP, consume(REPLY)),
    "a worker reads what is for another pool's worker": (HTTP, consume("toolyard.worker.lambda.w1")),
    "a worker publishes a call": (HTTP, publish(CALLS, "call.accepted.http.o.g.t")),
    "a worker dispatches a call": (HTTP, publish(CALLS, "call.dispatched.http.o.g.t")),
    "a worker puts a call into a queue": (HTTP, publish("", "toolyard.call.lambda")),
    "a worker puts something into its own queue of calls": (HTTP, publish("", "toolyard.call.http")),
    "a worker publishes another pool's outcome": (HTTP, publish(EVENTS, "call.succeeded.lambda.o.g.t")),
    "a worker publishes another pool's outcomes": (HTTP, publish(EVENTS, "call.outcomes.lambda.-.g.-")),
    "a worker gives a verdict": (HTTP, publish(EVENTS, "call.ending.http.o.g.t")),
    "a worker withdraws a call": (HTTP, publish(EVENTS, "call.withdrawn.http.o.g.t")),
    "a worker claims for another pool": (HTTP, publish(CONTROL, "control.claim.lambda.o.-.-")),
    "a worker grants a claim": (HTTP, publish(CONTROL, "control.granted.http.o.w1.-")),
    "a worker cancels": (HTTP, publish(CONTROL, "control.cancel.http.o.-.t")),
    "a worker pauses": (HTTP, publish(CONTROL, "control.pause.http.-.-.-")),
    "a worker tells where the ledger stands": (HTTP, publish(CONTROL, "control.ledger_position.-.-.-.-")),
    "a worker tells that a user consented": (HTTP, publish(CONTROL, "control.authorized.-.o.-.-")),
    "a worker tells secrets": (HTTP, publish(CONTROL, "secrets.told.http.o.w1.-")),
    "a worker asks for another pool's secrets": (HTTP, publish(CONTROL, "secrets.asked.lambda.o.w1.t")),
    "a worker gives another pool's sign of life": (HTTP, publish(CONTROL, "monitor.heartbeat.lambda.-.-.-")),
    "a worker publishes to followers": (HTTP, publish(FEED, "o.call.succeeded.http.t")),
    "a worker declares a queue": (HTTP, declare("mine")),
    "a worker declares another pool's own queue": (HTTP, declare("toolyard.worker.lambda.w2")),
    "a worker lets what dies in its queue become a call": (HTTP, declare_dying(CALLS, "call.accepted.http.o.g.t")),
    "a worker lets what dies in its queue go to another one": (HTTP, declare_dying("", "toolyard.call.lambda")),
    "a worker lets what dies in its queue go to followers": (HTTP, declare_dying(FEED, "o.call.succeeded.http.t")),
    "a worker deletes its pool's queue": (HTTP, delete("toolyard.call.http")),
    "a worker declares an exchange": (HTTP, exchange("mine")),
    "a worker binds itself to the calls": (HTTP, bind(OWN, CALLS, "call.#")),
    "a worker binds itself to all outcomes": (HTTP, bind(OWN, EVENTS, "call.#")),
    "a worker binds itself to all that is controlled": (HTTP, bind(OWN, CONTROL, "#")),
    "a worker binds itself to another pool's secrets": (HTTP, bind(OWN, CONTROL, "secrets.told.lambda.*.w1.*")),
    "a worker binds itself to the feed": (HTTP, bind(OWN, FEED, "#")),
    "a worker binds its pool's queue": (HTTP, bind("toolyard.call.http", CALLS, "call.accepted.lambda.*.*.*")),
    "a gateway reads calls": (GATEWAY, consume("toolyard.call.http")),
    "a gateway reads the log": (GATEWAY, read_stream(topology.LOG)),
    "a gateway reads questions for secrets": (GATEWAY, consume(topology.SECRETS)),
    "a gateway reads what is for a worker": (GATEWAY, consume(OWN)),
    "a gateway publishes an outcome": (GATEWAY, publish(EVENTS, "call.succeeded.http.o.g.t")),
    "a gateway publishes outcomes": (GATEWAY, publish(EVENTS, "call.outcomes.http.-.g.-")),
    "a gateway dispatches": (GATEWAY, publish(CALLS, "call.dispatched.http.o.g.t")),
    "a gateway grants a claim": (GATEWAY, publish(CONTROL, "control.granted.http.o.w1.-")),
    "a gateway tells secrets": (GATEWAY, publish(CONTROL, "secrets.told.http.o.w1.-")),
    "a gateway publishes to followers": (GATEWAY, publish(FEED, "o.call.succeeded.http.t")),
    "a gateway declares a pool's queue": (GATEWAY, declare("toolyard.call.mine")),
    "a gateway deletes a pool's queue": (GATEWAY, delete("toolyard.call.http")),
    "a gateway hears all outcomes": (GATEWAY, bind(REPLY, EVENTS, "call.#")),
    "a gateway hears calls": (GATEWAY, bind(REPLY, CALLS, "call.*.*.*.*.*")),
    "a gateway hears secrets": (GATEWAY, bind(REPLY, CONTROL, "secrets.#")),
    "a scheduler reads a gateway's answers": (SCHEDULER, consume(REPLY)),
    "a scheduler reads calls": (SCHEDULER, consume("toolyard.call.http")),
    "a scheduler reads what is for a worker": (SCHEDULER, consume(OWN)),
    "a scheduler cancels": (SCHEDULER, publish(CONTROL, "control.cancel.-.o.-.t")),
    "a scheduler claims": (SCHEDULER, publish(CONTROL, "control.claim.http.o.-.-")),
    "a scheduler starts an attempt": (SCHEDULER, publish(EVENTS, "call.started.http.o.g.t")),
    "a scheduler puts something into a queue": (SCHEDULER, publish("", "toolyard.call.http")),
    "a scheduler declares a pool's queue": (SCHEDULER, declare("toolyard.call.mine")),
    "a scheduler deletes the log": (SCHEDULER, delete(topology.LOG)),
}
ALLOWED: dict[str, tuple[str, Tried]] = {
    "a worker takes its pool's calls": (HTTP, consume("toolyard.call.http")),
    "a worker has a queue of its own": (HTTP, declare(OWN)),
    "a worker reads it": (HTTP, consume(OWN)),
    "a worker tells an outcome": (HTTP, publish(EVENTS, "call.succeeded.http.o.g.t:a")),
    "a worker tells outcomes": (HTTP, publish(EVENTS, "call.outcomes.http.-.g.-")),
    "a worker claims": (HTTP, publish(CONTROL, "control.claim.http.o.-.-")),
    "a worker asks for secrets": (HTTP, publish(CONTROL, "secrets.asked.http.o.w1.t")),
    "a worker puts something away": (HTTP, publish(CONTROL, topology.quarantine_key("http"))),
    "a gateway publishes a call": (GATEWAY, publish(CALLS, "call.accepted.http.o.g.t")),
    "a gateway answers from outside": (GATEWAY, publish("", "somebodys.answers")),
    "a gateway takes requests from outside": (GATEWAY, consume(topology.REQUESTS)),
    "a gateway cancels": (GATEWAY, publish(CONTROL, "control.cancel.http.o.g.t")),
    "a gateway reads its answers": (GATEWAY, consume(REPLY)),
    "a scheduler reads the log": (SCHEDULER, read_stream(topology.LOG)),
    "a scheduler reads dead letters": (SCHEDULER, consume(topology.DEAD)),
    "a scheduler dispatches": (SCHEDULER, publish(CALLS, "call.dispatched.http.o.g.t")),
    "a scheduler tells followers": (SCHEDULER, publish(FEED, "o.call.succeeded.http.a.b")),
    "a scheduler keeps an org's stream": (SCHEDULER, declare("toolyard.feed.acme")),
    "a scheduler fills it": (SCHEDULER, bind("toolyard.feed.acme", FEED, "acme.#")),
    "a worker looks whether all is there": (HTTP, lambda channel: channel.queue_declare(topology.LOG, passive=True)),
}
for queue, bindings, part in (
    (OWN, topology.worker_bindings("http", "w1"), HTTP),
    (REPLY, (*topology.reply_bindings("gw-1"), *topology.live_bindings("gw-1")), GATEWAY),
):
    ALLOWED |= {f"{part} binds {pattern}": (part, bind(queue, source, pattern)) for source, pattern in bindings}


@pytest.mark.parametrize(("part", "tried"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_is_none_of_a_parts_work_is_refused(users: Users, part: str, tried: Tried):
    with Signed(users.url(part)) as channel, pytest.raises(ChannelClosedByBroker) as refused:
        tried(channel)
    assert refused.value.reply_code == REFUSED


@pytest.mark.parametrize(("part", "tried"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_a_parts_work_is_not(users: Users, part: str, tried: Tried):
    with Signed(users.url(part)) as channel:
        tried(channel)
        assert channel.is_open


async def test_what_a_worker_lets_die_in_its_queue_says_nothing_again(users: Users):
    """Where dead letters go, the broker bounds no keys: so nobody believes what died, well signed as it may be."""
    core = Envelope(Keyring.parse(",".join(new_keys("2026-11").values())))
    said = core.control(Pause(v=1, sender="g", time=1.0, kind="pool", org="-", name="lambda"))
    own, other = "toolyard.worker.http.w3", "toolyard.worker.lambda.w1"
    transport = connect(users.admin, name="hears", declare=False)
    await transport.open()
    dying = {"x-expires": 600_000, "x-message-ttl": 0, "x-dead-letter-exchange": CONTROL}
    heard: asyncio.Queue[Delivery] = asyncio.Queue()
    try:
        with Signed(users.url(HTTP)) as worker, Signed(users.admin) as admin:
            admin.queue_bind(other, CONTROL, said.key)
            worker.queue_declare(own, durable=True, arguments=dying)
            worker.queue_bind(own, CONTROL, "control.pause.#")
            properties = pika.BasicProperties(message_id=said.message_id, headers=dict(said.headers))
            admin.basic_publish(CONTROL, said.key, said.body, properties)
            subscription = await transport.consume(other, heard.put_nowait, prefetch=10)
            async with asyncio.timeout(60):
                first, second = sorted([await heard.get(), await heard.get()], key=lambda each: each.died)
            first.ack()
            second.ack()
            await subscription.close()
            worker.queue_delete(own)
    finally:
        await transport.close()
    assert core.open_control(first).sender == "g"
    assert (second.message_id, second.key, second.died) == (said.message_id, said.key, True)
    with pytest.raises(BadSignature, match="it died"):
        core.open_control(second)
