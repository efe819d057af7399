"""Bytes that are no messages of ours: each is refused with its own error, and the error says what was wrong."""

import contextlib
import random
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.unit.shared.contracts.samples import (
    EVENTS,
    MESSAGE_FULL,
    MESSAGE_MINIMAL,
    SAMPLES,
    VERSIONED,
    Sample,
    golden,
)

from toolyard.contracts import codec
from toolyard.contracts.control import Paused, Pauses
from toolyard.contracts.events import Event
from toolyard.errors import ContractError, TooLarge, UnknownKind, UnknownVersion

every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=[sample.file for sample in SAMPLES])
every_message = pytest.mark.parametrize("sample", VERSIONED, ids=[sample.file for sample in VERSIONED])

DECODERS = [
    codec.decode_call,
    codec.decode_event,
    codec.decode_events,
    codec.decode_control,
    codec.decode_heartbeat,
    codec.decode_breaker,
    codec.decode_progress,
    codec.decode_feed_asked,
    codec.decode_feed_page,
    codec.decode_pinned,
    codec.decode_spec,
]
LIMITED = [
    (codec.decode_call, codec.MAX_CALL_MESSAGE),
    (codec.decode_event, codec.MAX_EVENT),
    (codec.decode_events, codec.MAX_EVENT),
    (codec.decode_control, codec.MAX_CONTROL),
    (codec.decode_heartbeat, codec.MAX_CONTROL),
    (codec.decode_breaker, codec.MAX_CONTROL),
    (codec.decode_progress, codec.MAX_CONTROL),
    (codec.decode_feed_asked, codec.MAX_CONTROL),
    (codec.decode_feed_page, codec.MAX_PAGE),
    (codec.decode_secrets_asked, codec.MAX_SECRETS_ASKED),
    (codec.decode_secrets_told, codec.MAX_SECRETS_TOLD),
]
GARBAGE = {
    "nothing": b"",
    "blank": b"  \n",
    "no JSON": b"call me",
    "null": b"null",
    "a number": b"1",
    "a text": b'"call"',
    "an array": b"[]",
    "an empty object": b"{}",
    "not a number": b"NaN",
    "not UTF-8": b"\xff\xfe\x00\x01",
    "a key that is not UTF-8": b'{"v":1,"\xff":1}',
    "two documents": b'{"v":1}{"v":1}',
    "a comment": b'{"v":1} // call',
    "single quotes": b"{'v':1}",
    "a pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00N.",
    "10,000 arrays": b"[" * 10_000 + b"]" * 10_000,
    "10,000 objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "10,000 deep in a field that nobody knows": b'{"v":1,"new":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
}


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: decode.__name__)
@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused_with_a_contract_error(decode, body: bytes):
    with pytest.raises(ContractError) as caught:
        decode(body)
    assert type(caught.value) is ContractError
    assert str(caught.value).startswith("not a ")


@every_message
def test_another_major_version_is_refused_by_name(sample: Sample):
    newer = golden(sample).replace(b'"v":1', b'"v":2', 1)
    with pytest.raises(UnknownVersion, match=r"version 2; this build reads 1"):
        sample.decode(newer)


@pytest.mark.parametrize(
    "body",
    [
        b'{"v":2}',
        b'{"v":2,"event":"teleported","call_id":7}',
        b'{"v":2,"event":7}',
        b'{"call":["an","array","now"],"v":3}',
        b'{"v":99999999999999999999}',
    ],
)
@pytest.mark.parametrize("decode", [decode for decode, _ in LIMITED], ids=lambda decode: decode.__name__)
def test_another_major_version_is_refused_by_name_even_if_its_shape_is_unknown(decode, body: bytes):
    with pytest.raises(UnknownVersion):
        decode(body)


@pytest.mark.parametrize("decode", [codec.decode_event, codec.decode_control], ids=lambda decode: decode.__name__)
def test_a_kind_that_only_newer_builds_know_is_told_apart(decode):
    with pytest.raises(UnknownKind, match="a message 'teleported', which this build does not know"):
        decode(b'{"v":1,"event":"teleported","whither":"home"}')


