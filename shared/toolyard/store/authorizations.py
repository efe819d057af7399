"""What users were asked to consent to, read only: the ledger alone writes it, as it does the calls that wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, select, tuple_

from toolyard.store.base import Page
from toolyard.store.database import Database
from toolyard.store.tables import authorizations
from toolyard.store.values import clean, read_cursor, write_cursor

AuthorizationStatus = Literal["pending", "completed", "failed", "expired"]

_scopes = msgspec.json.Decoder(tuple[str, ...])


@dataclass(frozen=True, slots=True)
class AuthorizationRow:
    """An authorization; words as in `toolyard.contracts.calls.Authorization`, times in seconds since 1970.

    Attributes:
        user: who was asked.
        tool: of the call that asked for it first; ``call_id`` is that call.
        url: where the user consents; of no use once it is over.
        status: ``failed`` where the user, or the provider, refused.
        changed_at: when it was asked for last, or when it was over.
    """

    org: str
    provider: str
    authorization_id: str
    user: str
    tool: str
    call_id: str
    url: str
    scopes: tuple[str, ...]
    status: AuthorizationStatus
    created_at: float
    changed_at: float
    expires_at: float


class PendingAuthorization(NamedTuple):
    """One that nobody has told the end of yet: what is needed to ask its provider."""

    org: str
    provider: str
    authorization_id: str
    user: str
    created_at: float
    changed_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class AuthorizationFilter:
    """Which authorizations to list; ``None`` is any."""

    user: str | None = None
    status: AuthorizationStatus | None = None
    provider: str | None = None


_table: Final = authorizations.c
_COLUMNS: Final = (
    _table.org,
    _table.provider,
    _table.authorization_id,
    _table.caller,
    _table.tool,
    _table.call_id,
    _table.url,
    _table.scopes,
    _table.status,
    _table.created_at,
    _table.changed_at,
    _table.expires_at,
)
_PENDING: Final = (
    _table.org,
    _table.provider,
    _table.authorization_id,
    _table.caller,
    _table.created_at,
    _table.changed_at,
    _table.expires_at,
)
_NEWEST_FIRST: Final = (_table.created_at, _table.provider, _table.authorization_id)
_SOONEST_FIRST: Final = (_table.expires_at, _table.org, _table.provider, _table.authorization_id)


class SqlAuthorizations:
    """The authorizations of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, org: str, provider: str, authorization_id: str) -> AuthorizationRow | None:
        """One authorization of this org."""
        here = (
            _table.org == clean(org),
            _table.provider == clean(provider),
            _table.authorization_id == clean(authorization_id),
        )
        with self._database.read() as connection:
            row = connection.execute(select(*_COLUMNS).where(*here)).one_or_none()
        return None if row is None else _read(row)

    def list(self, org: str, wanted: AuthorizationFilter, *, cursor: str | None, limit: int) -> Page[AuthorizationRow]:
        """The org's authorizations, newest first. Raises ValueError for a cursor that is none of ours."""
        conditions = [_table.org == clean(org), *_conditions(wanted)]
        if cursor is not None:
            conditions.append(tuple_(*_NEWEST_FIRST) < read_cursor(cursor, tuple[float, str, str]))
        statement = (
            select(*_COLUMNS).where(*conditions).order_by(*(column.desc() for column in _NEWEST_FIRST)).limit(limit + 1)
        )
        with self._database.read() as connection:
            rows = [_read(row) for row in connection.execute(statement)]
        if len(rows) <= limit:
            return Page(rows, None)
        last = rows[limit - 1]
        return Page(rows[:limit], write_cursor(last.created_at, last.provider, last.authorization_id))

    def pending(self, limit: int, *, after: PendingAuthorization | None = None) -> Sequence[PendingAuthorization]:
        """Those of all orgs that wait for their users, the ones that expire first ahead; behind ``after``, if given."""
        wanted = select(*_PENDING).where(_table.status == "pending")
        if after is not None:
            place = (after.expires_at, after.org, after.provider, after.authorization_id)
            wanted = wanted.where(tuple_(*_SOONEST_FIRST) > place)
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(*_SOONEST_FIRST).limit(limit))
            return [PendingAuthorization(*row) for row in rows]


def _conditions(wanted: AuthorizationFilter) -> list[ColumnElement[bool]]:
    equal = ((_table.caller, wanted.user), (_table.status, wanted.status), (_table.provider, wanted.provider))
    return [column == clean(value) for column, value in equal if value is not None]


def _read(row: Sequence[Any]) -> AuthorizationRow:
    org, provider, authorization_id, user, tool, call_id, url, scopes, *rest = row
    return AuthorizationRow(org, provider, authorization_id, user, tool, call_id, url, _scopes.decode(scopes), *rest)
