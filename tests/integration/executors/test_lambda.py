"""The lambda kind against functions in real runtimes: one attempt is one invocation, whatever becomes of it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.executors.lambdas import Invoker, failure, invoking, message
from tests.support.aws.lambda_server import LambdaServer
from tests.support.waiting import async_wait_until
from tests.unit.executors.making import json_of, value_of

from toolyard.errors import SettingsError
from toolyard_executors.executor import WELL
from toolyard_executors.kinds.aws_lambda import LambdaExecutor
from toolyard_executors.kinds.aws_lambda.patience import PATIENCE

WITHIN = 60.0
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:"


@pytest.fixture
async def invoker(lambda_server: LambdaServer) -> AsyncIterator[Invoker]:
    made = Invoker(lambda_server)
    await made.executor.open()
    yield made
    await made.executor.close()


async def until(check: Callable[[], Any], what: str) -> None:
    async def look() -> Any:
        return check()

    await async_wait_until(look, within=WITHIN, what=what)


# ---- what it is given, and what it answers ------------------------------------------------------


async def test_a_function_is_given_the_arguments_and_knows_whose_call_it_is(invoker: Invoker):
    attempt = invoker.attempt(invoking("about"), arguments={"city": "Zürich", "n": [1, None]})
    finished = await invoker.executor.run(attempt)

    seen = value_of(finished)
    assert finished.effect == "done"
    assert seen["event"] == {"city": "Zürich", "n": [1, None]}
    call = attempt.call
    assert seen["custom"].pop("traceparent").startswith("00-")
    assert seen["custom"] == {"call_id": call.call_id, "attempt": "1", "tool": "t", "version": "1"}
    assert finished.report is not None
    assert finished.report.request_id == seen["request_id"]
    assert invoker.server.count(call.call_id) == 1
    assert len(invoker.asked(attempt)) == 1


async def test_a_template_makes_what_it_is_given(invoker: Invoker):
    template = {"sku": "${arguments.sku}", "by": "call ${call_id}", "none": "${arguments.none}"}
    attempt = invoker.attempt(invoking("echo", template), arguments={"sku": ["a", 1]})

    assert value_of(await invoker.executor.run(attempt)) == {"sku": ["a", 1], "by": f"call {attempt.call.call_id}"}


@pytest.mark.parametrize(
    ("function", "qualifier", "version"),
    [
        ("echo", None, "$LATEST"),
        ("echo", "7", "7"),
        ("echo", "live", "7"),
        ("echo:live", None, "7"),
        (f"{ARN}echo", None, "$LATEST"),
        (f"{ARN}echo", "live", "7"),
        (f"{ARN}echo:7", None, "7"),
        ("123456789012:function:echo", "$LATEST", "$LATEST"),
    ],
)
async def test_each_form_of_a_functions_name_is_invoked_in_the_version_that_is_meant(
    invoker: Invoker, function: str, qualifier: str | None, version: str
):
    finished = await invoker.run(invoking(function, qualifier=qualifier), arguments={"a": 1})

    assert value_of(finished) == {"a": 1}
    assert finished.report is not None
    assert finished.report.executed_version == version
    assert invoker.server.asked[-1].qualifier == qualifier


@pytest.mark.parametrize("function", ["prints", "prints-json"])
async def test_what_it_printed_and_used_is_noted(invoker: Invoker, function: str):
    finished = await invoker.run(invoking(function), arguments={"lines": ["one", "  zwölf"]})

    report = finished.report
    assert report is not None
    assert report.logs == "one\n  zwölf\n"
    assert report.memory_limit_bytes == 128 << 20
    assert report.peak_memory_bytes is not None
    assert 1 << 20 < report.peak_memory_bytes < 128 << 20
    assert report.run_seconds is not None
    assert report.billed_seconds is not None
    assert 0 < report.run_seconds <= report.billed_seconds < WITHIN
    assert report.output_bytes == 1
    assert report.init_seconds is not None
    again = (await invoker.run(invoking(function), arguments={"lines": []})).report
    assert again is not None
    assert (again.logs, again.init_seconds) == ("", None)  # it was there already


async def test_of_a_long_log_the_end_is_kept_in_whole_lines(invoker: Invoker):
    lines = [f"line {number:03} {'x' * 50}" for number in range(500)]
    finished = await invoker.run(invoking("prints"), arguments={"lines": lines})

    assert finished.report is not None
    kept = finished.report.logs.splitlines()
    assert 40 < len(kept) < 100
    assert kept == lines[-len(kept) :]


async def test_an_event_ends_when_lambda_has_taken_it_and_its_function_runs_once(invoker: Invoker):
    template = {"call": "${call_id}"}
    attempt = invoker.attempt(invoking("about", template, invocation_type="Event"))
    finished = await invoker.executor.run(attempt)

    assert (finished.effect, finished.error) == ("done", None)
    assert json_of(finished.result)["accepted"] is True
    assert finished.report is not None
    assert json_of(finished.result)["request_id"] == finished.report.request_id

    def ran() -> list[Any]:
        return [one for one in invoker.server.ran if one.event == {"call": attempt.call.call_id}]

    await until(ran, "the function")
    asked = invoker.server.asked[-1]
    assert (len(ran()), asked.kind) == (1, "Event")
    assert not {"x-amz-client-context", "x-amz-log-type"} & asked.headers.keys()


# ---- streams ------------------------------------------------------------------------------------


async def test_a_stream_is_read_to_its_end(invoker: Invoker):
    attempt = invoker.attempt(invoking("prints", response_streaming=True), arguments={"lines": ["hello"]})
    finished = await invoker.executor.run(attempt)

    assert (finished.effect, value_of(finished)) == ("done", 1)
    assert finished.report is not None
    assert finished.report.logs == "hello\n"
    assert finished.report.billed_seconds is not None
    assert invoker.server.count(attempt.call.call_id) == 1
    assert value_of(await invoker.run(invoking("echo:live", response_streaming=True), arguments={"a": "é" * 999})) == {
        "a": "é" * 999
    }


async def test_a_function_that_fails_at_the_end_of_a_stream_has_failed(invoker: Invoker):
    finished = await invoker.run(invoking("raises", response_streaming=True), arguments={"text": "none left"})

    assert failure(finished) == ("tool_error", "unknown", False)
    assert message(finished) == "OutOfStockError: none left"


@pytest.mark.parametrize("how", ["during", "error", "after"])
async def test_a_stream_that_breaks_off_may_have_had_an_effect(invoker: Invoker, how: str):
    invoker.server.drop("echo", how)
    attempt = invoker.attempt(invoking("echo", response_streaming=True), arguments={"a": "x" * 300})
    finished = await invoker.executor.run(attempt)

    assert failure(finished) == ("upstream_error", "unknown", True)
    assert len(invoker.asked(attempt)) == 1
    assert value_of(await invoker.run(invoking("echo"), arguments={"a": 1})) == {"a": 1}


async def test_of_a_stream_without_end_no_more_is_read_than_is_passed_on(invoker: Invoker):
    finished = await invoker.run(invoking("many", response_streaming=True), arguments={"bytes": 3_000_000})

    assert failure(finished) == ("output_too_large", "unknown", False)
    assert value_of(await invoker.run(invoking("many", response_streaming=True), arguments={"bytes": 9})) == "x" * 9


# ---- functions that fail ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "expected", "said"),
    [
        ("raises", ("tool_error", "unknown", False), "OutOfStockError: there is none"),
        ("raises-handled", ("tool_error", "unknown", False), "OutOfStockError: there is none"),
        ("not-json", ("tool_error", "unknown", False), "Runtime.MarshalError: Unable to marshal response"),
        ("exits", ("tool_error", "unknown", False), "exit status 3"),
        ("dies", ("resource_exhausted", "unknown", False), "signal: killed"),
        ("too-slow", ("timed_out", "unknown", False), "Task timed out after 0.50 seconds"),
        ("does-not-load", ("tool_error", "none", False), "No module named 'no_such_module'"),
        ("no-handler", ("tool_error", "none", False), "'no_such_handler' missing"),
    ],
)
async def test_a_function_that_fails_is_invoked_once_and_told_as_it_failed(
    invoker: Invoker, function: str, expected: tuple[str, str, bool], said: str
):
    attempt = invoker.attempt(invoking(function))
    finished = await invoker.executor.run(attempt)

    assert failure(finished) == expected
    assert said in message(finished)
    assert len(invoker.asked(attempt)) == 1
    assert invoker.server.count(attempt.call.call_id) == 1
    assert finished.report is not None
    assert finished.report.billed_seconds is not None


async def test_the_log_of_a_function_that_failed_says_where(invoker: Invoker):
    finished = await invoker.run(invoking("raises"), arguments={"sku": "apple"})

    assert finished.report is not None
    first, second, *more = finished.report.logs.splitlines()
    assert (first, second) == ("looking for apple", "[ERROR] OutOfStockError: there is none")
    assert any("handlers.py" in line for line in more)
    assert "handlers.py" not in str(finished.error)


# ---- what Lambda does not do --------------------------------------------------------------------


async def test_throttled_then_fine_is_two_attempts_and_one_run(invoker: Invoker):
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    invoker.server.fail(
        "echo", 429, "TooManyRequestsException", fields={"Reason": reason}, headers={"Retry-After": "2"}
    )
    attempt = invoker.attempt(invoking("echo"), arguments={"a": 1})
    first = await invoker.executor.run(attempt)

    assert failure(first) == ("rate_limited", "none", True)
    assert first.error is not None
    assert first.error.retry_after == 2
    assert first.error.details is not None
    assert first.error.details["reason"] == reason
    assert value_of(await invoker.executor.run(attempt)) == {"a": 1}
    assert (len(invoker.asked(attempt)), invoker.server.count(attempt.call.call_id)) == (2, 1)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (500, "ServiceException", ("upstream_error", "unknown", True)),
        (502, "EC2ThrottledException", ("upstream_error", "none", True)),
        (502, "KMSDisabledException", ("upstream_error", "none", False)),
        (503, "ServiceUnavailable", ("upstream_error", "unknown", True)),
        (400, "InvalidRequestContentException", ("upstream_error", "none", False)),
        (409, "ResourceConflictException", ("upstream_error", "none", True)),
    ],
)
async def test_what_lambda_answers_instead_is_no_reason_to_ask_again(
    invoker: Invoker, monkeypatch: pytest.MonkeyPatch, status: int, code: str, expected: tuple[str, str, bool]
):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    eager = Invoker(invoker.server)
    await eager.executor.open()
    eager.server.fail("echo", status, code, fields={"Message": "as the test says"})
    attempt = eager.attempt(invoking("echo"))
    finished = await eager.executor.run(attempt)

    assert failure(finished) == expected
    assert "as the test says" in message(finished)
    assert len(eager.asked(attempt)) == 1
    assert not eager.server.faults["echo"]
    await eager.executor.close()


@pytest.mark.parametrize(("function", "qualifier"), [("no-such", None), ("echo", "99"), (f"{ARN}no-such", None)])
async def test_a_function_or_version_that_is_not_there_is_named(invoker: Invoker, function: str, qualifier: str | None):
    finished = await invoker.run(invoking(function, qualifier=qualifier))

    assert failure(finished) == ("not_found", "none", False)
    version = f" ({qualifier})" if qualifier else ""
    assert message(finished) == f"the function {function}{version} in eu-central-1 does not exist"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_connection_that_breaks_may_have_had_an_effect_and_is_not_tried_again(invoker: Invoker, when: str):
    invoker.server.drop("echo", when)
    attempt = invoker.attempt(invoking("echo"))
    finished = await invoker.executor.run(attempt)

    assert failure(finished) == ("upstream_error", "unknown", True)
    assert (len(invoker.asked(attempt)), invoker.server.count(attempt.call.call_id)) == (1, int(when == "after"))


async def test_a_connection_that_was_closed_while_nobody_used_it_is_not_used(invoker: Invoker):
    for number in range(3):
        assert value_of(await invoker.run(invoking("echo"), arguments={"n": number})) == {"n": number}
        await until(invoker.server.hang_up, "an idle connection")


@pytest.mark.parametrize(("kind", "limit"), [("RequestResponse", 6 << 20), ("Event", 1 << 20)])
async def test_what_lambda_would_not_take_is_not_sent(invoker: Invoker, kind: str, limit: int):
    asked = len(invoker.server.asked)
    attempt = invoker.attempt(invoking("many", invocation_type=kind), arguments={"bytes": 1, "text": "x" * limit})
    finished = await invoker.executor.run(attempt)

    assert failure(finished) == ("payload_too_large", "none", False)
    assert not attempt.touched
    assert len(invoker.server.asked) == asked


async def test_what_lambda_takes_at_most_arrives(invoker: Invoker):
    arguments = {"bytes": 1, "text": "x" * ((6 << 20) - len('{"bytes":1,"text":""}'))}

    assert value_of(await invoker.run(invoking("many"), arguments=arguments)) == "x"


# ---- threads ------------------------------------------------------------------------------------


async def test_as_many_are_in_flight_as_the_worker_runs_at_a_time(lambda_server: LambdaServer):
    many = Invoker(lambda_server, concurrency=200)
    await many.executor.open()
    attempts = [many.attempt(invoking("sleeps"), timeout=60) for _ in range(200)]
    running = [many.begin(attempt) for attempt in attempts]
    ids = {attempt.call.call_id for attempt in attempts}

    def asked() -> int:
        return len({one.custom.get("call_id") for one in lambda_server.asked} & ids)

    await until(lambda: asked() == 200, "all of them")
    assert all(attempt.touched for attempt in attempts)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert many.left_behind == 200
    await many.executor.close()


async def test_who_is_cancelled_ends_at_once_and_the_late_answer_is_dropped(invoker: Invoker, tmp_path: Path):
    answers = tmp_path / "answers"
    attempt = invoker.attempt(invoking("waits"), arguments={"for": str(answers)}, timeout=300)
    running = invoker.begin(attempt)
    await until(lambda: invoker.server.count(attempt.call.call_id) == 1, "the function")
    running.cancel()
    ended = await asyncio.gather(running, return_exceptions=True)

    assert isinstance(ended[0], asyncio.CancelledError)
    assert attempt.touched
    assert invoker.left_behind == 1
    assert value_of(await invoker.run(invoking("echo"), arguments={"a": 1})) == {"a": 1}
    answers.touch()
    await until(lambda: invoker.left_behind == 0, "the late answer")
    assert invoker.server.count(attempt.call.call_id) == 1


async def test_a_thread_does_not_wait_much_longer_than_its_attempt(invoker: Invoker):
    attempt = invoker.attempt(invoking("sleeps"), timeout=3)
    running = invoker.begin(attempt)
    await until(lambda: attempt.touched, "the request")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    await until(lambda: invoker.left_behind == 0, "the end of its thread")


async def test_what_had_no_thread_in_its_time_was_never_sent(lambda_server: LambdaServer):
    narrow = Invoker(lambda_server, concurrency=1)
    await narrow.executor.open()
    asleep = [narrow.attempt(invoking("sleeps"), timeout=60) for _ in range(2)]
    left = [narrow.begin(attempt) for attempt in asleep]
    await until(lambda: all(attempt.touched for attempt in asleep), "both threads")
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    assert narrow.executor.standing().reason == "all 2 threads wait for functions whose calls have ended"
    third = narrow.attempt(invoking("echo"))
    waiting = narrow.begin(third)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert not third.touched
    assert narrow.left_behind == 3
    await narrow.executor.close()
    assert narrow.asked(third) == []


# ---- the executor itself ------------------------------------------------------------------------


async def test_it_stands_well_and_counts_its_threads_and_clients(invoker: Invoker):
    await invoker.run(invoking("echo"))

    standing = invoker.executor.standing()
    assert (standing.reason, dict(standing.details)) == ("", {})
    assert invoker.metric('toolyard_lambda_threads{state="wanted"}') == 0
    assert (invoker.metric("toolyard_lambda_clients"), invoker.metric("toolyard_lambda_roles_assumed_total")) == (1, 0)


async def test_settings_of_aws_that_are_wrong_stop_the_start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    executor = LambdaExecutor(concurrency=1)
    with pytest.raises(SettingsError, match="not-there"):
        await executor.open()
    assert executor.standing() == WELL


async def test_the_interpreter_is_left_as_it_was_found(lambda_server: LambdaServer, monkeypatch: pytest.MonkeyPatch):
    found = sys.getswitchinterval()
    one, other = Invoker(lambda_server).executor, Invoker(lambda_server).executor
    await one.open()
    await other.open()
    assert sys.getswitchinterval() == pytest.approx(max(PATIENCE, found))
    await one.close()
    assert sys.getswitchinterval() == pytest.approx(max(PATIENCE, found))
    await other.close()
    await other.close()
    assert sys.getswitchinterval() == pytest.approx(found)

    monkeypatch.setenv("AWS_PROFILE", "not-there")
    with pytest.raises(SettingsError):
        await one.open()
    assert sys.getswitchinterval() == pytest.approx(found)


async def test_who_is_not_open_runs_nothing(lambda_server: LambdaServer):
    shut = Invoker(lambda_server)
    with pytest.raises(RuntimeError, match="not open"):
        await shut.run(invoking("echo"))