@pytest.mark.parametrize("body", [b'{"v":1,"event":7}', b'{"v":1}', b'{"event":"teleported"}'])
@pytest.mark.parametrize("decode", [codec.decode_event, codec.decode_control], ids=lambda decode: decode.__name__)
def test_what_names_no_kind_or_no_version_is_broken(decode, body: bytes):
    with pytest.raises(ContractError) as caught:
        decode(body)
    assert type(caught.value) is ContractError


@every_message
def test_a_message_without_a_version_is_refused(sample: Sample):
    without = golden(sample).replace(b'"v":1,', b"", 1)
    with pytest.raises(ContractError, match="missing required field `v`") as caught:
        sample.decode(without)
    assert not isinstance(caught.value, UnknownVersion)


@pytest.mark.parametrize("version", [b"true", b'"1"', b"null", b"1.5", b"[1]"])
@every_message
def test_a_version_that_is_no_whole_number_is_refused(sample: Sample, version: bytes):
    with pytest.raises(ContractError, match=r"`\$\.v`") as caught:
        sample.decode(golden(sample).replace(b'"v":1', b'"v":' + version, 1))
    assert not isinstance(caught.value, UnknownVersion)


WRONG_TYPES = [
    ("call_full", "$.call.version", b'"version":7', b'"version":"7"'),
    ("call_full", "$.call.arguments", b'"arguments":{', b'"arguments":[],"x":{'),
    ("call_full", "$.call.deadline", b'"deadline":1767225900.25', b'"deadline":"soon"'),
    ("call_full", "$.claim", b'"claim":"required"', b'"claim":"please"'),
    ("call_full", "$.attempt", b'"attempt":3', b'"attempt":3.5'),
    ("event_succeeded", "$.effect", b'"effect":"done"', b'"effect":"maybe"'),
    ("event_failed", "$.error.retryable", b'"retryable":true', b'"retryable":1'),
    ("event_failed", "$.error.phase", b'"phase":"attempt"', b'"phase":"lunch"'),
    ("control_claim", "$.attempt", b'"attempt":1', b'"attempt":null'),
    ("control_refused", "$.reason", b'"reason":"started"', b'"reason":"mood"'),
    ("feed_asked", "$.offset", b'"offset":4711', b'"offset":"4711-2"'),
    ("feed_asked", "$.patience", b'"patience":20.0', b'"patience":-1'),
    ("feed_asked", "$.only.states", b'"states":[', b'"states":"failed","x":['),
    ("feed_asked", "$.only.since", b'"since":1767225600.25', b'"since":"yesterday"'),
    ("feed_page", "$.items[1].event", b'"event":"failed"', b'"event":"forgotten"'),
    ("feed_page", "$.items[1].state", b'"state":"failed"', b'"state":"lost"'),
    ("feed_page", "$.items[0].n", b'"n":2', b'"n":-2'),
    ("feed_page", "$.at_end", b'"at_end":true', b'"at_end":1'),
    ("progress", "$.done", b'"done":3.5', b'"done":-3.5'),
    ("breaker", "$.state", b'"state":"open"', b'"state":"ajar"'),
    ("breaker", "$.seconds", b'"seconds":1.5', b'"seconds":-1.5'),
    ("heartbeat", "$.claims", b'"claims":[', b'"claims":{},"x":['),
    ("spec_http", "$.binding.method", b'"method":"POST"', b'"method":"BREW"'),
    ("spec_http", "$.binding.type", b'"type":"http"', b'"type":"telepathy"'),
    ("spec_http", "$.annotations.idempotent", b'"idempotent":true', b'"idempotent":"yes"'),
    ("pinned_full", "$.binding.allowed_hosts", b'"allowed_hosts":[', b'"allowed_hosts":"all","x":['),
]


@pytest.mark.parametrize(("file", "path", "right", "wrong"), WRONG_TYPES, ids=[case[1] for case in WRONG_TYPES])
def test_a_wrong_type_is_refused_and_the_field_is_named(file: str, path: str, right: bytes, wrong: bytes):
    sample = next(sample for sample in SAMPLES if sample.file == file)
    body = golden(sample)
    assert right in body
    with pytest.raises(ContractError, match=re.escape(path)):
        sample.decode(body.replace(right, wrong, 1))


