"""The arcade kind against real tools: one attempt is one run, and none without its user's consent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.integration.executors.arcades import Runner, asked_for, failure, of_arcade
from tests.support.arcade.engine import KEY, ArcadeEngine
from tests.support.processes import free_port
from tests.support.waiting import async_wait_until
from tests.unit.executors.making import value_of

from toolyard.contracts.tools import ARCADE_KEY
from toolyard_executors.executor import WELL

#: What a mail needs.
MAIL = {"to": "bob", "text": "hello"}
ADD = {"a": 1, "b": 2}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runner(arcade_engine: ArcadeEngine) -> AsyncIterator[Runner]:
    made = Runner(arcade_engine)
    await made.executor.open()
    yield made
    await made.executor.close()


# ---- what it is given, and what it answers ------------------------------------------------------


async def test_a_tool_is_run_once_with_its_arguments_and_answers(runner: Runner):
    attempt = runner.attempt(of_arcade("Add"), arguments={"a": 2, "b": 40})
    finished = await runner.executor.run(attempt)

    assert (finished.effect, value_of(finished)) == ("done", 42)
    assert attempt.touched
    assert runner.engine.count(attempt.call.call_id) == (1, 1)
    report = finished.report
    assert report is not None
    assert report.request_id is not None
    assert report.request_id.startswith("te_")
    assert report.run_seconds is not None
    assert (report.output_bytes, report.logs) == (2, "")


async def test_the_engine_learns_whose_call_it_is(runner: Runner):
    finished = await runner.run("Whoami", call_id="c-whoami")

    assert value_of(finished)["user"] == "ann"
    asked = runner.engine.executes[-1]
    assert (asked.call_id, asked.user, asked.version) == ("c-whoami", "ann", None)
    assert asked.headers["authorization"] == KEY
    assert asked.headers["traceparent"].startswith("00-")


async def test_a_tool_runs_in_the_version_that_is_pinned(runner: Runner):
    version = runner.engine.version("Yard.Add")
    ran = runner.attempt(of_arcade("Add", tool_version=version), arguments={"a": 1, "b": 1})
    gone = runner.attempt(of_arcade("Add", tool_version="0.0.0"), arguments={"a": 1, "b": 1})

    assert value_of(await runner.executor.run(ran)) == 2
    assert runner.engine.executes[-1].version == version
    finished = await runner.executor.run(gone)
    assert failure(finished) == ("not_found", "none", False)
    assert finished.error is not None
    assert "Yard.Add 0.0.0" in finished.error.message
    assert runner.engine.count(gone.call.call_id) == (0, 0)


@pytest.mark.parametrize("value", [{}, {"a": [1, ["b", None]], "c": {"d": 2**53}}, {"text": "ü 日本 😀"}])
async def test_values_come_back_as_they_went(runner: Runner, value: dict[str, Any]):
    assert value_of(await runner.run("Echo", {"value": value})) == value


async def test_a_tool_that_answers_nothing_answered_an_empty_text(runner: Runner):
    """Arcade's worker makes that of None."""
    finished = await runner.run("Nothing")

    assert (finished.effect, value_of(finished)) == ("done", "")


