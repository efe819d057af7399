"""The tour's steps: each finds what is not as it must be. And what it prints. The tour itself runs in tests/e2e."""

import json
from typing import Any

import httpx
import pytest

from toolyard.cli.output import Output
from toolyard.client import AsyncClient, Call, Event, Turn
from toolyard.client.feed import feed_event
from toolyard.client.shapes import shaped
from toolyard_embedded.demo import __main__ as command
from toolyard_embedded.demo import process
from toolyard_embedded.demo.asking import Seen, Unlike
from toolyard_embedded.demo.process import walk
from toolyard_embedded.demo.steps import STEPS
from toolyard_embedded.demo.telling import Documents, Screen, laid_out

CALL, SANDBOX, LAMBDA, CONSENT, TURN, FAILING, TIMEOUT = STEPS
WEATHER = {"city": "Lisbon", "sky": "cloudy"}
FAILED = {"code": "upstream_error", "message": "404", "model_message": "there is no city called Atlantis"}
WORDS = {"call": 3, "a": 2, "tool": 1}
PRICE = {"sku": "pear", "price": 1.5}
PRINTED = "asked for pear by the call 0198c5d8-0000-7000-8000-000000000001\n"
FREE = {"user": "ada", "day": "Monday", "free": ["10:00", "14:30"]}
ASKED = {
    "authorization_id": "a1",
    "provider": "arcade/calendar",
    "url": "http://127.0.0.1:1/consent/a1",
    "scopes": ["calendar.read"],
    "expires_at": "2026-01-31T12:05:00.000Z",
}
LATE = {"code": "timed_out", "message": "late", "model_message": "The tool took too long", "phase": "attempt"}


def call(state: str, **more: Any) -> dict[str, Any]:
    """A call as a gateway tells it."""
    return {
        "call_id": "0198c5d8-0000-7000-8000-000000000001",
        "tool": "weather",
        "version": 1,
        "state": state,
        "effect": "done",
        "arguments": {},
        "attempts": 1,
        "org": "default",
        "created_at": "2026-01-31T12:00:00.000Z",
        "deadline": "2026-01-31T12:05:00.000Z",
        "trace_id": "0" * 32,
        "result": {"content": json.dumps(WEATHER), "structured": WEATHER} if state == "succeeded" else None,
        **more,
    }


def answered(value: Any, **report: Any) -> dict[str, Any]:
    """A call that succeeded with this value."""
    return call("succeeded", result={"content": json.dumps(value), "structured": value}, report=report)


