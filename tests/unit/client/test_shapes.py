"""A call as its caller sees it: what it came to, and errors only for those who ask for its output."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from tests.unit.client.playing import call

from toolyard.client import Authorization, Call, CallFailed, CallUnfinished, Report
from toolyard.client.shapes import shaped
from toolyard.contracts import calls
from toolyard.contracts.calls import CallView, ErrorInfo, ResultView
from toolyard.states import STATES, TERMINAL

FAILED = call(
    "failed",
    error={"code": "upstream_error", "status": 502, "message": "It answered 500.", "model_message": "It failed."},
)


def made(**more: Any) -> Call:
    return shaped(call(**more), Call)


def test_times_are_times():
    assert made().created_at == datetime(2027, 1, 15, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ({"content": "21", "structured": 21}, 21),
        ({"content": "null", "structured": None}, None),
        ({"content": "Sunny."}, "Sunny."),
        ({"content": ""}, ""),
    ],
)
def test_the_output_is_the_value_or_else_the_text(result: dict[str, Any], output: Any):
    assert made(result=result).output() == output


def test_a_call_that_failed_is_an_error_for_who_asks_for_its_output():
    failed = shaped(FAILED, Call)
    with pytest.raises(CallFailed, match=r"weather ended failed\. upstream_error: It answered 500") as caught:
        failed.output()
    assert caught.value.call is failed
    with pytest.raises(CallFailed):
        shaped(call("cancelled"), Call).raise_for_state()


def test_a_call_that_goes_on_has_no_output_yet():
    with pytest.raises(CallUnfinished, match="has not ended"):
        shaped(call("running"), Call).output()


def test_of_a_call_that_waits_for_its_user_the_error_says_so_without_the_link():
    asked = {"authorization_id": "a1", "provider": "arcade/google", "url": "https://consent.example/a1", "scopes": []}
    consent = asked | {"expires_at": "2027-01-15T08:10:00.000Z"}
    found = shaped(call("awaiting_authorization", authorization=consent), Call)
    with pytest.raises(CallUnfinished, match=r"consent first, at call\.authorization\.url") as caught:
        found.output()
    assert "consent.example" not in str(caught.value), "whoever reads a log could consent in the user's place"
    assert isinstance(caught.value.call.authorization, Authorization)


@pytest.mark.parametrize("state", STATES)
def test_a_call_has_ended_in_a_terminal_state(state: str):
    found = shaped(call(state), Call)
    assert (found.ended, found.succeeded) == (state in TERMINAL, state == "succeeded")


def test_one_that_succeeded_is_given_back():
    fine = made()
    assert fine.raise_for_state() is fine


def test_what_its_worker_noted_is_a_value_of_its_own():
    assert made().report is None
    noted = made(report={"logs": "one\n", "cpu_seconds": 0.25, "requests": 0})
    assert noted.report == Report(logs="one\n", cpu_seconds=0.25, requests=0)


def test_fields_of_a_later_version_are_passed_over():
    assert shaped({**FAILED, "mood": "sour", "error": {**FAILED["error"], "mood": "sour"}}, Call).error is not None


@pytest.mark.parametrize(
    ("ours", "shown"),
    [(Call, CallView), (shaped(FAILED, Call).error, ErrorInfo), (made().result, ResultView), (Report, calls.Report)],
    ids=["call", "error", "result", "report"],
)
def test_all_that_a_gateway_shows_is_there(ours: Any, shown: type[msgspec.Struct]):
    kind = ours if isinstance(ours, type) else type(ours)
    assert {field.name for field in msgspec.structs.fields(kind)} == {
        field.name for field in msgspec.structs.fields(shown)
    }