# ---- tools that fail ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "expected", "said"),
    [
        ("Raises", {"text": "none left"}, ("tool_error", "unknown", False), ""),
        ("Fatal", {"text": "none left"}, ("tool_error", "unknown", False), "none left"),
        ("AsksAgain", {"text": "which?", "prompt": "p"}, ("tool_error", "unknown", True), "which?"),
        ("NeedsMore", {"prompt": "p"}, ("tool_error", "none", False), "which Ann?"),
        ("Upstream", {"status": 400}, ("validation_failed", "none", False), "it answered 400"),
        ("Upstream", {"status": 401}, ("permission_denied", "none", False), "it answered 401"),
        ("Upstream", {"status": 404}, ("not_found", "none", False), "it answered 404"),
        ("Upstream", {"status": 422}, ("validation_failed", "none", False), "it answered 422"),
        ("Upstream", {"status": 429}, ("rate_limited", "none", True), "too many"),
        ("Upstream", {"status": 503}, ("upstream_error", "unknown", True), "it answered 503"),
        ("Add", {"a": "x", "b": 1}, ("validation_failed", "none", False), ""),
        ("Add", {"a": 1}, ("validation_failed", "none", False), ""),
    ],
)
async def test_a_tool_that_fails_is_run_once_and_told_as_it_failed(
    runner: Runner, tool: str, arguments: dict[str, Any], expected: tuple[str, str, bool], said: str
):
    attempt = runner.attempt(of_arcade(tool), arguments=arguments)
    finished = await runner.executor.run(attempt)

    assert failure(finished) == expected
    assert finished.error is not None
    assert said in finished.error.message
    assert finished.error.message
    assert runner.engine.count(attempt.call.call_id) == (1, 1)
    assert finished.report is not None
    assert finished.report.request_id is not None


async def test_a_tool_says_to_the_model_what_to_do_and_when(runner: Runner):
    finished = await runner.run("AsksAgain", {"text": "which?", "prompt": "Known: ann@x, ann@y."})

    assert finished.error is not None
    assert finished.error.model_message.endswith("\nKnown: ann@x, ann@y.")
    assert finished.error.retry_after == 1.5
    assert finished.error.details is not None
    assert finished.error.details["kind"] == "TOOL_RUNTIME_RETRY"


async def test_what_developers_are_told_stands_in_the_log_of_the_call_alone(runner: Runner):
    finished = await runner.run("Fatal", {"text": "none left"})

    assert finished.report is not None
    assert finished.report.logs.startswith("developer: ")
    assert "line 7 of the tool" in finished.report.logs
    assert "line 7" not in str(finished.error)


# ---- consent ------------------------------------------------------------------------------------


async def test_a_tool_whose_user_has_not_consented_is_not_run(runner: Runner):
    attempt = runner.attempt(of_arcade("SendMail"), arguments=MAIL, user="carol")
    finished = await runner.executor.run(attempt)

    asked = asked_for(finished)
    assert (finished.effect, attempt.touched) == ("none", False)
    assert (asked.provider, asked.scopes) == ("arcade/yard-mail", ("mail.send", "mail.read"))
    assert asked.url == f"{runner.engine.url}/fake/consents/{asked.authorization_id}"
    assert attempt.call.accepted_at < asked.expires_at <= attempt.call.deadline
    assert runner.engine.count(attempt.call.call_id) == (0, 0)


async def test_consent_that_was_given_lets_the_next_attempt_run(runner: Runner):
    first = asked_for(await runner.run("SendMail", MAIL, user="dave"))
    again = asked_for(await runner.run("SendMail", MAIL, user="dave"))
    async with httpx.AsyncClient(trust_env=False) as browser:
        assert (await browser.get(first.url)).is_success
        assert (await browser.post(f"{first.url}/grant")).text == "completed\n"
    finished = await runner.run("SendMail", MAIL, user="dave")

    assert again.authorization_id == first.authorization_id
    assert value_of(finished) == {**MAIL, "user": "dave", "token": "token-of-dave"}


async def test_another_users_consent_is_none(runner: Runner):
    runner.engine.grant("erin", "yard-mail")

    assert value_of(await runner.run("SendMail", MAIL, user="erin"))["token"] == "token-of-erin"
    finished = await runner.run("SendMail", MAIL, user="frank")
    assert asked_for(finished).provider == "arcade/yard-mail"
    assert asked_for(await runner.run("SendMail", MAIL, user="Erin")).authorization_id


async def test_users_of_two_orgs_have_nothing_in_common_where_each_has_its_own_key(runner: Runner):
    runner.engine.keys["arc_another-project"] = "another"
    runner.engine.grant("gina", "yard-mail")
    finished = await runner.run("SendMail", MAIL, user="gina", secrets={ARCADE_KEY: "arc_another-project"})

    assert asked_for(finished).provider == "arcade/yard-mail"


