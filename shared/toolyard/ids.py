"""Identifiers: made in one place, so that their shape is known and tests can tell them apart."""

import hashlib
import os
import secrets
import time
import uuid
from collections.abc import Callable


class _Randomness:
    """Random bytes by the page: asking the kernel for each id costs more than the id. A forked child begins anew."""

    _PAGE = 4096

    def __init__(self) -> None:
        self._hex, self._at = "", 0
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._hex, self._at = "", 0

    def take(self, digits: int) -> str:
        """So many random hex digits, never handed out before."""
        end = self._at + digits
        if end > len(self._hex):
            self._hex, end = os.urandom(self._PAGE).hex(), digits
        taken = self._hex[end - digits : end]
        self._at = end
        return taken


_randomness = _Randomness()
#: The first digit after the variant bits 10, by any random digit.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def new_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then random; sorts by time."""
    millis = f"{time.time_ns() // 1_000_000:012x}"
    rand = _randomness.take(19)
    return f"{millis[:8]}-{millis[8:]}-7{rand[:3]}-{_VARIANT[rand[3]]}{rand[4:7]}-{rand[7:]}"


def random_hex(digits: int) -> str:
    """So many random hex digits: for identifiers, not for secrets."""
    return _randomness.take(digits)


def derived_id(*parts: str) -> str:
    """A UUIDv8 made of a SHA-256 over the parts: two gateways agree on it without asking each other."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    value = int.from_bytes(digest[:16], "big")
    value = (value & ~(0xF << 76)) | (0x8 << 76)
    value = (value & ~(0b11 << 62)) | (0b10 << 62)
    return str(uuid.UUID(int=value))


def is_id(text: str) -> bool:
    """Whether the text is an id as we write them (canonical lower-case UUID)."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def token(bytes_: int = 24) -> str:
    """A random secret, URL-safe."""
    return secrets.token_urlsafe(bytes_)


#: What a part asks for when it wants its ids replaceable in tests.
NewId = Callable[[], str]
