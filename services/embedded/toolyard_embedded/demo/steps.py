"""The steps of the tour: what is asked, the sentence that says what is seen, and what must come back.

A check raises `Unlike` where something else came; what it gives is shown. Nothing here prints or knows how it is asked.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from toolyard.client import Call, Turn
from toolyard_embedded.demo import stand_in_arcade, stand_in_lambda
from toolyard_embedded.demo.asking import Seen, Unlike
from toolyard_embedded.samples import COUNT_WORDS, FIRST_ARGUMENTS, FIRST_TOOL
from toolyard_embedded.upstream import UNKNOWN_CITY

#: What is shown of an answer: names, and texts or JSON values.
Shown = Sequence[tuple[str, Any]]
CALLS: Final = "/v1/calls"
TURNS: Final = "/v1/turns"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step.

    Attributes:
        name: for scripts.
        title: for people.
        says: one sentence: what is seen.
        path: where the request goes, by POST.
        body: of the request.
        check: takes the answer (a `Call` or a `Turn`) and the events; gives what is shown of it, or raises `Unlike`.
        pool: that must be there; empty where the system is none without it.
    """

    name: str
    title: str
    says: str
    path: str
    body: dict[str, Any]
    check: Callable[[Any, Sequence[Seen]], Shown]
    pool: str = ""


# ---- what must come back ------------------------------------------------------------------------


def _succeeded(call: Call, events: Sequence[Seen]) -> Shown:
    _expect("events", _names(events), ["accepted", "started", "succeeded"])
    _expect("state", call.state, "succeeded")
    result = call.output()
    _expect_in("the result", FIRST_ARGUMENTS["city"], str(result))
    return [("result", result), ("effect", call.effect)]


def _computed(call: Call, events: Sequence[Seen]) -> Shown:
    _expect("events", _names(events), ["accepted", "started", "succeeded"])
    _expect("result", call.output(), {"call": 3, "a": 2, "tool": 1})
    printed = "" if call.report is None else call.report.logs
    _expect("what was printed", printed, "6 words\n")
    return [("result", call.output()), ("effect", call.effect), ("printed", printed.rstrip())]


def _invoked(call: Call, events: Sequence[Seen]) -> Shown:
    _expect("events", _names(events), ["accepted", "started", "succeeded"])
    _expect("result", call.output(), {"sku": stand_in_lambda.ARGUMENTS["sku"], "price": 1.5})
    report = call.report
    if report is None or report.billed_seconds is None:
        raise Unlike("nothing came of what the function printed, or how long it ran")
    _expect(
        "what was printed", report.logs, f"asked for {stand_in_lambda.ARGUMENTS['sku']} by the call {call.call_id}\n"
    )
    shown = [("result", call.output()), ("effect", call.effect), ("printed", report.logs.rstrip())]
    return [*shown, ("billed", f"{report.billed_seconds:g} s")]


def _consented(call: Call, events: Sequence[Seen]) -> Shown:
    _expect("events", _names(events), ["accepted", "started", "authorization_required", "started", "succeeded"])
    asked = next(seen.event.authorization for seen in events if seen.event.authorization is not None)
    _expect("state and attempts", (call.state, call.attempts), ("succeeded", 2))
    _expect_in("the result", stand_in_arcade.FREE[0], str(call.output()))
    return [("the user was asked at", asked.url), ("result", call.output()), ("effect", call.effect)]


def _turned(turn: Turn, events: Sequence[Seen]) -> Shown:
    asked = [tool_call["id"] for tool_call in _MESSAGE["tool_calls"]]
    _expect("ids of the messages", [message.get("tool_call_id") for message in turn.messages], asked)
    _expect("states", [each.state for each in turn.calls], ["succeeded"] * len(asked))
    for each in turn.calls:
        own = [seen for seen in events if seen.event.call_id == each.call_id]
        _expect(f"events of {each.tool_call_id}", _names(own), ["accepted", "started", "succeeded"])
    for message, text in zip(turn.messages, (FIRST_ARGUMENTS["city"], "all is well", "all is well"), strict=True):
        _expect_in(f"the message of {message['tool_call_id']}", text, str(message.get("content")))
    if not _side_by_side(events):
        raise Unlike("one report began when the other had ended")
    return [("messages", turn.messages)]


def _failed(call: Call, events: Sequence[Seen]) -> Shown:
    _expect("events", _names(events), ["accepted", "started", "failed"])
    error = call.error
    if error is None:
        raise Unlike("a call that failed has no error")
    _expect("state, code and effect", (call.state, error.code, call.effect), ("failed", "upstream_error", "none"))
    _expect_in("the text for the model", UNKNOWN_CITY, error.model_message)
    return [("code", error.code), ("effect", call.effect), ("the model gets", error.model_message)]


