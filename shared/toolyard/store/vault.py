"""Secrets of orgs with their values: sealed on the way into the store, opened on the way out, sealed anew where asked.

Gateways set them, schedulers read them; both hold the keys. No value stands in an error.
"""

from dataclasses import dataclass, field
from typing import Final

from toolyard.errors import SecretUnreadable
from toolyard.security.keys import SecretKeys
from toolyard.security.sealing import Sealed, seal, unseal
from toolyard.store.secrets import SealedRow, SecretRow, SqlSecrets

#: Secrets that are sealed anew at a time.
BATCH: Final = 100


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
        row = self._rows.get(org, name)
        return None if row is None else self._open(row)

    def reseal(self, *, org: str | None = None, after: tuple[str, str] | None = None, limit: int = BATCH) -> Resealed:
        """Seal the next secrets anew that are not sealed with the first key: of one org, or of all."""
        rows = self._rows.sealed_with_others(self._keys.first, org=org, after=after, limit=limit)
        done = Resealed(after=(rows[-1].org, rows[-1].name) if len(rows) == limit else None)
        for row in rows:
            if row.kept.key_id not in self._keys:
                done.unreadable[row.kept.key_id] = done.unreadable.get(row.kept.key_id, 0) + 1
                continue
            try:
                kept = seal(self._keys, self._open(row), org=row.org, name=row.name, version=row.version)
            except SecretUnreadable:
                done.damaged.append(f"{row.org}/{row.name}")
                continue
            done.count += self._rows.reseal(row, kept)
        return done

    def _open(self, row: SealedRow) -> str:
        return unseal(self._keys, row.kept, org=row.org, name=row.name, version=row.version)
