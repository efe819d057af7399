"""How a run ended, case by case: each verdict and answer, and the outcome that is made of it."""

from typing import Any

import msgspec
import pytest
from tests.unit.executors.making import a_tool

from toolyard.contracts.calls import Report, Result
from toolyard.contracts.tools import SandboxBinding
from toolyard.errors import CODES
from toolyard.sandbox.jail.runs import Usage
from toolyard.sandbox.runner import Told, Verdict
from toolyard.security.redaction import Redactor
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.sandbox.plans import plan_of
from toolyard_executors.kinds.sandbox.verdicts import DENIED, Circumstances, finished, is_hostile
from toolyard_executors.outputs import output_check

PLAN = plan_of(a_tool(SandboxBinding(code="", memory_limit_mb=64, output_limit_kb=3, execution_timeout=5.0)), 1 << 30)
USAGE = Usage(cpu=0.5, peak=1 << 20, output=99, requests=2)


def about(**changed: Any) -> Circumstances:
    known: dict[str, Any] = {"plan": PLAN, "touched": False, "denied": False, "seconds": 30.0, "isolation": "full"}
    return Circumstances(**(known | changed))


def silent(how: str, *, signal: int | None = None, **changed: Any) -> Finished:
    verdict = Verdict(how=how, signal=signal, reason="a reason with /usr/lib in it", usage=USAGE)  # type: ignore[arg-type]
    return finished(verdict, None, about(**changed))


def told(told: Told, **changed: Any) -> Finished:
    return finished(Verdict(how="answered", usage=USAGE), told, about(**changed))


def returned(value: Any, **changed: Any) -> Finished:
    raw = msgspec.json.encode(value)
    return told(Told(value=msgspec.Raw(raw), plain=value, prints="p"), **changed)


# ---- without an answer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "signal", "code", "says"),
    [
        ("timed_out", None, "timed_out", "it did not end within 5 s"),
        ("timed_out", 24, "timed_out", "it did not end within 5 s"),
        ("out_of_memory", None, "resource_exhausted", "it needed more than 64 MiB of memory"),
        ("too_much_output", None, "output_too_large", "the returned value takes more than 3,072 bytes"),
        ("lost", None, "resource_exhausted", "the process that ran it was lost"),
        ("crashed", 9, "resource_exhausted", "ended from outside"),
        ("crashed", 11, "tool_error", "its process was ended by signal 11 (Segmentation fault)"),
        ("crashed", 6, "tool_error", "its process was ended by signal 6 (Aborted)"),
        ("crashed", None, "tool_error", "its process ended before it had answered"),
        ("crashed", 31, "security_violation", "was not the tool any more"),
        ("broke_protocol", None, "security_violation", "was not the tool any more"),
    ],
)
@pytest.mark.parametrize(("touched", "effect"), [(False, "none"), (True, "unknown")])
def test_a_run_without_an_answer(how: str, signal: int | None, code: str, says: str, touched: bool, effect: str):
    ended = silent(how, signal=signal, touched=touched)
    assert ended.error is not None
    assert (ended.error.code, ended.effect, ended.result) == (code, effect, None)
    assert says in ended.error.message
    assert "/usr" not in ended.error.message + ended.error.model_message
    assert ended.report == Report(isolation="full", cpu_seconds=0.5, peak_memory_bytes=1 << 20, requests=2)


@pytest.mark.parametrize(("how", "signal"), [("lost", None), ("crashed", 9)])
def test_what_others_ended_may_run_again_if_the_world_saw_nothing(how: str, signal: int | None):
    assert silent(how, signal=signal).error.retryable  # type: ignore[union-attr]
    assert not silent(how, signal=signal, touched=True).error.retryable  # type: ignore[union-attr]


@pytest.mark.parametrize("how", ["timed_out", "out_of_memory", "too_much_output", "crashed", "broke_protocol"])
def test_what_the_tool_did_itself_is_not_tried_again(how: str):
    assert not silent(how).error.retryable  # type: ignore[union-attr]


def test_whose_time_it_was_is_told_where_it_was_the_tools():
    own, attempts = silent("timed_out").error, silent("timed_out", seconds=2.04).error
    assert own is not None
    assert attempts is not None
    assert (own.phase, own.message) == ("attempt", "it did not end within 5 s")
    assert (attempts.phase, attempts.message) == (None, "it did not end within 2 s")


@pytest.mark.parametrize(
    ("how", "signal", "hostile"),
    [("broke_protocol", None, True), ("crashed", 31, True), ("crashed", 11, False), ("timed_out", None, False)],
)
def test_only_what_a_tool_cannot_do_is_hostile(how: Any, signal: int | None, hostile: bool):
    assert is_hostile(Verdict(how=how, signal=signal)) is hostile


# ---- with one -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        1.5,
        True,
        [],
        {},
        {"success": True, "message": "m"},
        {"success": None},
        {"success": 0},
        [{"success": False}],
    ],
)
def test_a_value_is_the_result_as_it_was_returned(value: Any):
    ended = returned(value)
    assert (ended.effect, ended.error) == ("done", None)
    assert ended.result == Result(structured=msgspec.Raw(msgspec.json.encode(value)))
    assert ended.report is not None
    assert (ended.report.logs, ended.report.output_bytes) == ("p", len(msgspec.json.encode(value)))


