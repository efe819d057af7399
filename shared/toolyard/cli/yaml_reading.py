"""YAML read as its JSON means it, with the place of each value. Pure: PyYAML scans and parses, and nothing else of it.

Plain words mean what they mean in JSON, as YAML 1.2 has it for its JSON schema: ``null``, ``true``, ``false`` and
numbers of JSON are such, and all else is text: ``no``, ``on``, ``12:30``, ``2026-01-31`` too. What other readers of
YAML 1.2 take for something else than text (``~``, ``True``, ``0x1F``, ``.5``, nothing at all) is refused, because the
same document would mean two things.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from toolyard.cli.json_reading import LITERALS, NUMBER, number, too_deep, twice, whole
from toolyard.cli.places import MAX_DEPTH, MAX_DOCUMENTS, Broken, Member, Node, Tell, below, check_values, collection

#: What YAML 1.1 takes for the end of a line, and 1.2 for a character like others.
OLD_BREAKS: Final = re.compile("[\x85\u2028\u2029]")
_WORDS: Final = {"~": "null", "": "null"} | {
    form(word): word for word in ("null", "true", "false") for form in (str.capitalize, str.upper)
}
#: Numbers of YAML 1.2 that are none of JSON.
_OTHER_NUMBER: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII
)
_NO_NUMBER: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
#: What the tags of YAML itself, written ``!!``, begin with.
_YAML: Final = "tag:yaml.org,2002:"
_EMPTY: Final = 'has no value; write one (null, "", {} or [] if it is to be empty)'


def read(text: str, tell: Tell) -> Iterator[Node]:
    """The documents of a YAML text, in order; what is wrong in single values is told, and reading goes on.

    Empty documents are passed over.

    Raises:
        Broken: it cannot be read on: it is no YAML, or too deep, or too large.
    """
    _check_characters(text)
    try:
        yield from _Composer(text, tell).documents()
    except MarkedYAMLError as error:
        raise _explained(text, error) from None


def meaning(word: str) -> Any:
    """What a plain word means: its JSON value.

    Raises:
        ValueError: readers of YAML do not agree on it; says what to write.
    """
    if word in LITERALS:
        return LITERALS[word]
    if NUMBER.fullmatch(word):
        value = number(word)
        if isinstance(value, str):
            raise ValueError(value)
        return value
    if not word:
        raise ValueError(_EMPTY)
    if word in _WORDS:
        raise ValueError(
            f"{word} is {_WORDS[word]} to some readers of YAML and text to others; write {_WORDS[word]}, or quote it"
        )
    if _NO_NUMBER.fullmatch(word):
        raise ValueError(f"{word} is no number of JSON; write another value, or quote it")
    if _OTHER_NUMBER.fullmatch(word):
        raise ValueError(f"{word[:40]} is a number to some readers of YAML and text to others; {_as_json(word)}")
    return word


def _as_json(word: str) -> str:
    try:
        value = int(word, 0) if word[:2] in ("0x", "0o") else float(word)
    except ValueError:
        return "quote it"
    written = f"{value:.0f}" if float(value).is_integer() and abs(value) < 2**53 else repr(value)
    return f"write {written}, or quote it"


class _Events(Reader, Scanner, Parser):
    """PyYAML's parser, in Python: the one that every installation has, and whose errors are the same everywhere."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)


