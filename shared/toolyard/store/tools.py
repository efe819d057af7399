"""Tool definitions: every change is a new immutable version, and a deleted name goes on counting when it comes back."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, Select, insert, select, update
from sqlalchemy.exc import IntegrityError

from toolyard.clock import Clock
from toolyard.contracts.codec import decode_spec
from toolyard.contracts.tools import ToolSpec
from toolyard.errors import Refused
from toolyard.store.base import Page
from toolyard.store.database import Database
from toolyard.store.tables import tool_versions, tools
from toolyard.store.values import clean, json_text, read_cursor, write_cursor

_MAX_NAMES: Final = 10_000
_ESCAPE: Final = "\\"


class SqlTools:
    """The tools of one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(self, org: str, spec: ToolSpec) -> ToolSpec:
        """Add a tool; gives it its version. Raises `Refused` (conflict) where the name is taken."""
        with self._database.write() as connection:
            found = self._lock(connection, org, spec.name)
            if found is not None and found.deleted_at is None:
                raise _taken(spec.name)
            if found is not None:
                return self._add(connection, org, spec, found.version + 1)
            row = {"org": org, "name": spec.name, "version": 0, "search": ""}
            try:
                connection.execute(insert(tools), row)
            except IntegrityError:  # another gateway was first, in this very moment
                raise _taken(spec.name) from None
            return self._add(connection, org, spec, 1)

    def replace(self, org: str, spec: ToolSpec, *, expected: int) -> ToolSpec:
        """Add a version. Raises `Refused`: not_found, or precondition_failed where ``expected`` is not current."""
        with self._database.write() as connection:
            self._expect(connection, org, spec.name, expected)
            return self._add(connection, org, spec, expected + 1)

    def delete(self, org: str, name: str, *, expected: int) -> None:
        """Remove a tool; its versions stay readable by number. Raises as `replace` does."""
        with self._database.write() as connection:
            self._expect(connection, org, name, expected)
            here = (tools.c.org == org) & (tools.c.name == name)
            connection.execute(update(tools).where(here).values(deleted_at=self._clock.now()))

    def get(self, org: str, name: str, version: int | None = None) -> ToolSpec | None:
        """The current version (of a tool that is not deleted), or a given one."""
        org, name = clean(org), clean(name)
        if version is None:
            statement = _current(org).where(tools.c.name == name)
        else:
            here = (tool_versions.c.org == org, tool_versions.c.name == name, tool_versions.c.version == version)
            statement = select(tool_versions.c.spec).where(*here)
        with self._database.read() as connection:
            spec = connection.execute(statement).scalar_one_or_none()
        return None if spec is None else decode_spec(spec)

    def versions(self, org: str, name: str, *, cursor: str | None, limit: int) -> Page[ToolSpec]:
        """All versions, newest first. Raises ValueError for a cursor that is none of ours."""
        table = tool_versions.c
        statement = select(table.spec).where(table.org == clean(org), table.name == clean(name))
        if cursor is not None:
            statement = statement.where(table.version < read_cursor(cursor, tuple[int])[0])
        specs = self._specs(statement.order_by(table.version.desc()).limit(limit + 1))
        more = len(specs) > limit
        return Page(specs[:limit], write_cursor(specs[limit - 1].version) if more else None)

    def list(self, org: str, *, q: str | None, toolkit: str | None, cursor: str | None, limit: int) -> Page[ToolSpec]:
        """Current versions by name. Raises ValueError for a cursor that is none of ours."""
        statement = _current(clean(org))
        if q:
            statement = statement.where(tools.c.search.like(_anywhere(clean(q).casefold()), escape=_ESCAPE))
        if toolkit is not None:
            statement = statement.where(tools.c.toolkit == clean(toolkit))
        if cursor is not None:
            statement = statement.where(tools.c.name > read_cursor(cursor, tuple[str])[0])
        specs = self._specs(statement.order_by(tools.c.name).limit(limit + 1))
        more = len(specs) > limit
        return Page(specs[:limit], write_cursor(specs[limit - 1].name) if more else None)

    def names(self, org: str) -> Sequence[str]:
        """All current names, for suggestions; at most 10,000."""
        mine = (tools.c.org == clean(org), tools.c.deleted_at.is_(None))
        with self._database.read() as connection:
            found = connection.execute(select(tools.c.name).where(*mine).order_by(tools.c.name).limit(_MAX_NAMES))
            return list(found.scalars())

    def _specs(self, statement: Select[str]) -> Sequence[ToolSpec]:
        with self._database.read() as connection:
            return [decode_spec(spec) for spec in connection.execute(statement).scalars()]

    def _lock(self, connection: Connection, org: str, name: str) -> "_Found | None":
        here = (tools.c.org == org, tools.c.name == name)
        row = connection.execute(
            select(tools.c.version, tools.c.deleted_at).where(*here).with_for_update()
        ).one_or_none()
        return None if row is None else _Found(row.version, row.deleted_at)

    def _expect(self, connection: Connection, org: str, name: str, expected: int) -> None:
        found = self._lock(connection, org, name)
        if found is None or found.deleted_at is not None:
            raise Refused("not_found", f"there is no tool {name!r}")
        if found.version != expected:
            detail = f"the tool {name!r} is at version {found.version}, not {expected}; read it again"
            raise Refused("precondition_failed", detail, extra={"version": found.version})

    def _add(self, connection: Connection, org: str, spec: ToolSpec, version: int) -> ToolSpec:
        saved = msgspec.structs.replace(spec, version=version)
        here = (tools.c.org == org) & (tools.c.name == spec.name)
        now = {"version": version, "toolkit": saved.toolkit, "search": _search(saved), "deleted_at": None}
        connection.execute(update(tools).where(here).values(**now))
        row = {"org": org, "name": spec.name, "version": version, "spec": json_text(saved)}
        connection.execute(insert(tool_versions), row | {"created_at": self._clock.now()})
        return saved


class _Found(msgspec.Struct, frozen=True):
    version: int
    deleted_at: float | None


def _current(org: str) -> Select[str]:
    current = (
        (tool_versions.c.org == tools.c.org)
        & (tool_versions.c.name == tools.c.name)
        & (tool_versions.c.version == tools.c.version)
    )
    mine = (tools.c.org == org, tools.c.deleted_at.is_(None))
    return select(tool_versions.c.spec).select_from(tools.join(tool_versions, current)).where(*mine)


def _search(spec: ToolSpec) -> str:
    return clean("\n".join((spec.name, spec.title or "", spec.description))).casefold()


def _anywhere(text: str) -> str:
    for sign in (_ESCAPE, "%", "_"):
        text = text.replace(sign, _ESCAPE + sign)
    return f"%{text}%"


def _taken(name: str) -> Refused:
    return Refused("conflict", f"there is a tool {name!r} already; change it with PUT or PATCH")