def test_a_text_is_the_text_for_the_model():
    assert returned("fine\0").result == Result(content="fine\ufffd")


def test_no_value_has_a_nul():
    ended = returned({"a\0": ["b\0", "\\u0000"]})
    assert ended.result is not None
    assert msgspec.json.decode(ended.result.structured) == {"a\ufffd": ["b\ufffd", "\\u0000"]}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "message", "details"),
    [
        ({"success": False, "message": "no such city"}, "no such city", None),
        ({"success": False}, "the tool reported that it failed", None),
        ({"success": False, "message": ""}, "the tool reported that it failed", None),
        ({"success": False, "message": {"a": 1}}, "the tool reported that it failed", {"message": {"a": 1}}),
        ({"success": False, "message": "m\0"}, "m\ufffd", None),
        ({"success": False, "message": "m", "data": {"a": ["\0"]}}, "m", {"data": {"a": ["\ufffd"]}}),
        ({"success": False, "message": "m", "data": "x" * 9_000}, "m", {"data_bytes": 9_002}),
        ({"success": False, "message": "m" * 9_000}, "m" * 2_000, None),
        ({"success": False, "error": "no such customer"}, "no such customer", None),
        ({"success": False, "detail": "d", "reason": "r"}, "d", {"reason": "r"}),
        ({"success": False, "reason": "r"}, "r", None),
        ({"success": False, "message": "", "error": "e"}, "e", None),
        ({"success": False, "error": {"code": 7}}, "the tool reported that it failed", {"error": {"code": 7}}),
        ({"success": False, "message": "m", "id\0": 7, "none": None}, "m", {"id\ufffd": 7}),
        ({"success": False, "message": "m", "a": "x" * 9_000, "b": 1}, "m", {"a_bytes": 9_002, "b": 1}),
        ({"success": False, "message": "m", "k" * 9_000: 1, "b": 1}, "m", {"b": 1}),
    ],
)
@pytest.mark.parametrize(("touched", "effect"), [(False, "none"), (True, "unknown")])
def test_a_tool_that_says_so_has_failed(value: Any, message: str, details: Any, touched: bool, effect: str):
    ended = returned(value, touched=touched)
    assert ended.error is not None
    assert (ended.error.code, ended.effect, ended.result) == ("tool_error", effect, None)
    assert (ended.error.message, ended.error.details) == (message, details)


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        ("tool_error", False),
        ("output_invalid", False),
        ("output_too_large", False),
        ("resource_exhausted", False),
        ("upstream_error", True),
        ("upstream_error", False),
    ],
)
def test_an_error_is_the_tools_own(code: Any, retryable: bool):
    said = Told(code=code, message="m", line=3, traceback=("line 3, in f",), retryable=retryable, prints="p")
    ended = told(said, touched=True)
    assert ended.error is not None
    assert (ended.error.code, ended.error.message, ended.error.retryable) == (code, "m", retryable)
    assert ended.error.status == CODES[code].status
    assert ended.error.details == {"line": 3, "traceback": ["line 3, in f"]}
    assert ended.effect == "unknown"
    assert ended.report is not None
    assert (ended.report.logs, ended.report.output_bytes) == ("p", None)


@pytest.mark.parametrize(
    ("code", "message", "denied", "shown"),
    [
        ("upstream_error", f"ConnectionError: {DENIED}", True, "egress_denied"),
        ("upstream_error", f"ConnectionError: {DENIED}", False, "upstream_error"),
        ("upstream_error", "HTTPError: 404 Client Error", True, "upstream_error"),
        ("upstream_error", "ReadTimeout: no answer", True, "upstream_error"),
        ("tool_error", f"ValueError: {DENIED}", True, "tool_error"),
    ],
)
def test_a_denial_is_what_left_the_tool_if_there_was_one(code: Any, message: str, denied: bool, shown: str):
    ended = told(Told(code=code, message=message, retryable=True), denied=denied)
    assert ended.error is not None
    assert ended.error.code == shown
    assert ended.error.retryable is (shown != "egress_denied")


# ---- secrets ------------------------------------------------------------------------------------

HIDES = Redactor({"KEY": "s3cret-value"})


def test_a_message_is_cut_where_no_secret_is_any_more():
    ended = returned({"success": False, "message": "m" * 1_990 + "s3cret-value"}, redactor=HIDES)
    assert ended.error is not None
    assert ended.error.message == "m" * 1_990 + "[redacted:"


def test_what_a_result_is_not_is_cut_where_no_secret_is_any_more():
    check = output_check({"type": "object"})
    error = check(Result(content="m" * 190 + "s3cret-value"), HIDES)
    assert error is not None
    assert "s3c" not in str(error.details)


def test_of_much_that_is_said_beside_it_a_bounded_part_is_passed_on():
    ended = returned({"success": False, "message": "m", **{f"key{number}": "x" * 100 for number in range(1_000)}})
    assert ended.error is not None
    assert 7_000 < len(msgspec.json.encode(ended.error.details)) < 9_000
