"""The text that ties a request, its messages and the upstream's request together, and the spans of what is recorded."""

from collections.abc import Iterator

import pytest

from toolyard.errors import Refused
from toolyard.telemetry import tracing
from toolyard.telemetry.tracing import Span

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNRECORDED = GIVEN[:-2] + "00"
NONE_OF_ITS_FORM = [
    None,
    "",
    "x",
    "a-b-c-d",
    GIVEN + "-more",
    GIVEN + "\r\nx: y",
    GIVEN + "\n",
    GIVEN.replace("00-", "ff-", 1),
    f"00-{'0' * 32}-00f067aa0ba902b7-01",
    "🚀" * 300,
]


@pytest.fixture
def taken() -> Iterator[list[Span]]:
    """The spans that are recorded: of whatever its caller records, and of nothing that begins here."""
    taken: list[Span] = []
    tracing.record(taken.append, lambda _, parent: bool(parent))
    yield taken
    tracing.record(None)


def test_a_trace_is_kept_as_it_came_where_nothing_is_recorded():
    assert tracing.accept(GIVEN) == GIVEN
    assert tracing.hand_on(GIVEN) == GIVEN
    assert tracing.start("send", "producer", GIVEN) is None
    assert tracing.enter("POST /v1/calls", "server", GIVEN) == (GIVEN, None)


@pytest.mark.parametrize("given", NONE_OF_ITS_FORM, ids=ascii)
@pytest.mark.parametrize("hand_on", [tracing.accept, tracing.hand_on], ids=["accept", "hand_on"])
def test_what_has_not_its_form_begins_a_new_trace_that_nobody_records(hand_on, given: str | None):
    made = hand_on(given)

    assert tracing.accept(made) == made
    assert "4bf92f3577b34da6a3ce929d0e0e4736" not in made
    assert made.endswith("-00")


@pytest.mark.parametrize("given", [*NONE_OF_ITS_FORM, UNRECORDED], ids=ascii)
def test_what_is_not_recorded_has_no_span(taken: list[Span], given: str | None):
    context, span = tracing.enter("POST /v1/calls", "server", given)

    assert span is None
    assert tracing.start("send", "producer", context) is None
    assert tracing.start("send", "producer", given) is None
    assert taken == []


def test_a_span_has_the_trace_of_its_parent_and_a_context_of_its_own(taken: list[Span]):
    context, span = tracing.enter("POST /v1/calls", "server", GIVEN)
    assert span is not None
    inner = tracing.start("send", "producer", context)
    assert inner is not None
    inner.end()
    span.end()

    assert [each.name for each in taken] == ["send", "POST /v1/calls"]
    assert (span.parent, inner.parent) == (GIVEN, span.traceparent)
    assert {each.traceparent[:36] for each in taken} == {GIVEN[:36]}
    assert len({GIVEN, span.traceparent, inner.traceparent}) == 3
    assert 0 < span.started_at <= inner.started_at <= inner.ended_at <= span.ended_at


def test_a_trace_that_begins_here_has_a_first_span_without_a_parent(taken: list[Span]):
    tracing.record(taken.append, lambda *_: True)

    context, span = tracing.enter("POST /v1/calls", "server", "no traceparent")

    assert span is not None
    assert (span.parent, span.traceparent) == ("", context)
    assert context.endswith("-01")


def test_a_sampler_may_overrule_the_caller(taken: list[Span]):
    tracing.record(taken.append, lambda *_: False)
    assert tracing.accept(GIVEN) == UNRECORDED

    tracing.record(taken.append, lambda *_: True)
    assert tracing.accept(UNRECORDED) == GIVEN


def test_whoever_derives_a_context_of_the_same_parts_has_the_same(taken: list[Span]):
    made = tracing.derived(GIVEN, "call", 1)

    assert made == tracing.derived(UNRECORDED.replace("00f067", "11f067"), "call", 1)
    assert made != tracing.derived(GIVEN, "call", 2)
    assert tracing.is_recorded(made)


def test_a_span_ends_with_the_code_of_what_was_raised(taken: list[Span]):
    with pytest.raises(Refused), tracing.lasting(tracing.start("send", "producer", GIVEN)):
        raise Refused("unavailable", "the broker is away")
    with pytest.raises(ValueError, match="secret"), tracing.lasting(tracing.start("send", "producer", GIVEN)):
        raise ValueError("a secret")
    with tracing.lasting(tracing.start("send", "producer", GIVEN)):
        pass

    assert [span.error for span in taken] == ["unavailable", "_OTHER", ""]
    assert [span.attributes.get("error.type") for span in taken] == ["unavailable", "_OTHER", None]