@every_sample
def test_a_missing_field_is_named(sample: Sample):
    body = msgspec.json.decode(golden(sample))
    required = [name for name in body if name in _required(sample.message)]
    assert required
    for name in required:
        rest = {key: value for key, value in body.items() if key != name}
        with pytest.raises(ContractError, match=f"`{name}`"):
            sample.decode(msgspec.json.encode(rest))


@pytest.mark.parametrize(("decode", "limit"), LIMITED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_message_over_its_limit_is_refused_unread(decode, limit: int):
    with pytest.raises(TooLarge, match=f"{limit + 1} bytes; at most {limit}"):
        decode(b"[" * (limit + 1))


def test_a_message_of_exactly_its_limit_is_read():
    body = codec.encode(MESSAGE_FULL)
    padded = body[:-1] + b" " * (codec.MAX_CALL_MESSAGE - len(body)) + body[-1:]
    assert len(padded) == codec.MAX_CALL_MESSAGE
    assert codec.decode_call(padded) == MESSAGE_FULL


def test_ten_thousand_pauses_are_read_by_the_worker_that_asks():
    paused = tuple(Paused(kind="tool", org="o" * 63, name=f"{n:064}") for n in range(10_000))
    told = Pauses(v=1, sender="s", time=1.0, paused=paused)
    assert codec.decode_control(codec.encode(told)) == told


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"0x10", b"01", b"1."])
def test_what_json_has_no_number_for_is_refused(number: bytes):
    body = golden(next(sample for sample in SAMPLES if sample.file == "heartbeat_minimal"))
    with pytest.raises(ContractError):
        codec.decode_heartbeat(body.replace(b"1767225600.25", number))


@pytest.mark.parametrize("text", [b'"\\ud800"', b'"\\udc00 alone"', b'"a\x00b"', b'"\xed\xa0\x80"', b'"\xc3"'])
def test_text_that_is_no_unicode_is_refused(text: bytes):
    body = golden(next(sample for sample in SAMPLES if sample.file == "heartbeat_minimal"))
    with pytest.raises(ContractError):
        codec.decode_heartbeat(body.replace(b'"w1"', text))


@pytest.mark.parametrize("text", ["\ud800", '{"binding":{"type":"http","method":"GET","url":"\udfff"}}'])
def test_a_stored_definition_that_is_no_unicode_is_refused(text: str):
    with pytest.raises(ContractError, match="not a tool definition"):
        codec.decode_spec(text)


def test_a_binding_nested_too_deep_is_refused():
    deep = b"[" * 100_000 + b"]" * 100_000
    body = b'{"binding":{"type":"http","method":"GET","url":"https://a.example","body":' + deep + b"}}"
    with pytest.raises(ContractError, match="not a tool binding"):
        codec.decode_pinned(body)


def nested(levels: int) -> bytes:
    """A pool message with arguments that have so many levels."""
    body = codec.encode(structs.replace(MESSAGE_MINIMAL, call=structs.replace(MESSAGE_MINIMAL.call, arguments={})))
    return body.replace(b'"arguments":{}', b'"arguments":{"a":' + b"[" * levels + b"]" * levels + b"}", 1)


def written_below(message: Any, frames: int) -> bytes:
    """The bytes of a message, written so many calls deeper on the stack."""
    return written_below(message, frames - 1) if frames else codec.encode(message)


def test_a_call_that_was_read_can_be_shown_wherever_the_stack_is_fuller():
    read = []
    for levels in range(50, 1_200, 25):
        with contextlib.suppress(ContractError):
            message = codec.decode_call(nested(levels))
            assert written_below(message, 150)
            read.append(levels)
    assert {50, 75, 100, 200, 300, 400} <= set(read)


