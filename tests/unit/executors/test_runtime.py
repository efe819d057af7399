"""One attempt's life: each way it may end, what is told of it, and when its delivery is settled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from tests.unit.executors.fakes import (
    ENVELOPE,
    HandClock,
    HandExecutor,
    HandTransport,
    a_delivery,
    disconnect,
    settled,
)
from tests.unit.executors.house import until
from tests.unit.executors.making import a_call, a_message, a_tool, json_of

from toolyard.contracts.calls import VERSION, Authorization, Report, Result, error_info
from toolyard.contracts.control import Cancel, Pause
from toolyard.contracts.events import (
    Cancelled,
    Ended,
    Expired,
    Failed,
    Parked,
    SoftTimeout,
    Started,
    Succeeded,
    TimedOut,
    sequence,
)
from toolyard.contracts.tools import RetryPolicy, SandboxBinding
from toolyard.errors import Unavailable, Unconfirmed
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Message
from toolyard_executors import runtime as runtime_module
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished, failed, needs_consent
from toolyard_executors.outputs import MAX_RESULT
from toolyard_executors.pauses import Pauses
from toolyard_executors.runtime import Runtime

SECRETS = {"TOKEN": "s3cret-value"}
PAUSES = [
    Pause(v=VERSION, sender="g", time=0.0, kind="tool", org="default", name="t"),
    Pause(v=VERSION, sender="g", time=0.0, kind="org", org="default", name="default"),
]
RERUNNABLE: dict[str, Any] = {"rerunnable": True}


class House:
    """A runtime with all that stands around it."""

    def __init__(self, act: Callable[[Attempt], Awaitable[Finished]] | None = None) -> None:
        self.clock = HandClock()
        self.transport = HandTransport()
        self.executor = HandExecutor(act)
        self.cancellations = Cancellations()
        self.pauses = Pauses()
        self.pauses.learn((), now=self.clock.time - 60)
        self.runtime = Runtime(
            executor=self.executor,
            transport=self.transport,
            envelope=ENVELOPE,
            get_secret=lambda org, name: SECRETS.get(name),
            cancellations=self.cancellations,
            pauses=self.pauses,
            clock=self.clock,
            worker_id="w1",
            concurrency=3,
        )
        self.ledger = self.transport.ledger
        self.ledger.tell = self.runtime.claims.answered  # type: ignore[assignment]

    def delivery(self, *, count: int = 0, tool: Any = None, message: dict[str, Any] | None = None, **call) -> Delivery:
        accepted = a_call(now=self.clock.time, **call)
        return a_delivery(a_message(accepted, tool or a_tool(), **(message or {})), count=count)

    async def end(self, **options: Any) -> Ended:
        """Runs one delivery that is acked, and returns its outcome."""
        delivery = self.delivery(**options)
        await self.runtime.run(delivery)
        assert settled(delivery) == ["ack"]
        return self.transport.end()


def a_cancel(org: str, call_id: str = "", **more: Any) -> Cancel:
    return Cancel(**{"v": VERSION, "sender": "g", "time": 0.0, "org": org, "call_id": call_id, **more})


def answers(result: Result | None = None, effect: Any = "done"):
    async def act(attempt: Attempt) -> Finished:
        attempt.reached_out()
        return Finished(effect, result)

    return act


# ---- the ordinary way ---------------------------------------------------------------------------


async def test_a_call_is_run_told_and_acked():
    house = House(answers(Result(content="21 °C")))
    end = await house.end(arguments={"a": 1})
    assert isinstance(end, Succeeded)
    assert end.result == Result(content="21 °C")
    assert (end.effect, end.attempt, end.worker, end.by, end.final) == ("done", 1, "w1", "executor", True)
    assert (end.started_at, end.finished_at, end.announced) == (house.clock.time, house.clock.time, False)
    assert end.sequence // sequence(1, 0) == 1
    [attempt] = house.executor.attempts
    assert (attempt.plan, attempt.number, attempt.remaining) == ("a plan", 1, 30.0)


async def test_the_ack_follows_the_confirm():
    house = House()
    house.transport.held = asyncio.get_running_loop().create_future()
    delivery = house.delivery()
    running = asyncio.create_task(house.runtime.run(delivery))
    await house.transport.told.wait()
    assert settled(delivery) == []
    house.transport.held.set_result(None)
    await running
    assert settled(delivery) == ["ack"]


async def test_a_failure_is_told_as_the_kind_says_it():
    async def act(attempt: Attempt) -> Finished:
        return failed("upstream_error", "it answered 503", "unknown", retry_after=7.0)

    end = await House(act).end()
    assert isinstance(end, Failed)
    assert end.error is not None
    assert (end.effect, end.error.code, end.error.retry_after, end.result) == ("unknown", "upstream_error", 7.0, None)


async def test_a_version_is_read_once():
    house = House()
    for _ in range(3):
        await house.runtime.run(house.delivery())
    assert house.executor.prepared == 1


# ---- what is not run ----------------------------------------------------------------------------


def tampered(delivery: Delivery) -> None:
    delivery.body = delivery.body.replace(b'"v":1', b'"v":2')


def unsigned(delivery: Delivery) -> None:
    delivery.headers = {}


def elsewhere(delivery: Delivery) -> None:
    delivery.key = delivery.key.replace(".default.", ".other.")


@pytest.mark.parametrize("spoil", [tampered, unsigned, elsewhere])
async def test_what_does_not_verify_is_quarantined(spoil):
    house = House()
    delivery = house.delivery()
    spoil(delivery)
    await house.runtime.run(delivery)
    assert settled(delivery) == ["ack"]
    assert house.executor.attempts == []
    [message] = house.transport.published
    assert (message.key, message.body) == (topology.quarantine_key("http"), delivery.body)
    assert str(message.headers["toolyard-reason"]).startswith("security_violation: ")


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"{", "parse_error"), (b'{"v":9}', "version_gone"), (b"\xff\x00", "parse_error"), (b"[" * 10_000, "parse_error")],
)
async def test_what_does_not_decode_is_quarantined(body, reason):
    house = House()
    call = house.delivery()
    message_id, headers = "m", {"toolyard-signature": sign(call.exchange, call.key, "m", body)}
    delivery = a_delivery(Message(call.exchange, call.key, body, message_id, headers))
    await house.runtime.run(delivery)
    assert settled(delivery) == ["ack"]
    assert str(house.transport.published[0].headers["toolyard-reason"]).startswith(reason)


def sign(exchange: str, key: str, message_id: str, body: bytes) -> str:
    from tests.unit.executors.fakes import KEYRING

    return KEYRING.sign(exchange, key, message_id, "", body)


async def test_what_is_not_quarantined_is_not_acked():
    house = House()
    delivery = house.delivery()
    unsigned(delivery)
    disconnect(delivery)
    house.transport.failures = [Unavailable("away")]
    await house.runtime.run(delivery)
    assert settled(delivery) == []


async def test_a_binding_of_another_pool_is_quarantined_and_the_call_ends():
    house = House()
    end = await house.end(tool=a_tool(SandboxBinding(code="")))
    assert isinstance(end, Failed)
    assert end.error is not None
    assert (end.error.code, end.effect, end.started_at) == ("internal", "none", None)
    assert [message.key.split(".")[0] for message in house.transport.published] == ["quarantine", "call"]


async def test_a_tool_that_can_never_run_ends_the_call():
    end = await House().end(tool=a_tool(output={"$ref": "https://example.com/schema"}))
    assert end.error is not None
    assert (end.error.code, end.effect) == ("internal", "none")


@pytest.mark.parametrize(
    ("age", "options"),
    [
        (300.0, {}),
        (0.0, {"message": {"budget": 0.0}}),
        (5.1, {"queue_timeout": 5.0}),
    ],
)
async def test_what_is_overdue_is_not_started(age, options):
    house = House()
    delivery = house.delivery(**options, **RERUNNABLE)
    house.clock.time += age
    await house.runtime.run(delivery)
    end = house.transport.end()
    assert isinstance(end, Expired)
    assert end.error is not None
    assert (end.error.code, end.error.phase, end.effect, end.started_at) == ("expired", "queue", "none", None)
    assert (settled(delivery), house.executor.attempts) == (["ack"], [])


@pytest.mark.parametrize("rerunnable", [False, True])
@pytest.mark.parametrize("why", ["cancelled", "withdrawn"])
async def test_what_was_cancelled_before_is_not_started(why, rerunnable):
    house = House()
    delivery = house.delivery(call_id="c1", rerunnable=rerunnable)
    house.cancellations.note("default", "c1", why)
    await house.runtime.run(delivery)
    end = house.transport.end()
    assert isinstance(end, Cancelled)
    assert end.error is not None
    assert (end.error.code, end.effect, house.executor.attempts) == ("cancelled", "none", [])
    assert why in end.error.message


@pytest.mark.parametrize("message", PAUSES)
async def test_a_first_delivery_of_what_is_paused_is_parked(message):
    house = House()
    house.pauses.hear(message)
    delivery = house.delivery(**RERUNNABLE)
    await house.runtime.run(delivery)
    [event] = house.transport.events()
    assert isinstance(event, Parked)
    assert (event.reason, event.by, event.attempt, event.due_at) == ("paused", "executor", 1, None)
    assert (settled(delivery), house.executor.attempts) == (["ack"], [])


async def test_what_is_paused_is_not_acked_before_that_is_known():
    house = House()
    house.pauses.hear(PAUSES[0])
    delivery = house.delivery(**RERUNNABLE)
    disconnect(delivery)
    house.transport.failures = [Unavailable("away")]
    await house.runtime.run(delivery)
    assert (settled(delivery), house.transport.published) == ([], [])


async def test_whether_what_needs_a_claim_is_paused_the_ledger_says():
    house = House()
    house.pauses.hear(PAUSES[0])
    assert isinstance(await house.end(), Succeeded)


async def test_another_orgs_cancel_changes_nothing():
    house = House()
    house.cancellations.note("other", "c1", "cancelled")
    assert isinstance(await house.end(call_id="c1"), Succeeded)


@pytest.mark.parametrize("rerunnable", [False, True])
async def test_a_delivery_whose_connection_is_gone_is_dropped_in_silence(rerunnable):
    house = House()
    delivery = house.delivery(rerunnable=rerunnable)
    disconnect(delivery)
    await house.runtime.run(delivery)
    assert (settled(delivery), house.transport.published, house.executor.attempts) == ([], [], [])
    assert house.ledger.claims == []


# ---- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("touched", "effect"),
    [(True, "unknown"), (False, "none")],
)
@pytest.mark.parametrize(
    ("options", "phase"),
    [({"timeout": 0.02}, "attempt"), ({"message": {"budget": 0.02}}, "deadline")],
)
async def test_an_attempt_that_takes_too_long_is_stopped(touched, effect, options, phase):
    async def act(attempt: Attempt) -> Finished:
        if touched:
            attempt.reached_out()
        await asyncio.Event().wait()
        raise AssertionError

    end = await House(act).end(**options)
    assert isinstance(end, TimedOut)
    assert end.error is not None
    assert (end.error.code, end.error.phase, end.effect) == ("timed_out", phase, effect)
    assert end.started_at is not None


@pytest.mark.parametrize(
    ("said", "options", "phase"),
    [
        (None, {}, "attempt"),
        (None, {"message": {"budget": 5.0}}, "deadline"),
        ("attempt", {"message": {"budget": 5.0}}, "attempt"),
    ],
)
async def test_a_kind_that_keeps_its_time_itself_times_out_too(said, options, phase):
    async def act(attempt: Attempt) -> Finished:
        return failed("timed_out", "not within 2 s", "none", phase=said)

    end = await House(act).end(**options)
    assert isinstance(end, TimedOut)
    assert end.error is not None
    assert (end.error.code, end.error.message, end.error.phase) == ("timed_out", "not within 2 s", phase)


async def test_a_long_attempt_is_told_to_have_started(monkeypatch):
    monkeypatch.setattr(runtime_module, "TOLD_AFTER", 0.0)
    house = House()
    house.executor.act = until_told(house.transport)
    end = await house.end()
    first, last = house.transport.events()
    assert isinstance(first, Started)
    assert (first.worker, first.attempt, first.time, last) == ("w1", 1, end.started_at, end)
    assert first.sequence < end.sequence
    assert isinstance(end, Ended)
    assert end.announced


async def test_a_start_that_was_not_published_is_left_to_the_outcome(monkeypatch):
    monkeypatch.setattr(runtime_module, "TOLD_AFTER", 0.0)
    house = House()

    async def act(attempt: Attempt) -> Finished:
        await house.transport.refused.wait()
        return Finished("done", Result(content=""))

    house.executor.act = act
    house.transport.failures = [Unavailable("away")]
    end = await house.end()
    assert isinstance(end, Ended)
    assert end.started_at is not None
    assert not end.announced


async def test_an_attempt_that_has_used_most_of_its_time_tells_so(monkeypatch):
    monkeypatch.setattr(runtime_module, "TOLD_AFTER", 0.0)
    monkeypatch.setattr(runtime_module, "SOFT_TIMEOUT", 0.0)
    house = House()

    async def act(attempt: Attempt) -> Finished:
        await until(lambda: len(house.transport.published) == 2)
        return Finished("done", Result(content=""))

    house.executor.act = act
    end = await house.end(timeout=20.0)
    first, soft, last = house.transport.events()
    assert isinstance(soft, SoftTimeout)
    assert (soft.ends_at, soft.worker, soft.attempt) == (house.clock.time + 20.0, "w1", 1)
    assert first.sequence < soft.sequence < end.sequence
    assert last == end


async def test_an_attempt_that_ends_early_tells_neither(monkeypatch):
    loop, timers = asyncio.get_running_loop(), []
    monkeypatch.setattr(runtime_module, "TOLD_AFTER", 61.0)
    later = loop.call_later

    def noted(delay, *told):
        timer = later(delay, *told)
        if delay == 61.0:
            timers.append(timer)
        return timer

    monkeypatch.setattr(loop, "call_later", noted)
    house = House()
    await house.end(timeout=300)
    assert [timer.cancelled() for timer in timers] == [True]
    assert len(house.transport.published) == 1


def until_told(transport: HandTransport):
    async def act(attempt: Attempt) -> Finished:
        await transport.told.wait()
        return Finished("done", Result(content=""))

    return act


async def test_a_started_event_that_cannot_be_published_changes_nothing(monkeypatch):
    monkeypatch.setattr(runtime_module, "TOLD_AFTER", 0.0)
    house = House()

    async def act(attempt: Attempt) -> Finished:
        await house.transport.refused.wait()
        return Finished("done", Result(content=""))

    house.executor.act = act
    house.transport.failures = [Unavailable("away")]
    assert isinstance(await house.end(), Succeeded)


@pytest.mark.parametrize(("touched", "effect"), [(True, "unknown"), (False, "none")])
async def test_a_running_call_is_cancelled(touched, effect):
    began = asyncio.Event()

    async def act(attempt: Attempt) -> Finished:
        if touched:
            attempt.reached_out()
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    house = House(act)
    delivery = house.delivery(call_id="c1")
    running = asyncio.create_task(house.runtime.run(delivery))
    await began.wait()
    for org, call_id in [("other", "c1"), ("default", "c2"), ("default", "c1"), ("default", "c1")]:
        house.runtime.cancel(a_cancel(org, call_id))
    await running
    end = house.transport.end()
    assert isinstance(end, Cancelled)
    assert (end.effect, settled(delivery)) == (effect, ["ack"])


async def test_a_cancel_while_the_outcome_is_told_changes_nothing():
    house = House()
    house.transport.held = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(house.runtime.run(house.delivery(call_id="c1")))
    await house.transport.told.wait()
    house.runtime.cancel(a_cancel("default", "c1"))
    house.transport.held.set_result(None)
    await running
    assert isinstance(house.transport.end(), Succeeded)


# ---- what may follow ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "attempt", "effect", "code", "final"),
    [
        (RetryPolicy(max_attempts=3), 1, "none", "upstream_error", False),
        (RetryPolicy(max_attempts=3), 3, "none", "upstream_error", True),
        (RetryPolicy(max_attempts=3), 1, "unknown", "upstream_error", True),
        (RetryPolicy(max_attempts=3), 1, "none", "invalid_arguments", True),
        (RetryPolicy(max_attempts=3, codes=("timed_out",)), 1, "none", "upstream_error", True),
        (None, 1, "none", "upstream_error", True),
    ],
)
async def test_an_outcome_that_may_be_followed_is_not_final(policy, attempt, effect, code, final):
    async def act(attempt: Attempt) -> Finished:
        return failed(code, "no", effect, retryable=code == "upstream_error")

    end = await House(act).end(retry=policy, message={"attempt": attempt})
    assert (end.final, end.attempt) == (final, attempt)


async def test_a_timeout_may_be_followed_and_a_cancel_may_not():
    policy = RetryPolicy(max_attempts=3, codes=("timed_out", "cancelled"))
    began = asyncio.Event()

    async def act(attempt: Attempt) -> Finished:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    assert not (await House(act).end(retry=policy, timeout=0.01)).final
    house = House(act)
    began.clear()
    running = asyncio.create_task(house.runtime.run(house.delivery(call_id="c1", retry=policy)))
    await began.wait()
    house.runtime.cancel(a_cancel("default", "c1"))
    await running
    assert house.transport.end().final


# ---- defects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("touched", "effect"), [(True, "unknown"), (False, "none")])
@pytest.mark.parametrize("error", [ValueError("with s3cret-value"), TimeoutError(), RecursionError(), KeyError("x")])
async def test_a_defect_of_a_kind_ends_its_call_alone(touched, effect, error, capsys):
    async def act(attempt: Attempt) -> Finished:
        attempt.secret("TOKEN")
        if touched:
            attempt.reached_out()
        raise error

    end = await House(act).end()
    assert isinstance(end, Failed)
    assert end.error is not None
    assert (end.error.code, end.effect) == ("internal", effect)
    assert "s3cret-value" not in str(end)
    assert "s3cret-value" not in "".join(capsys.readouterr())


async def test_a_defect_where_an_answer_is_looked_at_ends_its_call_too(capsys):
    async def act(attempt: Attempt) -> Finished:
        attempt.secret("TOKEN")
        return Finished("done", Result(structured=msgspec.Raw(b"no json s3cret-value")))

    end = await House(act).end()
    assert isinstance(end, Failed)
    assert end.error is not None
    assert (end.error.code, end.effect) == ("internal", "done")
    assert "s3cret-value" not in str(end)
    assert "a defect at an answer" in (said := "".join(capsys.readouterr()))
    assert "s3cret-value" not in said


async def test_an_attempt_that_is_left_to_the_broker_is_not_settled():
    began = asyncio.Event()

    async def act(attempt: Attempt) -> Finished:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    house = House(act)
    delivery = house.delivery()
    running = asyncio.create_task(house.runtime.run(delivery))
    await began.wait()
    assert house.runtime.running == 1
    assert house.runtime.abandon() == 1
    with pytest.raises(asyncio.CancelledError):
        await running
    await house.runtime.idle()
    assert (settled(delivery), house.transport.published, house.runtime.running) == ([], [], 0)


# ---- what a tool answers ------------------------------------------------------------------------

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "s": {"type": "string"}}}


async def test_an_answer_of_the_promised_form_is_passed_on():
    house = House(answers(Result(structured=msgspec.Raw(b'{"n":1}'))))
    end = await house.end(tool=a_tool(output=SCHEMA))
    assert json_of(end.result) == {"n": 1}


@pytest.mark.parametrize(
    ("result", "path"),
    [
        (Result(structured=msgspec.Raw(b'{"n":"x"}')), "result.n"),
        (Result(structured=msgspec.Raw(b"{}")), "result"),
        (Result(content="n is 1"), "result"),
    ],
)
async def test_an_answer_of_another_form_is_not(result, path):
    end = await House(answers(result)).end(tool=a_tool(output=SCHEMA))
    assert end.error is not None
    assert (end.error.code, end.effect, end.result) == ("output_invalid", "done", None)
    assert end.error.message.startswith(f"{path}: ")
    assert end.error.details is not None
    assert end.error.details["errors"][0]["path"] == path


async def test_an_answer_that_is_too_large_is_not_passed_on():
    large = House(answers(Result(content="x" * (MAX_RESULT + 1))))
    end = await large.end()
    assert end.error is not None
    assert (end.error.code, end.effect) == ("output_too_large", "done")
    whole = House(answers(Result(content="x" * MAX_RESULT)))
    assert isinstance(await whole.end(), Succeeded)


async def test_a_secret_that_was_given_out_is_redacted_from_a_result():
    async def act(attempt: Attempt) -> Finished:
        token = attempt.secret("TOKEN")
        return Finished("done", Result(content=f"<{token}>", structured=msgspec.Raw(f'["{token}",1]'.encode())))

    end = await House(act).end()
    assert end.result is not None
    assert end.result.content == "<[redacted:TOKEN]>"
    assert json_of(end.result) == ["[redacted:TOKEN]", 1]


async def test_a_secret_that_was_given_out_is_redacted_from_an_error():
    async def act(attempt: Attempt) -> Finished:
        token = attempt.secret("TOKEN")
        return failed("upstream_error", f"no {token}", "none", details={"body": [token]})

    end = await House(act).end()
    assert "s3cret-value" not in str(end)
    assert end.error is not None
    assert (end.error.message, end.error.details) == ("no [redacted:TOKEN]", {"body": ["[redacted:TOKEN]"]})
    assert "[redacted:TOKEN]" in end.error.model_message


@pytest.mark.parametrize("leaks", [True, False])
async def test_a_link_for_a_user_that_holds_a_secret_is_told_to_nobody(leaks: bool):
    async def act(attempt: Attempt) -> Finished:
        key = attempt.secret("TOKEN")
        url = f"https://consent.example/?key={key if leaks else 'state'}"
        return needs_consent(Authorization(authorization_id="a1", provider="arcade/x", url=url, expires_at=2e9))

    end = await House(act).end()
    assert (end.authorization is None) == leaks
    assert end.error is not None
    assert end.error.code == ("upstream_error" if leaks else "authorization_required")
    assert "s3cret-value" not in str(end)


@pytest.mark.parametrize("succeeds", [True, False])
async def test_what_a_kind_noted_is_told_without_secrets(succeeds):
    async def act(attempt: Attempt) -> Finished:
        report = Report(logs=f"using {attempt.secret('TOKEN')}\n", isolation="full", requests=3)
        error = None if succeeds else error_info("tool_error", "no")
        return Finished("none", Result(content="fine") if succeeds else None, error, report)

    end = await House(act).end()
    assert isinstance(end, Succeeded if succeeds else Failed)
    assert end.report == Report(logs="using [redacted:TOKEN]\n", isolation="full", requests=3)


# ---- when the broker does not take the outcome ----------------------------------------------------


@pytest.mark.parametrize("failure", [Unavailable("away"), Unconfirmed("no confirm")])
async def test_an_outcome_is_published_until_it_is_confirmed(failure):
    house = House()
    house.transport.failures = [failure]
    assert isinstance(await house.end(), Succeeded)


async def test_what_came_of_an_attempt_is_told_even_when_its_delivery_is_gone():
    house = House()
    delivery = house.delivery()

    async def act(attempt: Attempt) -> Finished:
        disconnect(delivery)
        return Finished("done", Result(content="done"))

    house.executor.act = act
    house.transport.failures = [Unavailable("away")]
    await house.runtime.run(delivery)
    assert isinstance(house.transport.end(), Succeeded)


async def test_but_not_for_ever_either():
    house = House()
    delivery = house.delivery()

    async def act(attempt: Attempt) -> Finished:
        disconnect(delivery)
        house.clock.time += 1000
        return Finished("done", Result(content="done"))

    house.executor.act = act
    house.transport.failures = [Unavailable("away")]
    await house.runtime.run(delivery)
    assert (house.transport.published, settled(delivery)) == ([], [])


async def test_a_verdict_on_what_never_ran_is_left_to_whoever_gets_it_next():
    house = House()
    delivery = house.delivery(queue_timeout=1.0, **RERUNNABLE)
    house.clock.time += 2
    house.transport.failures = [Unavailable("away")]
    disconnect(delivery)
    await house.runtime.run(delivery)
    assert (house.transport.published, settled(delivery)) == ([], [])


async def test_a_call_that_comes_again_while_it_still_runs_is_not_run_twice_and_its_outcome_is_for_both():
    began, go_on = asyncio.Event(), asyncio.Event()

    async def act(attempt: Attempt) -> Finished:
        began.set()
        await go_on.wait()
        return Finished("done", Result(content="done"))

    house = House(act)
    message = ENVELOPE.call(a_message(a_call(now=house.clock.time, **RERUNNABLE), a_tool()))
    first, again = a_delivery(message), a_delivery(message, count=1)
    running = asyncio.create_task(house.runtime.run(first))
    await began.wait()
    disconnect(first)
    joined = asyncio.create_task(house.runtime.run(again))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(running, joined)
    assert isinstance(house.transport.end(), Succeeded)
    assert (settled(again), len(house.executor.attempts)) == (["ack"], 1)


async def test_a_call_that_comes_again_goes_back_if_the_first_was_never_told():
    house = House()
    message = ENVELOPE.call(a_message(a_call(now=house.clock.time, **RERUNNABLE), a_tool()))
    first, again = a_delivery(message), a_delivery(message, count=1)
    began, go_on = asyncio.Event(), asyncio.Event()

    async def act(attempt: Attempt) -> Finished:
        began.set()
        await go_on.wait()
        house.clock.time += 1000
        house.transport.failures = [Unavailable("away")]
        return Finished("done", Result(content="done"))

    house.executor.act = act
    running = asyncio.create_task(house.runtime.run(first))
    await began.wait()
    disconnect(first)
    joined = asyncio.create_task(house.runtime.run(again))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(running, joined)
    assert (settled(first), settled(again), house.transport.published) == ([], ["release"], [])


async def test_many_lives_do_not_mix():
    async def act(attempt: Attempt) -> Finished:
        if attempt.call.arguments["n"] % 3 == 0:
            raise ValueError
        await asyncio.sleep(0)
        return Finished("done", Result(content=str(attempt.call.arguments["n"])))

    house = House(act)
    deliveries = [house.delivery(call_id=f"c{n}", arguments={"n": n}) for n in range(90)]
    await asyncio.gather(*map(house.runtime.run, deliveries))
    ends = {event.call_id: event for event in house.transport.events()}
    assert len(ends) == 90
    for n in range(90):
        end = ends[f"c{n}"]
        assert isinstance(end, Failed if n % 3 == 0 else Succeeded)
        assert isinstance(end, Failed) or end.result == Result(content=str(n))
