"""The proxy between a client and a real broker: it passes all, sees what is under way, and breaks it on command."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPError
from tests.chaos.proxy import AmqpProxy
from tests.support.processes import free_port
from tests.support.rabbit import RabbitNode
from tests.support.waiting import wait_until

QUEUE = "parcels"


@pytest.fixture
def proxy(private_broker: RabbitNode) -> Iterator[AmqpProxy]:
    with AmqpProxy(private_broker.port) as proxy:
        with contextlib.closing(_connect(private_broker.url())) as connection:
            channel = connection.channel()
            channel.queue_declare(QUEUE, durable=True)
            channel.queue_purge(QUEUE)
        yield proxy


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    """pika keeps the sockets of a lost connection open: they are closed here."""
    yield
    for connection in _made:
        connection._cleanup()
    _made.clear()


_made: list[Any] = []


def _connect(url: str) -> pika.BlockingConnection:
    connection = pika.BlockingConnection(pika.URLParameters(f"{url}?socket_timeout=60&blocked_connection_timeout=60"))
    _made.append(connection)
    return connection


def _use_for_ever(connection: pika.BlockingConnection) -> None:
    while True:
        connection.process_data_events(1)


def _waiting(node: RabbitNode) -> int:
    with contextlib.closing(_connect(node.url())) as connection:
        count: int = connection.channel().queue_declare(QUEUE, passive=True).method.message_count
        return count


def _publish(channel: pika.adapters.blocking_connection.BlockingChannel, body: bytes = b"x" * 3000) -> None:
    channel.basic_publish("", QUEUE, body, pika.BasicProperties(delivery_mode=2))


def test_what_is_published_through_it_arrives_and_every_frame_is_counted(
    proxy: AmqpProxy, private_broker: RabbitNode
) -> None:
    with contextlib.closing(_connect(proxy.url())) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for number in range(5):
            _publish(channel, str(number).encode() * 1000)
        bodies = []
        for method, _, body in channel.consume(QUEUE, inactivity_timeout=60):
            bodies.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(bodies) == 5:
                break
        channel.cancel()
        assert bodies == [str(number).encode() * 1000 for number in range(5)]
        sent, got = proxy.counts["to_broker"], proxy.counts["to_client"]
        assert (sent["basic.publish"], sent["body"], sent["basic.ack"]) == (5, 5, 5)
        assert (got["basic.deliver"], got["body"]) == (5, 5)
        assert got["basic.ack"] >= 1
        assert (proxy.unacked, proxy.unconfirmed) == (0, 0)
    wait_until(lambda: proxy.connections == 0, within=60, what="the end of the connection to be seen")


def test_a_cut_before_the_confirm_leaves_the_message_at_the_broker_and_the_publisher_in_doubt(
    proxy: AmqpProxy, private_broker: RabbitNode
) -> None:
    connection = _connect(proxy.url())
    channel = connection.channel()
    channel.confirm_delivery()
    proxy.strike_at("confirm")
    with pytest.raises(AMQPError):
        _publish(channel)
    strike = proxy.wait_for_strike()
    assert (strike.place, strike.unconfirmed) == ("confirm", 1)
    assert _waiting(private_broker) == 1


def test_a_cut_before_the_ack_makes_the_broker_deliver_again(proxy: AmqpProxy, private_broker: RabbitNode) -> None:
    with contextlib.closing(_connect(private_broker.url())) as connection:
        _publish(connection.channel())
    connection = _connect(proxy.url())
    channel = connection.channel()
    method, _, _ = next(iter(channel.consume(QUEUE, inactivity_timeout=60)))
    assert not method.redelivered
    proxy.strike_at("ack")
    channel.basic_ack(method.delivery_tag)
    with pytest.raises(AMQPError):
        _use_for_ever(connection)
    assert proxy.wait_for_strike().unacked == 1
    with contextlib.closing(_connect(private_broker.url())) as other:
        again, _, _ = next(iter(other.channel().consume(QUEUE, inactivity_timeout=60, auto_ack=True)))
        assert again.redelivered


def test_a_message_that_is_cut_in_its_middle_never_arrives(proxy: AmqpProxy, private_broker: RabbitNode) -> None:
    connection = _connect(proxy.url())
    channel = connection.channel()
    channel.confirm_delivery()
    proxy.strike_at("publish_body", after=1)
    _publish(channel)
    with pytest.raises(AMQPError):
        _publish(channel)
    assert proxy.wait_for_strike().place == "publish_body"
    assert _waiting(private_broker) == 1


def test_a_held_connection_passes_nothing_more_until_it_may_go_on(proxy: AmqpProxy) -> None:
    with contextlib.closing(_connect(proxy.url())) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        proxy.strike_at("confirm", "hold")
        channel._impl.basic_publish("", QUEUE, b"y", pika.BasicProperties())
        connection.process_data_events(0)
        proxy.wait_for_strike()
        assert proxy.unconfirmed == 1
        proxy.go_on()
        wait_until(
            lambda: connection.process_data_events(0) or proxy.counts["to_client"]["basic.ack"], within=60, what="it"
        )


def test_cutting_all_ends_every_connection_and_new_ones_are_taken(proxy: AmqpProxy) -> None:
    first, second = _connect(proxy.url()), _connect(proxy.url())
    assert proxy.cut_all() == 2
    for connection in (first, second):
        with pytest.raises(AMQPError):
            _use_for_ever(connection)
    with contextlib.closing(_connect(proxy.url())) as third:
        assert third.channel().is_open


def test_a_stalled_proxy_answers_nobody_and_closes_nothing(proxy: AmqpProxy) -> None:
    with contextlib.closing(_connect(proxy.url())) as connection:
        channel = connection.channel()
        proxy.stall()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.5) as other:
            other.sendall(b"AMQP\x00\x00\x09\x01")
            with pytest.raises(TimeoutError):
                other.recv(1)
        proxy.go_on()
        assert channel.queue_declare(QUEUE, passive=True).method.queue == QUEUE


def test_while_the_broker_is_away_connections_are_refused_as_it_would_refuse_them() -> None:
    with AmqpProxy(free_port()) as proxy:
        with (
            pytest.raises(ConnectionResetError),  # by the first read, or already while it connects
            socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as first,
        ):
            first.recv(1)

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", proxy.port), timeout=60).close()
            except ConnectionRefusedError:
                return True
            return False

        assert wait_until(refused, within=60, what="a refused connection")
