"""Secrets that a worker asks for: once for all, sealed to its process, kept for a while, and given up in time."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.unit.executors.fakes import ENVELOPE, HandClock, HandExecutor, HandTransport, a_delivery, settled
from tests.unit.executors.house import turns, until
from tests.unit.executors.making import a_call, a_message, a_tool

from toolyard.contracts.calls import VERSION, Result
from toolyard.contracts.control import Cancel
from toolyard.contracts.events import Cancelled, Ended, Failed, Succeeded
from toolyard.contracts.secrets import SecretsAsked, SecretsTold, box_words
from toolyard.errors import Unavailable
from toolyard.security.sealing import Recipient, box
from toolyard.templates import SecretMissing
from toolyard.transport.base import Message
from toolyard_executors import secrets as secrets_module
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished, failed
from toolyard_executors.pauses import Pauses
from toolyard_executors.runtime import Runtime
from toolyard_executors.secrets import StoredSecrets

LOCAL = {"LOCAL": "value of this process"}
TOOL = a_tool(secrets=("TOKEN",))


class House:
    """A runtime whose store of secrets is in the test's hand.

    Attributes:
        values: what the store has.
        answer: makes the answer to a question; None leaves it without one.
    """

    def __init__(self) -> None:
        self.clock = HandClock()
        self.transport = HandTransport()
        self.executor = HandExecutor(tell_secret)
        self.pauses = Pauses()
        self.pauses.learn((), now=self.clock.time - 60)
        self.values = {"TOKEN": "value of the store"}
        self.answer: Callable[[SecretsAsked], SecretsTold | None] = self.told
        self.seen = 0
        self.stored = StoredSecrets(transport=self.transport, envelope=ENVELOPE, clock=self.clock, worker_id="w1")
        self.runtime = Runtime(
            executor=self.executor,
            transport=self.transport,
            envelope=ENVELOPE,
            get_secret=lambda org, name: LOCAL.get(name),
            stored=self.stored,
            cancellations=Cancellations(),
            pauses=self.pauses,
            clock=self.clock,
            worker_id="w1",
        )

    def told(self, asked: SecretsAsked, **changes: Any) -> SecretsTold:
        found = {name: self.values[name] for name in asked.names if name in self.values}
        sealed = box(asked.public_key, msgspec.json.encode(found), *box_words(asked))
        plain = SecretsTold(
            v=VERSION,
            worker="w1",
            pool=asked.pool,
            org=asked.org,
            nonce=asked.nonce,
            time=self.clock.time,
            sealed=sealed,
        )
        return msgspec.structs.replace(plain, **changes)

    def refuse(self, reason: Any, message: str = "no") -> Callable[[SecretsAsked], SecretsTold]:
        return lambda asked: self.told(asked, sealed=b"", refused=reason, message=message)

    @property
    def asked(self) -> list[SecretsAsked]:
        return [ENVELOPE.open_secrets_asked(a_delivery(one)) for one in self.transport.published if is_question(one)]

    def answer_all(self) -> bool:
        """Answer what was asked since the last time; always true."""
        fresh, self.seen = self.asked[self.seen :], len(self.asked)
        for asked in fresh:
            told = self.answer(asked)
            if told is not None:
                self.stored.answered(ENVELOPE.open_secrets_told(a_delivery(ENVELOPE.secrets_told(told))))
        return True

    async def run(self, **call: Any) -> Ended:
        """The outcome of a call, whose questions are answered."""
        task, call_id = self.begin(**call)
        while not task.done():
            await asyncio.sleep(0)
            self.answer_all()
        await task
        return self.end_of(call_id)

    def begin(self, *, tool: Any = TOOL, named: str = "t", **call: Any) -> "tuple[asyncio.Task[None], str]":
        accepted = a_call(now=self.clock.time, rerunnable=True, tool=named, **call)
        delivery = a_delivery(a_message(accepted, tool))
        return asyncio.create_task(self.runtime.run(delivery)), accepted.call_id

    def end_of(self, call_id: str) -> Ended:
        ends = [event for event in self.transport.events() if isinstance(event, Ended)]
        (end,) = [event for event in ends if event.call_id == call_id]
        return end


def is_question(message: Message) -> bool:
    return message.key.startswith("secrets.asked.")


async def tell_secret(attempt: Attempt) -> Finished:
    """Answers with the secrets of the tool, backwards: so that they are not redacted."""
    try:
        return Finished("done", Result(content=" ".join(attempt.secret(name)[::-1] for name in attempt.tool.secrets)))
    except SecretMissing as error:
        return failed(error.code, str(error), "none")


def text_of(end: Ended) -> str:
    assert isinstance(end, Succeeded), end.error
    assert end.result is not None
    return end.result.text()[::-1]


def error_of(end: Ended) -> Any:
    assert isinstance(end, Failed), end
    assert end.error is not None
    return end.error


@pytest.fixture
async def house() -> Any:
    made = House()
    yield made
    made.stored.close()
    await turns()


# ---- what is asked ------------------------------------------------------------------------------
async def test_a_secret_that_this_process_does_not_know_is_asked_for_with_the_call_that_it_holds(house: House):
    end = await house.run(call_id="c1", tool=a_tool(secrets=("TOKEN", "LOCAL")))
    assert text_of(end) == "value of this process value of the store"
    (asked,) = house.asked
    assert (asked.worker, asked.pool, asked.org, asked.tool, asked.version) == ("w1", "http", "default", "t", 1)
    assert (asked.call_id, asked.attempt, asked.names) == ("c1", 1, ("TOKEN",))
    assert asked.time == house.clock.time
    assert ENVELOPE.open_held(asked.held).call.call_id == "c1"


async def test_nobody_is_asked_where_this_process_knows_all_or_the_tool_needs_none(house: House):
    assert text_of(await house.run(tool=a_tool(secrets=("LOCAL",)))) == "value of this process"
    assert text_of(await house.run(tool=a_tool())) == ""
    assert house.asked == []


async def test_a_value_of_this_process_goes_before_one_of_the_store(house: House):
    house.values["LOCAL"] = "another"
    end = await house.run(tool=a_tool(secrets=("LOCAL", "TOKEN")))
    assert "value of this process" in text_of(end)
    assert house.asked[0].names == ("TOKEN",)


async def test_no_value_is_seen_in_what_travels(house: House):
    await house.run()
    told = house.told(house.asked[0])
    sealed = ENVELOPE.secrets_told(told)
    assert b"value of the store" not in sealed.body
    assert all(b"value of the store" not in message.body for message in house.transport.published)
    assert "value of the store" not in repr(house.stored._kept)


async def test_a_value_of_the_store_is_redacted_as_any_other(house: House):
    async def echo(attempt: Attempt) -> Finished:
        return Finished("done", Result(content=f"it is {attempt.secret('TOKEN')}"))

    house.executor.act = echo
    end = await house.run()
    assert isinstance(end, Succeeded)
    assert end.result == Result(content="it is [redacted:TOKEN]")


# ---- what is kept -------------------------------------------------------------------------------
async def test_calls_that_begin_together_ask_once_and_later_ones_not_at_all(house: House):
    tasks = [house.begin()[0] for _ in range(20)]
    await until(lambda: house.asked)
    house.answer_all()
    await asyncio.gather(*tasks)
    assert len(house.asked) == 1
    await house.run()
    assert len(house.asked) == 1


async def test_other_orgs_tools_and_versions_are_asked_for_apart(house: House):
    for call in ({}, {"org": "other"}, {"named": "u"}, {"version": 2}):
        await house.run(**call)
    assert [(asked.org, asked.tool, asked.version) for asked in house.asked] == [
        ("default", "t", 1),
        ("other", "t", 1),
        ("default", "u", 1),
        ("default", "t", 2),
    ]


async def test_values_are_forgotten_after_a_while(house: House):
    await house.run()
    (kept,) = house.stored._kept.values()
    assert 0 < kept.over.when() - asyncio.get_running_loop().time() <= secrets_module.KEPT
    kept.over._run()
    assert not house.stored._kept
    house.values["TOKEN"] = "rotated"
    assert text_of(await house.run()) == "rotated"
    assert house.stored._size == len("rotated")


async def test_a_secret_without_a_value_is_the_tools_error_and_soon_asked_for_again(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(secrets_module, "KEPT_INCOMPLETE", 0.05)
    del house.values["TOKEN"]
    end = await house.run()
    assert (error_of(end).code, end.effect) == ("tool_error", "none")
    assert "'TOKEN'" in error_of(end).message
    house.values["TOKEN"] = "set now"
    await until(lambda: not house.stored._kept)
    assert text_of(await house.run()) == "set now"


@pytest.mark.parametrize(("limit", "most"), [("MOST_KEPT", 2), ("MOST_SIZE", 2 * len("value of the store"))])
async def test_no_more_is_kept_than_there_is_room_for(
    house: House, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
):
    monkeypatch.setattr(secrets_module, limit, most)
    for version in (1, 2, 3):
        await house.run(version=version)
    assert [key[2] for key in house.stored._kept] == [2, 3]
    assert house.stored._size == 2 * len("value of the store")


async def test_nothing_is_kept_once_the_worker_stops(house: House):
    await house.run()
    house.stored.close()
    assert (len(house.stored._kept), house.stored._size) == (0, 0)


# ---- what goes wrong ----------------------------------------------------------------------------
@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets_module, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(secrets_module, "_LONGEST_PAUSE", 0.01)


@pytest.fixture
def _soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt itself has its usual time, so only the wait for the values ends soon."""
    monkeypatch.setattr(secrets_module, "patience", lambda seconds: 0.05)


