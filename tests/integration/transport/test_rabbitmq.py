"""What passes over a connection to a real broker, and what its loss does, on the fast and on the plain way.

The connection is cut, held up and refused by a relay between the transport and the broker.
"""

import asyncio
import contextlib
import dataclasses
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
from tests.integration.transport.rabbitmq_parts import Open, at_the_broker, is_healthy, is_lost, is_taken
from tests.support.relay import Relay

from toolyard import ids
from toolyard.errors import Overdue, Unavailable, Unconfirmed, Unroutable
from toolyard.testing.transport_parts import (
    QUEUE,
    Inbox,
    backlog_is,
    call_message,
    event_message,
    eventually,
    listen,
    publish,
    read,
)
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Message

pytestmark = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])


# -- bytes ----------------------------------------------------------------------------------------
async def test_bodies_around_and_over_the_size_of_a_frame_arrive_whole(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(f"{amqp_url}?frame_max=8192")
    sizes = [1, 8183, 8184, 8185, 16_368, 16_369, 70_000, 1_500_000]
    bodies = [bytes(n % 251 for n in range(size)) for size in sizes]
    inbox = Inbox()
    await transport.consume(QUEUE, inbox, prefetch=2)
    await publish(transport, *[call_message(body=body) for body in bodies])
    assert [got.body for got in await inbox.take(len(bodies))] == bodies
    assert [record.body for record in await read(await transport.read_log(None), len(bodies))] == bodies


async def test_what_amqp_cannot_carry_is_refused_and_harms_nothing_else(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)
    long_key = Message(topology.EVENTS, "call." + "x" * 300, b"", ids.new_id())
    lone_surrogate = Message(topology.EVENTS, "call.x", b"", ids.new_id(), {"reason": "\ud800"})
    large_number = Message(topology.EVENTS, "call.x", b"", ids.new_id(), {"number": 2**70})
    for message in (long_key, lone_surrogate, large_number):
        with pytest.raises(Unavailable, match="cannot be sent"):
            await transport.publish(message)
    await publish(transport, call_message())
    assert transport.health.ok


async def test_headers_from_outside_that_are_none_of_ours_are_left_out(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)
    inbox = Inbox()
    await transport.consume(QUEUE, inbox, prefetch=1)
    headers = {
        "table": {"a": [1]},
        "bytes": b"\xff",
        "none": None,
        "kept": "yes",
        "x-death": [{"queue": 1}, "nonsense"],
    }
    with at_the_broker(amqp_url) as connection:
        properties = pika.BasicProperties(headers=headers, user_id="guest", reply_to="somewhere")
        connection.channel().basic_publish(topology.CALLS, call_message().key, b"{}", properties)
    got = await inbox.next()
    assert dict(got.headers) == {"kept": "yes"}
    assert (got.message_id, got.user_id, got.reply_to) == ("", "guest", "somewhere")


async def test_a_queue_is_told_by_its_name_or_that_it_is_not_there(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)

    def answer(queue: str) -> Message:
        said = Message("", queue, b"{}", ids.new_id(), {"more": 1}, kind="call", correlation_id="c-1")
        return dataclasses.replace(said, content_type="application/json", mandatory=True)

    with at_the_broker(amqp_url) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        await transport.publish(answer(queue))
        for _ in range(2):
            with pytest.raises(Unroutable, match="no such queue"):
                await transport.publish(answer("gone"))
        await publish(transport, call_message())
        _, properties, body = channel.basic_get(queue, auto_ack=True)
    told = (properties.type, properties.correlation_id, properties.content_type, properties.delivery_mode)
    assert (told, body) == (("call", "c-1", "application/json", 2), b"{}")


async def test_a_message_goes_over_tls(
    amqp_url: str, relay: Relay, relay_url: str, open_transport: Open, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_text(CERTIFICATE)
    key.write_text(KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    address = urlsplit(amqp_url)
    secure = Relay(str(address.hostname), int(address.port or 5672))
    secure.listen(context)
    query = f"ssl_options={{'cafile':'{certificate}'}}"
    transport = await open_transport(f"amqps://guest:guest@127.0.0.1:{secure.port}{address.path}?{query}")
    inbox, body = Inbox(), bytes(300_000)
    await transport.consume(QUEUE, inbox, prefetch=10)
    await publish(transport, *[call_message(body=body) for _ in range(5)])
    assert [got.body for got in await inbox.take(5)] == [body] * 5
    await transport.close()
    await secure.close()


# -- a connection comes and goes ------------------------------------------------------------------
async def until_seen(inbox: Inbox, message: Message) -> None:
    """Past what is delivered again because its ack was cut off."""
    while (await inbox.next()).message_id != message.message_id:
        pass


async def test_all_goes_on_by_itself_after_a_cut_connection(relay: Relay, relay_url: str, open_transport: Open) -> None:
    transport = await open_transport(relay_url)
    pool = Inbox()
    replies = await listen(transport, "g1")
    await transport.consume(QUEUE, pool, prefetch=10)
    for _ in range(3):
        relay.cut()
        await is_lost(transport)
        await is_healthy(transport)
        call, event = call_message(), event_message()
        await publish(transport, call, event)
        await until_seen(pool, call)
        await until_seen(replies, event)


async def test_calls_published_while_connections_are_cut_end_and_all_but_those_on_the_wire_well(
    relay: Relay, relay_url: str, open_transport: Open
) -> None:
    transport = await open_transport(relay_url)
    pool = Inbox()
    await transport.consume(QUEUE, pool, prefetch=100)
    taken: set[str] = set()
    for number in range(200):
        message = call_message()
        if number % 50 == 25:
            relay.cut()
        if await is_taken(transport, message):
            taken.add(message.message_id)
    assert len(taken) >= 196
    while not taken <= {delivery.message_id for delivery in pool.seen}:
        await pool.next()


async def test_a_broker_that_is_away_is_told_at_once_and_found_when_it_comes(
    amqp_url: str, relay: Relay, relay_url: str, open_transport: Open
) -> None:
    relay.refuse()
    transport = await open_transport(relay_url)
    assert not transport.health.connected
    assert "ConnectionRefusedError" in transport.health.reason
    assert "guest:guest" not in transport.health.reason
    inbox = await listen(transport, "g1")
    with pytest.raises(Unavailable, match="away"):
        await transport.publish(call_message())
    with pytest.raises(Unavailable):
        await transport.read_log(None)
    with pytest.raises(Unavailable):
        await transport.backlog(QUEUE)
    relay.listen()
    await is_healthy(transport)
    event = event_message()
    await publish(transport, event)
    assert (await inbox.next()).message_id == event.message_id


async def test_a_publish_that_the_broker_does_not_answer_ends_in_time(
    relay: Relay, relay_url: str, open_transport: Open
) -> None:
    transport = await open_transport(relay_url, publish_timeout=0.3)
    relay.hold()
    ends = await asyncio.gather(*[transport.publish(call_message()) for _ in range(10)], return_exceptions=True)
    assert {type(end) for end in ends} == {Overdue}
    relay.flow()
    sent = len(ends)

    async def confirmed() -> bool:
        """A busy broker may need longer than this transport waits: then that is told once more, and harms nothing."""
        nonlocal sent
        sent += 1
        with contextlib.suppress(Unconfirmed):
            await transport.publish(call_message())
            return True
        return False

    await eventually(confirmed)
    await backlog_is(transport, QUEUE, sent)


async def test_a_publish_waits_no_longer_than_a_second_for_the_next_connection(
    relay: Relay, relay_url: str, open_transport: Open
) -> None:
    transport = await open_transport(relay_url, publish_timeout=600.0)
    relay.refuse()
    await is_lost(transport)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(Unavailable):
        await transport.publish(call_message())
    assert loop.time() - begun < 60  # far from the publish timeout
    with pytest.raises(Unavailable):
        await transport.publish(call_message())


async def test_settling_on_a_lost_connection_is_silent_and_the_delivery_comes_again(
    relay: Relay, relay_url: str, open_transport: Open
) -> None:
    transport = await open_transport(relay_url)
    inbox = Inbox(ack=False)
    await transport.consume(QUEUE, inbox, prefetch=10)
    await publish(transport, call_message(), call_message())
    lost = await inbox.take(2)
    relay.cut()
    again = await inbox.take(2)
    assert not any(delivery.alive for delivery in lost)
    lost[0].ack()
    lost[1].reject()
    assert [delivery.count for delivery in again] == [1, 1]
    for delivery in again:
        delivery.ack()
    await backlog_is(transport, QUEUE, 0)
    assert await transport.backlog(topology.DEAD) == 0


async def test_the_log_reader_ends_with_its_connection_and_a_new_one_goes_on(
    relay: Relay, relay_url: str, open_transport: Open
) -> None:
    transport = await open_transport(relay_url)
    await publish(transport, *[call_message() for _ in range(10)])
    reader = await transport.read_log(None)
    records = await read(reader, 10)
    waiting = asyncio.ensure_future(reader.batch(10))
    relay.cut()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await reader.batch(10)
    await is_healthy(transport)
    again = await read(await transport.read_log(records[7].offset), 3)
    assert [record.message_id for record in again] == [record.message_id for record in records[7:]]


async def test_reading_a_long_log_asks_for_more_as_it_goes(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)
    messages = [event_message() for _ in range(5000)]
    await publish(transport, *messages)
    records = await read(await transport.read_log(None), 5000, limit=333)
    assert [record.message_id for record in records] == [message.message_id for message in messages]


# -- consumers ------------------------------------------------------------------------------------
async def test_a_defect_in_a_handler_releases_the_delivery_and_costs_no_other(
    amqp_url: str, open_transport: Open
) -> None:
    transport = await open_transport(amqp_url)
    seen: asyncio.Queue[Delivery] = asyncio.Queue()

    def handle(delivery: Delivery) -> None:
        if delivery.body == b"bad" and delivery.count == 0:
            raise ZeroDivisionError
        delivery.ack()
        seen.put_nowait(delivery)

    subscription = await transport.consume(QUEUE, handle, prefetch=10)
    await publish(transport, call_message(), call_message(body=b"bad"), call_message())
    got = [await seen.get() for _ in range(3)]
    assert sorted((delivery.body, delivery.count) for delivery in got) == [(b"bad", 1), (b"{}", 0), (b"{}", 0)]
    assert subscription.active


async def test_deliveries_on_their_way_when_a_consumer_pauses_do_not_count_as_failed(
    amqp_url: str, open_transport: Open
) -> None:
    transport = await open_transport(amqp_url)
    inbox = Inbox()
    subscription = await transport.consume(QUEUE, inbox, prefetch=20)
    for _ in range(5):
        await subscription.pause()
        await publish(transport, *[call_message() for _ in range(100)])
        await subscription.resume()
        await inbox.next()
        await subscription.pause()
        await subscription.resume()
        await inbox.take(99)
    assert {delivery.count for delivery in inbox.seen} == {0}
    assert len({delivery.message_id for delivery in inbox.seen}) == 500


async def test_a_queue_that_does_not_count_says_one_for_every_redelivery(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)
    inbox, name = Inbox(ack=False), topology.reply_queue("g1")
    await transport.own_queue(name, topology.reply_bindings("g1"))
    await transport.consume(name, inbox, prefetch=1)
    await publish(transport, event_message())
    counts = []
    for _ in range(3):
        got = await inbox.next()
        counts.append(got.count)
        got.release()
    assert counts == [0, 1, 1]


async def test_deliveries_settled_in_any_order_are_settled_once(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)
    inbox = Inbox(ack=False)
    await transport.consume(QUEUE, inbox, prefetch=100)
    await publish(transport, *[call_message(body=b"%d" % n) for n in range(100)])
    got = await inbox.take(100)
    for number in (*range(99, 0, -3), *range(0, 100, 3)):
        got[number].ack()
        got[number].ack()
        await asyncio.sleep(0)
    got[1].reject()
    got[1].ack()
    for delivery in got:
        delivery.ack()
    await backlog_is(transport, QUEUE, 0)
    await backlog_is(transport, topology.DEAD, 1)
    assert got[0].alive


# A key for tests alone: it speaks for 127.0.0.1 and for nobody else.
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+KLYcSQoDAa+jYrs
09OAfeU2T3SOa1BclqGqRt9q5jehRANCAASjT8GPrOEE1aWhAAJu/V2PcUC4Dhg9
9jvfyv4scQ9nhxneecKF57W4VxAEwJGkSjQPUYmQdqN1kt5KupHG3XpB
-----END PRIVATE KEY-----
"""
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUXMCkHJ65Tes8Jhp0W3XkmiaQj64wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTAwNDkwMFoYDzIxMjYxMDI4
MDA0OTAwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASjT8GPrOEE1aWhAAJu/V2PcUC4Dhg99jvfyv4scQ9nhxneecKF57W4
VxAEwJGkSjQPUYmQdqN1kt5KupHG3XpBo28wbTAdBgNVHQ4EFgQUoqBydfWzYFaZ
7fEGqZB2PsCJC5YwHwYDVR0jBBgwFoAUoqBydfWzYFaZ7fEGqZB2PsCJC5YwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgSqjZWXUGy+2fBhGQYwz/dpfBmPFijWbLhad4F6VTUEMCIQCb
g0DFfHazablZF7dwM+zfdUn4muLVychNM3th8U8INw==
-----END CERTIFICATE-----
"""
