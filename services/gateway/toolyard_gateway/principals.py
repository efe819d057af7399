"""Who asks: API keys as text, the principal that one stands for, and what each role may do.

Called by the authenticator, the door and the key operations. It knows neither HTTP nor the store.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, NamedTuple

from toolyard import ids
from toolyard.errors import Refused, SettingsError
from toolyard.store.base import KeyRow, Role

#: The org that the first key belongs to; its admins may make keys for other orgs.
FIRST_ORG: Final = "default"
ORG: Final = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}$")
#: Characters that a key given by the operator needs at least.
MIN_GIVEN_KEY: Final = 16
_OURS: Final = re.compile(r"^ty_([a-z0-9-]{1,64})_([A-Za-z0-9_-]{16,128})$")

Action = Literal[
    "call",
    "cancel",
    "read_calls",
    "read_tools",
    "write_tools",
    "test_tools",
    "pause",
    "set_log_levels",
    "stop_schedules",
    "handle_dead_letters",
    "manage_keys",
    "write_secrets",
    "read_secrets",
    "reseal_secrets",
    "manage_webhooks",
]

#: What each role may do, beside the admin, who may do everything. Nobody sees anything of another org.
MAY: Final[dict[Action, frozenset[Role]]] = {
    "call": frozenset({"caller"}),
    "cancel": frozenset({"caller", "operator"}),
    "read_calls": frozenset({"caller", "author", "approver", "operator"}),
    "read_tools": frozenset({"caller", "author", "approver", "operator"}),
    "write_tools": frozenset({"author"}),
    "test_tools": frozenset({"author"}),
    "pause": frozenset({"operator"}),
    "set_log_levels": frozenset({"operator"}),
    "stop_schedules": frozenset({"caller", "operator"}),
    "handle_dead_letters": frozenset({"operator"}),
    "manage_keys": frozenset(),
    "write_secrets": frozenset({"author"}),
    "read_secrets": frozenset({"author"}),  # their names: nobody reads a value
    "reseal_secrets": frozenset(),
    "manage_webhooks": frozenset({"operator"}),
}


class KeyText(NamedTuple):
    """A presented key, taken apart; only the hash of its secret is ever kept."""

    key_id: str
    secret_hash: str


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        key_id: the API key's public half.
    """

    key_id: str
    org: str
    roles: frozenset[Role]

    def may(self, action: Action) -> bool:
        """Whether one of its roles allows this."""
        return "admin" in self.roles or not self.roles.isdisjoint(MAY[action])

    def require(self, action: Action) -> None:
        """Refuse what no role of it allows.

        Raises:
            Refused: ``permission_denied``; says which role would do.
        """
        if not self.may(action):
            needed = " or ".join([*sorted(MAY[action]), "admin"])
            detail = f"This needs the role {needed}, which this key does not have."  # a model may be told: no key's id
            raise Refused("permission_denied", detail, extra={"key_id": self.key_id})


def check_given_key(text: str) -> None:
    """Refuse a first key that could be guessed.

    Raises:
        SettingsError: it is too short; the message does not hold it.
    """
    if len(text) < MIN_GIVEN_KEY:
        raise SettingsError(f"TOOLYARD_API_KEY has {len(text)} characters; at least {MIN_GIVEN_KEY} are needed")


def read_key(text: str) -> KeyText:
    """Take a presented key apart.

    Ours are ``ty_<key id>_<secret>``. A key of any other form is one that the operator chose: its id is made of its
    hash, so that it too is found by id and its text is kept nowhere.
    """
    ours = _OURS.match(text)
    if ours:
        return KeyText(ours[1], hash_of(ours[2]))
    digest = hash_of(text)
    return KeyText(f"given-{digest[:16]}", digest)


def hash_of(secret: str) -> str:
    """What is kept of a secret. It is long and random, so one round of SHA-256 is enough."""
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def new_key(key_id: str | None = None) -> tuple[str, KeyText]:
    """A new key: its text, shown once, and what is kept of it."""
    chosen = key_id or ids.token(9).replace("_", "0").replace("-", "1").lower()
    secret = ids.token()
    return f"ty_{chosen}_{secret}", KeyText(chosen, hash_of(secret))


def key_row(
    kept: KeyText, *, org: str, name: str, roles: frozenset[Role], at: float, broker_user: str | None = None
) -> KeyRow:
    """The row of a new key."""
    return KeyRow(kept.key_id, org, name, roles, kept.secret_hash, created_at=at, broker_user=broker_user)
