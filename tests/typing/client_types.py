"""What type checkers see of the client: checked by `make types`, never run."""

from datetime import datetime
from typing import Any, assert_type

import anthropic
import openai
from anthropic.types import Message, MessageParam
from openai.types.chat import ChatCompletionMessage, ChatCompletionMessageParam

from toolyard.client import (
    AsyncClient,
    Authorization,
    Call,
    CallFailed,
    Client,
    Event,
    Failure,
    FeedEvent,
    Gap,
    Refused,
    Report,
    Result,
    Turn,
    TurnCall,
    events,
)
from toolyard.client.tool_choice import to_anthropic, to_openai


def calls(client: Client) -> None:
    call = client.call("weather", {"city": "Bern"}, user="ada", deadline=20, wait=60, idempotency_key="k")
    assert_type(call, Call)
    assert_type(call.result, Result | None)
    assert_type(call.error, Failure | None)
    assert_type(call.report, Report | None)
    assert_type(call.raise_for_state(), Call)
    assert_type(call.output(), Any)
    assert_type(client.get("id", wait=1.5), Call)
    assert_type(client.cancel("id"), Call)
    assert_type(call.authorization, Authorization | None)
    assert_type(client.authorize("mail", user="ada"), Authorization | None)
    assert_type(client.cancel(conversation="c"), int)
    assert_type(client.call_many([{"tool": "a"}, {"tool": "b", "deadline": 3}]), list[Call | Refused])
    for event in client.events("id", last_event_id="7"):
        assert_type(event, Event)
        assert_type(event.call, Call | None)


def what_happens(client: Client, moment: datetime) -> None:
    with client.follow(until="now") as told:
        assert_type(next(told), FeedEvent | Gap)
    with events.over_http(since="first", until=moment) as feed:
        assert_type(next(feed), FeedEvent | Gap)
        assert_type(feed.cursor, str)
    with client.follow(conversation="c", tool="t", states=["failed"], call_id="id", since=moment) as told:
        for event in told:
            assert_type(event.cursor, str)
            assert_type(event.call_id, str | None)  # a gap has none: it must be told apart
            if isinstance(event, Gap):
                continue
            assert_type(event, FeedEvent)
            assert_type(event.call_id, str)
            assert_type(event.time, datetime)
            assert_type(event.result, Result | None)
            assert_type(event.error, Failure | None)
            assert_type(event.report, Report | None)
            assert_type(event.last, bool)


def wrong_following(client: Client) -> None:
    client.follow("c")  # type: ignore[call-arg]
    client.follow(since=7)  # type: ignore[arg-type]
    client.follow(states=[7])  # type: ignore[list-item]
    client.follow(state="failed")  # type: ignore[call-arg]
    for _ in client.follow():  # type: ignore[attr-defined]
        pass


def wrong_calls(client: Client) -> None:
    client.call()  # type: ignore[call-arg]
    client.call("weather", city="Bern")  # type: ignore[call-arg]
    client.call("weather", wait="long")  # type: ignore[arg-type]
    client.call_many([{"arguments": {}}])  # type: ignore[typeddict-item]
    client.call_many([{"tool": "a", "argument": {}}])  # type: ignore[typeddict-unknown-key]
    client.cancel()  # type: ignore[call-overload]
    client.cancel("id", conversation="c")  # type: ignore[call-overload]
    client.turn({})  # type: ignore[call-arg]
    client.turn({}, format="gemini")  # type: ignore[arg-type]
    client.tools()  # type: ignore[call-arg]
    client.call("weather").state = "failed"  # type: ignore[misc]


async def the_same_asynchronously(client: AsyncClient) -> None:
    assert_type(await client.call("weather", {"city": "Bern"}, wait=60), Call)
    assert_type(await client.get("id"), Call)
    assert_type(await client.cancel("id"), Call)
    assert_type(await client.cancel(conversation="c"), int)
    assert_type(await client.call_many([{"tool": "a"}]), list[Call | Refused])
    assert_type(await client.turn({}, format="openai"), Turn)
    assert_type(await client.tools(format="openai"), list[Any])
    async for event in client.events("id"):
        assert_type(event, Event)
    async with client.follow(since="4711-2") as events:
        async for told in events:
            assert_type(told, FeedEvent | Gap)
    await client.call("weather", wait="long")  # type: ignore[arg-type]
    await client.cancel()  # type: ignore[call-overload]


def turns(client: Client) -> None:
    turn = client.turn({"role": "assistant"}, format="openai", conversation="c", context={"tenant": 7})
    assert_type(turn, Turn)
    assert_type(turn.calls, list[TurnCall])
    assert_type(turn.messages, list[Any])


def failures(error: CallFailed) -> None:
    assert_type(error.call, Call)


def what_comes_out_goes_into_the_package_of_openai(
    client: Client, provider: openai.OpenAI, message: ChatCompletionMessage
) -> None:
    messages: list[ChatCompletionMessageParam] = []
    messages += client.turn(message, format="openai").messages
    tools = client.tools(format="openai")
    provider.chat.completions.create(model="m", messages=messages, tools=tools, tool_choice=to_openai("mail.send"))


def what_comes_out_goes_into_the_package_of_anthropic(
    client: Client, provider: anthropic.Anthropic, message: Message
) -> None:
    messages: list[MessageParam] = []
    messages += client.turn(message, format="anthropic").messages
    messages += client.turn(message.content, format="anthropic").messages
    tools = client.tools(format="anthropic")
    choice = to_anthropic("required")
    provider.messages.create(model="m", max_tokens=9, messages=messages, tools=tools, tool_choice=choice)


def clients() -> None:
    assert_type(Client().__enter__(), Client)
    Client("http://127.0.0.1:8080", "key", timeout=5, retry_for=0)
    Client(["http://127.0.0.1:8080"])  # type: ignore[arg-type]
