"""The text that ties a request, its messages and the upstream's request together."""

import pytest

from toolyard.telemetry import tracing

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
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


def test_a_trace_is_kept_with_a_span_of_our_own():
    version, trace, span, flags = tracing.child(GIVEN).split("-")

    assert (version, trace, flags) == ("00", "4bf92f3577b34da6a3ce929d0e0e4736", "01")
    assert span != "00f067aa0ba902b7"
    assert tracing.accept(GIVEN) == GIVEN


@pytest.mark.parametrize("given", NONE_OF_ITS_FORM, ids=ascii)
@pytest.mark.parametrize("hand_on", [tracing.accept, tracing.child], ids=["accept", "child"])
def test_what_has_not_its_form_begins_a_new_trace(hand_on, given: str | None):
    made = hand_on(given)

    assert tracing.accept(made) == made
    assert "4bf92f3577b34da6a3ce929d0e0e4736" not in made
