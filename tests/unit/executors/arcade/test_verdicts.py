"""How a run ends: what Arcade answered or the SDK raised, and what a caller is told of it. Each as data."""

import json
from typing import Any, get_args

import httpx
import msgspec
import pytest
from arcadepy import APIConnectionError, APIStatusError, APITimeoutError, ArcadeError
from arcadepy.types.execute_tool_response import OutputError as SdkError

from toolyard.contracts.calls import Report
from toolyard.contracts.tools import ArcadeBinding
from toolyard.security.redaction import Redactor
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.arcade.answers import Executed, ToolError, Unreadable, read
from toolyard_executors.kinds.arcade.failures import KINDS
from toolyard_executors.kinds.arcade.verdicts import About, answered, raised, still_forbidden, unreadable
from toolyard_executors.outbound.reading import AnswerTooLarge

BINDING = ArcadeBinding(tool_name="Gmail.SendEmail", tool_version="1.2.3")
RAN, NOT_RAN = About(BINDING, ran=True, now=1_800_000_000.0), About(BINDING, ran=False, now=1_800_000_000.0)
TOOL = "Arcade's tool Gmail.SendEmail 1.2.3"
REQUEST = httpx.Request("POST", "https://arcade.example/v1/tools/execute")


def told(finished: Finished | None) -> tuple[str, str, bool]:
    assert finished is not None
    assert finished.error is not None, finished.result
    return finished.error.code, finished.effect, finished.error.retryable


def message(finished: Finished | None) -> str:
    assert finished is not None
    assert finished.error is not None
    return finished.error.message


def executed(output: Any, **more: Any) -> Executed:
    whole = {"id": "tc_1", "execution_id": "te_1", "duration": 12.5, "success": True, "output": output, **more}
    return read(Executed, json.dumps(whole).encode())


def failing(kind: str | None, **error: Any) -> Executed:
    return executed({"value": None, "error": {"kind": kind, "message": "it failed", **error}}, success=False)


def refused(status: int, said: Any = None, **headers: str) -> APIStatusError:
    body = {"name": "error", "message": "as Arcade says"} if said is None else said
    response = httpx.Response(status, headers=headers, json=body, request=REQUEST)
    return APIStatusError("refused", response=response, body=body)


def broken(cause: BaseException, kind: type[APIConnectionError] = APIConnectionError) -> APIConnectionError:
    error = kind(request=REQUEST)
    error.__cause__ = cause
    return error


# ---- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{"a": [1, None]}, [1, 2.5], "text", "", 2**53, 0, True, False, None])
def test_what_a_tool_answers_is_the_result(value: Any):
    finished = answered(executed({"value": value}), RAN)

    assert (finished.effect, finished.error) == ("done", None)
    assert finished.result is not None
    assert isinstance(finished.result.structured, msgspec.Raw)
    assert bytes(finished.result.structured) == msgspec.json.encode(value)


def test_whole_numbers_stay_whole():
    body = b'{"success":true,"output":{"value":{"n":9007199254740993,"x":1.0}}}'
    finished = answered(read(Executed, body), RAN)

    assert finished.result is not None
    assert finished.result.text() == '{"n":9007199254740993,"x":1.0}'


def test_what_no_database_keeps_is_marked():
    finished = answered(read(Executed, rb'{"success":true,"output":{"value":{"a":"x\u0000\ud800"}}}'), RAN)

    assert finished.result is not None
    assert finished.result.text() == '{"a":"x\ufffd\ufffd"}'


@pytest.mark.parametrize("output", [None, {}, {"logs": []}])
def test_a_run_without_a_value_answered_null(output: Any):
    finished = answered(executed(output), RAN)

    assert (finished.effect, finished.result and finished.result.text()) == ("done", "null")


def test_what_is_noted_of_a_run():
    logs = [{"level": "info", "message": "sent"}, {"level": "warning", "message": "slow", "subtype": "deprecation"}]
    finished = answered(executed({"value": "ok", "logs": logs}), RAN)

    assert finished.report == Report(
        logs="info: sent\nwarning: slow\n", request_id="te_1", run_seconds=0.0125, output_bytes=4
    )
    assert answered(executed({"value": 1}, execution_id=None), RAN).report == Report(
        request_id="tc_1", run_seconds=0.0125, output_bytes=1
    )


