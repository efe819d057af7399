"""What a command prints: results to stdout (a table for people, one JSON document for scripts), messages to stderr."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from toolyard.errors import FieldError

#: Control characters, but line feed and tab: what a tool answers must not steer the terminal.
_UNPRINTABLE: Final = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), 0xFFFD)
_STYLES: Final = {
    "succeeded": "green",
    "ok": "green",
    "failed": "red",
    "timed_out": "red",
    "expired": "red",
    "problem": "bold red",
    "cancelled": "yellow",
    "rejected": "yellow",
    "note": "yellow",
    "running": "cyan",
}
#: Columns where nobody looks at a terminal: tables are then as wide as their text.
_UNBOUNDED: Final = 10_000


class Output:
    """Prints for people or, with ``as_json``, for scripts."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._out = _console(sys.stdout)
        self._err = _console(sys.stderr)

    # ---- results --------------------------------------------------------------------------------
    def document(self, value: Any) -> None:
        """One JSON document."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")

    def line_document(self, value: Any) -> None:
        """One JSON document on one line, at once: for streams."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
        sys.stdout.flush()

    def text(self, text: str) -> None:
        """Plain text, at once, as it is where nobody looks at a terminal."""
        sys.stdout.write((printable(text) if sys.stdout.isatty() else text) + "\n")
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows under headings; the last column may be wrapped."""
        table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
        for column in columns[:-1]:
            table.add_column(column, no_wrap=True)
        table.add_column(columns[-1], overflow="fold")
        for row in rows:
            table.add_row(*(cell(value) for value in row))
        self.show(table)

    def fields(self, pairs: Sequence[tuple[str, object]]) -> None:
        """Names and values, one pair a line; pairs without a value are left out."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in pairs:
            if value is not None and value != "":
                table.add_row(name, cell(value))
        self.show(table)

    def show(self, what: RenderableType) -> None:
        """Anything that rich lays out, at once, without blanks at the ends of its lines."""
        with self._out.capture() as captured:
            self._out.print(what)
        sys.stdout.write("\n".join(line.rstrip() for line in captured.get().split("\n")))
        sys.stdout.flush()

    # ---- messages -------------------------------------------------------------------------------
    def say(self, message: str) -> None:
        """A message for people."""
        self._err.print(Text(printable(message)), soft_wrap=True)

    def problem(
        self, code: str, detail: str, fields: Sequence[FieldError] = (), extra: dict[str, object] | None = None
    ) -> None:
        """What went wrong: code, detail and each field; as one JSON document for scripts."""
        if self.as_json:
            errors = [{"path": field.path, "message": field.message} for field in fields]
            document = {"code": code, "detail": detail, **({"errors": errors} if errors else {}), **(extra or {})}
            sys.stderr.write(json.dumps(document, ensure_ascii=False) + "\n")
            return
        self._err.print(Text.assemble((f"{code}: ", "bold red"), printable(detail)), soft_wrap=True)
        for field in fields if len(fields) > 1 else ():  # a single one stands in the detail already
            self._err.print(Text(printable(f"  {field.path or 'body'}: {field.message}")), soft_wrap=True)
        for name, value in (extra or {}).items():
            self._err.print(Text(printable(f"  {name}: {value}")), soft_wrap=True)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """A spinner while something lasts, where somebody looks at a terminal."""
        if not self._err.is_terminal or self.as_json:
            yield
            return
        with self._err.status(what):
            yield


def cell(value: object) -> Text:
    """A value as a person reads it; states in their colour."""
    if isinstance(value, Text):
        return value
    if value is None:
        return Text("-", style="dim")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Text(printable(text), style=_STYLES.get(text, ""))


def printable(text: str) -> str:
    """The text without what would steer a terminal."""
    return text.translate(_UNPRINTABLE)


def _console(file: Any) -> Console:
    return Console(file=file, highlight=False, markup=False, width=None if file.isatty() else _UNBOUNDED)
