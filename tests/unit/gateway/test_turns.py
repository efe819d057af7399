"""Turns over HTTP: every tool call of a message is answered for itself, in order, by the deadline."""

import asyncio
import threading
from typing import Any

import httpx
import pytest
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import Rig, Worker, fail, never, running

from toolyard.clock import SYSTEM
from toolyard.contracts.calls import CallMessage, Result
from toolyard.contracts.events import Event, Parked, Succeeded, about, sequence
from toolyard.errors import Unavailable, Unconfirmed
from toolyard.ids import derived_id
from toolyard.provider_names import provider_name
from toolyard_gateway.lifespan import drain
from toolyard_gateway.llm.catalogue import Catalogue
from toolyard_gateway.llm.formats import FORMATS
from toolyard_gateway.turns import call_key

KEY = {"Idempotency-Key": "turn-7"}


def call(id_: str, name: str = "echo", arguments: Any = '{"text": "hi"}') -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def use(id_: str, name: str = "echo", given: Any = None) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": name, "input": {"text": "hi"} if given is None else given}


async def ask(rig: Rig, *calls: dict[str, Any], headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    """Take a turn in OpenAI format."""
    message = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    return await rig.client.post(
        "/v1/turns", json={"format": "openai", "message": message} | more, headers=headers or {}
    )


async def turn(rig: Rig, *calls: dict[str, Any], **more: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """Take a turn; what the model is told, and what became of the calls."""
    response = await ask(rig, *calls, **more)
    assert response.status_code == 200, response.text
    messages, told = response.json()["messages"], response.json()["calls"]
    ids = [one["id"] for one in calls]
    assert [message["tool_call_id"] for message in messages] == [one["tool_call_id"] for one in told] == ids
    assert {message["role"] for message in messages} <= {"tool"}
    return [message["content"] for message in messages], told


def states(told: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(one["state"], one["code"]) for one in told]


# ---- the whole of it ----------------------------------------------------------------------------


async def by_tool(worker: Worker, message: CallMessage) -> Event | None:
    """Fails, never ends, or succeeds, as the tool's name says."""
    if message.call.tool == "broken":
        return worker.failed(message)
    if message.call.tool == "late":
        return worker.failed(message, "timed_out")
    return worker.succeeded(message, message.call.arguments)


def twenty() -> list[dict[str, Any]]:
    """A message with all that can go wrong, and two calls that are the same."""
    odd = {
        3: call("c3", "ecko"),
        5: call("c5", arguments='{"text": '),
        8: call("c8", "broken"),
        11: call("c11", "late"),
    }
    return [odd.get(n) or call(f"c{n}", arguments=f'{{"text": "{min(n, 18)}"}}') for n in range(20)]


async def test_twenty_calls_are_answered_each_for_itself(rig: Rig):
    for name in ("echo", "broken", "late"):
        await rig.tool(name=name)
    rig.worker.answer = by_tool

    texts, told = await turn(rig, *twenty())

    assert states(told[3:4]) == [("rejected", "tool_not_found")]
    assert "echo" in texts[3]
    assert states(told[5:6]) == [("rejected", "validation_failed")]
    assert "line 1, column 10" in texts[5]
    assert 'For example: {"text":"text"}' in texts[5]
    assert states([told[8], told[11]]) == [("failed", "tool_error"), ("failed", "timed_out")]
    assert texts[8] == "The tool reported an error: it broke"
    assert texts[11] == "The tool took too long: it broke"
    fine = [n for n in range(20) if n not in (3, 5, 8, 11)]
    assert states([told[n] for n in fine]) == [("succeeded", None)] * 16
    assert [texts[n] for n in fine] == [f'{{"text":"{min(n, 18)}"}}' for n in fine]
    assert len({told[n]["call_id"] for n in fine}) == 16
    assert [told[n]["call_id"] for n in (3, 5)] == [None, None]
    assert len(rig.worker.seen) == 18


async def test_anthropic_gets_the_same_as_one_message(rig: Rig):
    await rig.tool()
    blocks = [{"type": "text", "text": "Hm."}, use("t1"), use("t2", "ecko"), use("t3", given={"text": 7})]

    response = await rig.client.post("/v1/turns", json={"format": "anthropic", "message": blocks})

    ((role, content),) = [(one["role"], one["content"]) for one in response.json()["messages"]]
    assert role == "user"
    assert [(one["type"], one["tool_use_id"], one["is_error"]) for one in content] == [
        ("tool_result", "t1", False),
        ("tool_result", "t2", True),
        ("tool_result", "t3", True),
    ]
    assert content[0]["content"] == '{"text":"hi"}'
    assert [one["state"] for one in response.json()["calls"]] == ["succeeded", "rejected", "rejected"]


async def test_calls_run_side_by_side(rig: Rig):
    await rig.tool()
    together = asyncio.Barrier(20)

    async def all_there(worker: Worker, message: CallMessage) -> Event:
        await together.wait()
        return worker.succeeded(message, 1)

    rig.worker.answer = all_there

    texts, _ = await turn(rig, *(call(str(n)) for n in range(20)))

    assert texts == ["1"] * 20


async def test_a_message_without_tool_calls_has_no_answers(rig: Rig):
    for form, message in (("openai", {"role": "assistant", "content": "Hello."}), ("anthropic", [])):
        response = await rig.client.post("/v1/turns", json={"format": form, "message": message})
        assert (response.status_code, response.json()) == (200, {"messages": [], "calls": []})


async def test_what_the_application_says_goes_to_each_call(rig: Rig):
    await rig.tool()
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    said = {"user": "ada", "conversation": "c-1", "context": {"tenant": 7}, "deadline": 20}

    await turn(rig, call("1"), call("2"), **said, headers={"traceparent": traceparent})
    await turn(rig, call("3"), call("4"))

    calls = [message.call for message in rig.worker.seen]
    assert {(one.user, one.conversation, str(one.context)) for one in calls[:2]} == {("ada", "c-1", "{'tenant': 7}")}
    assert [one.deadline - one.accepted_at for one in calls] == pytest.approx([20, 20, 300, 300])
    traces = [(one.traceparent or "").split("-")[1] for one in calls]
    assert traces[:2] == [traceparent.split("-")[1]] * 2
    assert traces[2] == traces[3] != traces[0]


@pytest.mark.parametrize(("own", "given", "deadline"), [(10, None, 10), (3_600, None, 300), (10, 20, 20)])
async def test_a_tool_that_gives_less_time_keeps_to_it_where_nobody_says_more(rig: Rig, own, given, deadline):
    await rig.tool(deadline=own)

    await turn(rig, call("1"), **({} if given is None else {"deadline": given}))

    made = rig.worker.seen[0].call
    assert made.deadline - made.accepted_at == pytest.approx(deadline)


async def test_a_result_without_text_is_told_in_words(rig: Rig):
    await rig.tool()

    async def silent(worker: Worker, message: CallMessage) -> Event:
        end = worker.succeeded(message)
        return Succeeded(
            **{name: getattr(end, name) for name in end.__struct_fields__} | {"result": Result(content="")}
        )

    rig.worker.answer = silent

    texts, told = await turn(rig, call("1"))

    assert texts == ["The tool succeeded and gave no text."]
    assert states(told) == [("succeeded", None)]


# ---- names --------------------------------------------------------------------------------------


LONG = [f"shop.{'x' * 57}{end}" for end in "ab"]


async def test_a_name_of_the_provider_finds_its_tool(rig: Rig):
    tools = ["shop.get-price", *LONG, "a._b", "a_.b", "report.1a2b3c4d"]
    for name in tools:
        await rig.tool(name=name)

    names = [provider_name(name, 64) for name in tools]
    _, told = await turn(rig, *(call(str(n), name) for n, name in enumerate(names)))

    assert len(set(names)) == len(tools)
    assert max(map(len, names)) == 64
    assert [one["tool"] for one in told] == tools
    assert states(told) == [("succeeded", None)] * len(tools)


async def test_a_name_that_was_never_mapped_finds_its_tool_too(rig: Rig):
    await rig.tool(name="shop.get-price")

    _, told = await turn(rig, call("1", "shop.get-price"))

    assert [one["tool"] for one in told] == ["shop.get-price"]


async def test_a_name_that_stands_for_two_tools_is_called_by_neither(rig: Rig):
    long = "a." + "b" * 62
    same = provider_name(long, 64).replace("__", ".")
    for name in (long, same):
        await rig.tool(name=name)

    texts, told = await turn(rig, call("1", provider_name(long, 64)))

    assert states(told) == [("rejected", "conflict")]
    assert "stands for the tools" in texts[0]
    assert rig.worker.seen == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ecko", "Did you mean echo?"),
        ("shop_get_prise", "Did you mean shop__get_price"),
        ("echo@1", "Did you mean echo?"),
        ("zzz", "Call one of those that you were given."),
        ("", "The call names no tool"),
        ("x" * 300, "Call one of those that you were given."),
        ("a___b", "There is no such tool: a___b."),
        ("old_echo", "Call one of those that you were given."),
    ],
    ids=["misspelt", "misspelt with a dot", "with a version", "nothing like it", "empty", "long", "ambiguous", "off"],
)
async def test_an_unknown_tool_is_told_with_the_nearest_names(rig: Rig, name, said):
    await rig.tool()
    await rig.tool(name="shop.get_price")
    await rig.tool(name="old_echos", enabled=False)

    texts, told = await turn(rig, call("1", name))

    assert said in texts[0]
    assert states(told) == [("rejected", "tool_not_found")]
    assert told[0]["tool"] == name


