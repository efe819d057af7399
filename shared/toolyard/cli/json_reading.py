"""JSON read with the place of each value, and strictly: nothing in it could be understood in two ways. Pure."""

import json
import re
from typing import Any, Final

from toolyard.cli.places import MAX_DEPTH, MAX_DIGITS, Broken, Member, Node, Tell, below, check_values, collection

NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<rest>(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)")
LITERALS: Final[dict[str, Any]] = {"null": None, "true": True, "false": False}
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"')
_WORD: Final = re.compile(r"[^\s,:\[\]{}\"]+")
_HALF_A_PAIR: Final = re.compile("[\ud800-\udfff]")


def read(text: str, tell: Tell) -> Node:
    """The one value of a JSON text; what is wrong in single values is told, and reading goes on.

    Raises:
        Broken: it cannot be read on: it is no JSON, or too deep, or too large.
    """
    reader = _Reader(text, tell)
    node, end = reader.value(reader.behind_space(0), "", 0)
    if (rest := reader.behind_space(end)) < len(text):
        raise Broken(rest, "stands behind the end of the document; a JSON file holds one")
    return node


def number(text: str) -> int | float | str:
    """The value of a JSON number, or what is wrong with it."""
    found = NUMBER.fullmatch(text)
    if found is None:
        return "is no number"
    if not found["rest"]:
        digits = len(text.lstrip("-"))
        return int(text) if digits <= MAX_DIGITS else f"has {digits:,} digits; {MAX_DIGITS:,} are taken at most"
    value = float(text)
    return value if abs(value) != float("inf") else "is out of range; write a smaller number, or a text"


def whole(text: str) -> str | None:
    """The text with surrogate pairs made one character, as JSON means them; None where half of one is missing."""
    if not _HALF_A_PAIR.search(text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


class _Reader:
    def __init__(self, text: str, tell: Tell) -> None:
        self._text = text
        self._tell = tell
        self._values = 0

    def behind_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def value(self, at: int, path: str, depth: int) -> tuple[Node, int]:
        """The value that begins here, and the offset behind it."""
        self._values += 1
        check_values(self._values, at)
        match self._text[at : at + 1]:
            case "{":
                return self._object(at, path, depth + 1)
            case "[":
                return self._list(at, path, depth + 1)
            case '"':
                text, end = self._string(at, path)
                return Node(text, at, characters=len(text)), end
            case "":
                raise Broken(at, "ends in the middle: a value is missing here", path)
        found = _WORD.match(self._text, at)
        if found is None:
            raise Broken(at, f"{self._text[at]!r} is one too many here: a value is missing", path)
        return Node(self._word(found[0], at, path), at), found.end()

    def _word(self, word: str, at: int, path: str) -> Any:
        if word in LITERALS:
            return LITERALS[word]
        if not NUMBER.fullmatch(word):
            # What stands there is not shown: it may be a secret whose quotes were forgotten.
            raise Broken(at, "this is no JSON value; write a text in double quotes", path)
        value = number(word)
        if isinstance(value, str):
            self._tell(at, path, value)
            return 0
        return value

    def _string(self, at: int, path: str) -> tuple[str, int]:
        found = _STRING.match(self._text, at)
        if found is None:
            raise Broken(at, "this text is not closed, or holds a line break or a wrong escape (write \\n, \\\\)", path)
        text = whole(json.loads(found[0]))
        if text is None:
            self._tell(at, path, "holds half of a surrogate pair; write the whole character")
            return "", found.end()
        return text, found.end()

    def _object(self, at: int, path: str, depth: int) -> tuple[Node, int]:
        self._check_depth(at, depth)
        members: dict[str, Member] = {}
        here = self.behind_space(at + 1)
        while not self._closed(here, "}", path, first=not members):
            begun = here = self._behind_comma(here, first=not members)
            if self._text[here : here + 1] != '"':
                raise Broken(here, 'here a name in double quotes is missing, as in "name"', path)
            name, here = self._string(here, path)
            here = self.behind_space(here)
            if self._text[here : here + 1] != ":":
                raise Broken(here, f"behind the name {name[:40]!r} a ':' is missing", path)
            if name in members:
                self._tell(begun, below(path, name), twice(self._text, members[name].at))
            node, here = self.value(self.behind_space(here + 1), below(path, name), depth)
            members[name] = Member(begun, node)
            here = self.behind_space(here)
        value = {name: member.node.value for name, member in members.items()}
        return collection(value, at, members, path=path), here + 1

    def _list(self, at: int, path: str, depth: int) -> tuple[Node, int]:
        self._check_depth(at, depth)
        members: dict[str, Member] = {}
        here = self.behind_space(at + 1)
        while not self._closed(here, "]", path, first=not members):
            begun = self._behind_comma(here, first=not members)
            node, here = self.value(begun, below(path, len(members)), depth)
            members[str(len(members))] = Member(begun, node)
            here = self.behind_space(here)
        return collection([member.node.value for member in members.values()], at, members, path=path), here + 1

    def _closed(self, at: int, bracket: str, path: str, *, first: bool) -> bool:
        """Whether this is the end; if not, more must follow."""
        character = self._text[at : at + 1]
        if character == bracket:
            return True
        if not character:
            raise Broken(at, f"ends in the middle: a {bracket!r} is missing", path)
        if not first and character != ",":
            raise Broken(at, f"here a ',' or a {bracket!r} is missing", path)
        return False

    def _behind_comma(self, at: int, *, first: bool) -> int:
        return at if first else self.behind_space(at + 1)

    def _check_depth(self, at: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Broken(at, too_deep())


def too_deep() -> str:
    """What to say about a value that is nested too deeply."""
    return f"is nested deeper than {MAX_DEPTH} levels; make it flatter"


def twice(text: str, before: int) -> str:
    """What to say about a key that stands twice."""
    line = text.count("\n", 0, before) + 1
    return f"stands twice in one object, in line {line} before; keep one of them"
