"""Outcomes that are ready together travel together, each with its own end of the wait."""

import asyncio

import msgspec
import pytest
from tests.unit.executors.fakes import ENVELOPE, HandTransport
from tests.unit.shared.contracts.samples import EVENTS as EVENT_SAMPLES

from toolyard.contracts import codec
from toolyard.contracts.events import Succeeded
from toolyard.errors import Unavailable, Unconfirmed
from toolyard.transport import topology
from toolyard.transport.bundles import MAX_BYTES, MAX_COUNT, UNDER_WAY, Bundles, Confirmed

SAMPLE = next(event for event in EVENT_SAMPLES.values() if isinstance(event, Succeeded))


def outcome(number: int, *, gateway: str = "gw-1") -> Succeeded:
    return msgspec.structs.replace(SAMPLE, call_id=f"c{number}", gateway=gateway)


class Rig:
    def __init__(self) -> None:
        self.transport = HandTransport()
        self.bundles = Bundles(self.transport, ENVELOPE)

    def publish(self, numbers: range, *, gateway: str = "gw-1") -> list[Confirmed]:
        outcomes = [outcome(number, gateway=gateway) for number in numbers]
        return [self.bundles.publish(each, codec.encode(each)) for each in outcomes]

    def sizes(self) -> list[int]:
        """How many outcomes each message holds."""
        return [
            len(list(codec.decode_events(message.body))) if message.key.startswith(topology.OUTCOMES) else 1
            for message in self.transport.published
        ]


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_what_is_ready_in_one_turn_of_the_loop_is_one_message(rig: Rig):
    await asyncio.gather(*rig.publish(range(30)))
    assert rig.sizes() == [30]
    assert [event.call_id for event in rig.transport.events()] == [f"c{number}" for number in range(30)]


async def test_one_alone_is_the_event_itself(rig: Rig):
    await rig.publish(range(1))[0]
    assert rig.transport.published[0].key == topology.call_key("succeeded", "http", SAMPLE.org, "gw-1", SAMPLE.tool)
    assert rig.transport.events() == [outcome(0)]


async def test_each_gateway_gets_its_own_and_is_routed_to_it_and_the_log(rig: Rig):
    await asyncio.gather(*rig.publish(range(3)), *rig.publish(range(3, 5), gateway="gw-2"))
    assert rig.sizes() == [3, 2]
    log = next(queue for queue in topology.QUEUES if queue.name == topology.LOG)
    for message, gateway in zip(rig.transport.published, ("gw-1", "gw-2"), strict=True):
        for bindings in (topology.reply_bindings(gateway), log.bindings):
            taken = [
                1 for exchange, key in bindings if exchange == topology.EVENTS and topology.matches(key, message.key)
            ]
            assert taken == [1]


async def test_what_comes_while_others_are_under_way_is_collected(rig: Rig):
    rig.transport.held = held = asyncio.get_running_loop().create_future()
    waits = []
    for turn in range(UNDER_WAY + 3):
        waits += rig.publish(range(10 * turn, 10 * turn + 10))
        await asyncio.sleep(0)
    assert rig.sizes() == [10] * UNDER_WAY
    held.set_result(None)
    await asyncio.gather(*waits)
    assert rig.sizes() == [10] * UNDER_WAY + [30]


async def test_messages_are_bounded_in_number_and_bytes(rig: Rig):
    await asyncio.gather(*rig.publish(range(2 * MAX_COUNT + 1)))
    assert rig.sizes() == [MAX_COUNT, MAX_COUNT, 1]
    rig.transport.published.clear()
    padded = [codec.encode(outcome(number)) + b" " * (MAX_BYTES // 2) for number in range(3)]
    await asyncio.gather(*(rig.bundles.publish(outcome(n), encoded) for n, encoded in enumerate(padded)))
    assert rig.sizes() == [1, 1, 1]


@pytest.mark.parametrize("kind", [Unavailable, Unconfirmed])
async def test_a_failure_is_told_to_each_with_an_error_of_its_own(rig: Rig, kind: type[Exception]):
    rig.transport.failures = [kind("no"), kind("no")]  # type: ignore[list-item]
    ends = await asyncio.gather(*rig.publish(range(3)), return_exceptions=True)
    assert [type(end) for end in ends] == [kind] * 3
    assert len({id(end) for end in ends}) == 3


async def test_an_abandoned_wait_costs_the_others_nothing(rig: Rig):
    rig.transport.held = held = asyncio.get_running_loop().create_future()
    first, second = rig.publish(range(2))
    await asyncio.sleep(0)
    first.cancel()
    held.set_result(None)
    await second
    assert rig.sizes() == [2]


async def test_a_closed_transport_is_told_as_unavailable(rig: Rig):
    rig.transport.held = held = asyncio.get_running_loop().create_future()
    waits = rig.publish(range(2))
    await asyncio.sleep(0)
    held.cancel()
    ends = await asyncio.gather(*waits, return_exceptions=True)
    assert [type(end) for end in ends] == [Unavailable] * 2