@pytest.mark.usefixtures("_impatient")
async def test_a_lost_question_is_asked_again_and_the_answer_to_either_will_do(house: House):
    task, call_id = house.begin()
    await until(lambda: len(house.asked) >= 3)
    house.stored.answered(house.told(house.asked[1]))
    await task
    assert text_of(house.end_of(call_id)) == "value of the store"
    assert len({asked.nonce for asked in house.asked}) == len(house.asked)


@pytest.mark.usefixtures("_soon_given_up")
async def test_where_no_scheduler_answers_nothing_is_run_and_another_try_may_do(house: House):
    house.answer = lambda asked: None
    end = await house.run()
    error = error_of(end)
    assert (error.code, error.retryable, end.effect) == ("unavailable", True, "none")
    assert "no scheduler answered" in error.message
    assert house.executor.attempts == []


@pytest.mark.usefixtures("_impatient")
async def test_who_came_later_waits_longer_than_whoever_asked_first(house: House):
    first, early = house.begin()
    await until(lambda: house.asked)
    second, late = house.begin()
    await turns()
    house.clock.time += secrets_module.PATIENCE
    await first
    assert error_of(house.end_of(early)).code == "unavailable"
    await until(lambda: house.asked[-1].call_id == late)
    house.answer_all()
    await second
    assert text_of(house.end_of(late)) == "value of the store"


