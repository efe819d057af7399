"""Security events: counted, told on the monitor channel and logged; never in a flood, and never with a body."""

import asyncio
from typing import Any

import pytest
from tests.support.ledger import HandClock
from tests.unit.shared.contracts import samples
from tests.unit.shared.transport.test_envelope import delivered, logged

from toolyard.contracts.control import SecurityTold
from toolyard.errors import BadSignature, Unavailable
from toolyard.security.signing import CORE, HEADER, Keyring, new_keys
from toolyard.telemetry.metrics import Board
from toolyard.transport import topology
from toolyard.transport.alarm import Alarm
from toolyard.transport.base import Delivery, Message, Record
from toolyard.transport.envelope import Envelope

MADE = new_keys("k")


class Publishing:
    """A transport that publishes, or cannot."""

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.failure: Exception | None = None

    def publish(self, message: Message) -> "asyncio.Future[None]":
        self.published.append(message)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.failure is None:
            future.set_result(None)
        else:
            future.set_exception(self.failure)
        return future


class Watched:
    """An envelope with an alarm."""

    def __init__(self, *keys: str, pool: str | None = None) -> None:
        self.transport, self.board, self.clock = Publishing(), Board(), HandClock()
        self.envelope = Envelope(Keyring.parse(",".join(keys)))
        transport: Any = self.transport
        Alarm(transport, self.envelope, sender="p1", board=self.board, pool=pool, clock=self.clock)

    def give(self, delivery: Delivery | Record) -> None:
        with pytest.raises(BadSignature):
            self.envelope.open_call(delivery)

    @property
    def told(self) -> list[SecurityTold]:
        return [self.envelope.open_security(delivered(each)) for each in self.transport.published]

    @property
    def counted(self) -> dict[str, float]:
        ((_, readings),) = self.board.families()
        return {values[0]: value for values, value in readings.items() if isinstance(value, int | float) and value}


def forged(**changes: Any) -> Delivery:
    sealed = Envelope(Keyring.parse(MADE[CORE])).call(samples.MESSAGE_FULL)
    return delivered(sealed, **changes)


async def test_what_is_not_believed_is_counted_told_and_logged(capsys: pytest.CaptureFixture[str]):
    core = Watched(*MADE.values())
    core.give(forged(body=b"the body that nobody shall see"))
    (told,) = core.told
    assert (told.reason, told.pool, told.sender, told.key_id) == ("forged", "http", "p1", "k")
    assert (told.queue, told.exchange) == (topology.pool_queue("http"), topology.CALLS)
    assert core.counted == {"forged": 1}
    line = capsys.readouterr()
    assert "security" in line.out + line.err
    assert "nobody shall see" not in line.out + line.err
    assert b"nobody shall see" not in core.transport.published[0].body


async def test_it_goes_to_the_monitor_channel_and_not_into_the_log():
    core = Watched(*MADE.values())
    core.give(forged(headers={}))
    (message,) = core.transport.published
    assert message.key == "monitor.security.http.-.p1.-"
    assert topology.destinations(message.exchange, message.key) in ([], [topology.RELAY])
    assert not message.persistent


async def test_a_worker_tells_it_of_its_own_pool_and_the_core_believes_that():
    worker = Watched(MADE["lambda"], pool="lambda")
    worker.give(forged())
    assert worker.told[0].pool == "lambda"
    core = Envelope(Keyring.parse(",".join(MADE.values())))
    assert core.open_security(delivered(worker.transport.published[0])) == worker.told[0]


async def test_whatever_a_forger_writes_makes_a_message():
    core = Watched(*MADE.values())
    core.give(
        forged(key="x" * 255, message_id="\x00\ud800"[:1] * 255, headers={HEADER: f"v1,{'é' * 400},00"}, exchange="")
    )
    core.give(logged(Message("", "", b"", "")))
    assert [told.pool for told in core.told] == ["-", "-"]
    assert core.counted == {"unknown_key": 1, "unsigned": 1}


async def test_a_flood_is_counted_and_told_by_its_beginning():
    core = Watched(*MADE.values())
    for _ in range(1_000):
        core.give(forged(headers={}))
    assert core.counted == {"unsigned": 1_000}
    assert len(core.told) == 20
    core.clock.advance(1.0)
    for _ in range(10):
        core.give(forged(headers={}))
    assert len(core.told) == 22


async def test_a_broker_that_is_away_is_in_nobodys_way():
    core = Watched(*MADE.values())
    core.transport.failure = Unavailable("away")
    core.give(forged(headers={}))
    await asyncio.sleep(0)
    assert core.counted == {"unsigned": 1}
