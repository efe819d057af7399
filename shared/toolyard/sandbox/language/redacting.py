"""The values of a tool's environment taken out of the texts that it leaves, before any of these texts is cut.

The worker does it once more and knows more ways of writing a value; but half of a value that a cut left is found by
nobody. What a tool returns is not cut, and stays as it is for the worker.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final
from urllib.parse import quote, quote_plus

#: Characters. A shorter value would be found in ordinary words; the worker has the same bound.
_SHORTEST: Final = 4


class Redactor:
    """Replaces values by ``[redacted:NAME]``.

    Args:
        values: name -> value.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, text: str) -> str:
        """The text without the values."""
        if not self._ways:
            return text
        return self._pattern.sub(lambda found: f"[redacted:{self._ways[found[0]]}]", text)

    def without_half(self, text: str) -> str:
        """A text that goes on somewhere else, without what may be the beginning of a value at its end."""
        longest = 0
        for way in self._ways:
            sizes = range(min(len(way) - 1, len(text)), longest, -1)
            longest = next((size for size in sizes if text.endswith(way[:size])), longest)
        return text[: len(text) - longest]

    @cached_property
    def longest(self) -> int:
        """Characters of the longest way in which a value is written; 0 if there is none."""
        return max(map(len, self._ways), default=0)

    @cached_property
    def _ways(self) -> dict[str, str]:
        """How the values are written -> their names; of two values that are the same the first counts."""
        found: dict[str, str] = {}
        for name, value in self._values.items():
            if len(value) >= _SHORTEST:
                for way in _ways(value):
                    found.setdefault(way, name)
        return found

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # Of two that begin at one place the longer one counts.
        return re.compile("|".join(map(re.escape, sorted(self._ways, key=len, reverse=True))))


def _ways(value: str) -> Iterator[str]:
    """As it is, as Python and JSON write it, in an URL, and in base64 wherever in a longer text it stands."""
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        return  # half of a surrogate pair, which nothing below can write
    yield quote(value)
    yield quote(value, safe="")
    yield quote_plus(value)
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Only the characters that the value alone decides.
            way = encode(bytes(shift) + raw).decode()[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
            if len(way) >= _SHORTEST:
                yield way


#: Looks for nothing.
NOTHING: Final = Redactor({})