@pytest.mark.usefixtures("_impatient", "_soon_given_up")
async def test_a_question_that_nobody_waits_for_any_more_is_given_up(house: House):
    house.answer = lambda asked: None
    await house.run()
    house.clock.time += secrets_module.PATIENCE
    await until(lambda: not house.stored._tasks)
    assert (house.stored._asking, house.stored._asked) == ({}, {})


async def test_patience_is_a_part_of_the_attempts_time_and_bounded():
    assert [secrets_module.patience(seconds) for seconds in (1.0, 9.0, 300.0)] == [0.5, 4.5, 5.0]


@pytest.mark.usefixtures("_soon_given_up")
async def test_a_broker_that_is_away_is_no_answer(house: House):
    house.transport.failures = [Unavailable("away")] * 3
    house.answer = lambda asked: None
    task, call_id = house.begin()
    await task
    assert error_of(house.end_of(call_id)).code == "unavailable"


async def test_a_cancel_ends_the_wait_without_an_effect(house: House):
    task, call_id = house.begin(call_id="c1")
    await until(lambda: house.asked)
    house.runtime.cancel(Cancel(v=VERSION, sender="g", time=0.0, org="default", call_id="c1"))
    await task
    end = house.end_of(call_id)
    assert isinstance(end, Cancelled)
    assert end.effect == "none"


