"""What the callers of a peer wrote down, and what that comes to."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.upstream import read_effects


@dataclass
class PeerCall:
    """One call as its callers saw it.

    Attributes:
        ends: the states that its result store gave.
        abandoned: its caller was killed before it knew whether the call was accepted.
    """

    key: str
    kind: str
    id: str
    accepted: bool = False
    refused: bool = False
    abandoned: bool = False
    ends: list[str] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return not (self.refused or self.abandoned or self.ends)


class Journal:
    """The file, read from where it was left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: dict[str, PeerCall] = {}
        self.probed: set[str] = set()
        self.ready = 0
        self._read = 0

    def read(self) -> "Journal":
        """Take in what was written since."""
        if not self.path.exists():
            return self
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self._note(json.loads(line))
        return self

    def _note(self, line: dict[str, Any]) -> None:
        what, key = line["what"], line["key"]
        if what == "ready":
            self.ready += 1
        elif what == "probed":
            self.probed.add(key)
        elif what == "sent":
            self.calls[key] = PeerCall(key, line["kind"], line["id"])
        elif what == "ended":
            self.calls[key].ends.append(line["state"])
        else:
            setattr(self.calls[key], what, True)

    # ---- what it comes to -----------------------------------------------------------------------
    def open(self) -> int:
        """Sent, not refused, its caller alive or told that it stands, and no end known."""
        return sum(call.open for call in self.read().calls.values())

    def abandon(self) -> list[PeerCall]:
        """The caller is dead: what it had not accepted is nobody's; returns all that was open."""
        left = [call for call in self.read().calls.values() if call.open]
        for call in left:
            call.abandoned = not call.accepted
        return left

    def over(self) -> int:
        return sum(bool(call.ends) for call in self.read().calls.values())

    def accepted(self) -> int:
        return sum(call.accepted for call in self.read().calls.values())

    def lost(self) -> list[str]:
        """Accepted, and nobody ever had a result."""
        return [call.key for call in self.read().calls.values() if call.accepted and not call.ends]

    def unknown(self) -> list[str]:
        """Ended as failed, though the tool never fails: nobody says whether it had its effect."""
        return [call.key for call in self.read().calls.values() if "failed" in call.ends]


def doubled(effects: Path) -> list[str]:
    """Keys of the tool that must not run twice under which more than one effect happened."""
    happened = Counter(effect.key for effect in read_effects(effects))
    return [key for key, count in happened.items() if count > 1]