async def test_consent_is_looked_at_anew_before_each_run(runner: Runner):
    runner.engine.grant("hugo", "yard-mail")
    assert (await runner.run("SendMail", MAIL, user="hugo")).effect == "done"
    runner.engine.revoke("hugo", "yard-mail")

    assert asked_for(await runner.run("SendMail", MAIL, user="hugo")).provider == "arcade/yard-mail"


async def test_consent_that_was_taken_back_a_moment_ago_is_asked_for_again(runner: Runner):
    """Between the question whether the user has consented and the run."""
    runner.engine.grant("iris", "yard-mail")
    runner.engine.fail("execute", status=403, message="the user has not authorized the tool", revokes=True)
    attempt = runner.attempt(of_arcade("SendMail"), arguments=MAIL, user="iris")
    finished = await runner.executor.run(attempt)

    assert asked_for(finished).provider == "arcade/yard-mail"
    assert (finished.effect, runner.engine.count(attempt.call.call_id)) == ("none", (1, 0))


async def test_an_authorization_in_the_output_is_a_question_too(runner: Runner):
    asked = {"id": "auth_9", "status": "pending", "url": "https://accounts.example.com/x", "provider_id": "other"}
    runner.engine.fail("execute", status=200, answer={"success": False, "output": {"authorization": asked}})
    finished = await runner.run("Add", ADD)

    assert (asked_for(finished).authorization_id, asked_for(finished).provider) == ("auth_9", "arcade/other")
    assert finished.effect == "none"


async def test_who_may_not_run_it_although_the_user_has_consented(runner: Runner):
    runner.engine.fail("execute", status=403)

    assert failure(await runner.run("Add", ADD)) == ("permission_denied", "none", False)


# ---- what Arcade does not do --------------------------------------------------------------------


@pytest.mark.parametrize("path", ["authorize", "execute"])
async def test_throttled_then_fine_is_two_attempts_and_one_run(runner: Runner, path: str):
    runner.engine.fail(path, status=429, headers={"Retry-After": "2"})
    attempt = runner.attempt(of_arcade("Add"), arguments=ADD)
    first = await runner.executor.run(attempt)
    second = await runner.executor.run(attempt)

    assert failure(first) == ("rate_limited", "none", True)
    assert first.error is not None
    assert first.error.retry_after == 2.0
    assert value_of(second) == 3
    assert runner.engine.count(attempt.call.call_id) == (1 + (path == "execute"), 1)


@pytest.mark.parametrize(("path", "effect", "times"), [("authorize", "none", (0, 0)), ("execute", "unknown", (1, 0))])
async def test_a_failure_of_arcade_itself_is_not_tried_again_here(
    runner: Runner, path: str, effect: str, times: tuple[int, int]
):
    runner.engine.fail(path, status=503)
    attempt = runner.attempt(of_arcade("Add"), arguments=ADD)

    assert failure(await runner.executor.run(attempt)) == ("upstream_error", effect, True)
    assert runner.engine.count(attempt.call.call_id) == times


@pytest.mark.parametrize(("when", "ran"), [("before", 0), ("after", 1)])
async def test_a_connection_that_breaks_is_not_tried_again_here(runner: Runner, when: str, ran: int):
    runner.engine.fail("execute", drop=when)
    attempt = runner.attempt(of_arcade("Add"), arguments=ADD)

    assert failure(await runner.executor.run(attempt)) == ("upstream_error", "unknown", True)
    assert runner.engine.count(attempt.call.call_id) == (1, ran)
    assert value_of(await runner.run("Add", ADD)) == 3


async def test_a_connection_that_breaks_before_the_run_had_no_effect(runner: Runner):
    runner.engine.fail("authorize", drop="before")

    assert failure(await runner.run("Add", ADD)) == ("upstream_error", "none", True)


