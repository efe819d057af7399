"""Secrets as rows: versions, and the sealed value of the newest one. `toolyard.store.vault` opens them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from toolyard.clock import Clock
from toolyard.errors import Refused
from toolyard.security.sealing import Sealed
from toolyard.store.base import Page
from toolyard.store.database import Database
from toolyard.store.tables import secrets
from toolyard.store.values import clean, read_cursor, write_cursor

#: Makes the sealed value of a version.
Seal = Callable[[int], Sealed]


@dataclass(frozen=True, slots=True)
class SecretRow:
    """A version of a secret, without its value.

    Attributes:
        created_by: the id of the API key that set it.
    """

    org: str
    name: str
    version: int
    created_at: float
    created_by: str


@dataclass(frozen=True, slots=True)
class SealedRow:
    """The newest version of a secret, with its value as it is kept."""

    row: SecretRow
    kept: Sealed


class SqlSecrets:
    """The secrets of one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # ---- writing ------------------------------------------------------------------------------
    def create(self, org: str, name: str, seal: Seal, *, by: str) -> SecretRow:
        """Add a secret. Raises `Refused` (conflict) where there is one; one that was deleted goes on counting."""
        with self._database.write() as connection:
            version, deleted = self._lock(connection, org, name) or (0, True)
            if not deleted:
                raise _taken(name)
            try:
                return self._add(connection, org, name, version + 1, seal, by)
            except IntegrityError:  # somebody else was first, in this very moment
                raise _taken(name) from None

    def replace(self, org: str, name: str, seal: Seal, *, by: str, expected: int | None = None) -> SecretRow:
        """Add a version, and forget the value of the one before.

        Raises:
            Refused: not_found; precondition_failed where ``expected`` is given and not the current version; conflict
                where somebody else changes it in this very moment.
        """
        with self._database.write() as connection:
            version = self._current(connection, org, name, expected)
            try:
                added = self._add(connection, org, name, version + 1, seal, by)
            except IntegrityError:
                raise _busy(name) from None
            self._forget(connection, org, name, before=version + 1)
            return added

    def delete(self, org: str, name: str, *, expected: int | None = None) -> None:
        """Remove a secret and its value. Raises as `replace` does."""
        with self._database.write() as connection:
            version = self._current(connection, org, name, expected)
            self._forget(connection, org, name, before=version + 1)
            connection.execute(update(secrets).where(*_named(org, name)).values(deleted=True))

    def reseal(self, found: SealedRow, kept: Sealed) -> bool:
        """Put another sealed value of the same version in its place; False where the row was changed meanwhile."""
        row, key_id = found.row, found.kept.key_id
        here = (*_named(row.org, row.name), secrets.c.version == row.version, secrets.c.key_id == key_id)
        values = {"key_id": kept.key_id, "sealed": kept.sealed}
        with self._database.write() as connection:
            return connection.execute(update(secrets).where(*here).values(**values)).rowcount == 1

    # ---- reading ------------------------------------------------------------------------------
    def get(self, org: str, name: str) -> SealedRow | None:
        """The newest version of a secret that is not deleted."""
        wanted = select(secrets).where(*_named(org, name), secrets.c.key_id.is_not(None))
        with self._database.read() as connection:
            row = connection.execute(wanted).mappings().one_or_none()
        return None if row is None else _sealed(row)

    def list(self, org: str, *, cursor: str | None, limit: int) -> Page[SecretRow]:
        """The newest version of each secret of an org, by name. Raises ValueError for a cursor that is none of ours."""
        listed = secrets.c.name.not_like("%:%")  # the others are not the org's own words: see `toolyard.store.webhooks`
        wanted = _rows().where(secrets.c.org == clean(org), secrets.c.key_id.is_not(None), listed)
        if cursor is not None:
            wanted = wanted.where(secrets.c.name > read_cursor(cursor, tuple[str])[0])
        rows = self._read(wanted.order_by(secrets.c.name).limit(limit + 1))
        return Page(rows[:limit], write_cursor(rows[limit - 1].name) if len(rows) > limit else None)

    def versions(self, org: str, name: str, *, cursor: str | None, limit: int) -> Page[SecretRow]:
        """The versions of a secret since it was made, newest first; none where there is no such secret.

        Raises:
            ValueError: a cursor that is none of ours.
        """
        wanted = _rows().where(*_named(org, name), secrets.c.deleted.is_(False))
        if cursor is not None:
            wanted = wanted.where(secrets.c.version < read_cursor(cursor, tuple[int])[0])
        rows = self._read(wanted.order_by(secrets.c.version.desc()).limit(limit + 1))
        return Page(rows[:limit], write_cursor(rows[limit - 1].version) if len(rows) > limit else None)

    def key_ids(self) -> frozenset[str]:
        """The keys that something is sealed with."""
        wanted = select(secrets.c.key_id).where(secrets.c.key_id.is_not(None)).distinct()
        with self._database.read() as connection:
            return frozenset(connection.execute(wanted).scalars())

    def sealed_with(self, key_id: str, *, limit: int) -> Sequence[SealedRow]:
        """Some of the secrets that are sealed with this key, the newest first."""
        wanted = select(secrets).where(secrets.c.key_id == key_id).order_by(secrets.c.created_at.desc()).limit(limit)
        with self._database.read() as connection:
            return [_sealed(row) for row in connection.execute(wanted).mappings()]

    def sealed_with_others(
        self, key_id: str, *, org: str | None, after: tuple[str, str] | None, limit: int
    ) -> Sequence[SealedRow]:
        """Secrets that are sealed with another key than this one, of one org or of all, behind this place."""
        wanted = select(secrets).where(secrets.c.key_id.is_not(None), secrets.c.key_id != key_id)
        if org is not None:
            wanted = wanted.where(secrets.c.org == clean(org))
        if after is not None:
            wanted = wanted.where(tuple_(secrets.c.org, secrets.c.name) > after)
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(secrets.c.org, secrets.c.name).limit(limit))
            return [_sealed(row) for row in rows.mappings()]

    # ---- inside a transaction -------------------------------------------------------------------
    def _lock(self, connection: Connection, org: str, name: str) -> tuple[int, bool] | None:
        """The newest version and whether it is deleted, kept from others until the transaction ends.

        Raises:
            Refused: conflict: who held it before us has added another one; the lock is then on one of the past.
        """
        newest = select(secrets.c.version, secrets.c.deleted).where(*_named(org, name))
        newest = newest.order_by(secrets.c.version.desc()).limit(1)
        row = connection.execute(newest.with_for_update()).one_or_none()
        if row is None:
            return None
        if connection.execute(newest).one().version != row.version:
            raise _busy(name)
        return row.version, bool(row.deleted)

    def _current(self, connection: Connection, org: str, name: str, expected: int | None) -> int:
        version, deleted = self._lock(connection, org, name) or (0, True)
        if deleted:
            raise Refused("not_found", f"there is no secret {name!r}")
        if expected not in (None, version):
            detail = f"the secret {name!r} is at version {version}, not {expected}; read it again"
            raise Refused("precondition_failed", detail, extra={"version": version})
        return version

    def _add(self, connection: Connection, org: str, name: str, version: int, seal: Seal, by: str) -> SecretRow:
        row = SecretRow(clean(org), clean(name), version, self._clock.now(), clean(by))
        kept = seal(version)
        values = {
            "org": row.org,
            "name": row.name,
            "version": version,
            "created_at": row.created_at,
            "created_by": row.created_by,
            "key_id": kept.key_id,
            "sealed": kept.sealed,
            "deleted": False,
        }
        connection.execute(insert(secrets), values)
        return row

    def _forget(self, connection: Connection, org: str, name: str, *, before: int) -> None:
        here = (*_named(org, name), secrets.c.version < before, secrets.c.key_id.is_not(None))
        connection.execute(update(secrets).where(*here).values(key_id=None, sealed=None))

    def _read(self, wanted: Select[Any]) -> Sequence[SecretRow]:
        with self._database.read() as connection:
            return [SecretRow(*row) for row in connection.execute(wanted)]


def _named(org: str, name: str) -> tuple[Any, Any]:
    return secrets.c.org == clean(org), secrets.c.name == clean(name)


def _rows() -> Select[Any]:
    table = secrets.c
    return select(table.org, table.name, table.version, table.created_at, table.created_by)


def _sealed(row: RowMapping) -> SealedRow:
    told = SecretRow(row["org"], row["name"], row["version"], row["created_at"], row["created_by"])
    return SealedRow(told, Sealed(row["key_id"], bytes(row["sealed"])))


def _busy(name: str) -> Refused:
    return Refused("conflict", f"the secret {name!r} is being changed by somebody else; try again")


def _taken(name: str) -> Refused:
    return Refused("conflict", f"there is a secret {name!r} already; change it with PUT")