async def test_many_unknown_tools_are_answered_without_comparing_all(rig: Rig):
    await rig.tool()

    texts, told = await turn(rig, *(call(str(n), f"ech{n}") for n in range(128)))

    assert states(told) == [("rejected", "tool_not_found")] * 128
    assert sum("Did you mean echo?" in text for text in texts) == 16


async def test_a_tool_that_is_off_is_told(rig: Rig):
    await rig.tool(enabled=False)

    texts, told = await turn(rig, call("1"))

    assert states(told) == [("rejected", "permission_denied")]
    assert "disabled" in texts[0]


# ---- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["", " \n", None, {}, "{}"], ids=["empty", "blank", "none", "object", "text"])
async def test_no_arguments_are_none(rig: Rig, arguments):
    await rig.tool(parameters={"type": "object", "properties": {"text": {"type": "string"}}})

    texts, _ = await turn(rig, call("1", arguments=arguments))

    assert texts == ["{}"]


async def test_arguments_may_come_as_an_object(rig: Rig):
    await rig.tool()

    texts, _ = await turn(rig, call("1", arguments={"text": "hi"}))

    assert texts == ['{"text":"hi"}']


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"text": ', "arguments: the text is not JSON: Expecting value at line 1, column 10"),
        ("{'text': 'hi'}", "arguments: the text is not JSON"),
        ("hi", "arguments: the text is not JSON"),
        ("[]", "arguments: must be one JSON object"),
        ('"{}"', "arguments: must be one JSON object"),
        ([1], "arguments: must be one JSON object"),
        (7, "arguments: must be one JSON object"),
        ('{"text": "a", "text": "b"}', "arguments.text: stands twice in one object"),
        ('{"text": "\\u0000"}', "arguments.text: holds the character NUL"),
        ('{"text": "\\ud800"}', "arguments.text: holds half a surrogate pair"),
        ("{" * 100, "arguments: the text is not JSON"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested deeper than 64 levels"),
        ("{}", 'arguments: "text" is a required property'),
        ('{"text": 7}', 'arguments.text: the value is not of type "string"'),
        ('{"text": "hi", "n": 0, "m": 1}', "arguments.n: the value is less than the minimum of 1"),
    ],
    ids=[
        "cut off",
        "single quotes",
        "a word",
        "a list",
        "JSON in a text",
        "a list itself",
        "a number",
        "a key twice",
        "NUL",
        "half a pair",
        "braces",
        "too deep",
        "missing",
        "of another type",
        "two faults",
    ],
)
async def test_arguments_that_are_wrong_are_told_with_path_rule_and_example(rig: Rig, arguments, said):
    await rig.tool()

    texts, told = await turn(rig, call("1", arguments=arguments), call("2"))

    assert said in texts[0]
    assert texts[0].startswith("The arguments are not valid. Correct them and call again: ")
    assert texts[0].endswith('For example: {"text":"text"}')
    assert states(told) == [("rejected", "validation_failed"), ("succeeded", None)]


