"""Known secret values taken out of what leaves an executor: texts, JSON values, messages of errors.

Exact, not a guess: only values that were given out for a call are looked for, in each of the ways that
`toolyard.security.written` knows to write them, or `toolyard.security.long_values` where they are long. It knows
nothing of calls; a call without secrets pays nothing.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from toolyard.security.long_values import Span, spans
from toolyard.security.wrapped import broken, lines_of
from toolyard.security.written import cores, fold, pattern

#: Characters. A shorter value would be found in ordinary words, and guessed anyway.
MIN_LENGTH: Final = 4
#: Characters of values, the shorter ones first, that are looked for in every mixture of ways: making the pattern costs
#: a quarter of a millisecond for each of them. Longer ones are looked for as `toolyard.security.long_values` does.
_ROOM: Final = 512
#: Sets of secrets whose patterns are kept: making one costs milliseconds.
_KEPT: Final = 256


class Redactor:
    """Replaces the values of some secrets by ``[redacted:NAME]``.

    Args:
        values: name -> value; values shorter than `MIN_LENGTH` are not looked for.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        known = [(name, value) for name, value in values.items() if len(value) >= MIN_LENGTH]
        known += [(name, line) for name, value in known if len(value) <= _ROOM for line in lines_of(value)]
        known.sort(key=lambda entry: len(entry[1]), reverse=True)  # of two at one place the longer one counts
        self._known = known
        room = _ROOM
        self._long: list[tuple[str, str]] = []
        for name, value in reversed(known):
            room -= len(value)
            if room < 0:
                self._long.insert(0, (name, value))
        short = known[len(self._long) :]
        self._names = tuple(name for name, _ in short)
        self._values = tuple(value for _, value in short)

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._values or self._long)

    def text(self, text: str) -> str:
        """The text without the values."""
        if not self:
            return text
        text = _without(text, broken(self._known, text, long=_ROOM))
        for name, value in self._long:
            text = _without(text, [(span, name) for span in spans(value, text)])
        if self._values and self._possible(text):
            text = _pattern(self._values).sub(self._replacement, text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without the secret ones, in its strings, keys and numbers."""
        if not self:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            written = msgspec.json.encode(value).decode()
            shown = self.text(written)
            return value if shown == written else shown
        return value

    def json(self, raw: bytes) -> bytes:
        """The bytes of a JSON value without the secret ones, still JSON. ``raw`` must be JSON."""
        if not self:
            return raw
        try:
            value = msgspec.json.decode(raw)
            shown = self.value(value)
            written = raw.decode()
            if shown == value and self.text(written) == written:  # a name that stands there twice is decoded once
                return raw
            return msgspec.json.encode(shown)
        except RecursionError:
            return b'"[redacted: nested too deep to be searched]"'

    def _possible(self, text: str) -> bool:
        """Whether the pattern may find something; never wrong about a text that holds a value."""
        if "%" in text or "\\" in text or "&" in text:
            return True
        folded = fold(text)
        return any(core in folded for core in _cores(self._values))

    def _replacement(self, match: "re.Match[str]") -> str:
        return f"[redacted:{self._names[(match.lastindex or 1) - 1]}]"


def _without(text: str, found: Iterable[tuple[Span, str]]) -> str:
    pieces, at = [], 0
    for (start, end), name in found:
        pieces += [text[at:start], f"[redacted:{name}]"]
        at = end
    return "".join([*pieces, text[at:]]) if pieces else text


#: Looks for nothing.
NOTHING: Final = Redactor({})


@lru_cache(_KEPT)
def _pattern(values: tuple[str, ...]) -> re.Pattern[str]:
    return pattern(values)


@lru_cache(_KEPT)
def _cores(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(core for value in values for core in cores(value))
