"""What is wrong with a source, as its author is told: all of it at once, each with its place."""

import ast
from dataclasses import dataclass
from typing import Final

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


class Problems:
    """Collects problems while a source is looked at.

    Args:
        source: the author's text: columns of a syntax tree count its bytes, and people count characters.
    """

    def __init__(self, source: str) -> None:
        self._lines = source.splitlines()
        self._found: set[Problem] = set()

    def at(self, node: ast.AST, message: str) -> None:
        """Something is wrong where this node stands."""
        line: int = getattr(node, "lineno", 0)
        self._found.add(Problem(line, self._column(line, getattr(node, "col_offset", -1)), message))

    def on(self, line: int, column: int, message: str) -> None:
        """Something is wrong at this place."""
        self._found.add(Problem(line, column, message))

    def told(self) -> tuple[Problem, ...]:
        """The first hundred problems, in the order of the source."""
        return tuple(sorted(self._found)[:_MOST])

    def _column(self, line: int, offset: int) -> int:
        if not 0 < line <= len(self._lines):
            return offset + 1
        before = self._lines[line - 1].encode(errors="surrogatepass")[:offset] if offset >= 0 else b""
        return len(before.decode(errors="replace")) + 1 if offset >= 0 else 0
