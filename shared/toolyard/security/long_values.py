"""Long values found in a text, in the ways in which encoders write a whole value; also where a part was cut off.

Encoders may have gone over it one after the other: what none of them changes, the longer runs of letters and digits in
it, is found however that was. Beside `toolyard.security.written`, whose pattern knows every mixture of ways and would
take seconds to be made of a long value. It must not know what is done with what is found.
"""

import base64
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

#: Characters at its beginning, or at its end, by which a value is known.
KNOWN_BY: Final = 64
#: What encoders of URLs leave as it is: nothing more, paths, ``encodeURIComponent``, ``encodeURI``.
_SAFE: Final = ("", "/", "!'()*", ";/?:@&=+$,#!'()*")
#: Runs of characters that encoders leave as they are: those of texts, mostly lines, and those of URLs too. Base64 makes
#: a run into another one. No more of them are looked for than this.
_RUNS: Final = (re.compile(r"[ !#-\[\]-~]{16,}"), re.compile(r"[A-Za-z0-9_.~-]{16,}"))
_MOST_RUNS: Final = 128
#: Values whose ways are kept: of each way two short texts, of each run seven.
_KEPT: Final = 1_024


class Span(NamedTuple):
    """A piece of a text."""

    start: int
    end: int


class _Way(NamedTuple):
    """A way of writing a value, by its number among `_ways`: the whole of it is made anew when something is found."""

    number: int
    head: str
    tail: str


def spans(value: str, text: str) -> list[Span]:
    """Where the value stands in the text, or its beginning, or its end; in order, and none overlaps another."""
    found = [span for way in _known_by(value) for span in _written_so(way, value, text)]
    found += [Span(at, at + len(piece)) for piece in _pieces(value) if piece in text for at in _places(piece, text)]
    merged: list[Span] = []
    for span in sorted(found):
        if merged and span.start < merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def _written_so(way: _Way, value: str, text: str) -> Iterator[Span]:
    if way.head not in text and way.tail not in text:
        return
    whole = next(islice(_ways(value), way.number, None))
    for at in _places(way.head, text):
        yield Span(at, at + _alike(text[at : at + len(whole)], whole))
    for at in _places(way.tail, text):
        end = at + len(way.tail)
        yield Span(end - _alike(text[max(0, end - len(whole)) : end][::-1], whole[::-1]), end)


def _alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _places(piece: str, text: str) -> Iterator[int]:
    at = text.find(piece)
    while at >= 0:
        yield at
        at = text.find(piece, at + len(piece))


@lru_cache(_KEPT)
def _known_by(value: str) -> tuple[_Way, ...]:
    first: dict[str, int] = {}
    for number, written in enumerate(_ways(value)):
        first.setdefault(written, number)
    return tuple(_Way(number, written[:KNOWN_BY], written[-KNOWN_BY:]) for written, number in first.items())


@lru_cache(_KEPT)
def _pieces(value: str) -> tuple[str, ...]:
    runs = [match[0] for kind in _RUNS for match in islice(kind.finditer(value), _MOST_RUNS)]
    plain = [_base64(run.encode(), shift) for run in runs for shift in range(3)]
    return tuple(dict.fromkeys([*runs, *plain, *map(_urlsafe, plain)]))


def _ways(value: str) -> Iterator[str]:
    yield value
    yield repr(value)[1:-1]
    for text in (_json(value), json.dumps(value, ensure_ascii=False)[1:-1]):
        yield from (text, text.replace("/", "\\/"), _json(text))
    try:
        raw = value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair is no bytes
        return
    for text in (*(quote(value, safe=safe) for safe in _SAFE), quote_plus(value)):
        yield from (text, _small(text), quote(text, safe=""))
    for shift in range(3):
        text = _base64(raw, shift)
        yield from (text, _urlsafe(text), quote(text, safe=""), text.replace("/", "\\/"))
    lines = base64.encodebytes(raw).decode().rstrip("\n")
    yield from (lines, _json(lines), lines.replace("\n", "\r\n"))


def _urlsafe(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")


def _json(value: str) -> str:
    return json.dumps(value)[1:-1]


def _small(percent: str) -> str:
    """The same with small hex digits."""
    first, *pieces = percent.split("%")
    return "%".join([first, *(piece[:2].lower() + piece[2:] for piece in pieces)])


def _base64(raw: bytes, shift: int) -> str:
    """What base64 makes of these bytes alone, where they begin so many bytes after a group of three."""
    text = base64.b64encode(bytes(shift) + raw).decode()
    return text[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
