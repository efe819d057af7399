"""What is wrong with a source, as its author is told: all of it at once, each with its place."""

import ast
import re
from dataclasses import dataclass
from typing import Final

#: What ends a line for Python; `splitlines` knows more.
_LINE_END: Final = re.compile(r"\r\n|\r|\n")

#: Problems that are told; who has more than these begins with these.
_MOST: Final = 100


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        line: counted from 1; 0 is the tool as a whole.
        column: in characters, counted from 1; 0 is the whole line.
        message: what is wrong, and what to write instead.
    """

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True, order=True)
class _Column:
    """Where in its line a problem is, counted from 0; -1 is the whole line."""

    offset: int
    in_bytes: bool


class Problems:
    """Collects problems while a source is looked at.

    Args:
        source: the author's text: columns of a syntax tree count its bytes, and people count characters.
    """

    def __init__(self, source: str) -> None:
        self._lines = _LINE_END.split(source)
        self._found: set[tuple[int, _Column, str]] = set()

    def at(self, node: ast.AST, message: str) -> None:
        """Something is wrong where this node stands."""
        line: int = getattr(node, "lineno", 0)
        self._found.add((line, _Column(getattr(node, "col_offset", -1), in_bytes=True), message))

    def on(self, line: int, column: int, message: str) -> None:
        """Something is wrong at this place."""
        self._found.add((line, _Column(column - 1, in_bytes=False), message))

    def told(self) -> tuple[Problem, ...]:
        """The first hundred problems, in the order of the source."""
        # Only of those that are told the column is counted: that takes as long as the line is.
        first = sorted(self._found)[:_MOST]
        return tuple(Problem(line, self._column(line, column), message) for line, column, message in first)

    def _column(self, line: int, column: _Column) -> int:
        if not column.in_bytes or column.offset < 0 or not 0 < line <= len(self._lines):
            return column.offset + 1
        before = self._lines[line - 1].encode(errors="surrogatepass")[: column.offset]
        return len(before.decode(errors="replace")) + 1
