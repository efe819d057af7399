"""What users who follow the feed may do at a real broker, by what `toolyard topology export` prints."""

import json
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker
from tests.support.rabbit import RabbitNode

from toolyard.cli.topology import definitions
from toolyard.cli.topology_followers import definitions as following
from toolyard.transport import topology

VHOST = "followed"
ORGS = ("acme", "acme-2", "other")
PASSWORD = "a password of the test"
REFUSED = 403


@pytest.fixture(scope="module")
def node(private_broker_module: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A broker with the shipped topology, a stream for each org, and a user for each."""
    private_broker_module.add_vhost(VHOST)
    queues = [*topology.QUEUES, *(topology.feed_stream(org, 3_600) for org in ORGS)]
    file = tmp_path_factory.mktemp("definitions") / "definitions.json"
    file.write_text(json.dumps(definitions(VHOST, queues) | following(ORGS, VHOST)))
    private_broker_module.ctl("import_definitions", str(file))
    for org in ORGS:
        private_broker_module.ctl("change_password", f"follower-{org}", PASSWORD)
    yield private_broker_module
    for org in ORGS:
        private_broker_module.ctl("delete_user", f"follower-{org}")
    private_broker_module.delete_vhost(VHOST)


@pytest.fixture
def connect(node: RabbitNode) -> Iterator[Callable[[str], BlockingChannel]]:
    opened = []

    def connect(user: str, password: str = PASSWORD) -> BlockingChannel:
        place = node.url(VHOST).partition("@")[2]
        parameters = pika.URLParameters(f"amqp://{quote(user)}:{quote(password)}@{place}")
        opened.append(pika.BlockingConnection(parameters))
        return opened[-1].channel()

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def channel(connect: Callable[[str], BlockingChannel]) -> BlockingChannel:
    channel = connect("follower-acme")
    channel.queue_declare("follow.acme.own", durable=True)
    return channel


def publish(channel: BlockingChannel, exchange: str, key: str, body: bytes = b"{}") -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, body)


FORBIDDEN: dict[str, Callable[[BlockingChannel], object]] = {
    "another org's keys": lambda c: c.queue_bind("follow.acme.own", topology.FEED, "other.#"),
    "keys of an org whose name begins so": lambda c: c.queue_bind("follow.acme.own", topology.FEED, "acme-2.#"),
    "all keys": lambda c: c.queue_bind("follow.acme.own", topology.FEED, "#"),
    "calls of all orgs": lambda c: c.queue_bind("follow.acme.own", topology.FEED, "*.call.#"),
    "any first word": lambda c: c.queue_bind("follow.acme.own", topology.FEED, "*.#"),
    "the events of the parts": lambda c: c.queue_bind("follow.acme.own", topology.EVENTS, "acme.#"),
    "the calls": lambda c: c.queue_bind("follow.acme.own", topology.CALLS, "acme.#"),
    "the control messages": lambda c: c.queue_bind("follow.acme.own", topology.CONTROL, "acme.#"),
    "another org's stream": lambda c: c.basic_consume("toolyard.feed.other", lambda *_: None),
    "the stream of an org whose name begins so": lambda c: c.basic_consume("toolyard.feed.acme-2", lambda *_: None),
    "the log": lambda c: c.basic_consume(topology.LOG, lambda *_: None),
    "a pool's queue": lambda c: c.basic_get(topology.pool_queue("http")),
    "another org's queue": lambda c: c.queue_declare("follow.other.mine", durable=True),
    "a queue without an org": lambda c: c.queue_declare("mine", durable=True),
    "all keys, by an exchange of its own": lambda c: (
        c.exchange_declare("follow.acme.own", "topic", auto_delete=True),
        c.exchange_bind("follow.acme.own", topology.FEED, "#"),
    ),
    "its stream's end": lambda c: c.queue_delete("toolyard.feed.acme"),
    "publishing to the feed": lambda c: publish(c, topology.FEED, "acme.call.succeeded.http.x"),
    "publishing calls": lambda c: publish(c, topology.CALLS, "call.accepted.http.acme.g.x"),
    "publishing events": lambda c: publish(c, topology.EVENTS, "call.succeeded.http.acme.g.x"),
    "publishing into a stream": lambda c: publish(c, "", "toolyard.feed.acme"),
    "dead letters into the feed": lambda c: c.queue_declare(
        "follow.acme.dead", durable=True, arguments={"x-dead-letter-exchange": topology.FEED}
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_follower_is_refused(channel: BlockingChannel, what: str) -> None:
    with pytest.raises(ChannelClosedByBroker) as refused:
        FORBIDDEN[what](channel)
    assert refused.value.reply_code == REFUSED, refused.value


def test_a_follower_gets_its_own_events_live_and_once_more_and_no_others(
    channel: BlockingChannel, connect: Callable[..., BlockingChannel], node: RabbitNode
) -> None:
    channel.queue_bind("follow.acme.own", topology.FEED, "acme.call.#")
    ours = connect(node.user, node.password)
    for org in ORGS:
        publish(ours, topology.FEED, f"{org}.call.succeeded.http.look.up", org.encode())
    _, _, body = channel.basic_get("follow.acme.own", auto_ack=True)
    assert body == b"acme"
    assert channel.basic_get("follow.acme.own", auto_ack=True) == (None, None, None)

    channel.basic_qos(prefetch_count=10)
    replayed = channel.consume("toolyard.feed.acme", arguments={"x-stream-offset": "first"}, inactivity_timeout=60)
    method, _, body = next(replayed)
    assert (method.routing_key, body) == ("acme.call.succeeded.http.look.up", b"acme")
    channel.basic_ack(method.delivery_tag)
    channel.cancel()


def test_without_a_password_nobody_signs_in(connect: Callable[..., BlockingChannel], node: RabbitNode) -> None:
    node.ctl("clear_password", "follower-other")
    try:
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            connect("follower-other", "")
    finally:
        node.ctl("change_password", "follower-other", PASSWORD)


def test_a_queue_of_a_follower_is_bounded_whatever_it_asks_for(channel: BlockingChannel, node: RabbitNode) -> None:
    channel.queue_declare("follow.acme.large", durable=True, arguments={"x-max-length": 10_000_000})
    queue = '{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"followed">>, queue, <<"follow.acme.large">>))'
    bound = 'rabbit_queue_type_util:args_policy_lookup(<<"max-length">>, fun(A, B) -> min(A, B) end, Q)'
    assert node.evaluate(f"{queue}, {bound}") == "100000"