def told(event: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """An event as a gateway tells it to followers."""
    data = call(event, attempt=1, **more)
    return {"specversion": "1.0", "id": f"{data['call_id']}/{number}/{event}", "time": data["created_at"], "data": data}


def seen(*names: str, **more: Any) -> list[Seen]:
    frames = [Event(id=f"{number}-2", event=name, data=told(name, **more)) for number, name in enumerate(names)]
    return [Seen(0.0, feed_event(frame)) for frame in frames]


def ends(state: str) -> list[Seen]:
    return seen("accepted", "started", state)


def consented() -> list[Seen]:
    before, asked = seen("accepted", "started"), seen("authorization_required", authorization=ASKED)
    return [*before, *asked, *seen("started", "succeeded")]


@pytest.mark.parametrize(
    ("step", "answer", "events"),
    [
        (CALL, call("succeeded"), ends("succeeded")),
        (SANDBOX, answered(WORDS, logs="6 words\n"), ends("succeeded")),
        (LAMBDA, answered(PRICE, logs=PRINTED, billed_seconds=0.1), ends("succeeded")),
        (CONSENT, answered(FREE) | {"attempts": 2}, consented()),
        (FAILING, call("failed", effect="none", error=FAILED), ends("failed")),
        (TIMEOUT, call("timed_out", effect="unknown", error=LATE), ends("timed_out")),
        (
            TIMEOUT,
            call("timed_out", effect="unknown", error=LATE),
            seen("accepted", "started", "soft_timeout", "timed_out"),
        ),
    ],
    ids=["call", "sandbox", "lambda", "consent", "failing tool", "timeout", "timeout with its warning"],
)
def test_what_comes_as_it_must_is_shown(step, answer, events):
    assert step.check(shaped(answer, Call), events)


@pytest.mark.parametrize(
    ("step", "answer", "events", "told"),
    [
        (CALL, call("succeeded"), seen("accepted", "succeeded"), "events"),
        (CALL, call("failed", error=FAILED), ends("succeeded"), "state: succeeded should have come, and failed came"),
        (CALL, call("succeeded", result={"content": "Rome"}), ends("succeeded"), "does not speak of Lisbon"),
        (SANDBOX, answered(WORDS), ends("succeeded"), "what was printed"),
        (SANDBOX, answered(PRICE, logs="6 words\n"), ends("succeeded"), "result"),
        (LAMBDA, answered(PRICE), ends("succeeded"), "how long it ran"),
        (LAMBDA, answered(PRICE, logs="?", billed_seconds=0.1), ends("succeeded"), "what was printed"),
        (LAMBDA, answered(WORDS, logs=PRINTED, billed_seconds=0.1), ends("succeeded"), "result"),
        (CONSENT, answered(FREE) | {"attempts": 2}, ends("succeeded"), "events"),
        (CONSENT, answered(FREE), consented(), "attempts"),
        (CONSENT, answered(PRICE) | {"attempts": 2}, consented(), "does not speak of 10:00"),
        (FAILING, call("succeeded"), ends("succeeded"), "events"),
        (FAILING, call("failed"), ends("failed"), "no error"),
        (FAILING, call("failed", effect="unknown", error=FAILED), ends("failed"), "effect"),
        (FAILING, call("failed", effect="none", error={**FAILED, "model_message": "no"}), ends("failed"), "Atlantis"),
        (TIMEOUT, call("timed_out"), ends("timed_out"), "no error"),
        (TIMEOUT, call("timed_out", effect="unknown", error={**LATE, "phase": "queue"}), ends("timed_out"), "phase"),
        (TIMEOUT, call("timed_out", effect="none", error=LATE), ends("timed_out"), "effect"),
    ],
    ids=range(18),
)
def test_what_comes_otherwise_is_told(step, answer, events, told):
    with pytest.raises(Unlike, match=told):
        step.check(shaped(answer, Call), events)


# ---- the turn -----------------------------------------------------------------------------------


def turn(*ids: str, state: str = "succeeded", content: str = "Lisbon: all is well") -> Turn:
    messages = [{"role": "tool", "tool_call_id": each, "content": content} for each in ids]
    calls = [{"tool_call_id": each, "call_id": f"id of {each}", "tool": "t", "state": state} for each in ids]
    return shaped({"messages": messages, "calls": calls}, Turn)


def turn_events(*, second_starts: str = "2026-01-31T12:00:00.500Z") -> list[Seen]:
    events = []
    for tool_call_id, tool, starts in (
        ("call_1", "weather", "2026-01-31T12:00:00.100Z"),
        ("call_2", "slow_report", "2026-01-31T12:00:00.100Z"),
        ("call_3", "slow_report", second_starts),
    ):
        times = {"started_at": starts, "finished_at": "2026-01-31T12:00:01.100Z"}
        events += seen("accepted", "started", "succeeded", call_id=f"id of {tool_call_id}", tool=tool, **times)
    return events


def test_a_turn_that_comes_as_it_must_is_shown():
    ids = ("call_1", "call_2", "call_3")
    assert TURN.check(turn(*ids), turn_events()) == [("messages", turn(*ids).messages)]


@pytest.mark.parametrize(
    ("answer", "events", "told"),
    [
        (turn("call_2", "call_1", "call_3"), turn_events(), "ids of the messages"),
        (turn("call_1", "call_2"), turn_events(), "ids of the messages"),
        (turn("call_1", "call_2", "call_3", state="failed"), turn_events(), "states"),
        (turn("call_1", "call_2", "call_3"), turn_events()[:-1], "events of call_3"),
        (turn("call_1", "call_2", "call_3", content="?"), turn_events(), "call_1 does not speak of Lisbon"),
        (
            turn("call_1", "call_2", "call_3"),
            turn_events(second_starts="2026-01-31T12:00:01.200Z"),
            "one report began when the other had ended",
        ),
    ],
    ids=["order", "missing", "state", "events", "content", "one after the other"],
)
def test_a_turn_that_comes_otherwise_is_told(answer, events, told):
    with pytest.raises(Unlike, match=told):
        TURN.check(answer, events)


# ---- the walk, and the command ------------------------------------------------------------------


def gateway(*names: str) -> AsyncClient:
    """A client whose gateway takes every call and tells these events of it."""

    def answer(request: httpx.Request) -> httpx.Response:
        if not names:
            problem = {"code": "permission_denied", "detail": "this key may not read calls"}
            return httpx.Response(403, json=problem, headers={"Content-Type": "application/problem+json"})
        if request.url.path == "/v1/calls":
            return httpx.Response(202, json=call("accepted"))
        if request.url.path != "/v1/events":
            return httpx.Response(200, json=call(names[-1]))
        frames = [f"id: {n}-2\nevent: {name}\ndata: {json.dumps(told(name, n))}\n\n" for n, name in enumerate(names)]
        text = ": following\n\n" + "".join(frames)
        return httpx.Response(200, text=text, headers={"Content-Type": "text/event-stream"})

    return AsyncClient("http://127.0.0.1:1", "key", transport=httpx.MockTransport(answer))


async def walked(client: AsyncClient, *, as_json: bool) -> str:
    """Takes the first step, which must fail; why."""
    out = Output(as_json=as_json)
    async with client:
        with pytest.raises(Unlike) as failed:
            await walk(client, [CALL], Documents(out) if as_json else Screen(out))
    return str(failed.value)


async def test_a_step_that_fails_ends_the_walk_and_is_named(capsys):
    why = await walked(gateway("accepted", "started", "cancelled"), as_json=False)
    assert why.startswith("A call: events: ['accepted', 'started', 'succeeded'] should have come, and [")
    assert capsys.readouterr().out.splitlines()[-1].split()[-1] == "cancelled"


async def test_scripts_find_what_was_wrong_in_the_document_of_the_step(capsys):
    why = await walked(gateway("accepted", "cancelled"), as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert why == f"A call: {document['problem']}"
    assert [event["event"] for event in document["events"]] == ["accepted", "cancelled"]
    assert document["answer"]["state"] == "cancelled"


async def test_a_refused_request_is_told_with_its_code(capsys):
    why = await walked(gateway(), as_json=True)
    assert why == "A call: permission_denied: this key may not read calls"
    assert json.loads(capsys.readouterr().out)["answer"] is None


@pytest.mark.parametrize(
    ("ended", "code", "told"),
    [(True, 0, ""), (Unlike("A call: ?"), 1, "demo_failed: A call: ?\n"), (False, 130, "nothing is left behind")],
    ids=["walked", "failed", "interrupted"],
)
def test_the_exit_code_says_how_it_ended(monkeypatch: pytest.MonkeyPatch, capsys, ended, code, told):
    def run(out: Output) -> bool:
        if isinstance(ended, Exception):
            raise ended
        return bool(ended)

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr("sys.argv", ["toolyard demo"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == code
    assert told in capsys.readouterr().err


# ---- what is printed ----------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize("room", [20, 40, 78])
def test_json_is_laid_out_and_stays_the_same(step, room):
    text = laid_out(step.body, room)
    assert json.loads(text) == step.body
    if room == 78:
        assert max(map(len, text.splitlines())) <= room


def test_what_fits_stands_on_one_line():
    assert laid_out({"a": [1, {}, "b"]}, 20) == '{"a": [1, {}, "b"]}'
    assert laid_out({"a": [1, 2], "b": 3}, 12) == '{\n  "a": [\n    1,\n    2\n  ],\n  "b": 3\n}'
    assert laid_out({"a": [1, 2], "b": 3}, 14) == '{\n  "a": [1, 2],\n  "b": 3\n}'


def test_names_of_steps_are_for_scripts_and_stay():
    assert [step.name for step in STEPS] == [
        *("call", "sandbox", "lambda", "consent", "turn", "failing_tool", "timeout")
    ]


def test_a_step_says_one_sentence():
    said = [step.says for step in STEPS]
    assert all(each.count(".") == 1 and each.endswith(".") for each in said)
