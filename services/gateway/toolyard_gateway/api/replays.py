"""Answers to POSTs that created something, kept for a while: the same key and body gets the same answer.

Calls have their own, durable way (`admission`). This one is this gateway's memory; what it no longer knows is caught by
the names and ids being taken.
"""

import os
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from fastapi import Response

from toolyard.clock import Clock
from toolyard.errors import Refused

#: Seconds that an answer is kept, and how many at most.
KEPT: Final = 600.0
_MANY: Final = 1_000
#: Of this process alone, as what it remembers is.
_PEPPER: Final = os.urandom(32)


@dataclass(frozen=True, slots=True)
class _Replay:
    body_hash: bytes
    at: float
    answer: Response


class Replays:
    """Remembers answers by org, operation and key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: OrderedDict[tuple[str, str, str], _Replay] = OrderedDict()

    def find(self, org: str, operation: str, key: str | None, body: bytes) -> Response | None:
        """The answer that this request already got.

        Raises:
            Refused: ``idempotency_mismatch``: the key was used for another body.
        """
        found = self._answers.get((org, operation, key or ""))
        if found is None or self._clock.monotonic() - found.at > KEPT:
            return None
        if found.body_hash != _hash(body):
            raise Refused("idempotency_mismatch", "This Idempotency-Key was used for another request; use a new key.")
        return found.answer

    def keep(self, org: str, operation: str, key: str | None, body: bytes, answer: Response) -> Response:
        """Remember the answer to a request with a key; gives it back."""
        if key is not None:
            self._answers[org, operation, key] = _Replay(_hash(body), self._clock.monotonic(), answer)
            if len(self._answers) > _MANY:
                self._answers.popitem(last=False)
        return answer


def _hash(body: bytes) -> bytes:
    """What tells bodies apart, and nothing of them: some hold a secret, which a plain hash would let guess."""
    return blake2b(body, key=_PEPPER, digest_size=32).digest()
