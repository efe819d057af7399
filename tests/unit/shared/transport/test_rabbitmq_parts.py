"""The parts of the transport over RabbitMQ that need no broker: acks, confirms, waiting, URLs, the choice of lane."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import exceptions

from toolyard.errors import SettingsError, Unavailable, Unconfirmed, Unroutable
from toolyard.transport import topology
from toolyard.transport.base import Message
from toolyard.transport.connect import connect
from toolyard.transport.rabbitmq import RabbitTransport, proof
from toolyard.transport.rabbitmq.acks import Settlement
from toolyard.transport.rabbitmq.channel import Channel
from toolyard.transport.rabbitmq.errors import Mismatch, Missing, translate
from toolyard.transport.rabbitmq.fast import FastConnection, FastLane
from toolyard.transport.rabbitmq.lane import OnConfirm, OnParcel, OnReturn, PlainLane
from toolyard.transport.rabbitmq.link import parameters
from toolyard.transport.rabbitmq.publisher import Publisher

MESSAGE = Message(topology.EVENTS, "call.succeeded.http.default.g1.weather", b"{}", "id")


class RecordingLane:
    """Keeps what would have been written."""

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.acked: list[tuple[int, bool]] = []
        self.rejected: list[tuple[int, bool]] = []

    def publish(self, message: Message) -> None:
        self.published.append(message)

    def ack(self, tag: int, *, multiple: bool) -> None:
        self.acked.append((tag, multiple))

    def reject(self, tag: int, *, requeue: bool) -> None:
        self.rejected.append((tag, requeue))

    def confirms(self, on_confirm: OnConfirm) -> Callable[..., None]:
        raise NotImplementedError

    def returns(self, on_return: OnReturn) -> None:
        raise NotImplementedError

    def consumer(self, on_parcel: OnParcel) -> Callable[..., None]:
        raise NotImplementedError

    def cancel(self, consumer_tag: str, *, callback: Callable[[Any], None]) -> None:
        raise NotImplementedError


class OpenChannel:
    is_open = True


# -- channels -------------------------------------------------------------------------------------
class ClosingConnection:
    """Gives a channel that takes no more requests, and tells of its end when it is told to."""

    is_open = True

    def channel(self, on_open_callback: Callable[[object], None]) -> "ClosingConnection":
        self.opened = on_open_callback
        return self

    def add_on_close_callback(self, callback: Callable[[object, BaseException], None]) -> None:
        self.end = callback

    def refuse(self, **_: object) -> None:
        raise exceptions.ChannelWrongStateError("Channel is closing.")


async def test_a_request_that_was_refused_at_once_is_nobodys_when_the_channel_ends() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    connection = ClosingConnection()
    channel = Channel(connection)
    connection.opened(connection)
    with pytest.raises(Unavailable):
        await channel.ask("pausing", connection.refuse)
    connection.end(connection, exceptions.ChannelClosedByClient(0, "Normal shutdown"))
    await asyncio.sleep(0)
    gc.collect()
    assert told == []


# -- acks -----------------------------------------------------------------------------------------
def settlement(lane: RecordingLane) -> Settlement:
    return Settlement(OpenChannel(), lane)  # type: ignore[arg-type]


async def test_acks_of_one_turn_whose_tags_run_on_are_one_frame() -> None:
    lane = RecordingLane()
    settle = settlement(lane)
    for tag in (1, 2, 3):
        settle.ack(tag)
    await asyncio.sleep(0)
    for tag in (4, 6, 5):
        settle.ack(tag)
    await asyncio.sleep(0)
    settle.ack(7)
    await asyncio.sleep(0)
    assert lane.acked == [(3, True), (6, True), (7, False)]


async def test_acks_out_of_order_leave_one_by_one_until_the_gap_is_closed() -> None:
    lane = RecordingLane()
    settle = settlement(lane)
    settle.delivered = 6
    for tags in ([2, 4], [1], [3, 5], [6]):
        for tag in tags:
            settle.ack(tag)
        await asyncio.sleep(0)
    assert lane.acked == [(2, False), (4, False), (1, False), (5, True), (6, False)]
    assert settle.outstanding == 0


async def test_acks_that_are_held_leave_when_they_are_let_go() -> None:
    lane = RecordingLane()
    settle = settlement(lane)
    settle.delivered = 3
    settle.hold(True)
    settle.ack(1)
    settle.ack(2)
    await asyncio.sleep(0)
    assert (lane.acked, settle.outstanding) == ([], 3)
    settle.hold(False)
    assert (lane.acked, settle.outstanding) == ([(2, True)], 1)


@given(st.permutations(range(1, 13)), st.sets(st.integers(1, 12)), st.sets(st.integers(0, 11)))
def test_every_delivery_is_settled_exactly_once_in_any_order(
    order: list[int], given_back: set[int], turns: set[int]
) -> None:
    async def settle_all() -> RecordingLane:
        lane = RecordingLane()
        settle = settlement(lane)
        for number, tag in enumerate(order):
            (settle.release if tag in given_back else settle.ack)(tag)
            settle.ack(tag)
            if number in turns:
                await asyncio.sleep(0)
        settle.flush()
        return lane

    lane = asyncio.run(settle_all())
    unsettled = set(range(1, 13)) - {tag for tag, _ in lane.rejected}
    assert {tag for tag, _ in lane.rejected} == given_back
    for tag, multiple in lane.acked:
        assert tag in unsettled  # or the broker would close the channel
        unsettled -= {each for each in unsettled if each <= tag} if multiple else {tag}
    assert not unsettled


# -- confirms -------------------------------------------------------------------------------------
@pytest.fixture
async def publisher() -> Publisher:
    return Publisher(timeout=60.0, refusal=lambda _: "")


def ended(futures: list["asyncio.Future[None]"]) -> list[Any]:
    return [future.exception() if future.done() else "open" for future in futures]


async def test_confirms_end_the_futures_they_mean(publisher: Publisher) -> None:
    publisher.up(RecordingLane())
    futures = [publisher.publish(MESSAGE) for _ in range(6)]
    publisher.confirm(2, False, False)
    assert ended(futures) == ["open", None, "open", "open", "open", "open"]
    publisher.confirm(3, True, False)
    publisher.confirm(3, True, False)
    publisher.confirm(99, False, False)
    assert ended(futures) == [None, None, None, "open", "open", "open"]
    publisher.confirm(5, True, True)
    assert isinstance(futures[3].exception(), Unconfirmed)
    assert isinstance(futures[4].exception(), Unconfirmed)
    assert ended(futures)[5] == "open"
    publisher.close()
    assert isinstance(futures[5].exception(), Unconfirmed)


async def test_what_waits_for_the_next_connection_goes_first_and_in_order(publisher: Publisher) -> None:
    publisher.up(RecordingLane())
    publisher.down(Unavailable("cut"))
    waiting = [publisher.publish(Message("e", "k", b"%d" % n, "id")) for n in range(3)]
    waiting[1].cancel()
    lane = RecordingLane()
    publisher.up(lane)
    last = publisher.publish(Message("e", "k", b"last", "id"))
    assert [message.body for message in lane.published] == [b"0", b"2", b"last"]
    publisher.confirm(3, True, False)
    assert last.done()
    await publisher.drain(1)
    publisher.close()


async def test_a_blocked_publisher_refuses_at_once_and_goes_on_when_let(publisher: Publisher) -> None:
    lane = RecordingLane()
    publisher.up(lane)
    publisher.block(True)
    assert not publisher.ready
    with pytest.raises(Unavailable, match="low on memory or disk"):
        await publisher.publish(MESSAGE)
    publisher.block(False)
    future = publisher.publish(MESSAGE)
    publisher.confirm(1, False, False)
    await future
    publisher.close()


async def test_a_probe_goes_to_nobody_and_is_in_nobodys_way(publisher: Publisher) -> None:
    publisher.probe()  # without a connection there is nobody to ask
    lane = RecordingLane()
    publisher.up(lane)
    publisher.probe()
    assert [(message.exchange, message.key) for message in lane.published] == [("", "")]
    future = publisher.publish(MESSAGE)
    publisher.probe()  # what is on its way tells as much
    publisher.confirm(1, False, False)
    assert not future.done()
    publisher.confirm(2, False, False)
    await future
    publisher.block(True)
    publisher.probe()
    assert len(lane.published) == 2
    publisher.close()


async def test_a_probe_into_a_channel_that_is_being_closed_is_no_error(publisher: Publisher) -> None:
    class Closing(RecordingLane):
        def publish(self, message: Message) -> None:
            raise exceptions.ChannelWrongStateError("Channel is closing.")

    publisher.up(Closing())
    publisher.probe()
    assert publisher.published == 0
    publisher.close()


async def test_a_message_that_must_not_go_now_is_refused_with_the_reason() -> None:
    publisher = Publisher(timeout=60.0, refusal=lambda message: "gone" if message.key == "bad" else "")
    publisher.up(RecordingLane())
    publisher.careful = True
    with pytest.raises(Unavailable, match="gone"):
        await publisher.publish(Message("e", "bad", b"", "id"))
    future = publisher.publish(MESSAGE)
    publisher.confirm(1, False, False)
    await future
    publisher.close()


async def test_a_message_that_came_back_has_failed_before_it_is_confirmed(publisher: Publisher) -> None:
    publisher.up(RecordingLane())
    gone, taken = (
        publisher.publish(Message("", "queue", b"", message_id, mandatory=True)) for message_id in ("gone", "taken")
    )
    publisher.returned("gone")
    publisher.returned("nobody's")
    publisher.confirm(2, True, False)
    with pytest.raises(Unroutable, match="no such queue"):
        await gone
    await taken
    publisher.close()


async def test_an_unanswered_publish_ends_by_itself() -> None:
    publisher = Publisher(timeout=0.1, refusal=lambda _: "")
    publisher.up(RecordingLane())
    with pytest.raises(Unconfirmed, match="did not confirm it in time"):
        await publisher.publish(MESSAGE)
    publisher.down(Unavailable("cut"))
    with pytest.raises(Unavailable, match="away: cut"):
        await publisher.publish(MESSAGE)


# -- URLs and errors ------------------------------------------------------------------------------
def test_our_bounds_stand_in_where_the_url_says_nothing() -> None:
    read = parameters("amqp://u:p@host/v?heartbeat=40&client_properties={'a':'b'}", "me")
    assert (read.host, read.port, read.virtual_host, read.heartbeat) == ("host", 5672, "v", 40)
    assert (read.socket_timeout, read.stack_timeout, read.connection_attempts) == (3.0, 6.0, 1)
    assert read.client_properties == {"a": "b", "connection_name": "me"}
    assert parameters("amqps://host", "me").port == 5671


@pytest.mark.parametrize(
    "url", ["amqp://u:hunter2@host/v?heartbeat=often", "amqp://u:hunter2@host/v?nonsense=1", "amqp://u@host:hunter2/"]
)
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="looks like amqp://") as caught:
        connect(url, name="me", declare=False)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("url", "says"), [("redis://u:hunter2@host", "begins with redis"), ("nothing", "no scheme")])
def test_another_scheme_is_refused(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        connect(url, name="me", declare=False)
    assert "hunter2" not in str(caught.value)


async def test_a_transport_that_was_never_opened_says_so_and_may_be_closed() -> None:
    transport = connect("amqp://host", name="me", declare=False)
    assert not transport.health.ok
    assert transport.health.reason == "not opened yet"
    await transport.close()


NO_REPLICA = "queue 'queue 'toolyard.log' in vhost '/'' does not have a replica on the local node"


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (exceptions.ChannelClosedByBroker(404, "NOT_FOUND"), Missing),
        (exceptions.ChannelClosedByBroker(406, "PRECONDITION_FAILED"), Mismatch),
        (exceptions.ChannelClosedByBroker(406, f"PRECONDITION_FAILED - {NO_REPLICA}"), Unavailable),
        (exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED"), SettingsError),
        (exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED"), Unavailable),
        (exceptions.ProbableAuthenticationError("(403) refused"), SettingsError),
        (exceptions.ProbableAccessDeniedError("(530) NOT_ALLOWED - vhost gone"), SettingsError),
        (exceptions.ProbableAccessDeniedError("(530) NOT_ALLOWED - connection limit reached"), Unavailable),
        (exceptions.ProbableAuthenticationError("StreamLostError"), Unavailable),
        (exceptions.StreamLostError("gone"), Unavailable),
        (Unavailable("ours already"), Unavailable),
    ],
)
def test_errors_of_pika_become_ours(error: BaseException, ours: type[Exception]) -> None:
    assert type(translate(error, "doing it")) is ours


# -- the choice of lane ---------------------------------------------------------------------------
async def test_the_fast_lane_proves_itself_on_the_installed_pika() -> None:
    assert await proof.usable()
    assert await proof.pair(fast=True) == (FastConnection, FastLane)
    assert (await proof.pair(fast=False))[1] is PlainLane


def broken_reading(self: FastConnection, data: bytes) -> None:
    raise AttributeError("pika has changed")


def other_bytes(self: FastConnection, frames: list[bytes]) -> None:
    self._outbox += [frame[:-1] + b"\x00" for frame in frames]
    self._send()


@pytest.mark.parametrize(("name", "broken"), [("_on_data_available", broken_reading), ("write", other_bytes)])
async def test_a_fast_connection_that_does_not_fit_its_pika_is_not_used(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: Callable[..., Awaitable[None]]
) -> None:
    monkeypatch.setattr(proof, "_proved", {})
    monkeypatch.setattr(proof, "_WITHIN", 0.5)
    monkeypatch.setattr(FastConnection, name, broken)
    assert (await proof.pair(fast=True))[1] is PlainLane


def test_the_transport_is_what_connect_gives() -> None:
    assert isinstance(connect("AMQP://host", name="me", declare=True, watch=("http",)), RabbitTransport)
