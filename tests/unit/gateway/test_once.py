"""Submit once: what a key stands for and for how long, and what a tool's key fields make the same call."""

import asyncio
from typing import Any

import pytest
from tests.unit.gateway.rig import ECHO, START, Rig, SetClock, never, row_of, running

from toolyard.contracts.tools import HttpBinding, ToolSpec
from toolyard.ids import derived_id
from toolyard_gateway.pending import Ended
from toolyard_gateway.recall import KEPT
from toolyard_gateway.sameness import same_calls

FIELDS: dict[str, Any] = {"key_fields": ["text"], "key_window": 60}


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def rig(template, tmp_path, clock):
    async with running(template, tmp_path, clock=clock, log_max_lag=1e9) as made:
        yield made


def keep(rig: Rig, **more: Any) -> None:
    """All calls that ran reach the store, and the gateway forgets them: it could be another one."""
    for message in rig.worker.seen:
        if message.call.call_id not in rig.stores.calls.rows:
            end = rig.worker.succeeded(message, message.call.arguments)
            rig.stores.calls.rows[message.call.call_id] = row_of(message, end, **more)
    rig.parts.correlator._ended = Ended()


# ---- a key --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "made"), [(KEPT - 1, 1), (KEPT + 1, 2)])
async def test_a_key_stands_for_its_call_until_a_day_after_its_end(rig, clock, age, made):
    await rig.tool()
    first = await rig.call(idempotency_key="k")
    keep(rig)

    clock.time += age
    again = await rig.call(idempotency_key="k")

    assert len(rig.worker.seen) == made
    assert again.json()["call_id"] == [first.json()["call_id"], derived_id("default", "k", "1")][made - 1]
    assert again.json().get("deduplicated", False) is (made == 1)


async def test_after_a_day_the_key_may_stand_for_another_body(rig, clock):
    await rig.tool()
    await rig.call(idempotency_key="k")
    keep(rig)
    clock.time += KEPT + 1

    other = await rig.call(idempotency_key="k", user="ada")
    keep(rig)
    again = await rig.call(idempotency_key="k", user="ada")

    assert other.status_code == 200
    assert again.json()["call_id"] == other.json()["call_id"]


async def test_a_day_counts_from_the_end_of_a_call_and_not_from_its_acceptance(template, tmp_path, clock):
    async with running(template, tmp_path, clock=clock, answer=never, log_max_lag=1e9) as rig:
        await rig.tool()
        await rig.call(idempotency_key="k", headers={"Prefer": "wait=0"})
        await rig.worker.took.wait()
        rig.stores.calls.rows = {m.call.call_id: row_of(m, state="retrying") for m in rig.worker.seen}
        rig.parts.correlator._open.clear()

        clock.time += 10 * KEPT
        again = await rig.call(idempotency_key="k", headers={"Prefer": "wait=0"})

        assert (again.json()["state"], again.json()["deduplicated"]) == ("retrying", True)


async def test_a_later_call_of_a_key_is_found_though_the_first_one_is_gone_from_the_ledger(rig, clock):
    await rig.tool()
    await rig.call(idempotency_key="k")
    keep(rig)
    clock.time += KEPT + 1
    second = await rig.call(idempotency_key="k")
    keep(rig)
    del rig.stores.calls.rows[derived_id("default", "k")]

    again = await rig.call(idempotency_key="k")

    assert again.json()["call_id"] == second.json()["call_id"]
    assert len(rig.worker.seen) == 2


async def test_many_calls_of_a_key_are_walked_past(rig, clock):
    await rig.tool()
    for _ in range(7):
        await rig.call(idempotency_key="k")
        keep(rig)
        clock.time += KEPT + 1

    last = await rig.call(idempotency_key="k")

    assert len({message.call.call_id for message in rig.worker.seen}) == 8
    assert last.json()["call_id"] == derived_id("default", "k", "7")


def _with(error, **changed):
    return type(error)(**{name: getattr(error, name) for name in error.__struct_fields__} | changed)


# ---- key fields ---------------------------------------------------------------------------------


async def test_a_second_call_with_the_same_key_fields_is_the_first_one(rig):
    await rig.tool(**FIELDS)

    first = await rig.call(arguments={"text": "a", "n": 1}, conversation="c-1")
    again = await rig.call(arguments={"text": "a", "n": 2}, conversation="c-2", timeout=5, context={"b": 1})
    other = await rig.call(arguments={"text": "b"})

    assert again.json() == first.json() | {"deduplicated": True}
    assert "deduplicated" not in other.json()
    assert [message.call.arguments["text"] for message in rig.worker.seen] == ["a", "b"]


async def test_another_gateway_finds_it_in_the_store(rig):
    await rig.tool(**FIELDS)
    first = await rig.call()
    keep(rig)

    again = await rig.call(conversation="another")

    assert again.json()["call_id"] == first.json()["call_id"]
    assert again.json()["deduplicated"] is True
    assert len(rig.worker.seen) == 1


async def test_two_gateways_that_do_not_know_of_each_other_make_one_call_of_it(template, tmp_path, clock):
    async with running(template, tmp_path, clock=clock) as rig:
        await rig.tool(**FIELDS)
        for number in range(2):
            await rig.call(arguments={"text": "a", "n": number + 1}, conversation=f"c-{number}")
            rig.parts.correlator._ended = Ended()

        one, two = (message.call for message in rig.worker.seen)
        assert (one.call_id, one.body_hash) == (two.call_id, two.body_hash)
        assert one.arguments != two.arguments


