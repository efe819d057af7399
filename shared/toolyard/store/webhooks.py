"""Webhooks: whom an org wants told what happens, how far each was told, and what became of each delivery.

Gateways write what callers ask for; the scheduler notes how far it came. Secrets are not here: see `secret_name`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, text, tuple_, update

from toolyard.contracts.feed import Cursor
from toolyard.errors import Refused
from toolyard.store.base import Page
from toolyard.store.database import Database
from toolyard.store.tables import webhook_deliveries as deliveries
from toolyard.store.tables import webhooks
from toolyard.store.values import clean, json_text, read_cursor, write_cursor

#: Webhooks of an org, and ended deliveries that are kept of each.
MOST: Final = 20
KEPT: Final = 100
#: Before the name of each secret of a webhook; no name that a person gives can begin so.
RESERVED: Final = "webhook:"
State = Literal["pending", "delivered", "failed"]
_words = msgspec.json.Decoder(tuple[str, ...])


def secret_name(webhook_id: str, secret_id: str) -> str:
    """Under which name the vault keeps a secret of a webhook."""
    return f"{RESERVED}{webhook_id}:{secret_id}"


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as it is kept.

    Attributes:
        events: types that are wanted; all where there are none. ``tools``: names, likewise.
        disabled_reason: why the scheduler disabled it.
        version: grows with every change that somebody asks for.
        secret_id: of the secret that signs. ``previous_secret_id``: of the one that signs beside it, for a while
            from ``rotated_at`` on.
        place: behind which it is still to be told.
        failing_since: the first failure behind which nothing succeeded.
    """

    webhook_id: str
    org: str
    url: str
    events: tuple[str, ...]
    tools: tuple[str, ...]
    description: str
    enabled: bool
    created_by: str
    created_at: float
    updated_at: float
    place: Cursor
    secret_id: str
    disabled_reason: str | None = None
    version: int = 1
    previous_secret_id: str | None = None
    rotated_at: float | None = None
    failing_since: float | None = None
    last_success_at: float | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one webhook.

    Attributes:
        event_type: of the CloudEvent; ``body``: its document, as long as it may be sent again.
        happened_at: when the event did.
        attempts: that were made.
        status: of the last answer; ``error``: why the last attempt failed.
        next_at: when the next attempt is due.
        changed_at: when the last attempt ended.
    """

    webhook_id: str
    event_id: str
    event_type: str
    happened_at: float
    changed_at: float
    body: bytes | None = None
    state: State = "pending"
    attempts: int = 0
    status: int | None = None
    error: str | None = None
    next_at: float | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """An enabled webhook, and what waits for it.

    Attributes:
        count: deliveries that are tried again.
        next_at: when the first of them is due; ``oldest``: when the oldest of their events happened.
    """

    row: WebhookRow
    count: int
    next_at: float | None
    oldest: float | None


_NOTE: Final = text(
    "INSERT INTO webhook_deliveries (webhook_id, event_id, event_type, happened_at, changed_at, body, state, attempts,"
    " status, error, next_at) VALUES (:webhook_id, :event_id, :event_type, :happened_at, :changed_at, :body, :state,"
    " :attempts, :status, :error, :next_at) ON CONFLICT (webhook_id, event_id) DO UPDATE SET"
    " changed_at = excluded.changed_at, body = excluded.body, state = excluded.state, attempts = excluded.attempts,"
    " status = excluded.status, error = excluded.error, next_at = excluded.next_at"
)


class SqlWebhooks:
    """The webhooks of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- for gateways -------------------------------------------------------------------------
    def create(self, row: WebhookRow) -> None:
        """Add a webhook. Raises `Refused` (conflict) where the org has too many."""
        with self._database.write() as connection:
            count = connection.execute(select(func.count()).where(webhooks.c.org == clean(row.org))).scalar_one()
            if count >= MOST:
                raise Refused("conflict", f"an org has at most {MOST} webhooks; remove one first")
            connection.execute(insert(webhooks), _values(row))

    def get(self, org: str, webhook_id: str) -> WebhookRow | None:
        """One webhook of this org."""
        wanted = select(webhooks).where(*_here(org, webhook_id))
        with self._database.read() as connection:
            row = connection.execute(wanted).mappings().one_or_none()
        return None if row is None else _row(row)

    def list(self, org: str, *, cursor: str | None, limit: int) -> Page[WebhookRow]:
        """The org's webhooks, oldest first. Raises ValueError for a cursor that is none of ours."""
        order = (webhooks.c.created_at, webhooks.c.webhook_id)
        wanted = select(webhooks).where(webhooks.c.org == clean(org)).order_by(*order).limit(limit + 1)
        if cursor is not None:
            wanted = wanted.where(tuple_(*order) > read_cursor(cursor, tuple[float, str]))
        with self._database.read() as connection:
            rows = [_row(row) for row in connection.execute(wanted).mappings()]
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(rows[:limit], None if last is None else write_cursor(last.created_at, last.webhook_id))

    def change(self, row: WebhookRow) -> WebhookRow:
        """Save what somebody asked for, as the next version; how far it was told stays.

        Raises:
            Refused: not_found; conflict where somebody else changed it since it was read.
        """
        changed = replace(row, version=row.version + 1)
        values = _values(changed)
        for name in ("feed_offset", "feed_n", "last_success_at"):
            del values[name]
        with self._database.write() as connection:
            here = (*_here(row.org, row.webhook_id), webhooks.c.version == row.version)
            if connection.execute(update(webhooks).where(*here).values(**values)).rowcount == 1:
                return changed
        if self.get(row.org, row.webhook_id) is None:
            raise not_found(row.webhook_id)
        raise Refused("conflict", "The webhook is being changed by somebody else; try again.")

    def delete(self, org: str, webhook_id: str) -> None:
        """Remove a webhook and its deliveries. Raises `Refused` (not_found)."""
        with self._database.write() as connection:
            if connection.execute(delete(webhooks).where(*_here(org, webhook_id))).rowcount != 1:
                raise not_found(webhook_id)
            connection.execute(delete(deliveries).where(deliveries.c.webhook_id == clean(webhook_id)))

    def add(self, delivery: Delivery) -> None:
        """Have something delivered that is no event of the feed."""
        with self._database.write() as connection:
            connection.execute(_NOTE, _noted(delivery))

    def deliveries(self, webhook_id: str, *, cursor: str | None, limit: int) -> Page[Delivery]:
        """What was tried last, newest first. Raises ValueError for a cursor that is none of ours."""
        order = (deliveries.c.changed_at, deliveries.c.event_id)
        wanted = select(deliveries).where(deliveries.c.webhook_id == clean(webhook_id))
        if cursor is not None:
            wanted = wanted.where(tuple_(*order) < read_cursor(cursor, tuple[float, str]))
        wanted = wanted.order_by(*(column.desc() for column in order)).limit(limit + 1)
        with self._database.read() as connection:
            found = [Delivery(**row) for row in connection.execute(wanted).mappings()]
        last = found[limit - 1] if len(found) > limit else None
        return Page(found[:limit], None if last is None else write_cursor(last.changed_at, last.event_id))

    # ---- for the scheduler --------------------------------------------------------------------
    def enabled(self) -> Sequence[Waiting]:
        """All that are enabled, of all orgs, with what waits for them."""
        pending = deliveries.c.next_at.is_not(None)
        waits = (
            select(
                deliveries.c.webhook_id,
                func.count().label("count"),
                func.min(deliveries.c.next_at).label("next_at"),
                func.min(deliveries.c.happened_at).label("oldest"),
            )
            .where(pending)
            .group_by(deliveries.c.webhook_id)
        )
        with self._database.read() as connection:
            rows = connection.execute(select(webhooks).where(webhooks.c.enabled.is_(True))).mappings().all()
            waiting = {row.webhook_id: row for row in connection.execute(waits)} if rows else {}
        return [_waiting(_row(row), waiting.get(row["webhook_id"])) for row in rows]

    def due(self, webhook_id: str, now: float, limit: int) -> Sequence[Delivery]:
        """What is to be tried again now, the longest overdue first."""
        wanted = select(deliveries).where(deliveries.c.webhook_id == webhook_id, deliveries.c.next_at <= now)
        with self._database.read() as connection:
            found = connection.execute(wanted.order_by(deliveries.c.next_at).limit(limit)).mappings()
            return [Delivery(**row) for row in found]

    def note(self, webhook_id: str, tried: Sequence[Delivery], place: Cursor | None = None) -> None:
        """Note what became of these, and that the webhook was told up to this place; nothing where it is gone."""
        with self._database.write() as connection:
            if connection.execute(update(webhooks).where(_is(webhook_id)).values(**_told(place))).rowcount != 1:
                return
            if tried:
                connection.execute(_NOTE, [_noted(each) for each in tried])
                self._note_health(connection, webhook_id, tried)
                self._forget_old(connection, webhook_id)

    def disable(self, webhook_id: str, reason: str, now: float) -> None:
        """Deliver nothing more, until somebody enables it again."""
        said = {"enabled": False, "disabled_reason": reason, "updated_at": now, "version": webhooks.c.version + 1}
        with self._database.write() as connection:
            connection.execute(update(webhooks).where(_is(webhook_id)).values(**said))

    def end_rotation(self, webhook_id: str, previous: str) -> None:
        """This secret, which is not the newest one, signs no more."""
        here = (_is(webhook_id), webhooks.c.previous_secret_id == previous)
        with self._database.write() as connection:
            connection.execute(update(webhooks).where(*here).values(previous_secret_id=None, rotated_at=None))

    def _note_health(self, connection: Connection, webhook_id: str, tried: Sequence[Delivery]) -> None:
        good = [each.changed_at for each in tried if each.state == "delivered"]
        bad = [each.changed_at for each in tried if each.error is not None and each.state != "delivered"]
        here = update(webhooks).where(_is(webhook_id))
        if good:
            connection.execute(here.values(last_success_at=max(good), failing_since=None))
        elif bad:
            connection.execute(here.where(webhooks.c.failing_since.is_(None)).values(failing_since=min(bad)))

    def _forget_old(self, connection: Connection, webhook_id: str) -> None:
        ended = (deliveries.c.webhook_id == webhook_id, deliveries.c.next_at.is_(None))
        newest = select(deliveries.c.changed_at).where(*ended).order_by(deliveries.c.changed_at.desc())
        oldest_kept = connection.execute(newest.offset(KEPT - 1).limit(1)).scalar_one_or_none()
        if oldest_kept is not None:
            connection.execute(delete(deliveries).where(*ended, deliveries.c.changed_at < oldest_kept))