def test_many_brackets_are_not_many_levels():
    body = nested(10).replace(
        b'"a":', b'"b":[' + b",".join([b"[[]]"] * 5_000) + b'],"c":"' + b"[" * 5_000 + b'","a":', 1
    )
    assert len(codec.decode_call(body).call.arguments["b"]) == 5_000


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: decode.__name__)
@given(body=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(decode, body: bytes):
    with pytest.raises(ContractError):
        decode(body)


@every_sample
def test_a_message_with_any_byte_changed_is_read_or_refused_and_nothing_else_happens(sample: Sample):
    body, dice = golden(sample), random.Random(7)
    for _ in range(300):
        changed = bytearray(body)
        changed[dice.randrange(len(body))] = dice.randrange(256)
        with contextlib.suppress(ContractError):
            sample.decode(bytes(changed))


def test_a_control_message_is_no_event_and_no_call():
    cancel = golden(next(sample for sample in SAMPLES if sample.file == "control_cancel"))
    for decode in (codec.decode_call, codec.decode_event):
        with pytest.raises(ContractError):
            decode(cancel)


def test_an_error_never_repeats_what_it_read():
    body = golden(SAMPLES[0]).replace(b'"version":7', b'"version":"hunter2-is-a-password"')
    with pytest.raises(ContractError) as caught:
        codec.decode_call(body)
    assert "hunter2" not in str(caught.value)


def _required(message: msgspec.Struct) -> set[str]:
    fields = msgspec.structs.fields(type(message))
    return {field.encode_name for field in fields if field.required}


# ---- events that travel together ----------------------------------------------------------------

GOOD = [codec.encode(event) for event in list(EVENTS.values())[:4]]
UNREADABLE = {
    "a newer version": (GOOD[0].replace(b'"v":1', b'"v":2', 1), UnknownVersion, "version 2"),
    "a newer version of another shape": (b'{"v":2,"event":"teleported"}', UnknownVersion, "version 2"),
    "an event of a kind that is not known": (b'{"v":1,"event":"teleported"}', UnknownKind, "'teleported'"),
    "an event without its fields": (b'{"v":1,"event":"started"}', ContractError, "missing required field"),
    "a field of another type": (GOOD[0].replace(b'"attempt":1', b'"attempt":"1"'), ContractError, "`\\$.attempt`"),
    "a text that is no UTF-8": (GOOD[0].replace(b'"http-1"', b'"\xff"'), ContractError, "utf-8"),
    "a number": (b"7", ContractError, "Expected `object`"),
}


def read(body: bytes) -> tuple[list[bytes], ContractError]:
    """What comes of events before the error, and the error."""
    events: list[Event] = []
    with pytest.raises(ContractError) as caught:
        events.extend(codec.decode_events(body))
    return [codec.encode(event) for event in events], caught.value


def test_events_that_travel_together_are_read_in_their_order():
    events = list(EVENTS.values())
    assert codec.decode_events(codec.join_events([codec.encode(event) for event in events])) == events


@pytest.mark.parametrize("place", range(len(GOOD) + 1))
@pytest.mark.parametrize(("bad", "kind", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_one_that_cannot_be_read_is_told_after_the_others(bad: bytes, kind: type, words: str, place: int):
    events, error = read(codec.join_events([*GOOD[:place], bad, *GOOD[place:]]))

    assert events == GOOD
    assert type(error) is kind
    assert re.search(words, str(error))
    assert str(error).endswith(f"(event {place + 1} of 5)")


def test_of_several_that_cannot_be_read_the_first_is_told():
    bad = UNREADABLE["a newer version"][0]
    events, error = read(codec.join_events([GOOD[0], bad, b"{}", GOOD[1], b"{}"]))

    assert events == GOOD[:2]
    assert type(error) is UnknownVersion
    assert str(error).endswith("(event 2 of 5, and 2 more)")


def test_what_is_broken_is_told_before_what_is_only_newer():
    events, error = read(codec.join_events([GOOD[0], b'{"v":1,"event":"teleported"}', b"{}"]))

    assert events == GOOD[:1]
    assert type(error) is ContractError


@pytest.mark.parametrize(("bad", "kind", "_"), UNREADABLE.values(), ids=UNREADABLE)
def test_where_none_can_be_read_that_is_told_at_once(bad: bytes, kind: type, _: str):
    with pytest.raises(kind):
        codec.decode_events(codec.join_events([bad, bad]))


@pytest.mark.parametrize("broken", [b'{"v":', b"{}}", b"", b"[" * 10_000 + b"]" * 10_000])
def test_where_nobody_can_tell_where_an_event_ends_all_are_refused(broken: bytes):
    with pytest.raises(ContractError, match="not a row of events"):
        codec.decode_events(codec.join_events([*GOOD, broken]))