@pytest.mark.parametrize(
    ("reason", "code", "retryable"),
    [
        ("stale", "unavailable", True),
        ("unreadable", "unavailable", True),
        ("not_held", "permission_denied", False),
        ("not_named", "permission_denied", False),
        ("too_large", "permission_denied", False),
    ],
)
async def test_a_refusal_says_why_and_nothing_is_run(house: House, reason: str, code: str, retryable: bool):
    house.answer = house.refuse(reason, "because of this")
    end = await house.run()
    error = error_of(end)
    assert (error.code, error.retryable, end.effect) == (code, retryable, "none")
    assert error.message == "the tool's secrets could not be had: because of this"
    assert house.executor.attempts == []
    house.answer = house.told
    assert text_of(await house.run()) == "value of the store"


async def test_a_refusal_of_one_call_is_none_of_the_others(house: House):
    def told(asked: SecretsAsked) -> SecretsTold:
        return house.refuse("not_held")(asked) if asked.call_id == "over" else house.told(asked)

    house.answer = told
    first, over = house.begin(call_id="over")
    await until(lambda: house.asked)
    others = [house.begin() for _ in range(3)]
    await turns()
    while not all(task.done() for task, _ in [(first, over), *others]):
        house.answer_all()
        await asyncio.sleep(0)
    assert error_of(house.end_of(over)).code == "permission_denied"
    assert {text_of(house.end_of(call_id)) for _, call_id in others} == {"value of the store"}
    assert len(house.asked) == 2


@pytest.mark.usefixtures("_impatient")
async def test_an_answer_for_another_process_or_question_is_none(house: House):
    def for_another(asked: SecretsAsked) -> SecretsTold:
        words = box_words(asked)
        forged = [
            box(Recipient().public, b'{"TOKEN":"forged"}', *words),
            box(asked.public_key, b'{"TOKEN":"forged"}', *words[:-1]),
            box(asked.public_key, b"[]", *words),
            b"",
        ]
        return house.told(asked, sealed=forged[len(house.asked) % 4])

    house.answer = for_another
    task, call_id = house.begin()
    await until(lambda: house.answer_all() and len(house.asked) > 4)
    house.answer = house.told
    await until(lambda: house.answer_all() and task.done())
    assert text_of(house.end_of(call_id)) == "value of the store"


async def test_of_an_answer_only_what_was_asked_for_is_taken(house: House):
    def more(asked: SecretsAsked) -> SecretsTold:
        content = msgspec.json.encode({"TOKEN": "value", "OTHER": "not asked for"})
        return house.told(asked, sealed=box(asked.public_key, content, *box_words(asked)))

    house.answer = more
    assert text_of(await house.run()) == "value"
    (kept,) = house.stored._kept.values()
    assert kept.values == {"TOKEN": "value"}


async def test_an_answer_to_nothing_is_passed_over(house: House):
    await house.run()
    house.stored.answered(house.told(house.asked[0]))
    house.stored.answered(msgspec.structs.replace(house.told(house.asked[0]), nonce="unknown"))


async def test_a_delivery_is_settled_whatever_became_of_its_secrets(house: House):
    house.answer = house.refuse("not_named")
    delivery = a_delivery(a_message(a_call(now=house.clock.time, rerunnable=True), TOOL))
    task = asyncio.create_task(house.runtime.run(delivery))
    await until(lambda: house.answer_all() and task.done())
    assert settled(delivery) == ["ack"]