class _Composer:
    """Makes values of the parser's events. Aliases are copies; what they repeat counts."""

    def __init__(self, text: str, tell: Tell) -> None:
        self._text = text
        self._tell = tell
        self._events = _Events(text)
        self._anchors: dict[str, Node | None] = {}
        self._values = 0

    def documents(self) -> Iterator[Node]:
        self._next()
        number_ = 0
        while not isinstance(event := self._next(), StreamEndEvent):
            if (number_ := number_ + 1) > MAX_DOCUMENTS:
                raise Broken(_at(event), f"is one document too many: a file holds {MAX_DOCUMENTS:,} at most")
            self._check_start(event)
            self._anchors, self._values = {}, 0
            if _is_empty(self._coming()):
                self._next()
            else:
                yield self._node("", 0)
            self._next()

    def _next(self) -> Any:
        return self._events.get_event()  # type: ignore[no-untyped-call]

    def _coming(self) -> Any:
        return self._events.peek_event()  # type: ignore[no-untyped-call]

    def _check_start(self, event: Event) -> None:
        if isinstance(event, DocumentStartEvent) and event.version not in (None, (1, 2)):
            self._tell(_at(event), "", "is read as YAML 1.2; take the line %YAML out")

    # ---- values ---------------------------------------------------------------------------------
    def _node(self, path: str, depth: int) -> Node:
        event = self._next()
        self._values += 1
        check_values(self._values, _at(event))
        if isinstance(event, AliasEvent):
            return self._alias(event, path)
        if event.tag is not None and event.tag != "!":
            self._tell(_at(event), path, _tag_told(str(event.tag)))
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = self._made(event, path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _made(self, event: Any, path: str, depth: int) -> Node:
        if isinstance(event, ScalarEvent):
            return Node(self._scalar(event, path), _at(event), characters=len(event.value))
        if depth >= MAX_DEPTH:
            raise Broken(_at(event), too_deep())
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, path, depth + 1)
        return self._sequence(event, path, depth + 1)

    def _alias(self, event: AliasEvent, path: str) -> Node:
        if event.anchor not in self._anchors:
            raise Broken(_at(event), "begins with '*' and names no anchor above it; a text is to be quoted", path)
        node = self._anchors[event.anchor]
        if node is None:
            raise Broken(_at(event), f"*{event.anchor} holds itself; write it out", path)
        return node

    def _scalar(self, event: ScalarEvent, path: str) -> Any:
        if event.style is None and event.tag is None:
            try:
                return meaning(event.value)
            except ValueError as error:
                self._tell(_at(event), path, str(error))
                return event.value
        text = whole(event.value)
        if text is None:
            self._tell(_at(event), path, "holds half of a surrogate pair; write the whole character")
        return text or ""

    # ---- objects and lists ----------------------------------------------------------------------
    def _sequence(self, start: SequenceStartEvent, path: str, depth: int) -> Node:
        members: dict[str, Member] = {}
        while not isinstance(event := self._coming(), SequenceEndEvent):
            item = str(len(members))
            members[item] = Member(_at(event), self._node(below(path, item), depth))
        self._next()
        return collection([member.node.value for member in members.values()], _at(start), members, path=path)

    def _mapping(self, start: MappingStartEvent, path: str, depth: int) -> Node:
        members: dict[str, Member] = {}
        while not isinstance(event := self._coming(), MappingEndEvent):
            name = self._key(event, path, depth)
            if name in members:
                self._tell(_at(event), below(path, name), twice(self._text, members[name].at))
            members[name] = Member(_at(event), self._node(below(path, name), depth))
        self._next()
        value = {name: member.node.value for name, member in members.items()}
        return collection(value, _at(start), members, path=path)

    def _key(self, event: Any, path: str, depth: int) -> str:
        """The name of a member. What is no text is told, and taken as the text that it is written with."""
        if isinstance(event, ScalarEvent) and event.style is None:
            self._next()
            return self._plain_key(event, path)
        node = self._node(path, depth)
        if not isinstance(node.value, str):
            raise Broken(_at(event), "a key must be a text", path)
        return node.value

    def _plain_key(self, event: ScalarEvent, path: str) -> str:
        word = event.value
        if word == "<<":
            self._tell(_at(event), path, "<< merges in YAML 1.1 alone; write the fields out")
        elif not word:
            self._tell(_at(event), path, "a key is missing in front of the ':'")
        elif not _is_text(word):
            self._tell(_at(event), below(path, word), f'is no text to all readers; write "{word[:40]}"')
        return word


def _is_text(word: str) -> bool:
    try:
        return isinstance(meaning(word), str)
    except ValueError:
        return False


def _is_empty(event: Any) -> bool:
    return isinstance(event, ScalarEvent) and event.style is None and event.value == "" and event.anchor is None


def _at(event: Event) -> int:
    mark: Any = event.start_mark
    return int(mark.index)


# ---- what is no YAML ----------------------------------------------------------------------------


def _check_characters(text: str) -> None:
    """Characters that YAML has only as escapes, and those that its versions understand differently."""
    found = Reader.NON_PRINTABLE.search(text) or OLD_BREAKS.search(text)
    if found:
        code = ord(found[0])
        escape = f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
        raise Broken(found.start(), f'holds the character U+{code:04X}; write it as "{escape}" in double quotes')


#: What PyYAML says -> what is wrong, and what would be right. The first that is found counts.
_EXPLAINED: Final = {
    r"character '\\t'": "a tab stands where only spaces may; indent with spaces",
    "mapping values are not allowed": "this ':' is one too many: quote the text that holds it, or mend the indentation",
    "could not find expected ':'": "a ':' is missing behind the name, or a text goes on without being indented",
    "expected <block end>": "is indented other than what it belongs to",
    "expected the node content": "a value is missing here",
    "found duplicate anchor": "an anchor of this name is above already",
    r"character '(.)' that cannot start": "a text cannot begin with {0}; quote it",
    r"character '(.)' in an? ": "{0} is wrong here; quote the text that holds it",
    r"expected '(.)' or '(.)'": "here a '{0}' or a '{1}' is missing",
    "unknown escape character": "knows no such escape; write \\\\ for a backslash, or use single quotes",
    "found undefined tag handle": "tags are not taken; leave it out",
}


def _explained(text: str, error: MarkedYAMLError) -> Broken:
    problem, context = str(error.problem or "is no YAML"), str(error.context or "")
    mark = error.problem_mark or error.context_mark
    begun = error.context_mark
    if "expected ':'" in problem and begun is not None:
        mark = begun  # the name, and not where it was given up
    at = int(mark.index) if mark else 0
    if "end of stream" in problem and begun is not None:
        return Broken(int(begun.index), "a quoted text is not closed; put its quote at its end")
    for pattern, told in _EXPLAINED.items():
        if found := re.search(pattern, problem):
            since = f" (line {begun.line + 1})" if begun is not None and told.endswith("belongs to") else ""
            return Broken(at, told.format(*found.groups()) + since)
    return Broken(at, f"is no YAML: {f'{context}: ' if context else ''}{problem}")


def _tag_told(tag: str) -> str:
    """What to say about a tag; one that YAML does not know is not shown: it may be a secret without its quotes."""
    if not tag.startswith(_YAML):
        return "begins with '!' and is a tag; tags are not taken, and a text is to be quoted"
    return f"tags like !!{tag.removeprefix(_YAML)[:40]} are not taken; leave it out"