@pytest.mark.parametrize("duration", [None, -1, 1e300])
def test_a_duration_that_cannot_be_is_not_noted(duration: Any):
    report = answered(executed({"value": 1}, duration=duration), RAN).report

    assert report is not None
    assert report.run_seconds is None


def test_of_long_logs_the_beginning_is_kept():
    logs = [{"level": "info", "message": "x" * 1000}] * 100
    report = answered(executed({"value": 1, "logs": logs}), RAN).report

    assert report is not None
    assert len(report.logs) == 64 * 1024 + 2
    assert report.logs.endswith("x…\n")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'{"output": 1}', b"{", b'{"output": {"value": 1e999}}']
)
def test_an_answer_that_is_none_of_arcades_is_not_guessed_at(body: bytes):
    with pytest.raises(Unreadable):
        read(Executed, body)

    assert told(unreadable(RAN)) == ("upstream_error", "unknown", True)
    assert told(unreadable(NOT_RAN)) == ("upstream_error", "none", True)


@pytest.mark.parametrize(
    "odd",
    [
        {"id": 7, "execution_id": ["x"]},
        {"duration": "long"},
        {"duration": True},
        {"duration": 10**400},
        {"output": {"value": 42, "logs": [{"level": 1, "message": 7}, 3, {"message": None}]}},
        {"output": {"value": 42, "logs": "text"}},
        {"output": {"value": 42, "authorization": {"status": 1}}},
        {"output": {"value": 42, "authorization": {"status": "pending", "url": "https://x.example"}}},
    ],
    ids=range(8),
)
def test_a_value_is_not_given_up_because_something_odd_stands_beside_it(odd: dict[str, Any]):
    said = executed(odd.pop("output", {"value": 42}), **odd)
    finished = answered(said, RAN)

    assert (said.asked, finished.error, finished.effect) == (None, None, "done")
    assert finished.result is not None
    assert finished.result.text() == "42"
    assert finished.report is not None
    assert finished.report.logs == ""


@pytest.mark.parametrize(
    "error",
    [
        "no",
        [],
        {"can_retry": "yes", "retry_after_ms": "soon", "status_code": 10**400, "message": 7, "kind": None},
        {"status_code": True, "can_retry": 1, "developer_message": ["x"], "additional_prompt_content": {}},
    ],
    ids=range(4),
)
def test_an_error_in_another_form_is_a_failure_all_the_same(error: Any):
    finished = answered(executed({"error": error}), RAN)

    assert told(finished) == ("tool_error", "unknown", False)
    assert finished.error is not None
    assert finished.error.details == {"kind": "UNKNOWN"}


@pytest.mark.parametrize(
    ("authorization", "lacks"),
    [
        (None, False),
        ({"status": "completed"}, False),
        ({"status": "pending", "url": "https://x.example"}, True),
        ({"status": "not_started"}, True),
        ({}, True),
        ("no", True),
    ],
    ids=range(6),
)
def test_what_a_run_that_failed_says_of_consent_counts(authorization: Any, lacks: bool):
    assert (executed({"authorization": authorization}, success=False).asked is not None) is lacks
    assert (executed({"authorization": authorization}, success=None).asked is not None) is lacks


def test_each_field_that_is_read_is_one_of_the_sdks():
    assert set(ToolError.__struct_fields__) <= set(SdkError.model_fields)


