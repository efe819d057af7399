"""A call as every public face shows it: the documented fields, made of what travelled."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from tests.unit.shared.contracts import samples
from tests.unit.shared.contracts.samples import CALL_FULL, CALL_MINIMAL, EVENTS

from toolyard.contracts import events
from toolyard.contracts.calls import Call, Result
from toolyard.contracts.views import call_view, ended_view, trace_id

ALWAYS = {
    *("call_id", "tool", "version", "state", "effect", "arguments", "attempts", "org", "created_at", "deadline"),
    "trace_id",
}


def shown(view: Any) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(view))
    return document


def test_a_call_that_waits_shows_what_is_known_and_nothing_empty():
    document = shown(call_view(CALL_MINIMAL, state="queued"))
    assert document.keys() == ALWAYS
    assert (document["state"], document["effect"], document["attempts"]) == ("queued", "none", 0)
    assert document["created_at"] == "2026-01-01T00:00:00.250Z"
    assert document["deadline"] == "2026-01-01T00:05:00.250Z"
    assert document["trace_id"] == ""


def test_what_the_caller_gave_comes_back():
    document = shown(call_view(CALL_FULL, state="queued", deduplicated=True))
    assert document["arguments"] == CALL_FULL.arguments
    assert (document["user"], document["conversation"], document["context"]) == (
        CALL_FULL.user,
        CALL_FULL.conversation,
        CALL_FULL.context,
    )
    assert (document["test"], document["deduplicated"]) == (True, True)
    assert document["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_nothing_of_the_inside_is_shown():
    inside = set(Call.__struct_fields__) - ALWAYS - {"user", "conversation", "context", "test"}
    assert not inside & shown(call_view(CALL_FULL, state="queued")).keys()


def test_what_the_worker_noted_is_shown_where_there_is_something():
    end = EVENTS["succeeded_reported"]
    assert isinstance(end, events.End)
    assert shown(ended_view(CALL_MINIMAL, end))["report"] == shown(samples.REPORT_FULL)


def test_arguments_may_be_given_as_their_bytes():
    assert shown(call_view(CALL_FULL, state="queued", arguments=Raw(b'{"as":"sent"}')))["arguments"] == {"as": "sent"}


@pytest.mark.parametrize("name", ["succeeded", "failed", "timed_out", "expired", "cancelled", "rejected"])
def test_an_outcome_gives_state_effect_and_times(name: str):
    end = EVENTS[name]
    assert isinstance(end, events.End)
    document = shown(ended_view(CALL_FULL, end))
    assert (document["state"], document["effect"], document["attempts"]) == (name, end.effect, 3)
    assert (document["started_at"], document["finished_at"]) == ("2026-01-01T00:00:00.750Z", "2026-01-01T00:00:01.250Z")
    assert ("result" in document, "error" in document) == (name == "succeeded", name != "succeeded")


def test_an_error_is_shown_whole():
    end = EVENTS["failed"]
    assert isinstance(end, events.End)
    assert shown(ended_view(CALL_FULL, end))["error"] == {
        "code": "upstream_error",
        "status": 502,
        "message": "The upstream answered 503.",
        "model_message": "The service behind the tool failed: The upstream answered 503.",
        "retryable": True,
        "retry_after": 2.5,
        "phase": "attempt",
        "details": {"status": 503},
    }


def test_what_never_started_has_no_attempt_and_no_start():
    end = EVENTS["expired_minimal"]
    assert isinstance(end, events.End)
    document = shown(ended_view(CALL_MINIMAL, end))
    assert document["attempts"] == 0
    assert "started_at" not in document


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Result(content="text"), {"content": "text"}),
        (Result(structured=Raw(b'{"a":1}')), {"content": '{"a":1}', "structured": {"a": 1}}),
        (Result(structured=Raw(b"null")), {"content": "null", "structured": None}),
        (Result(content="short", structured=Raw(b"[1]")), {"content": "short", "structured": [1]}),
        (Result(), {"content": ""}),
        (Result(content="", truncated=True, size=9), {"content": "", "truncated": True, "size": 9}),
    ],
)
def test_a_result_always_has_the_text_for_the_model(result: Result, expected: dict[str, Any]):
    assert shown(call_view(CALL_MINIMAL, state="succeeded", result=result))["result"] == expected


@pytest.mark.parametrize(
    ("traceparent", "expected"), [(None, ""), ("", ""), (samples.TRACEPARENT, "4bf92f3577b34da6a3ce929d0e0e4736")]
)
def test_the_trace_id_is_the_one_of_the_trace(traceparent: str | None, expected: str):
    assert trace_id(traceparent) == expected


def test_every_outcome_knows_the_state_it_leads_to():
    for state, kind in events.ENDS.items():
        end = kind(**msgspec.structs.asdict(samples.EVENTS["expired_minimal"]))
        assert events.end_state(end) == state == events.event_name(end)


@pytest.mark.parametrize("traceparent", ["x", "00", "-", "a b c"])
def test_a_trace_of_another_form_breaks_nothing(traceparent: str):
    assert trace_id(traceparent) in traceparent
