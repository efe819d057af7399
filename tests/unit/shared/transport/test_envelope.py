"""Sealed messages: what comes through unchanged is opened, and whatever was changed on its way is refused."""

import dataclasses

import msgspec
import pytest
from tests.unit.shared.contracts import samples

from toolyard import ids
from toolyard.contracts import codec
from toolyard.errors import BadSignature, ContractError, UnknownVersion
from toolyard.security.signing import HEADER, Keyring
from toolyard.transport import topology
from toolyard.transport.base import Death, Delivery, Message, Record
from toolyard.transport.envelope import Envelope, held

OLD, NEW = b"o" * 32, b"n" * 32
ENVELOPE = Envelope(Keyring({"a": OLD}))
OTHER_CALL = msgspec.structs.replace(samples.MESSAGE_MINIMAL, attempt=2)


class Unsettled:
    """Settles nothing: opening a message must not."""

    def ack(self, tag: int) -> None:
        raise AssertionError("settled")

    reject = release = ack

    def alive(self) -> bool:
        return True


def delivered(message: Message, **changes: object) -> Delivery:
    delivery = Delivery(
        queue=topology.pool_queue("http"),
        exchange=message.exchange,
        key=message.key,
        body=message.body,
        message_id=message.message_id,
        headers=dict(message.headers),
        expiration=message.expiration,
        count=0,
        tag=1,
        settle=Unsettled(),
    )
    return dataclasses.replace(delivery, **changes)  # type: ignore[arg-type]


def logged(message: Message) -> Record:
    return Record(
        0, message.exchange, message.key, message.body, message.message_id, message.headers, message.expiration
    )


# ---- what is sealed is opened -------------------------------------------------------------------


@pytest.mark.parametrize("carried", [delivered, logged])
def test_a_call_comes_through(carried):
    sealed = ENVELOPE.call(samples.MESSAGE_FULL)
    assert ENVELOPE.open_call(carried(sealed)) == samples.MESSAGE_FULL
    assert (sealed.exchange, sealed.key) == (topology.CALLS, "call.accepted.http.acme.gw-1.weather:forecast")
    assert sealed.persistent
    assert ids.is_id(sealed.message_id)


@pytest.mark.parametrize("event", samples.EVENTS.values(), ids=samples.EVENTS)
def test_an_event_comes_through(event):
    sealed = ENVELOPE.event(event)
    assert list(ENVELOPE.open_events(delivered(sealed))) == [event]
    assert sealed.exchange == topology.EVENTS
    assert any(topology.matches(pattern, sealed.key) for _, pattern in topology.reply_bindings("gw-1"))


def test_outcomes_that_travel_together_come_through():
    events = list(samples.EVENTS.values())
    sealed = ENVELOPE.outcomes("http", "gw-1", [codec.encode(event) for event in events])
    assert ENVELOPE.open_events(delivered(sealed)) == events
    with pytest.raises(BadSignature):
        ENVELOPE.open_events(delivered(sealed, key=topology.outcomes_key("http", "gw-2")))


@pytest.mark.parametrize("message", samples.CONTROLS.values(), ids=samples.CONTROLS)
def test_a_control_message_comes_through(message):
    sealed = ENVELOPE.control(message, pool="http", org="acme")
    assert ENVELOPE.open_control(delivered(sealed)) == message
    assert sealed.exchange == topology.CONTROL
    assert sealed.key.startswith("control.")


@pytest.mark.parametrize("asked", samples.FEED_ASKED.values(), ids=samples.FEED_ASKED)
def test_a_question_for_events_comes_through(asked):
    sealed = ENVELOPE.feed_asked(asked)
    assert ENVELOPE.open_feed_asked(delivered(sealed)) == asked
    assert topology.destinations(sealed.exchange, sealed.key) == [topology.SCHEDULER]
    assert not sealed.persistent
    with pytest.raises(BadSignature):
        ENVELOPE.open_feed_asked(delivered(sealed, key=topology.feed_asked_key("acme", "gw-2")))


@pytest.mark.parametrize("page", samples.FEED_PAGES.values(), ids=samples.FEED_PAGES)
def test_a_page_of_events_comes_through_to_the_gateway_that_asked(page):
    sealed = ENVELOPE.feed_page(page, "gw-1")
    assert ENVELOPE.open_feed_page(delivered(sealed)) == page
    assert any(topology.matches(pattern, sealed.key) for _, pattern in topology.live_bindings("gw-1"))
    assert not sealed.persistent
    with pytest.raises(BadSignature):
        ENVELOPE.open_feed_page(delivered(sealed, body=sealed.body.replace(b'"number":', b'"number":1')))