def not_found(webhook_id: str) -> Refused:
    """There is no such webhook."""
    return Refused("not_found", f"There is no webhook {webhook_id[:64]!r}.")


def _is(webhook_id: str) -> Any:
    return webhooks.c.webhook_id == clean(webhook_id)


def _here(org: str, webhook_id: str) -> tuple[Any, Any]:
    return webhooks.c.org == clean(org), _is(webhook_id)


def _told(place: Cursor | None) -> dict[str, Any]:
    if place is None:
        return {"feed_offset": webhooks.c.feed_offset}
    return {"feed_offset": place.offset, "feed_n": place.n}


def _waiting(row: WebhookRow, found: Any) -> Waiting:
    return Waiting(row, 0, None, None) if found is None else Waiting(row, found.count, found.next_at, found.oldest)


def _noted(delivery: Delivery) -> dict[str, Any]:
    ended = delivery.next_at is None
    return {
        "webhook_id": delivery.webhook_id,
        "event_id": clean(delivery.event_id),
        "event_type": delivery.event_type,
        "happened_at": delivery.happened_at,
        "changed_at": delivery.changed_at,
        "body": None if ended else delivery.body,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "status": delivery.status,
        "error": None if delivery.error is None else clean(delivery.error),
        "next_at": delivery.next_at,
    }