# ---- tools that fail ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("TOOLKIT_LOAD_FAILED", ("tool_error", "none", False)),
        ("TOOL_DEFINITION_BAD_DEFINITION", ("tool_error", "none", False)),
        ("TOOL_DEFINITION_BAD_INPUT_SCHEMA", ("tool_error", "none", False)),
        ("TOOL_DEFINITION_BAD_OUTPUT_SCHEMA", ("tool_error", "none", False)),
        ("TOOL_DEFINITION_OF_TOMORROW", ("tool_error", "none", False)),
        ("TOOL_REQUIREMENTS_NOT_MET", ("tool_error", "none", False)),
        ("TOOL_RUNTIME_BAD_INPUT_VALUE", ("validation_failed", "none", False)),
        ("TOOL_RUNTIME_BAD_OUTPUT_VALUE", ("output_invalid", "done", False)),
        ("TOOL_RUNTIME_RETRY", ("tool_error", "unknown", False)),
        ("TOOL_RUNTIME_CONTEXT_REQUIRED", ("tool_error", "none", False)),
        ("TOOL_RUNTIME_FATAL", ("tool_error", "unknown", False)),
        ("UPSTREAM_RUNTIME_BAD_REQUEST", ("validation_failed", "none", False)),
        ("UPSTREAM_RUNTIME_AUTH_ERROR", ("permission_denied", "none", False)),
        ("UPSTREAM_RUNTIME_NOT_FOUND", ("not_found", "none", False)),
        ("UPSTREAM_RUNTIME_VALIDATION_ERROR", ("validation_failed", "none", False)),
        ("UPSTREAM_RUNTIME_RATE_LIMIT", ("rate_limited", "none", True)),
        ("UPSTREAM_RUNTIME_SERVER_ERROR", ("upstream_error", "unknown", True)),
        ("UPSTREAM_RUNTIME_UNMAPPED", ("upstream_error", "unknown", False)),
        ("NETWORK_TRANSPORT_RUNTIME_TIMEOUT", ("upstream_error", "unknown", True)),
        ("NETWORK_TRANSPORT_RUNTIME_UNREACHABLE", ("upstream_error", "unknown", True)),
        ("NETWORK_TRANSPORT_RUNTIME_UNMAPPED", ("upstream_error", "unknown", True)),
        ("NETWORK_TRANSPORT_RUNTIME_OF_TOMORROW", ("upstream_error", "unknown", True)),
        ("UNKNOWN", ("tool_error", "unknown", False)),
        ("SOMETHING_OF_TOMORROW", ("tool_error", "unknown", False)),
        (None, ("tool_error", "unknown", False)),
    ],
)
def test_each_kind_of_failure_has_its_code_and_its_effect(kind: str | None, expected: tuple[str, str, bool]):
    finished = answered(failing(kind), RAN)

    assert told(finished) == expected
    assert message(finished) == "it failed"
    assert finished.error is not None
    assert finished.error.details == {"kind": kind or "UNKNOWN"}


def test_every_kind_that_the_sdk_knows_is_in_the_table():
    known = {word for word in get_args(SdkError.model_fields["kind"].annotation) if isinstance(word, str)}

    assert len(known) > 10
    assert known <= set(KINDS)


@pytest.mark.parametrize(
    ("kind", "said", "retryable"),
    [
        ("TOOL_RUNTIME_RETRY", True, True),
        ("TOOL_RUNTIME_FATAL", True, True),
        ("UPSTREAM_RUNTIME_RATE_LIMIT", False, False),
        ("UPSTREAM_RUNTIME_SERVER_ERROR", None, True),
        ("UPSTREAM_RUNTIME_NOT_FOUND", None, False),
    ],
)
def test_whether_another_try_makes_sense_the_failure_itself_says_first(kind: str, said: bool | None, retryable: bool):
    finished = answered(failing(kind, can_retry=said, retry_after_ms=1500), RAN)

    assert finished.error is not None
    assert (finished.error.retryable, finished.error.retry_after) == (retryable, 1.5 if retryable else None)


@pytest.mark.parametrize(("milliseconds", "seconds"), [(0, 0.0), (-5, 0.0), (1e15, 7 * 86400.0), (2500.5, 2.5005)])
def test_a_pause_is_neither_negative_nor_endless(milliseconds: float, seconds: float):
    finished = answered(failing("UPSTREAM_RUNTIME_RATE_LIMIT", retry_after_ms=milliseconds), RAN)

    assert finished.error is not None
    assert finished.error.retry_after == seconds


def test_what_a_tool_says_to_the_model_stands_after_what_the_model_is_told_anyway():
    finished = answered(failing("TOOL_RUNTIME_RETRY", additional_prompt_content="Known: ann@x, ann@y."), RAN)

    assert finished.error is not None
    assert finished.error.model_message == "The tool reported an error: it failed\nKnown: ann@x, ann@y."
    assert finished.error.message == "it failed"


def test_what_is_meant_for_developers_is_told_to_neither_caller_nor_model():
    finished = answered(
        failing("TOOL_RUNTIME_FATAL", developer_message="line 7", stacktrace="File x", extra={"a": 1}), RAN
    )

    assert "line 7" not in str(finished.error)
    assert "File x" not in str(finished)
    assert finished.report is not None
    assert finished.report.logs == "developer: line 7\n"


def test_a_failure_that_says_nothing_is_told_all_the_same():
    assert message(answered(executed({"error": {}}), RAN)) == f"{TOOL} failed, and says nothing of it"
    assert told(answered(executed(None, success=False), RAN)) == ("tool_error", "unknown", False)


