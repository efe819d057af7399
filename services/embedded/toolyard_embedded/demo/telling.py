"""What the tour prints: for people as it happens, for scripts one JSON document a step."""

import json
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
from rich.padding import Padding
from rich.text import Text

from toolyard.cli.output import Output, cell, printable
from toolyard.client import Call, Turn
from toolyard_embedded.demo.asking import Seen
from toolyard_embedded.demo.steps import Shown, Step

#: Columns that prose and JSON keep to, also where a terminal has more.
_WIDTH: Final = 80
_INDENT: Final = 2
_NEXT: Final = (
    ("make run", "the same system, to keep (or: toolyard dev)"),
    ("docs/quickstart.md", "the same steps by hand, in a shell and in Python"),
    ("docs/howto/turns.md", "turns, for OpenAI and Anthropic"),
    ("docs/howto/python-client.md", "the Python client, and loops around a model"),
    ("docs/howto/write-a-tool.md", "a tool of your own"),
)


class Teller(Protocol):
    """Is told what happens."""

    def welcome(self, seconds: float, steps: int) -> None:
        """The system is ready, after so many seconds, for so many steps."""

    def left_out(self, step: Step, why: str) -> None:
        """A step is not taken: its pool cannot run on this machine."""

    def begin(self, step: Step) -> None:
        """A step begins."""

    def event(self, seen: Seen) -> None:
        """An event has come."""

    def end(self, step: Step, events: Sequence[Seen], answer: Call | Turn, shown: Shown) -> None:
        """A step has ended as it must."""

    def failed(self, step: Step, events: Sequence[Seen], answer: Call | Turn | None, why: str) -> None:
        """A step has not; the command itself tells why."""

    def farewell(self) -> None:
        """All steps ended as they should."""


class Screen:
    """For people: each thing as soon as it is known."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
        self._number = self._steps = 0

    def welcome(self, seconds: float, steps: int) -> None:
        """Say what this is."""
        self._steps = steps
        self._prose(
            "A tour of Toolyard. The whole system runs in this process, in a folder that goes away with it; it was "
            f"ready after {seconds:.1f} s.",
            indent=0,
        )

    def left_out(self, step: Step, why: str) -> None:
        """Say it in one line."""
        self._line()
        self._line(f"Left out: {step.title}: {why}", indent=0)

    def begin(self, step: Step) -> None:
        """Print the request and what to look for."""
        self._number += 1
        self._line()
        self._line(Text(f"{self._number}/{self._steps}  {step.title}", style="bold"), indent=0)
        self._line()
        self._prose(step.says)
        self._line()
        self._line(Text(f"POST {step.path}", style="bold"))
        self._line(laid_out(step.body, self._width - _INDENT))
        self._line()

    def event(self, seen: Seen) -> None:
        """Print an event."""
        self._line(Text.assemble(f"{seen.after:5.2f} s  {seen.event.tool}  ", cell(seen.event.event)))

    def end(self, step: Step, events: Sequence[Seen], answer: Call | Turn, shown: Shown) -> None:
        """Print what came of it."""
        self._line()
        for name, value in shown:
            text = value if isinstance(value, str) else laid_out(value, self._width - _INDENT)
            apart = "\n" if "\n" in text else " "
            self._line(Text.assemble((f"{name}:", "bold"), apart, printable(text)))

    def failed(self, step: Step, events: Sequence[Seen], answer: Call | Turn | None, why: str) -> None:
        """Say nothing more."""

    def farewell(self) -> None:
        """Say where to go next."""
        self._line()
        self._line(Text("Where to go next", style="bold"), indent=0)
        self._line()
        widest = max(len(where) for where, _ in _NEXT)
        for where, what in _NEXT:
            self._line(f"{where:{widest}}  {what}")

    def _prose(self, text: str, *, indent: int = _INDENT) -> None:
        self._line("\n".join(textwrap.wrap(text, self._width - indent)), indent=indent)

    def _line(self, text: str | Text = "", *, indent: int = _INDENT) -> None:
        self._out.show(Padding(Text(printable(text)) if isinstance(text, str) else text, (0, 0, 0, indent)))


class Documents:
    """For scripts: a document a step, when it has ended."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def welcome(self, seconds: float, steps: int) -> None:
        """Say nothing."""

    def left_out(self, step: Step, why: str) -> None:
        """Print a document that says so."""
        self._out.line_document({"step": step.name, "says": step.says, "left_out": why})

    def begin(self, step: Step) -> None:
        """Say nothing."""

    def event(self, seen: Seen) -> None:
        """Say nothing: it stands in the document."""

    def end(self, step: Step, events: Sequence[Seen], answer: Call | Turn, shown: Shown) -> None:
        """Print the document."""
        self._document(step, events, answer, None)

    def failed(self, step: Step, events: Sequence[Seen], answer: Call | Turn | None, why: str) -> None:
        """Print the document, with what was wrong."""
        self._document(step, events, answer, why)

    def farewell(self) -> None:
        """Say nothing."""

    def _document(self, step: Step, events: Sequence[Seen], answer: Call | Turn | None, problem: str | None) -> None:
        document = {
            "step": step.name,
            "says": step.says,
            "request": {"method": "POST", "path": step.path, "body": step.body},
            "events": [_event(seen) for seen in events],
            "answer": msgspec.to_builtins(answer),
            "problem": problem,
        }
        self._out.line_document(document)


def _event(seen: Seen) -> dict[str, Any]:
    return {"call_id": seen.event.call_id, "tool": seen.event.tool, "event": seen.event.event}


def laid_out(value: Any, room: int, *, taken: int = 0) -> str:
    """A JSON value as text: what fits into a line stands on one.

    Args:
        value: the value.
        room: columns of a line.
        taken: columns of the first line that are not free.
    """
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) <= room - taken or not isinstance(value, dict | list) or not value:
        return flat
    first, last = "{}" if isinstance(value, dict) else "[]"
    names = [json.dumps(name) + ": " for name in value] if isinstance(value, dict) else [""] * len(value)
    members = value.values() if isinstance(value, dict) else value
    comma = len(",")
    lines = [
        name + laid_out(member, room - len("  "), taken=len(name) + comma)
        for name, member in zip(names, members, strict=True)
    ]
    return "\n".join([first, textwrap.indent(",\n".join(lines), "  "), last])
