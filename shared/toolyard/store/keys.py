"""API keys: who may ask, kept as hashes."""

from typing import Any, cast

from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from toolyard.errors import Refused
from toolyard.store.base import KeyRow, Page, Role
from toolyard.store.database import Database
from toolyard.store.tables import api_keys
from toolyard.store.values import clean, read_cursor, write_cursor


class SqlKeys:
    """The API keys of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: KeyRow) -> None:
        """Add a key. Raises `Refused` (conflict) where its id is taken, or its broker user stands for another key."""
        row = {
            "key_id": key.key_id,
            "org": key.org,
            "name": clean(key.name),
            "roles": " ".join(sorted(key.roles)),
            "secret_hash": key.secret_hash,
            "created_at": key.created_at,
            "revoked_at": key.revoked_at,
            "broker_user": None if key.broker_user is None else clean(key.broker_user),
        }
        with self._database.write() as connection:
            try:
                connection.execute(insert(api_keys), row)
            except IntegrityError as error:
                if "broker_user" not in str(error.orig):
                    raise Refused("conflict", f"there is a key {key.key_id!r} already") from None
                detail = f"the broker user {key.broker_user!r} stands for another key; revoke that, or name another"
                raise Refused("conflict", detail) from None

    def find(self, key_id: str) -> KeyRow | None:
        """A key by its id, revoked ones included."""
        with self._database.read() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.key_id == clean(key_id))).one_or_none()
        return None if row is None else _key(row)

    def of_broker_user(self, user: str) -> KeyRow | None:
        """The key, not revoked, that this user of the broker stands for."""
        valid = (api_keys.c.broker_user == clean(user)) & api_keys.c.revoked_at.is_(None)
        with self._database.read() as connection:
            row = connection.execute(select(api_keys).where(valid)).one_or_none()
        return None if row is None else _key(row)

    def list(self, org: str, *, cursor: str | None, limit: int) -> Page[KeyRow]:
        """The org's keys, newest first. Raises ValueError for a cursor that is none of ours."""
        place = (api_keys.c.created_at, api_keys.c.key_id)
        statement = select(api_keys).where(api_keys.c.org == clean(org))
        if cursor is not None:
            statement = statement.where(tuple_(*place) < read_cursor(cursor, tuple[float, str]))
        statement = statement.order_by(*(column.desc() for column in place)).limit(limit + 1)
        with self._database.read() as connection:
            keys = [_key(row) for row in connection.execute(statement)]
        last = keys[limit - 1] if len(keys) > limit else None
        return Page(keys[:limit], None if last is None else write_cursor(last.created_at, last.key_id))

    def revoke(self, org: str, key_id: str, *, at: float) -> bool:
        """Revoke a key of this org; False where there is none. A key that is revoked already keeps its time."""
        here = (api_keys.c.org == clean(org)) & (api_keys.c.key_id == clean(key_id))
        with self._database.write() as connection:
            found = connection.execute(select(api_keys.c.revoked_at).where(here).with_for_update()).one_or_none()
            if found is not None and found.revoked_at is None:
                connection.execute(update(api_keys).where(here).values(revoked_at=at))
        return found is not None

    def any(self) -> bool:
        """Whether there is any key that is not revoked."""
        with self._database.read() as connection:
            valid = select(api_keys.c.key_id).where(api_keys.c.revoked_at.is_(None)).limit(1)
            return connection.execute(valid).one_or_none() is not None


def _key(row: Any) -> KeyRow:
    return KeyRow(
        key_id=row.key_id,
        org=row.org,
        name=row.name,
        roles=frozenset(cast("list[Role]", row.roles.split())),
        secret_hash=row.secret_hash,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        broker_user=row.broker_user,
    )
