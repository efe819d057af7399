"""Secrets of orgs with their values: sealed on the way into the store, opened on the way out, sealed anew where asked.

Gateways set them, schedulers read them; both hold the keys. No value stands in an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

from toolyard.errors import SecretUnreadable, SettingsError
from toolyard.security.keys import SecretKeys
from toolyard.security.sealing import Sealed, seal, unseal
from toolyard.store.secrets import SealedRow, SecretRow, SqlSecrets
from toolyard.telemetry.logs import logger

log = logger("secrets")

#: Secrets by which it is known whether a key is the one that it is taken for.
_TRIED: Final = 5
#: Secrets that are sealed anew at a time.
BATCH: Final = 100


class Locked:
    """The secrets of a store where nobody has a key: that there is one can be told, and nothing more."""

    def __init__(self, rows: SqlSecrets) -> None:
        self._rows = rows

    def get(self, org: str, name: str) -> str | None:
        """None, where there is no such secret.

        Raises:
            SecretUnreadable: there is one.
        """
        if self._rows.get(org, name) is None:
            return None
        raise SecretUnreadable("TOOLYARD_SECRETS_KEY is not set in this process")


def check_keys(rows: SqlSecrets, keys: SecretKeys | None, *, own: bool = False) -> None:
    """Look whether the secrets of a store can be opened, before somebody needs one.

    Args:
        rows: of the store.
        keys: that this process was given.
        own: it made its key by itself, and goes on where that is not the one of before.

    Raises:
        SettingsError: there are secrets, and no key at all, or other keys under the ids of those that sealed them.
        StoreError: the database is away, or has no such table yet.
    """
    used = rows.key_ids()
    if keys is None and used:
        raise SettingsError(
            "TOOLYARD_SECRETS_KEY is not set, and the store has secrets that were sealed with "
            f"{', '.join(repr(key_id) for key_id in sorted(used))}: set it to id:hex with these keys"
        )
    missing = sorted(key_id for key_id in used if keys is not None and key_id not in keys)
    if missing:
        log.error("secrets cannot be opened: keys are missing in TOOLYARD_SECRETS_KEY", key_ids=missing)
    if keys is not None and (others := [key_id for key_id in sorted(used) if _is_another(rows, keys, key_id)]):
        _tell_of_others(others, own=own)


def _tell_of_others(key_ids: Sequence[str], *, own: bool) -> None:
    if own:
        log.error("secrets cannot be opened: the file of their key is another one; put it back, or set them anew")
        return
    raise SettingsError(
        f"TOOLYARD_SECRETS_KEY has another key under {', '.join(map(repr, key_ids))} than the one that the secrets "
        "of the store were sealed with: put that one back, and give a new key an id of its own"
    )


def _is_another(rows: SqlSecrets, keys: SecretKeys, key_id: str) -> bool:
    """Whether a key opens nothing of what was sealed under its id."""
    if key_id not in keys:
        return False
    vault, tried = Vault(rows, keys), rows.sealed_with(key_id, limit=_TRIED)
    return bool(tried) and not any(vault.opens(found) for found in tried)


@dataclass(slots=True)
class Resealed:
    """What came of sealing secrets anew.

    Attributes:
        count: secrets that are now sealed with the first key.
        unreadable: key id -> secrets that it would open and that stay as they are, because it is not here.
        damaged: secrets, as ``org/name``, that their key does not open.
        after: the place up to which all were looked at; None at the end.
    """

    count: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    after: tuple[str, str] | None = None

    def add(self, other: "Resealed") -> None:
        """Put what came of the next batch to it."""
        self.count += other.count
        for key_id, number in other.unreadable.items():
            self.unreadable[key_id] = self.unreadable.get(key_id, 0) + number
        self.damaged += other.damaged
        self.after = other.after


class Vault:
    """The secrets of one store, under these keys."""

    def __init__(self, rows: SqlSecrets, keys: SecretKeys) -> None:
        self._rows = rows
        self._keys = keys

    def create(self, org: str, name: str, value: str, *, by: str) -> SecretRow:
        """Add a secret; raises as `SqlSecrets.create` does."""

        def sealed(version: int) -> Sealed:
            return seal(self._keys, value, org=org, name=name, version=version)

        return self._rows.create(org, name, sealed, by=by)

    def replace(self, org: str, name: str, value: str, *, by: str, expected: int | None = None) -> SecretRow:
        """Give a secret another value; raises as `SqlSecrets.replace` does."""

        def sealed(version: int) -> Sealed:
            return seal(self._keys, value, org=org, name=name, version=version)

        return self._rows.replace(org, name, sealed, by=by, expected=expected)

    def get(self, org: str, name: str) -> str | None:
        """The value of an org's secret, or None where it has none of that name.

        Raises:
            SecretUnreadable: its key is not here, or it is not what was sealed.
        """
        found = self._rows.get(org, name)
        return None if found is None else self._open(found)

    def set_before(self, org: str, name: str, value: str, *, by: str) -> SecretRow | None:
        """The newest version of a secret, if this very key set it to this very value: nobody else learns that.

        Raises:
            SecretUnreadable: as `get` does.
        """
        found = self._rows.get(org, name)
        if found is None or found.row.created_by != by:
            return None
        return found.row if compare_digest(self._open(found).encode(), value.encode()) else None

    def reseal(self, *, org: str | None = None, after: tuple[str, str] | None = None, limit: int = BATCH) -> Resealed:
        """Seal the next secrets anew that are not sealed with the first key: of one org, or of all."""
        rows = self._rows.sealed_with_others(self._keys.first, org=org, after=after, limit=limit)
        done = Resealed(after=(rows[-1].row.org, rows[-1].row.name) if len(rows) == limit else None)
        for found in rows:
            row, key_id = found.row, found.kept.key_id
            if key_id not in self._keys:
                done.unreadable[key_id] = done.unreadable.get(key_id, 0) + 1
                continue
            try:
                kept = seal(self._keys, self._open(found), org=row.org, name=row.name, version=row.version)
            except SecretUnreadable:
                done.damaged.append(f"{row.org}/{row.name}")
                continue
            done.count += self._rows.reseal(found, kept)
        return done

    def opens(self, found: SealedRow) -> bool:
        """Whether a secret can be opened."""
        try:
            self._open(found)
        except SecretUnreadable:
            return False
        return True

    def _open(self, found: SealedRow) -> str:
        row = found.row
        return unseal(self._keys, found.kept, org=row.org, name=row.name, version=row.version)