@pytest.mark.parametrize("value", ['"\\ud800"', '"\\u0000"', '{"twice":1,"twice":2}'], ids=["half", "nul", "twice"])
async def test_a_long_name_of_an_argument_is_not_told_back_whole(rig: Rig, value):
    await rig.tool()

    texts, _ = await turn(rig, call("1", arguments=f'{{"{"x" * 5_000}": {value}}}'))

    assert "arguments.xxx" in texts[0]
    assert len(texts[0]) < 600


async def test_where_no_example_can_be_made_the_schema_is_shown(rig: Rig):
    sku = {"type": "string", "pattern": "^[A-Z]{3}$"}
    await rig.tool(parameters={"type": "object", "properties": {"text": sku}, "required": ["text"]})

    texts, _ = await turn(rig, call("1"))

    assert 'Their schema: {"type":"object","properties":{"text":{"type":"string","pattern":"^[A-Z]{3}$"}}' in texts[0]


async def test_a_custom_tool_call_is_answered(rig: Rig):
    custom = {"id": "1", "type": "custom", "custom": {"name": "echo", "input": "hi"}}

    texts, told = await turn(rig, custom)

    assert "call a function with JSON arguments" in texts[0]
    assert states(told) == [("rejected", "validation_failed")]


async def test_context_that_is_missing_is_told_without_an_example(rig: Rig):
    await rig.tool(contexts=["tenant"])

    texts, told = await turn(rig, call("1"))

    assert states(told) == [("rejected", "context_required")]
    assert "context.tenant" in texts[0]
    assert "example" not in texts[0]