def _timed_out(call: Call, events: Sequence[Seen]) -> Shown:
    names = [name for name in _names(events) if name != "soft_timeout"]  # a machine that stands still may pass it over
    _expect("events", names, ["accepted", "started", "timed_out"])
    error = call.error
    if error is None:
        raise Unlike("a call that timed out has no error")
    _expect("state, phase and effect", (call.state, error.phase, call.effect), ("timed_out", "attempt", "unknown"))
    return [("phase", error.phase), ("effect", call.effect), ("the model gets", error.model_message)]


def _names(events: Sequence[Seen]) -> list[str]:
    return [seen.event.event for seen in events]


def _side_by_side(events: Sequence[Seen]) -> bool:
    """Whether all reports of the turn had started before one of them ended."""
    reports = [seen.event for seen in events if seen.event.last and seen.event.tool == _SLOW]
    started = [event.started_at for event in reports if event.started_at]
    finished = [event.finished_at for event in reports if event.finished_at]
    return len(started) == len(finished) > 1 and max(started) < min(finished)


def _expect(what: str, came: object, wanted: object) -> None:
    if came != wanted:
        raise Unlike(f"{what}: {wanted} should have come, and {came} came")


def _expect_in(where: str, part: str, text: str) -> None:
    if part not in text:
        raise Unlike(f"{where} does not speak of {part}: {text}")


# ---- the steps ----------------------------------------------------------------------------------

_SLOW: Final = "slow_report"


def _tool_call(number: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": tool, "arguments": json.dumps(arguments, separators=(",", ":"))}  # as OpenAI writes them
    return {"id": f"call_{number}", "type": "function", "function": function}


_MESSAGE: Final[dict[str, Any]] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        _tool_call(1, FIRST_TOOL, FIRST_ARGUMENTS),
        _tool_call(2, _SLOW, {"seconds": 1}),
        _tool_call(3, _SLOW, {"seconds": 1}),
    ],
}

STEPS: Final = (
    Step(
        name="call",
        title="A call",
        says="The gateway accepts a call, a worker runs its tool, and the result comes back with the call.",
        path=CALLS,
        body={"tool": FIRST_TOOL, "arguments": FIRST_ARGUMENTS},
        check=_succeeded,
    ),
    Step(
        name="sandbox",
        title="A tool in Python, in the sandbox",
        says="The code of this tool is kept with its definition, and a locked process of its own runs it: it can "
        "compute, and nothing else.",
        path=CALLS,
        body={"tool": COUNT_WORDS, "arguments": {"text": "A call: a tool call. Call!"}},
        check=_computed,
        pool="sandbox",
    ),
    Step(
        name="lambda",
        title="A function, on a stand-in for AWS Lambda",
        says="One call is one invocation, sent by the SDK of AWS to a stand-in for AWS Lambda on this machine, which "
        "runs a real function: no account is needed, and AWS is not asked.",
        path=CALLS,
        body={"tool": stand_in_lambda.TOOL, "arguments": stand_in_lambda.ARGUMENTS},
        check=_invoked,
        pool="lambda",
    ),
    Step(
        name="consent",
        title="A tool that needs its user's consent, on a stand-in for Arcade",
        says="Nothing runs before the user has opened a link, which the tour does in their place: until then the call "
        "waits and holds nothing, and then it goes on by itself; Arcade is not asked, and no account is needed.",
        path=CALLS,
        body={"tool": stand_in_arcade.TOOL, "arguments": stand_in_arcade.ARGUMENTS, "user": stand_in_arcade.USER},
        check=_consented,
        pool="arcade",
    ),
    Step(
        name="turn",
        title="A turn, in the format of OpenAI",
        says="The message of an LLM goes in as it is, its tool calls run side by side, and the messages that come back "
        "can be appended: one for each id, in order.",
        path=TURNS,
        body={"format": "openai", "message": _MESSAGE},
        check=_turned,
    ),
    Step(
        name="failing_tool",
        title="A tool that fails",
        says="The service behind the tool says no: the call ends as failed, says what the world saw of it, and has a "
        "text for the model to act on.",
        path=CALLS,
        body={"tool": FIRST_TOOL, "arguments": {"city": UNKNOWN_CITY}},
        check=_failed,
    ),
    Step(
        name="timeout",
        title="A timeout",
        says="A report that takes 30 s may take 1 s: the call ends in the phase in which its time was over, and since "
        "it had started, nobody knows its effect.",
        path=CALLS,
        body={"tool": _SLOW, "arguments": {"seconds": 30}, "timeout": 1},
        check=_timed_out,
    ),
)
