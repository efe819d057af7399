"""The pure core at play: its steps are answered by a script, and its pauses pass at once."""

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolyard.client.asking import Asking
from toolyard.client.errand import Step
from toolyard.client.patience import Pause
from toolyard.client.requests import Request
from toolyard.errors import ToolyardError

CALL_ID = "0197a000-0000-7000-8000-000000000001"


@dataclass
class Took:
    """An answer, or an error, that comes after so many seconds."""

    seconds: float
    answer: Any


@dataclass
class Stage:
    """A time of its own, and the longest pauses that chance allows.

    Attributes:
        asked: the requests, in order.
        pauses: the pauses, in order.
    """

    retry_for: float = 30.0
    passed: float = 0.0
    asked: list[Request] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def now(self) -> float:
        return 1_800_000_000.0 + self.passed

    def monotonic(self) -> float:
        return self.passed

    @property
    def asking(self) -> Asking:
        return Asking(retry_for=self.retry_for, clock=self, chance=lambda: 1.0)

    def play(self, steps: Generator[Step, Any, Any], *script: Any) -> Any:
        """The result of these steps; all of the script must have been asked for."""
        answers = list(script)
        reply: Any = None
        try:
            while True:
                step = steps.throw(reply) if isinstance(reply, ToolyardError) else steps.send(reply)
                reply = self._reply(step, answers)
        except StopIteration as end:
            assert not [one for one in answers if not isinstance(one, Always)], f"never asked for: {answers}"
            return end.value

    def _reply(self, step: Step, answers: list[Any]) -> Any:
        if isinstance(step, Pause):
            self.pauses.append(step.seconds)
            self.passed += step.seconds
            return None
        self.asked.append(step)
        told = answers[0].answer if isinstance(answers[0], Always) else answers.pop(0)
        if isinstance(told, Took):
            self.passed += told.seconds
            told = told.answer
        return told

    def waits(self) -> Sequence[str]:
        """What each request asked to wait, in seconds."""
        return [
            str(one.query.get("wait", "")) or one.headers.get("Prefer", "").removeprefix("wait=") for one in self.asked
        ]


@dataclass
class Always:
    """The answer to all that is still asked."""

    answer: Any


def call(state: str = "succeeded", **more: Any) -> dict[str, Any]:
    """A call, as a gateway shows it."""
    shown: dict[str, Any] = {
        "call_id": CALL_ID,
        "tool": "weather",
        "version": 1,
        "state": state,
        "effect": "none",
        "arguments": {},
        "attempts": 1,
        "org": "default",
        "created_at": "2027-01-15T08:00:00.000Z",
        "deadline": "2027-01-15T08:05:00.000Z",
        "trace_id": "0" * 32,
    }
    if state == "succeeded":
        shown |= {"result": {"content": '{"max":21}', "structured": {"max": 21}}}
    return shown | more


def told(event: str, state: str, number: int = 1, **more: Any) -> dict[str, Any]:
    """An event as followers of an org are told it, without its envelope's rarer fields."""
    return {
        "specversion": "1.0",
        "id": f"{CALL_ID}/{number}/{event}",
        "source": "/orgs/default",
        "type": f"io.toolyard.call.{event}.v1",
        "subject": CALL_ID,
        "time": "2027-01-15T08:00:01.000Z",
        "sequence": f"{number:010}",
        "datacontenttype": "application/json",
        "data": {
            "call_id": CALL_ID,
            "org": "default",
            "tool": "weather",
            "version": 1,
            "state": state,
            "attempt": 1,
            "deadline": "2027-01-15T08:05:00.000Z",
            **more,
        },
    }


def frame(cursor: str, event: str, data: Any) -> bytes:
    """A piece of an event stream."""
    return f"id: {cursor}\nevent: {event}\ndata: {json.dumps(data)}\n\n".encode()


def started(number: int) -> bytes:
    """The frame of the event that tells a start, at this place."""
    return frame(f"{number}-2", "started", told("started", "running", number))