# ---- what is refused at the door ----------------------------------------------------------------


async def test_a_role_that_may_not_call_is_told_to_the_model(rig: Rig):
    await rig.tool()

    texts, told = await turn(rig, call("1"), call("2"), headers=await rig.key("author"))

    assert states(told) == [("rejected", "permission_denied")] * 2
    assert texts[0].endswith("This needs the role caller or admin, which this key does not have.")  # and no key's id
    assert rig.worker.seen == []


async def test_a_broker_that_is_away_is_told_to_the_model(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    await rig.tool()

    async def away(_: object) -> None:
        raise Unavailable("the broker is away")

    monkeypatch.setattr(rig.transport, "publish", away)

    texts, told = await turn(rig, call("1"))

    assert states(told) == [("rejected", "unavailable")]
    assert texts == ["Toolyard cannot take calls at the moment; try later."]


async def test_a_call_that_was_not_confirmed_is_not_said_to_have_done_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    await rig.tool()

    async def unconfirmed(_: object) -> None:
        raise Unconfirmed("no confirm came")

    monkeypatch.setattr(rig.transport, "publish", unconfirmed)

    texts, told = await turn(rig, call("1"), headers=KEY)

    assert states(told) == [("rejected", "unavailable")]
    assert told[0]["call_id"] == derived_id("default", "turn-7/1")
    assert texts[0].startswith("The call was not confirmed: it is not known whether it was started.")


async def test_a_gateway_that_may_take_no_more_calls_tells_the_model(template, tmp_path):
    async with running(template, tmp_path, answer=never, max_open=1) as rig:
        await rig.tool()

        _, told = await turn(rig, call("1"), call("2"), deadline=2.0)

        assert sorted(states(told)) == [("accepted", None), ("rejected", "unavailable")]


async def test_a_store_that_is_away_is_told_where_it_is_needed(rig: Rig):
    await rig.tool()
    await turn(rig, call("0"))
    rig.stores.away()

    texts, told = await turn(rig, call("1"), call("2", "unknown"), call("3", "a" * 56 + "0123abcd"))

    assert states(told) == [("succeeded", None), ("rejected", "unavailable"), ("rejected", "unavailable")]
    assert texts[1] == "Toolyard cannot take calls at the moment; try later."


# ---- time ---------------------------------------------------------------------------------------


#: Seconds by which a busy machine may be late; far from what these answers would wait for.
BUSY = 30.0


async def timed(rig: Rig, *calls: dict[str, Any], deadline: float) -> tuple[list[str], list[dict[str, Any]]]:
    begun = SYSTEM.monotonic()
    answer = await turn(rig, *calls, deadline=deadline)
    assert SYSTEM.monotonic() - begun <= deadline + BUSY
    return answer


@pytest.mark.parametrize(
    ("happened", "state", "said"),
    [
        (None, "accepted", "it is not known whether it was started. Do not call it again before you have checked."),
        ("started", "running", "it was still running and may have taken effect."),
        ("retry", "retrying", "it had failed and was to be tried again; it may have taken effect."),
        ("paused", "scheduled", "the tool is paused, and the call was not started. Try later."),
    ],
    ids=["nothing", "started", "to be tried again", "paused"],
)
async def test_a_call_that_has_not_ended_by_the_deadline_is_told_as_it_stands(rig: Rig, happened, state, said):
    await rig.tool()

    async def stands(worker: Worker, message: CallMessage) -> Event | None:
        if happened == "started":
            return worker.started(message)
        if happened is None:
            return None
        parked = about(message.call) | {"attempt": 1, "sequence": sequence(1, 900_000), "time": SYSTEM.now()}
        return Parked(**parked, reason=happened)

    rig.worker.answer = stands

    texts, told = await timed(rig, call("1"), deadline=2.0)

    assert texts[0].startswith("The call did not end within 2 s: ")
    assert said in texts[0]
    assert states(told) == [(state, None)]
    assert told[0]["call_id"] == rig.worker.seen[0].call.call_id


async def test_one_that_has_not_ended_takes_nothing_from_the_others(rig: Rig):
    await rig.tool()
    await rig.tool(name="slow")

    async def echo_alone(worker: Worker, message: CallMessage) -> Event | None:
        return None if message.call.tool == "slow" else worker.succeeded(message, 1)

    rig.worker.answer = echo_alone

    texts, told = await timed(rig, call("1"), call("2", "slow"), call("3"), deadline=5.0)

    assert [texts[0], texts[2]] == ["1", "1"]
    assert states(told) == [("succeeded", None), ("accepted", None), ("succeeded", None)]


async def test_a_store_that_hangs_does_not_hold_up_the_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    await rig.tool()
    go_on = threading.Event()

    def hang(*_: object) -> None:
        go_on.wait(60)

    monkeypatch.setattr(rig.stores.tools, "get", hang, raising=False)

    texts, told = await timed(rig, call("1"), deadline=1.0)
    go_on.set()

    assert states(told) == [("rejected", "expired")]
    assert texts == ["The call could not be started within 1 s and had no effect. You may try again."]
    assert rig.worker.seen == []


async def test_a_confirm_that_does_not_come_does_not_hold_up_the_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    await rig.tool()
    real, go_on = rig.transport.publish, asyncio.Event()

    async def slow(message: Any) -> None:
        await go_on.wait()
        await real(message)

    monkeypatch.setattr(rig.transport, "publish", slow)

    texts, told = await timed(rig, call("1"), deadline=2.0)

    assert states(told) == [("rejected", "unavailable")]
    assert "it is not known whether it was started" in texts[0]
    go_on.set()
    await rig.worker.took.wait()


# ---- keys ---------------------------------------------------------------------------------------


async def test_two_calls_that_are_the_same_are_two_calls(rig: Rig):
    await rig.tool()

    _, told = await turn(rig, call("1"), call("2"))
    _, keyed = await turn(rig, call("1"), call("2"), headers=KEY)

    assert len({one["call_id"] for one in told + keyed}) == 4
    assert len(rig.worker.seen) == 4


async def test_each_call_of_a_turn_with_a_key_has_one_of_its_own(rig: Rig):
    await rig.tool()
    long = "x" * 250

    _, told = await turn(rig, call("call_1"), call(long), call("grüezi"), headers=KEY)

    assert [one["call_id"] for one in told] == [
        derived_id("default", call_key("turn-7", id_)) for id_ in ("call_1", long, "grüezi")
    ]
    assert told[0]["call_id"] == derived_id("default", "turn-7/call_1")


@pytest.mark.parametrize(
    ("key", "id_", "made"),
    [
        ("k", "call_1", "k/call_1"),
        ("k" * 200, "c" * 54, "k" * 200 + "/" + "c" * 54),
        ("k" * 200, "c" * 55, "sha256:"),
        ("k", "ü", "sha256:"),
        ("k", "a\nb", "sha256:"),
        ("k", "a/b", "sha256:"),
    ],
    ids=["short", "as long as it may be", "too long", "not ASCII", "not printable", "with a slash"],
)
def test_the_key_of_a_call_is_a_key(key, id_, made):
    assert call_key(key, id_).startswith(made)
    assert len(call_key(key, id_)) <= 255
    assert call_key(key, id_) != call_key(key, id_ + "x")


async def test_a_turn_that_is_repeated_gets_the_same_messages_and_runs_nothing_twice(rig: Rig):
    for name in ("echo", "broken", "late"):
        await rig.tool(name=name)
    rig.worker.answer = by_tool

    first = await turn(rig, *twenty(), headers=KEY)
    again = await turn(rig, *twenty(), headers=KEY)

    assert again == first
    assert len(rig.worker.seen) == 18


async def test_a_turn_that_is_repeated_while_it_runs_waits_for_the_same_calls(rig: Rig):
    await rig.tool()
    rig.worker.answer = never

    first, again = (asyncio.create_task(turn(rig, call("1"), headers=KEY)) for _ in range(2))
    await rig.worker.took.wait()

    async def both_wait() -> bool:
        return bool(rig.parts.correlator.waiting == 2)

    await async_wait_until(both_wait, within=60, what="not both wait")
    await rig.worker.tell(rig.worker.succeeded(rig.worker.seen[0], 7))

    assert await first == await again
    assert len(rig.worker.seen) == 1


async def test_a_repeat_is_told_the_same_when_its_tool_is_gone(rig: Rig):
    await rig.tool(deadline=3_600)
    first = await turn(rig, call("1"), headers=KEY)
    gone = await rig.client.delete("/v1/tools/echo", headers={"If-Match": '"1"'})
    rig.parts.registry.forget_all()

    again = await turn(rig, call("1"), headers=KEY)
    _, told = await turn(rig, call("1"))

    assert gone.status_code == 204
    assert again == first
    assert states(told) == [("rejected", "tool_not_found")]


async def test_an_unknown_tool_is_told_before_its_arguments(rig: Rig):
    await rig.tool()

    texts, told = await turn(rig, call("1", "ecko", "{"))

    assert states(told) == [("rejected", "tool_not_found")]
    assert "Did you mean echo?" in texts[0]


@pytest.mark.parametrize("id_", ["c", "ü", "c" * 300], ids=["short", "not ASCII", "long"])
def test_calls_of_turns_under_two_keys_never_have_one(id_):
    assert call_key("k", f"b/{id_}") != call_key("k/b", id_)


async def test_a_store_that_goes_away_takes_the_suggestions_along_and_no_answer(rig: Rig):
    await rig.tool()
    catalogue = Catalogue(rig.parts.registry, "default", FORMATS["openai"])
    rig.stores.away()

    assert await catalogue.near("ecko") == ()


@pytest.mark.parametrize(
    "change",
    [{"arguments": '{"text": "other"}'}, {"name": "other"}],
    ids=["other arguments", "another tool"],
)
async def test_another_turn_under_the_same_key_is_refused_before_anything_runs(rig: Rig, change):
    await rig.tool()
    await rig.tool(name="other")
    await turn(rig, call("1"), call("2"), headers=KEY)

    refused = await ask(rig, call("3"), call("1", **change), headers=KEY)
    other = await ask(rig, call("1"), call("2"), headers=KEY, conversation="c")

    assert [one.json()["code"] for one in (refused, other)] == ["idempotency_mismatch"] * 2
    assert (refused.status_code, other.status_code) == (422, 422)
    assert len(rig.worker.seen) == 2


async def test_of_two_turns_under_one_key_at_the_same_moment_one_is_refused(rig: Rig):
    await rig.tool()
    calls = [(call("1", arguments=f'{{"text": "{who}"}}'), call("x", "nobody")) for who in "ab"]

    answers = await asyncio.gather(*(ask(rig, *of_one, headers=KEY) for of_one in calls))

    assert sorted(one.status_code for one in answers) == [200, 422]
    assert [one.json()["code"] for one in answers if one.status_code == 422] == ["idempotency_mismatch"]
    assert len(rig.worker.seen) == 1


async def test_calls_that_the_tool_itself_makes_one_are_one_and_both_are_answered(rig: Rig):
    await rig.tool(key_fields=["text"])

    texts, told = await turn(rig, call("1"), call("2"))

    assert texts == ['{"text":"hi"}'] * 2
    assert len({one["call_id"] for one in told}) == 1
    assert len(rig.worker.seen) == 1


# ---- a gateway that stops -----------------------------------------------------------------------


async def test_a_gateway_that_stops_asks_for_a_repeat_where_there_is_a_key(rig: Rig):
    await rig.tool()
    rig.worker.answer = never

    with_key = asyncio.create_task(ask(rig, call("1"), headers=KEY))
    without = asyncio.create_task(turn(rig, call("2")))

    async def both_wait() -> bool:
        return bool(rig.parts.correlator.waiting == 2)

    await async_wait_until(both_wait, within=60, what="not both wait")
    await drain(rig.parts, patience=0.05)

    refused = await with_key
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert refused.headers["Retry-After"] == "1"
    texts, told = await without
    assert texts[0].startswith("The call did not end before Toolyard had to stop: it is not known whether")
    assert states(told) == [("accepted", None)]
    late = await ask(rig, call("3"))
    assert (late.status_code, late.json()["code"]) == (503, "unavailable")
    assert len(rig.worker.seen) == 2


# ---- what is wrong with the request -------------------------------------------------------------


def request(**changed: Any) -> dict[str, Any]:
    body = {"format": "openai", "message": {"role": "assistant", "tool_calls": [call("1")]}} | changed
    return {name: value for name, value in body.items() if value is not ...}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (request(format=...), "format"),
        (request(format="gemini"), "format"),
        (request(format="openai-responses"), "format"),
        (request(format=7), "format"),
        (request(message=...), "message"),
        (request(message=None), "message"),
        (request(message={"tool_calls": [call("1"), call("1")]}), "message.tool_calls.1.id"),
        (request(deadline=0), "deadline"),
        (request(deadline=301), "deadline"),
        (request(deadline="10"), "deadline"),
        (request(user=""), "user"),
        (request(context=[]), "context"),
        (request(tools=[]), "tools"),
        (request(timeout=5), "timeout"),
    ],
)
async def test_what_is_wrong_with_the_whole_is_refused_by_its_field(rig: Rig, body, field):
    await rig.tool()

    refused = await rig.client.post("/v1/turns", json=body)

    assert refused.status_code == 422
    assert [error["path"] for error in refused.json()["errors"]] == [field]
    if body.get("format") in ("gemini", "openai-responses"):
        assert "'openai' or 'anthropic'" in refused.json()["detail"]
    assert rig.worker.seen == []


async def test_a_request_without_key_that_is_too_long_or_unreadable_is_refused(rig: Rig):
    too_long = await rig.client.post("/v1/turns", json=request(conversation="x" * 1024 * 1024))
    unreadable = await rig.client.post("/v1/turns", content=b'{"format"')
    asked = await rig.client.post("/v1/turns?wait=3", json=request())
    nobody = await rig.client.post("/v1/turns", json=request(), headers={"Authorization": "Bearer nothing"})
    bad_key = await rig.client.post("/v1/turns", json=request(), headers={"Idempotency-Key": "k" * 256})

    answers = (too_long, unreadable, asked, nobody, bad_key)
    assert [one.status_code for one in answers] == [413, 400, 422, 401, 422]


async def test_calls_of_a_turn_are_counted(template, tmp_path):
    async with running(template, tmp_path, answer=fail) as rig:
        await rig.tool()
        await turn(rig, call("1"), call("2"), call("3", "unknown"))

        counted = (await rig.client.get("/metrics")).text
        assert "toolyard_gateway_calls_accepted_total 2" in counted
        assert 'toolyard_gateway_refused_total{code="tool_not_found"} 1' in counted
