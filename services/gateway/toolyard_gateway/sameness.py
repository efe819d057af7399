"""Which calls a tool's key fields make one: what stands in them, and the ids that follow from it. Pure.

Called by the door and by `recall`. Every gateway comes to the same ids without asking another.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from toolyard import ids
from toolyard.contracts.tools import ToolSpec
from toolyard_gateway.arguments import ABSENT, value_at

DEFAULT_WINDOW: Final = 300.0
#: Whole floats beyond this are no longer exact; they are left as they are.
_EXACT: Final = 2**53
_sorted = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Same:
    """What makes two calls the same one.

    Attributes:
        values: the canonical JSON of the values of the key fields.
        window: seconds in which they count as one.
    """

    org: str
    tool: str
    user: str
    values: str
    window: float

    @property
    def body_hash(self) -> str:
        """What two submissions of it have in common: all else that they say may differ."""
        return sha256("\x1f".join((self.tool, self.user, self.values)).encode()).hexdigest()

    def bucket(self, now: float) -> int:
        """The piece of time that this moment lies in; each is as long as the window."""
        return int(now // self.window)

    def call_id(self, bucket: int, voided: int) -> str:
        """The id of its call in a bucket, after so many that do not count."""
        words = (self.org, "key_fields", self.tool, self.user, self.values, f"{self.window:g}", str(bucket))
        return ids.derived_id(*words, str(voided))


def same_calls(spec: ToolSpec, org: str, user: str | None, arguments: dict[str, Any]) -> Same | None:
    """What makes another call the same as one with these arguments; ``None`` where no call is.

    A user's calls are never those of another user: an answer stays with whom it was for. A call that has none of the
    fields is like no other.
    """
    if not spec.key_fields:
        return None
    found = {path: value_at(arguments, path) for path in spec.key_fields}
    values = {path: _plain(value) for path, value in found.items() if value is not ABSENT}
    if not values:
        return None
    said = "" if user is None else f"user {user}"
    return Same(org, spec.name, said, _sorted.encode(values).decode(), spec.key_window or DEFAULT_WINDOW)


def _plain(value: Any) -> Any:
    """Numbers that JSON Schema takes for the same (1 and 1.0) written in one way."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value
