"""The authorizations inside a transaction of the ledger; `toolyard.store.authorizations` reads them for all others."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, update

from toolyard.contracts.calls import Authorization
from toolyard.store import ledger_sql as sql
from toolyard.store.ledger_rows import authorization_key
from toolyard.store.tables import authorizations, calls
from toolyard.store.values import clean, json_text


class Asked(NamedTuple):
    """Who was asked, and for what; ``call_id`` is empty where no call needs it yet."""

    org: str
    user: str
    tool: str
    call_id: str = ""


def ask(connection: Connection, authorization: Authorization, asked: Asked, at: float) -> bool:
    """Note what a user is asked to consent to; whether nobody was being asked for it at that moment.

    Of several calls that wait for the same, the one that has least time takes none from the others.
    """
    row = {
        "org": clean(asked.org),
        "provider": clean(authorization.provider),
        "authorization_id": clean(authorization.authorization_id),
        "caller": clean(asked.user),
        "tool": clean(asked.tool),
        "call_id": asked.call_id,
        "url": clean(authorization.url),
        "scopes": json_text([clean(scope) for scope in authorization.scopes]),
        "at": at,
        "expires_at": authorization.expires_at,
    }
    new = _asked(connection, asked.org, authorization.provider, authorization.authorization_id) is None
    return bool(connection.execute(sql.ASKED_FOR, row).rowcount) and new


def end(connection: Connection, org: str, provider: str, authorization_id: str, status: str, at: float) -> float | None:
    """Note what became of an authorization; for how many seconds it had been asked for.

    None where it is over, or where the word is of another time: since then it was asked for anew, or given longer.
    """
    asked = _asked(connection, org, provider, authorization_id)
    if asked is None:
        return None
    asked_at, expires_at = asked
    if at < asked_at or (status == "expired" and at < expires_at):
        return None
    over = update(authorizations).where(*_here(org, provider, authorization_id))
    connection.execute(over.values(status=status, changed_at=at))
    return at - asked_at


def waiting_for(connection: Connection, org: str, provider: str, authorization_id: str) -> Sequence[str]:
    """The open calls that wait for an authorization."""
    awaited = clean(authorization_key(provider, authorization_id))
    waiting = (calls.c.org == clean(org), calls.c.awaits == awaited, calls.c.finished_at.is_(None))
    return list(connection.execute(select(calls.c.call_id).where(*waiting)).scalars())


def _asked(connection: Connection, org: str, provider: str, authorization_id: str) -> tuple[float, float] | None:
    """When somebody was asked for it last, and until when that counts, if it is not over."""
    here = (*_here(org, provider, authorization_id), authorizations.c.status == "pending")
    times = select(authorizations.c.changed_at, authorizations.c.expires_at)
    found = connection.execute(times.where(*here)).one_or_none()
    return None if found is None else (found[0], found[1])


def _here(org: str, provider: str, authorization_id: str) -> tuple[Any, ...]:
    table = authorizations.c
    return (
        table.org == clean(org),
        table.provider == clean(provider),
        table.authorization_id == clean(authorization_id),
    )
