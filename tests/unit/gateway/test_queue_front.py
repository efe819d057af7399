"""The front of the queue beside its transport: what is looked up together, and what makes two messages one call."""

import asyncio
import base64
import dataclasses
from collections import Counter
from typing import Any

import pytest
from tests.unit.gateway.rig import KEY, SetClock, row_of
from tests.unit.gateway.rig import never as no_end

from toolyard.contracts.requests import CallTicket, Ticket
from toolyard.errors import FieldsRefused, NotTaken, Refused, StoreUnavailable
from toolyard.transport.base import Delivery, Health, Message
from toolyard_gateway.admission import Asked
from toolyard_gateway.amqp import addresses, reading
from toolyard_gateway.amqp.looking import Looks
from toolyard_gateway.amqp.telling import MOST_REFUSED, Teller, Told
from toolyard_gateway.amqp.waiting import Waiting
from toolyard_gateway.principals import Principal

CALLER = Principal("admin", "default", frozenset({"admin"}))


class Unsettled:
    """A settlement of which nothing is wanted."""

    def ack(self, tag: int) -> None: ...
    def reject(self, tag: int) -> None: ...
    def release(self, tag: int) -> None: ...
    def alive(self) -> bool:
        return True


def delivery(body: bytes = b'{"tool":"echo","arguments":{"text":"hi"}}', **said: Any) -> Delivery:
    headers = said.pop("headers", {"authorization": f"Bearer {KEY}"})
    return Delivery("q", "", "q", body, said.pop("message_id", ""), headers, "", 0, 1, Unsettled(), **said)


def asked(**said: Any) -> Asked:
    found = delivery(**said)
    return reading.call_of(found, reading.headers_of(found), CALLER).asked


def waiting(rig: Any) -> Waiting:
    parts = rig.parts
    return Waiting(
        store=parts.store, correlator=parts.correlator, calls=parts.calls, turns=parts.turns, clock=parts.clock
    )


# ---- what makes it the same ---------------------------------------------------------------------
def test_a_message_is_known_by_its_id_then_by_where_its_answer_goes_and_else_by_nothing():
    by_id = asked(message_id="m", reply_to="q", correlation_id="c").repeat
    by_answer = asked(reply_to="q", correlation_id="c").repeat

    assert by_id == asked(message_id="m", reply_to="other").repeat
    assert len({by_id, by_answer, asked(message_id="n").repeat, asked(reply_to="q", correlation_id="d").repeat}) == 4
    assert [asked(reply_to="q").repeat, asked(correlation_id="c").repeat, asked().repeat] == [None] * 3


def test_a_key_goes_before_the_ids_of_the_message():
    assert asked(message_id="m", headers={"Idempotency-Key": "k"}).repeat == "k"


def test_what_two_keys_of_an_org_send_under_one_id_are_two_calls():
    found = delivery(message_id="m")
    other = dataclasses.replace(CALLER, key_id="other")
    one, two = (reading.call_of(found, reading.headers_of(found), who).asked.repeat for who in (CALLER, other))

    assert one != two


async def test_a_message_that_is_delivered_again_is_the_same_call_also_when_its_tool_is_gone(rig):
    await rig.tool()
    first = await rig.parts.door.admit(asked(message_id="m"))
    await rig.client.delete("/v1/tools/echo", headers={"If-Match": '"1"'})
    again = await rig.parts.door.admit(asked(message_id="m"))

    assert (again.call_id, first.repeated, again.repeated) == (first.call_id, False, True)
    with pytest.raises(Refused, match="message_id"):
        await rig.parts.door.admit(asked(message_id="m", body=b'{"tool":"echo"}'))


@pytest.mark.parametrize("name", ["authorization", " Idempotency-Key", "prefer"])
def test_a_header_that_means_something_is_a_text(name):
    with pytest.raises(FieldsRefused, match="is no text"):
        reading.headers_of(delivery(headers={name: 7, "other": 7}))


def test_a_context_that_is_no_text_begins_a_new_trace():
    strange = delivery(headers={" Traceparent": 7}, dropped=lambda: ["traceparent"])
    assert (reading.headers_of(strange).raw, reading.traceparent_of(strange)) == ([], None)


def test_a_header_whose_value_was_dropped_is_no_text():
    with pytest.raises(FieldsRefused, match="idempotency-key: is no text"):
        reading.headers_of(delivery(dropped=lambda: ["X-Mine", "Idempotency-Key"]))


# ---- where answers go ---------------------------------------------------------------------------
def direct(process: bytes, key: str = "a2V5") -> str:
    return f"amq.rabbitmq.reply-to.{base64.b64encode(process).decode()}.{key}"


@pytest.mark.parametrize(
    "process",
    [
        b"\x83Xv\x00\x0ereply@97640100\x00\x00\x05,\x00\x00\x00\x00k\x02+\x17",  # as RabbitMQ 3.10.8 makes them
        b"\x83gd\x00\x0drabbit@broker" + bytes(9),  # as older ones do
        b"\x83Xw\x0drabbit@broker" + bytes(12),
    ],
)
def test_the_brokers_own_way_to_reply_is_answered_under_a_name_that_it_made(process: bytes):
    assert addresses.why_not(direct(process)) is None
    for other in (process[:-1], process + b"x", b"\x84" + process[1:], process[:2] + b"j" + process[3:], b""):
        assert "no name that the broker made" in str(addresses.why_not(direct(other)))