def test_a_dead_letter_is_verified_as_it_was_published():
    sealed = ENVELOPE.call(samples.MESSAGE_FULL)
    death = Death("rejected", topology.pool_queue("http"), sealed.exchange, sealed.key)
    dead = delivered(sealed, exchange="", key=topology.DEAD, death=death)
    assert ENVELOPE.open_dead_call(dead) == samples.MESSAGE_FULL
    with pytest.raises(BadSignature):
        ENVELOPE.open_call(dead)
    with pytest.raises(BadSignature, match="not a dead letter"):
        ENVELOPE.open_dead_call(dataclasses.replace(dead, death=None))


def test_a_message_carries_its_signature_and_its_trace_and_no_other_header():
    headers = ENVELOPE.event(samples.EVENTS["succeeded"]).headers
    assert set(headers) == {HEADER, "traceparent"}
    assert headers["traceparent"] == samples.TRACEPARENT


def test_without_a_trace_there_is_no_header_for_it():
    assert "traceparent" not in ENVELOPE.call(samples.MESSAGE_MINIMAL).headers


# ---- what was changed is refused ----------------------------------------------------------------

CHANGES = {
    "another exchange": {"exchange": topology.EVENTS},
    "another pool": {"key": "call.accepted.sandbox.acme.gw-1.weather.forecast"},
    "another org": {"key": "call.accepted.http.evil.gw-1.weather.forecast"},
    "another gateway": {"key": "call.accepted.http.acme.gw-2.weather.forecast"},
    "another tool": {"key": "call.accepted.http.acme.gw-1.weather.delete"},
    "another event": {"key": "call.dispatched.http.acme.gw-1.weather.forecast"},
    "another message id": {"message_id": ids.new_id()},
    "no message id": {"message_id": ""},
    "an expiry": {"expiration": "60000"},
    "one byte more": {"body": codec.encode(samples.MESSAGE_FULL) + b" "},
    "another body": {"body": codec.encode(OTHER_CALL)},
    "no body": {"body": b""},
    "no signature": {"headers": {}},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_each_part_is_protected(changes):
    with pytest.raises(BadSignature):
        ENVELOPE.open_call(delivered(ENVELOPE.call(samples.MESSAGE_FULL), **changes))


def test_the_parts_cannot_be_shifted_into_one_another():
    sealed = ENVELOPE.call(samples.MESSAGE_FULL)
    head, last = sealed.key[:-1], sealed.key[-1]
    with pytest.raises(BadSignature):
        ENVELOPE.open_call(delivered(sealed, key=head, message_id=last + sealed.message_id))


def test_a_well_signed_call_under_the_key_of_another_is_refused():
    keyring = Keyring({"a": OLD})
    body, key = codec.encode(samples.MESSAGE_FULL), "call.accepted.sandbox.acme.gw-1.weather.forecast"
    signature = keyring.sign(topology.CALLS, key, "m", "", body)
    with pytest.raises(BadSignature, match="routing key"):
        ENVELOPE.open_call(delivered(Message(topology.CALLS, key, body, "m", {HEADER: signature})))


@pytest.mark.parametrize("key", ["", "call", "call.accepted.http.acme.gw-1", "....."])
def test_a_key_of_another_form_is_refused(key: str):
    keyring, body = Keyring({"a": OLD}), codec.encode(samples.MESSAGE_FULL)
    signature = keyring.sign(topology.CALLS, key, "m", "", body)
    with pytest.raises(BadSignature, match="routing key"):
        ENVELOPE.open_call(delivered(Message(topology.CALLS, key, body, "m", {HEADER: signature})))


def test_what_is_well_signed_but_no_message_is_a_contract_error():
    keyring = Keyring({"a": OLD})
    for body, error in ((b"{}", ContractError), (b'{"v":2}', UnknownVersion)):
        signature = keyring.sign(topology.EVENTS, "call.x", "m", "", body)
        with pytest.raises(error):
            ENVELOPE.open_events(delivered(Message(topology.EVENTS, "call.x", body, "m", {HEADER: signature})))


def test_the_signature_is_checked_before_a_byte_is_decoded():
    with pytest.raises(BadSignature):
        ENVELOPE.open_call(delivered(ENVELOPE.call(samples.MESSAGE_FULL), body=b"[" * (codec.MAX_CALL_MESSAGE + 1)))


# ---- rotation -----------------------------------------------------------------------------------


def test_during_a_rotation_both_keys_verify_and_the_first_signs():
    rotating = Envelope(Keyring({"b": NEW, "a": OLD}))
    before, during = ENVELOPE.call(samples.MESSAGE_FULL), rotating.call(samples.MESSAGE_FULL)
    assert rotating.open_call(delivered(before)) == samples.MESSAGE_FULL
    assert str(during.headers[HEADER]).startswith("v1,b,")
    after = Envelope(Keyring({"b": NEW}))
    assert after.open_call(delivered(during)) == samples.MESSAGE_FULL
    with pytest.raises(BadSignature, match="unknown key"):
        after.open_call(delivered(before))


def test_the_same_key_under_another_id_does_not_verify():
    with pytest.raises(BadSignature, match="unknown key"):
        Envelope(Keyring({"b": OLD})).open_call(delivered(ENVELOPE.call(samples.MESSAGE_FULL)))


# ---- quarantine ---------------------------------------------------------------------------------


def test_what_is_quarantined_keeps_its_bytes_and_says_where_it_came_from_and_why():
    broken = delivered(ENVELOPE.call(samples.MESSAGE_FULL), body=b"\xff not ours")
    sealed = ENVELOPE.quarantined(broken, "the signature is not of this message" + "!" * 1000, pool="http")
    assert sealed.body == broken.body
    assert sealed.headers["toolyard-exchange"] == topology.CALLS
    assert sealed.headers["toolyard-key"] == broken.key
    assert sealed.headers["toolyard-message-id"] == broken.message_id
    assert str(sealed.headers["toolyard-reason"]).startswith("the signature is not of this message")
    assert len(str(sealed.headers["toolyard-reason"])) == 500


def test_what_is_quarantined_reaches_the_quarantine_alone():
    sealed = ENVELOPE.quarantined(delivered(ENVELOPE.call(samples.MESSAGE_FULL)), "why")
    reached = [
        queue.name
        for queue in topology.QUEUES
        for exchange, pattern in queue.bindings
        if exchange == sealed.exchange and topology.matches(pattern, sealed.key)
    ]
    assert reached == [topology.QUARANTINE]


# ---- breakers -----------------------------------------------------------------------------------


def test_how_a_breaker_stands_comes_through_and_is_not_kept_by_the_broker():
    told = samples.BREAKERS["breaker"]
    sealed = ENVELOPE.breaker(told)
    assert ENVELOPE.open_breaker(delivered(sealed)) == told
    assert (sealed.key, sealed.persistent) == ("monitor.breaker.http.acme.w1.-", False)


def test_a_breaker_under_another_orgs_key_is_refused():
    told = samples.BREAKERS["breaker"]
    moved = ENVELOPE._seal(topology.CONTROL, topology.breaker_key("http", "other", "w1"), codec.encode(told), {})
    with pytest.raises(BadSignature, match="not the one of this breaker"):
        ENVELOPE.open_breaker(delivered(moved))


# ---- secrets ------------------------------------------------------------------------------------


def test_a_question_for_secrets_and_its_answer_come_through_and_are_not_kept_by_the_broker():
    asked = samples.SECRETS_ASKED["secrets_asked"]
    sealed = ENVELOPE.secrets_asked(asked)
    assert ENVELOPE.open_secrets_asked(delivered(sealed)) == asked
    assert (sealed.key, sealed.persistent) == ("secrets.asked.http.acme.0a4be0f4f9d1.weather:forecast", False)

    told = samples.SECRETS_TOLD["secrets_told"]
    sealed = ENVELOPE.secrets_told(told)
    assert ENVELOPE.open_secrets_told(delivered(sealed)) == told
    assert (sealed.key, sealed.persistent) == ("secrets.told.http.acme.0a4be0f4f9d1.-", False)


def test_a_question_under_another_pools_key_is_refused():
    asked = samples.SECRETS_ASKED["secrets_asked"]
    body = codec.encode(asked)
    key = topology.secrets_asked_key("sandbox", asked.org, asked.worker, asked.tool)
    moved = ENVELOPE._seal(topology.CONTROL, key, body, {})
    with pytest.raises(BadSignature, match="not the one of this question"):
        ENVELOPE.open_secrets_asked(delivered(moved))


def test_whoever_holds_a_call_shows_it_by_its_signature():
    sealed = ENVELOPE.call(samples.MESSAGE_FULL, event="dispatched")
    shown = held(delivered(sealed))
    assert ENVELOPE.open_held(shown) == samples.MESSAGE_FULL
    for changed in (
        {"body": codec.encode(OTHER_CALL)},
        {"key": shown.key.replace("acme", "other")},
        {"message_id": "another"},
        {"expiration": "1"},
        {"signature": ""},
        {"signature": shown.signature[:-1] + "x"},
    ):
        with pytest.raises(BadSignature):
            ENVELOPE.open_held(msgspec.structs.replace(shown, **changed))


def test_what_is_held_is_the_message_of_a_call_and_nothing_else_that_was_signed():
    other = ENVELOPE.event(next(iter(samples.EVENTS.values())))
    with pytest.raises(ContractError):
        ENVELOPE.open_held(held(delivered(other)))
