"""Golden bytes: what older versions wrote is read for ever, and what this version writes is what they read."""

from typing import Any

import msgspec
import pytest
from tests.unit.shared.contracts import samples
from tests.unit.shared.contracts.samples import GOLDEN, SAMPLES, VERSIONED, Sample, golden

from toolyard.contracts import codec, consents, control, events, feed, secrets, tools
from toolyard.contracts.calls import Authorization, Call, CallMessage, ErrorInfo, Report, Result
from toolyard.errors import ContractError

every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=[sample.file for sample in SAMPLES])


@every_sample
def test_old_bytes_still_decode_to_the_same_message(sample: Sample):
    assert sample.decode(golden(sample)) == sample.message


@every_sample
def test_todays_encoding_equals_the_golden_bytes(sample: Sample):
    assert codec.encode(sample.message) == golden(sample)


@every_sample
def test_fields_of_a_later_minor_version_are_ignored_at_every_level(sample: Sample):
    newer = msgspec.json.encode(_with_new_fields(msgspec.json.decode(golden(sample)), sample.message))
    assert b"from_the_future" in newer
    assert _comparable(sample.decode(newer)) == _comparable(sample.message)


@every_sample
def test_a_message_cut_anywhere_is_refused_and_never_half_read(sample: Sample):
    whole = golden(sample)
    for end in range(0, len(whole), 7):
        with pytest.raises(ContractError):
            sample.decode(whole[:end])


def test_every_golden_file_has_its_sample():
    assert {path.stem for path in GOLDEN.iterdir()} == {sample.file for sample in SAMPLES}


@pytest.mark.parametrize("union", [events.Event, control.Control, tools.Binding], ids=["event", "control", "binding"])
def test_every_member_of_a_union_has_a_sample(union: Any):
    sampled = {type(part) for sample in SAMPLES for part in _parts(sample.message)}
    assert set(union.__args__) <= sampled


FULL = [
    *samples.EVENTS.values(),
    *samples.CONTROLS.values(),
    *(*samples.HEARTBEATS.values(), *samples.BREAKERS.values(), *samples.PROGRESS.values()),
    *(*samples.SECRETS_ASKED.values(), *samples.SECRETS_TOLD.values(), samples.HELD_FULL),
    *(*samples.CONSENT_ASKED.values(), *samples.CONSENT_TOLD.values()),
    *(*samples.FEED_ASKED.values(), *samples.FEED_PAGES.values(), samples.INTEREST_FULL, samples.ITEM_FULL),
    *(
        samples.MESSAGE_FULL,
        samples.MESSAGE_ALONE,
        samples.MESSAGE_WAIVED,
        samples.MESSAGE_DIVERTED,
        samples.AUTHORIZATION,
        samples.CALL_FULL,
        samples.CALL_SCHEDULED,
        samples.PINNED_FULL,
        samples.HTTP_FULL,
        samples.SANDBOX_BOUNDED,
    ),
    *(samples.LAMBDA_FULL, samples.LAMBDA_STREAMED, samples.HTTP_NANGO, samples.ARCADE_FULL, samples.ARCADE_CONSENTED),
    *(samples.ERROR_FULL, samples.RESULT_FULL, samples.REPORT_FULL, samples.REPORT_INVOKED),
    *(samples.SPEC_WITH_A_FALLBACK, samples.SPEC_IN_TRACES, tools.pinned(samples.SPEC_IN_TRACES)),
    samples.CALL_WITH_A_FALLBACK,
]
CONTRACTS = [
    *events.Event.__args__,
    *control.Control.__args__,
    *tools.Binding.__args__,
    *(secrets.Held, secrets.SecretsAsked, secrets.SecretsTold),
    *(consents.ConsentAsked, consents.ConsentTold),
    *(feed.FeedAsked, feed.FeedPage, feed.FeedItem, feed.Interest),
    *(control.Heartbeat, control.BreakerTold),
    *(Authorization, Call, CallMessage, ErrorInfo, Result, Report, tools.ToolSpec, tools.PinnedTool),
]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_the_samples_of_a_contract_set_each_of_its_fields(contract: type[msgspec.Struct]):
    written = [msgspec.json.decode(codec.encode_json(message)) for message in FULL if type(message) is contract]
    optional = (
        {"result", "error", "by", "final", "attempts", "authorization"} if issubclass(contract, events.Ended) else set()
    )
    missing = set(contract.__struct_fields__) - set().union(*written)
    assert missing <= optional


@pytest.mark.parametrize("field", ["result", "error", "by", "final", "attempts"])
def test_the_fields_that_outcomes_share_are_set_in_some_sample(field: str):
    assert any(field in msgspec.json.decode(codec.encode(event)) for event in samples.EVENTS.values())


@pytest.mark.parametrize("sample", VERSIONED, ids=[sample.file for sample in VERSIONED])
def test_every_message_says_its_version(sample: Sample):
    assert msgspec.json.decode(golden(sample))["v"] == 1


def _with_new_fields(value: Any, message: Any) -> Any:
    """The JSON with one more field in each object that is a struct of ours; an author's own JSON stays."""
    if isinstance(message, msgspec.Raw):
        return value
    if isinstance(message, msgspec.Struct):
        inner = {name: _with_new_fields(value[name], getattr(message, name, None)) for name in value}
        return {"from_the_future": {"deep": [1, {"x": None}]}, **inner, "from_the_future_too": 1}
    if isinstance(message, tuple):
        return [_with_new_fields(each, of) for each, of in zip(value, message, strict=True)]
    return value


def _comparable(message: Any) -> Any:
    """A pool message keeps its tool undecoded: JSON that means the same is the same."""
    if isinstance(message, CallMessage):
        return msgspec.structs.replace(message, tool=b""), codec.decode_pinned(bytes(message.tool))
    return message


def _parts(message: Any) -> list[Any]:
    return [message, *([message.binding] if hasattr(message, "binding") else [])]
