"""Values that are planted to be found again, the ways in which each may be written, and where one was found.

A search that finds nothing proves nothing by itself: a `MARKER` that is no secret travels the same ways, and must be
found by the same search.
"""

import base64
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, quote_plus

#: Goes through every tool as an argument.
MARKER: Final = f"no-secret-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Canary:
    """A secret under its name, and where its value comes from."""

    name: str
    value: str
    org: str = "default"

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """What must be found nowhere: how it is written, and the bytes."""
        for line in self.value.splitlines():
            if len(line) >= 16:
                yield from _forms(line)
        yield from _forms(self.value)


def plant() -> dict[str, Canary]:
    """New canaries: plain ones, odd ones, one for each way to sign in, a long one of many lines, and another org's."""

    def token() -> str:
        return secrets.token_urlsafe(18)

    pem = "\n".join([*(secrets.token_hex(32) for _ in range(30)), secrets.token_hex(5)])
    made = (
        Canary("ENV_PLAIN", f"env{token()}"),
        Canary("ENV_ODD", f"env/{token()}+é=&?"),
        Canary("FILE_PLAIN", f"file{token()}"),
        Canary("FILE_ODD", f'file "{token()}" \\ é%20'),
        Canary("STORE_PLAIN", f"store{token()}"),
        Canary("STORE_ODD", f"store ${{x}} {token()}/+<é>'%"),
        Canary("STORE_BASIC", f"ann:{token()}/+"),
        Canary("STORE_LONG", pem),
        Canary("STORE_OTHERS", f"others{token()}", org="other"),
    )
    return {canary.name: canary for canary in made}


def _forms(value: str) -> Iterator[tuple[str, bytes]]:
    plain = {
        "plain": value,
        "json": json.dumps(value)[1:-1],
        "json utf-8": json.dumps(value, ensure_ascii=False)[1:-1],
        "url": quote(value, safe=""),
        "path": quote(value),
        "query": quote_plus(value),
        "small url": quote(value, safe="").lower() if value.isascii() and value.islower() else quote(value, safe=""),
        "hex": value.encode().hex(),
        "password": value.partition(":")[2] or value,
    }
    for how, text in plain.items():
        yield how, text.encode()
    for shift in range(3):
        raw = bytes(shift) + value.encode()
        text = base64.b64encode(raw).decode()[-(-shift * 8 // 6) : len(raw) * 8 // 6]
        text = text[1:] if shift else text  # its first character holds bits of what stands before it
        yield f"base64 behind {shift}", text.encode()
        yield f"base64 for urls behind {shift}", text.replace("+", "-").replace("/", "_").encode()


class Search:
    """Looks for canaries in one place after the other.

    Attributes:
        seen: place -> bytes that were looked at.
        found: place, name of a secret, and how it was written.
        marked: the places where the marker was found.
    """

    def __init__(self, canaries: Mapping[str, Canary]) -> None:
        self._wanted = [(canary.name, how, form) for canary in canaries.values() for how, form in canary.forms()]
        self.seen: dict[str, int] = {}
        self.found: set[tuple[str, str, str]] = set()
        self.marked: set[str] = set()

    def add(self, canary: Canary) -> None:
        """Look for one more, which was made only now."""
        self._wanted += [(canary.name, how, form) for how, form in canary.forms()]

    def look(self, place: str, data: bytes | str, *, but: frozenset[str] = frozenset()) -> None:
        """Look at these bytes; ``but``: secrets that belong there."""
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        self.seen[place] = self.seen.get(place, 0) + len(raw)
        self.found |= {(place, name, how) for name, how, form in self._wanted if name not in but and form in raw}
        if MARKER.encode() in raw:
            self.marked.add(place)
