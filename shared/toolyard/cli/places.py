"""What was read from a file, with the place of each of its parts, so that a fault can be told by line and column.

Filled by the readers of YAML and JSON beside it. Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

#: Documents of one file.
MAX_DOCUMENTS: Final = 1_000
#: Levels of objects and lists in one document; a gateway takes no more.
MAX_DEPTH: Final = 64
#: Values of one document, and characters of its texts, both with what aliases repeat.
MAX_VALUES: Final = 50_000
MAX_CHARACTERS: Final = 1_000_000
#: Digits of a whole number; a gateway takes no more.
MAX_DIGITS: Final = 4_000
#: Names of fields under which other platforms write what a gateway calls otherwise.
_OTHER_NAMES: Final = {
    "body": "request_body_template",
    "secret": "token_field",
    "name": "header_name",
    "retry": "retry_attempts",
}


class Fault(NamedTuple):
    """Something wrong in a file.

    Attributes:
        file: its name as it was given, or below the folder that was given.
        line: counted from 1; 0 where the file as a whole is meant.
        column: counted from 1 in characters; 0 where the file as a whole is meant.
        path: the field, dotted (``binding.url``); empty for the whole document.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (where, self.path, self.message) if part)


class Broken(Exception):  # noqa: N818 - it is told as a `Fault`, and never leaves the readers
    """The text cannot be read on behind this place.

    Args:
        at: where it stands: the offset into the text, in characters.
        message: what is wrong, and what would be right.
    """

    def __init__(self, at: int, message: str, path: str = "") -> None:
        super().__init__(message)
        self.at = at
        self.message = message
        self.path = path


#: Takes note of what is wrong at an offset, in a field; reading goes on.
Tell = Callable[[int, str, str], None]


class Member(NamedTuple):
    """A part of an object or list: where it begins (its key, in an object), and what it is."""

    at: int
    node: "Node"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands.

    Attributes:
        value: as JSON has it.
        at: the offset of its first character into the text.
        members: its parts by their name, or by their number from 0.
        values: how many values it is made of, itself included.
        characters: how many characters the texts in it have.
    """

    value: Any
    at: int
    members: Mapping[str, Member] = field(default_factory=dict)
    values: int = 1
    characters: int = 0

    def place_of(self, path: str) -> int:
        """The offset of a field by its dotted path; of what it is missing in, where it is not there."""
        return self._walk(path)[0]

    def node_of(self, path: str) -> "Node | None":
        """The value of a field by its dotted path."""
        _, node, rest = self._walk(path)
        return None if rest else node

    def _walk(self, path: str) -> tuple[int, "Node", str]:
        """As far as there are fields on this path: the offset of the last, its value, and the rest of the path."""
        at, node, rest = self.at, self, path
        while rest and (name := _first_of(node.members, rest)) is not None:
            at, node = node.members[name]
            rest = rest[len(name) + 1 :] if _begins(rest, name) else rest.partition(".")[2]
        return at, node, rest


def check_values(values: int, at: int, path: str = "") -> None:
    """Keep the bound of a document, as it is read and with what its aliases repeat.

    Raises:
        Broken: it is made of too many values.
    """
    if values > MAX_VALUES:
        raise Broken(at, f"is made of more than {MAX_VALUES:,} values; make it smaller", path)


def collection(value: Any, at: int, members: Mapping[str, Member], *, path: str = "") -> Node:
    """An object or a list, with its bounds kept.

    Raises:
        Broken: it is too large.
    """
    values = 1 + sum(member.node.values for member in members.values())
    characters = sum(len(name) + member.node.characters for name, member in members.items())
    check_values(values, at, path)
    if characters > MAX_CHARACTERS:
        raise Broken(at, f"has texts of more than {MAX_CHARACTERS:,} characters; make them shorter", path)
    return Node(value, at, members, values, characters)


def below(path: str, name: object) -> str:
    """The dotted path of a part."""
    return f"{path}.{name}" if path else str(name)


def line_and_column(text: str, at: int) -> tuple[int, int]:
    """Where an offset stands, both counted from 1."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _begins(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}.")


def _first_of(members: Mapping[str, Member], path: str) -> str | None:
    """The member that a path goes through; names may hold dots, so the longest counts."""
    found = max((name for name in members if name and _begins(path, name)), key=len, default=None)
    if found is None and (other := _OTHER_NAMES.get(path.partition(".")[0])) in members:
        return other
    return found