@pytest.mark.parametrize(
    ("begun", "later", "same"),
    [(0.0, 59.9, True), (0.0, 60.0, False), (59.0, 2.0, True), (1.0, 118.0, False), (59.0, 59.9, True)],
)
async def test_the_window_is_that_before_the_second_call(rig, clock, begun, later, same):
    await rig.tool(**FIELDS)
    clock.time = START + begun
    await rig.call()
    keep(rig)

    clock.time += later
    again = await rig.call()

    assert again.json().get("deduplicated", False) is same
    assert len(rig.worker.seen) == (1 if same else 2)


@pytest.mark.parametrize(("effect", "counts"), [("none", False), ("unknown", True), ("done", True)])
@pytest.mark.parametrize("remembered", [True, False])
async def test_a_failure_counts_only_if_it_may_have_had_an_effect(rig, effect, counts, remembered):
    async def fail_so(worker, message):
        return _with(worker.failed(message), effect=effect)

    await rig.tool(**FIELDS)
    rig.worker.answer = fail_so
    first = await rig.call()
    if not remembered:
        message = rig.worker.seen[0]
        rig.stores.calls.rows[message.call.call_id] = row_of(message, await fail_so(rig.worker, message))
        rig.parts.correlator._ended = Ended()

    again = await rig.call()
    once_more = await rig.call()

    assert (again.json()["call_id"] == first.json()["call_id"]) is counts
    assert len(rig.worker.seen) == (1 if counts else 3)
    assert once_more.json()["call_id"] == first.json()["call_id"] or not counts


async def test_requests_at_the_same_time_make_one_call(rig):
    await rig.tool(**FIELDS)

    responses = await asyncio.gather(*(rig.call(conversation=f"c-{n}") for n in range(20)))

    assert len({response.json()["call_id"] for response in responses}) == 1
    assert sum("deduplicated" not in response.json() for response in responses) == 1
    assert len(rig.worker.seen) == 1


async def test_an_open_call_is_waited_for_like_ones_own(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool(**FIELDS)
        await rig.call(headers={"Prefer": "wait=0"})
        await rig.worker.took.wait()

        waiting = asyncio.create_task(rig.call(conversation="another"))
        await rig.worker.tell(rig.worker.succeeded(rig.worker.seen[0], 7))

        answer = (await waiting).json()
        assert (answer["result"]["structured"], answer["deduplicated"]) == (7, True)


async def test_an_explicit_key_takes_precedence(rig):
    await rig.tool(**FIELDS)
    await rig.call()

    keyed = [await rig.call(idempotency_key=key) for key in ("a", "b", "a")]

    assert [response.json().get("deduplicated", False) for response in keyed] == [False, False, True]
    assert len(rig.worker.seen) == 3


@pytest.mark.parametrize(
    ("more", "first"),
    [({"user": "ada"}, {"user": "bob"}), ({"user": "ada"}, {}), ({"arguments": {"n": 1}}, {"arguments": {"n": 1}})],
    ids=["another user", "no user", "none of the fields"],
)
async def test_what_makes_another_call(rig, more, first):
    schema = ECHO["parameters"] | {"required": []}
    await rig.tool(**FIELDS, parameters=schema)

    await rig.call(**first)
    again = await rig.call(**more)

    assert "deduplicated" not in again.json()
    assert len(rig.worker.seen) == 2


async def test_another_org_and_another_tool_make_another_call(rig):
    await rig.tool(**FIELDS)
    await rig.tool(**FIELDS, name="other")
    theirs = await rig.key("admin", org="theirs")
    await rig.client.post("/v1/tools", json=ECHO | FIELDS, headers=theirs)

    answers = [await rig.call(), await rig.call("other"), await rig.call(headers=theirs)]

    assert len({answer.json()["call_id"] for answer in answers}) == 3


async def test_trying_a_tool_out_is_never_the_same_call(rig):
    await rig.tool(**FIELDS)
    await rig.call()

    for _ in range(2):
        tried = await rig.client.post("/v1/tools/echo/test", json={"arguments": {"text": "hi"}})
        assert "deduplicated" not in tried.json()

    assert len(rig.worker.seen) == 3


async def test_without_the_store_it_is_not_guessed(rig):
    await rig.tool(**FIELDS)
    await rig.call(arguments={"text": "a"})
    rig.stores.calls.away = True

    remembered = await rig.call(arguments={"text": "a"})
    unknown = await rig.call(arguments={"text": "b"})

    assert remembered.json()["deduplicated"] is True
    assert (unknown.status_code, unknown.json()["code"]) == (503, "unavailable")


def test_a_number_is_the_same_however_it_is_written():
    spec = ToolSpec(
        name="t",
        version=1,
        description="",
        parameters={},
        binding=HttpBinding(method="GET", url="https://example.com"),
        key_fields=("a.b", "c"),
    )
    one = same_calls(spec, "o", None, {"a": {"b": [1, {"x": 2}]}, "other": 1})
    two = same_calls(spec, "o", None, {"a": {"b": [1.0, {"x": 2.0}]}})
    other = same_calls(spec, "o", None, {"a": {"b": [1.5, {"x": 2}]}})

    assert one == two != other
    assert same_calls(spec, "o", None, {"a": {"b": "1"}, "c": None}) != same_calls(spec, "o", None, {"a": {"b": "1"}})