@pytest.mark.parametrize("end", ["", ".", ".a", ".AAAA.BBBB", ".!!!!.key", ".a.b.c", ".g2EB.", ".\u00e4.key", "-mine"])
def test_a_made_up_name_of_that_kind_is_never_published_to(end: str):
    assert "no name that the broker made" in str(addresses.why_not(f"amq.rabbitmq.reply-to{end}"))


class Full:
    """A transport whose queues refuse what they are given, and count how often."""

    health = Health(connected=True)

    def __init__(self) -> None:
        self.full = True
        self.tried: Counter[str] = Counter()

    async def publish(self, message: Message) -> None:
        self.tried[message.message_id] += 1
        if self.full:
            raise NotTaken("the queue is full")


async def test_a_queue_that_is_full_takes_few_places_and_the_answers_that_wait_come_when_it_has_room(rig):
    full = Full()
    teller = Teller(full, rig.envelope, rig.parts.metrics, SetClock())  # type: ignore[arg-type]  # all that it asks of one
    tells = [
        asyncio.ensure_future(teller.tell(delivery(), Told("call", b"{}", "ended"), to="q", correlation_id="c"))
        for _ in range(MOST_REFUSED + 3)
    ]
    await asyncio.sleep(0)
    dropped = [each for each in tells if each.done()]
    waiting = [each for each in tells if not each.done()]
    full.full = False

    assert (len(dropped), len(waiting)) == (3, MOST_REFUSED)
    assert await asyncio.gather(*tells) == [True] * len(tells)
    assert sorted(full.tried.values()) == [1] * 3 + [2] * MOST_REFUSED
    full.full = True
    again = asyncio.ensure_future(teller.tell(delivery(), Told("call", b"{}", "ended"), to="q", correlation_id="c"))
    await asyncio.sleep(0)
    assert not again.done()
    again.cancel()


# ---- tickets ------------------------------------------------------------------------------------
async def test_calls_are_looked_up_together(rig):
    looks = Looks(rig.parts.store)
    found = await asyncio.gather(*(looks.row(f"c{number % 3}") for number in range(9)))

    assert found == [None] * 9
    assert [sorted(wanted) for wanted in rig.stores.calls.asked] == [["c0", "c1", "c2"]]


async def test_whoever_looks_while_the_store_is_away_is_told_so_and_the_next_one_looks_again(rig):
    looks = Looks(rig.parts.store)
    rig.stores.calls.away = True
    with pytest.raises(StoreUnavailable):
        await looks.row("c1")


async def test_a_ticket_waits_while_its_call_is_open_and_tells_its_end(rig):
    rig.worker.answer = no_end
    await rig.tool()
    admission = await rig.parts.door.admit(asked(message_id="m"))
    call = admission.pending.call
    ticket = CallTicket(call_id=call.call_id, body_hash=call.body_hash, until=call.deadline, deduplicated=True)
    look = waiting(rig).look
    assert await look(_of(ticket)) is None

    await rig.worker.took.wait()
    (message,) = rig.worker.seen
    rig.stores.calls.rows[call.call_id] = row_of(message, rig.worker.succeeded(message, "done"))
    told = await look(_of(ticket))

    assert told is not None
    assert (told.kind, told.result) == ("call", "ended")
    assert b'"deduplicated":true' in told.body
    with pytest.raises(Refused, match="Another request"):
        await look(_of(CallTicket(call_id=call.call_id, body_hash="other", until=call.deadline)))
    assert await look(_of(ticket, org="other")) is None


async def test_who_asked_for_the_call_as_it_stands_is_told_when_that_time_has_come(rig):
    rig.worker.answer = no_end
    await rig.tool()
    admission = await rig.parts.door.admit(asked(message_id="m"))
    call, now = admission.pending.call, rig.parts.clock.now()
    common: dict[str, Any] = {"call_id": call.call_id, "body_hash": call.body_hash, "until": call.deadline}

    assert await waiting(rig).look(_of(CallTicket(**common, as_it_stands=now + 60))) is None
    told = await waiting(rig).look(_of(CallTicket(**common, as_it_stands=now)))
    assert told is not None
    assert (told.kind, told.result) == ("call", "open")


async def test_a_call_that_nobody_knows_is_not_found_once_its_time_is_over(rig):
    now = rig.parts.clock.now()
    known: dict[str, Any] = {"call_id": "0197c9a0-5d2f-7e4b-9c3a-1f6d8e2b4a70", "body_hash": "h"}

    assert await waiting(rig).look(_of(CallTicket(**known, until=now + 60))) is None
    with pytest.raises(Refused, match="There is no call"):
        await waiting(rig).look(_of(CallTicket(**known, until=now - 1)))


def _of(call: CallTicket, org: str = "default") -> Ticket:
    return Ticket(v=1, org=org, reply_to="answers", call=call)