def _values(row: WebhookRow) -> dict[str, Any]:
    return {
        "webhook_id": row.webhook_id,
        "org": clean(row.org),
        "url": clean(row.url),
        "events": json_text(row.events),
        "tools": json_text(row.tools),
        "description": clean(row.description),
        "enabled": row.enabled,
        "disabled_reason": row.disabled_reason,
        "version": row.version,
        "secret_id": row.secret_id,
        "previous_secret_id": row.previous_secret_id,
        "rotated_at": row.rotated_at,
        "created_by": row.created_by,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "feed_offset": row.place.offset,
        "feed_n": row.place.n,
        "failing_since": row.failing_since,
        "last_success_at": row.last_success_at,
    }


def _row(row: Any) -> WebhookRow:
    return WebhookRow(
        webhook_id=row["webhook_id"],
        org=row["org"],
        url=row["url"],
        events=_words.decode(row["events"]),
        tools=_words.decode(row["tools"]),
        description=row["description"],
        enabled=bool(row["enabled"]),
        disabled_reason=row["disabled_reason"],
        version=row["version"],
        secret_id=row["secret_id"],
        previous_secret_id=row["previous_secret_id"],
        rotated_at=row["rotated_at"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        place=Cursor(row["feed_offset"], row["feed_n"]),
        failing_since=row["failing_since"],
        last_success_at=row["last_success_at"],
    )
