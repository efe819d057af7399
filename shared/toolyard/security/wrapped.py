"""Values that were broken into lines: base64 and hex as mail and shells write them, and the lines of a value alone.

Beside `toolyard.security.written`, whose pattern knows no breaks: they may stand anywhere. It must not know what is
done with what is found.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

from toolyard.security.long_values import Span, spans
from toolyard.security.written import fold, in_base64

#: The end of a line, also as JSON and URLs write it, and how far the next one is moved in.
_BREAK: Final = re.compile(
    r"(?:\r?\n|\\{1,7}r\\{1,7}n|\\{1,7}n|%(?:25){0,3}0[dD]%(?:25){0,3}0[aA]|%(?:25){0,3}0[aA])[ \t]{0,16}"
)
#: Characters of a line of a value that is looked for by itself, and of base64 or hex that is looked for over breaks:
#: shorter ones may stand there by chance.
_LINE: Final = 16
_LEAST: Final = 8
#: The last character of a base64, which holds some bits of a value, and what fills it up.
_LAST: Final = re.compile(r"[A-Za-z0-9+/_-]={0,2}")
_KEPT: Final = 1_024


class Broken(NamedTuple):
    """A value that stands in a text with breaks in it."""

    span: Span
    name: str


def lines_of(value: str) -> list[str]:
    """The lines of a value of several: where a text was cut, some of them stand there without the others."""
    lines = [line.strip() for line in value.splitlines()]
    return [line for line in lines if len(line) >= _LINE] if len(lines) > 1 else []


def broken(values: Iterable[tuple[str, str]], text: str, *, long: int) -> list[Broken]:
    """Where values stand in a text with breaks in them, in order; none overlaps another.

    Args:
        values: names, and values.
        text: that holds them.
        long: characters from which on a value counts as a long one.
    """
    joined = _BREAK.sub("", text)
    if len(joined) == len(text):
        return []
    folded = fold(joined)
    places = [
        (place, name)
        for name, value in values
        for place in (spans(value, joined) if len(value) >= long else _encoded(value, joined, folded))
    ]
    if not places:
        return []
    where = _Original(text)
    found = [
        Broken(span, name)
        for place, name in places
        if (span := where.of(place)).end - span.start > place.end - place.start
    ]
    kept: list[Broken] = []
    for each in sorted(found):
        if not kept or each.span.start >= kept[-1].span.end:
            kept.append(each)
    return kept


class _Original:
    """Where the characters of a text without its breaks stood."""

    def __init__(self, text: str) -> None:
        matches = list(_BREAK.finditer(text))
        self._starts = [0, *(match.end() for match in matches)]
        ends = (match.start() for match in matches)
        self._joined = [0, *accumulate(end - start for start, end in zip(self._starts, ends, strict=False))]

    def of(self, place: Span) -> Span:
        return Span(self._at(place.start), self._at(place.end - 1) + 1)

    def _at(self, place: int) -> int:
        piece = bisect_right(self._joined, place) - 1
        return self._starts[piece] + place - self._joined[piece]


class _Core(NamedTuple):
    """What an encoding of a value holds for certain.

    Attributes:
        before: whether the character before it holds some bits of the value too; ``after``: the one behind it.
    """

    text: str
    before: bool = False
    after: bool = False


def _encoded(value: str, joined: str, folded: str) -> Iterator[Span]:
    for core in _cores(value):
        at = folded.find(core.text)
        while at >= 0:
            end = at + len(core.text)
            if core.after and (ending := _LAST.match(joined, end)):
                end = ending.end()
            yield Span(at - (core.before and at > 0), end)
            at = folded.find(core.text, end)


@lru_cache(_KEPT)
def _cores(value: str) -> tuple[_Core, ...]:
    raw = value.encode("utf-8", "replace")
    cores = [_Core(raw.hex()), _Core(raw.hex().upper())]
    for shift, text in enumerate(in_base64(value)):
        cores.append(_Core(fold(text), shift > 0, (shift + len(raw)) % 3 > 0))
    return tuple(core for core in cores if len(core.text) >= _LEAST)