async def test_a_tool_that_is_not_there(runner: Runner):
    finished = await runner.run("NoSuchTool")

    assert failure(finished) == ("not_found", "none", False)


async def test_a_key_that_was_revoked(runner: Runner):
    finished = await runner.run("Add", ADD, secrets={ARCADE_KEY: "arc_revoked"})

    assert failure(finished) == ("permission_denied", "none", False)
    assert finished.error is not None
    assert "ARCADE_API_KEY" in finished.error.message
    assert "arc_revoked" not in str(finished)


async def test_without_a_key_nobody_is_asked(runner: Runner):
    before = runner.engine.authorizes
    finished = await runner.run("Add", ADD, secrets={})

    assert failure(finished) == ("tool_error", "none", False)
    assert finished.error is not None
    assert "toolyard secrets set ARCADE_API_KEY" in finished.error.message
    assert runner.engine.authorizes == before


@pytest.mark.parametrize(("path", "effect"), [("authorize", "none"), ("execute", "unknown")])
@pytest.mark.parametrize("body", ["<html>", "[]", '{"output": 7, "status": 7}'])
async def test_whoever_answers_otherwise_is_not_arcade(runner: Runner, path: str, effect: str, body: str):
    runner.engine.fail(path, status=200, body=body)

    assert failure(await runner.run("Add", ADD)) == ("upstream_error", effect, True)


async def test_a_redirect_is_not_followed(runner: Runner):
    runner.engine.fail("execute", status=307, headers={"Location": "/v1/tools/execute"})
    attempt = runner.attempt(of_arcade("Add"), arguments=ADD)

    assert failure(await runner.executor.run(attempt)) == ("upstream_error", "unknown", False)
    assert runner.engine.count(attempt.call.call_id) == (1, 0)


async def test_of_an_answer_without_end_no_more_is_read_than_there_is_use_for(runner: Runner):
    finished = await runner.run("Many", {"size": 5_000_000})

    assert failure(finished) == ("output_too_large", "unknown", False)
    assert value_of(await runner.run("Add", ADD)) == 3


async def test_where_nobody_listens_nothing_happened(arcade_engine: ArcadeEngine):
    away = Runner(arcade_engine, url=f"http://127.0.0.1:{free_port()}")
    await away.executor.open()
    finished = await away.run("Add", ADD)
    await away.executor.close()

    assert failure(finished) == ("upstream_error", "none", True)


# ---- many, and none -----------------------------------------------------------------------------


async def test_who_is_cancelled_ends_at_once(runner: Runner):
    attempt = runner.attempt(of_arcade("Naps"), arguments={"seconds": 20.0})
    running = asyncio.create_task(runner.executor.run(attempt))

    async def ran() -> bool:
        return runner.engine.count(attempt.call.call_id) == (1, 1)

    await async_wait_until(ran, within=60, what="the run")
    running.cancel()
    (ended,) = await asyncio.gather(running, return_exceptions=True)

    assert isinstance(ended, asyncio.CancelledError)
    assert attempt.touched
    assert value_of(await runner.run("Add", ADD)) == 3


async def test_keys_side_by_side_do_not_mix(runner: Runner):
    runner.engine.keys["arc_second"] = "second"
    keys = [KEY, "arc_second"] * 8
    attempts = [runner.attempt(of_arcade("Whoami"), secrets={ARCADE_KEY: key}) for key in keys]
    await asyncio.gather(*(runner.executor.run(attempt) for attempt in attempts))

    sent = {one.call_id: one.headers["authorization"] for one in runner.engine.executes}
    assert [sent[attempt.call.call_id] for attempt in attempts] == keys


async def test_who_is_not_open_runs_nothing(arcade_engine: ArcadeEngine):
    shut = Runner(arcade_engine)
    assert shut.executor.standing() == WELL
    with pytest.raises(RuntimeError, match="not open"):
        await shut.run("Add", ADD)
