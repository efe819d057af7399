"""Names that may have been meant by one that is none. Pure, and cheap: a turn or a batch may hold a hundred of them."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from heapq import nlargest
from itertools import pairwise
from typing import Final

#: Characters of a name that count, names that are looked at, and those of them that are compared letter by letter:
#: that takes a tenth of a millisecond each, in which a gateway answers nobody.
_CHARACTERS: Final = 128
_LOOKED_AT: Final = 300
_COMPARED: Final = 8


def nearest(name: str, names: Iterable[str], number: int) -> Sequence[str]:
    """At most so many of the names, the most alike first; those with its first letter before all others."""
    name = name[:_CHARACTERS]
    every = list(names)
    alike = [other for other in every if other[:1].lower() == name[:1].lower()] or every
    pairs = frozenset(_pairs_of(name))
    few = nlargest(_COMPARED, alike[:_LOOKED_AT], key=lambda other: len(pairs & _pairs(other)))
    return get_close_matches(name, few, n=number)


@lru_cache(4_096)
def _pairs(name: str) -> frozenset[str]:
    return frozenset(_pairs_of(name))


def _pairs_of(name: str) -> Iterable[str]:
    """Its letters two by two."""
    return map("".join, pairwise(name))