def test_the_status_that_an_upstream_answered_is_passed_on():
    finished = answered(failing("UPSTREAM_RUNTIME_NOT_FOUND", status_code=404), RAN)

    assert finished.error is not None
    assert finished.error.details == {"kind": "UPSTREAM_RUNTIME_NOT_FOUND", "status": 404}


def test_secrets_are_taken_out_before_a_text_is_cut():
    secret = "arc_" + "s" * 40
    about = About(BINDING, ran=True, now=0.0, redactor=Redactor({"ARCADE_API_KEY": secret}))
    text = "x" * 1_990 + secret
    finished = answered(failing("TOOL_RUNTIME_FATAL", message=text, additional_prompt_content=text * 3), about)

    assert "arc_s" not in str(finished)


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected", "said"),
    [
        (307, ("upstream_error", "unknown", False), "refused to run"),
        (400, ("validation_failed", "none", False), f"Arcade refused to run {TOOL} (400): as Arcade says"),
        (401, ("permission_denied", "none", False), "does not take the key in the secret ARCADE_API_KEY"),
        (402, ("upstream_error", "none", False), "(402): as Arcade says"),
        (403, ("permission_denied", "none", False), "does not let the key in the secret ARCADE_API_KEY run"),
        (404, ("not_found", "none", False), f"{TOOL} does not exist"),
        (408, ("upstream_error", "unknown", True), "(408)"),
        (409, ("upstream_error", "none", False), "(409)"),
        (413, ("payload_too_large", "none", False), "(413)"),
        (422, ("validation_failed", "none", False), "as Arcade says"),
        (429, ("rate_limited", "none", True), f"Arcade has too much to do for {TOOL}"),
        (500, ("upstream_error", "unknown", True), f"Arcade failed to run {TOOL} (500): as Arcade says"),
        (503, ("upstream_error", "unknown", True), "(503)"),
    ],
)
def test_what_arcade_refuses_is_told_as_it_is(status: int, expected: tuple[str, str, bool], said: str):
    finished = raised(refused(status), RAN)

    assert told(finished) == expected
    assert said in message(finished)
    assert finished is not None
    assert finished.error is not None
    assert finished.error.details == {"status": status}
    assert told(raised(refused(status), NOT_RAN)) == (expected[0], "none", expected[2])


@pytest.mark.parametrize("said", ["<html>", [], {"message": 1}, {"error": "x"}])
def test_a_refusal_without_a_text_is_told_by_its_status(said: Any):
    assert message(raised(refused(500, said), RAN)) == f"Arcade failed to run {TOOL} (500)"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 20}, 7 * 86400.0),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_what_arcade_says(headers: dict[str, str], seconds: float | None):
    finished = raised(refused(429, **headers), RAN)

    assert finished is not None
    assert finished.error is not None
    assert finished.error.retry_after == seconds


def test_who_may_not_run_it_although_the_user_has_consented():
    assert told(still_forbidden(RAN)) == ("permission_denied", "none", False)


@pytest.mark.parametrize(
    ("error", "ran", "not_ran"),
    [
        (broken(httpx.ConnectError("no")), ("upstream_error", "none", True), ("upstream_error", "none", True)),
        (
            broken(httpx.ConnectTimeout("no"), APITimeoutError),
            ("upstream_error", "none", True),
            ("upstream_error", "none", True),
        ),
        (
            broken(httpx.ReadTimeout("no"), APITimeoutError),
            ("timed_out", "unknown", False),
            ("upstream_error", "none", True),
        ),
        (broken(httpx.ReadError("cut")), ("upstream_error", "unknown", True), ("upstream_error", "none", True)),
        (
            broken(httpx.RemoteProtocolError("cut")),
            ("upstream_error", "unknown", True),
            ("upstream_error", "none", True),
        ),
        (broken(AnswerTooLarge(7)), ("output_too_large", "unknown", False), ("output_too_large", "none", False)),
    ],
    ids=["not connected", "not in time", "no answer", "cut", "hung up", "too large"],
)
def test_a_connection_that_breaks_had_an_effect_only_where_the_tool_may_have_run(
    error: ArcadeError, ran: tuple[str, str, bool], not_ran: tuple[str, str, bool]
):
    assert told(raised(error, RAN)) == ran
    assert told(raised(error, NOT_RAN)) == not_ran


def test_what_the_sdk_raises_for_other_reasons_is_a_defect_of_ours():
    assert raised(ArcadeError("api_key"), RAN) is None
