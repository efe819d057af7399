"""The statements of the ledger, for both databases: made once, from one list of columns. Used by `ledger` alone.

PostgreSQL takes many rows as arrays, in the driver's binary form, and a few row by row, as SQLite takes all.
"""

from collections.abc import Sequence
from itertools import repeat
from operator import attrgetter
from typing import Final, NamedTuple

from sqlalchemy import text

#: What changes while a call lives, with PostgreSQL's types.
_LIVE: Final = (
    ("state", "text"),
    ("effect", "text"),
    ("log_offset", "bigint"),
    ("attempt", "integer"),
    ("attempts", "integer"),
    ("started_at", "double precision"),
    ("finished_at", "double precision"),
    ("ending", "boolean"),
    ("end_sequence", "bigint"),
    ("late_results", "integer"),
    ("submitters", "integer"),
)
_OUTCOME: Final = (("result", "text"), ("error", "text"), ("report", "text"))
#: What only calls out of the ordinary have: written only where it changed.
ASIDE: Final = (
    ("holder", "text"),
    ("fence", "integer"),
    ("runs_until", "double precision"),
    ("alone", "boolean"),
    ("refused", "boolean"),
    ("spent", "text"),
    ("ending_claim", "text"),
    ("settled", "boolean"),
    ("doomed", "text"),
    ("watch_at", "double precision"),
    ("due_at", "double precision"),
    ("parked_for", "text"),
    ("queue_due", "double precision"),
    ("deaths", "integer"),
    ("waived", "integer"),
    ("diverted", "boolean"),
    ("consent", "text"),
    ("awaits", "text"),
)
#: What comes from the call itself and is written once.
GIVEN: Final = (
    ("call_id", "text"),
    ("org", "text"),
    ("tool", "text"),
    ("pool", "text"),
    ("gateway", "text"),
    ("body_hash", "text"),
    ("conversation", "text"),
    ("caller", "text"),
    ("accepted_at", "double precision"),
    ("deadline", "double precision"),
    ("call", "text"),
)
_KEY: Final = ("call_id", "gateway", "body_hash")

#: Rows up to which they are written one by one: forty arrays cost as much as eight rows.
FEW: Final = 8

live_values = attrgetter(*(name for name, _ in _LIVE))
#: The columns of a row that is loaded, in their order.
LOADED: Final = (*_KEY, *(name for name, _ in _LIVE), "pool", *(name for name, _ in ASIDE))
_loaded: Final = ", ".join(LOADED)


def _names(columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(name for name, _ in columns)


def _arrays(columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"%b::{kind}[]" for _, kind in columns)


# The names of columns below are our own constants; values travel as parameters.
def _insert(columns: Sequence[tuple[str, str]], mark: str) -> str:
    return f"INSERT INTO calls ({_names(columns)}) VALUES ({', '.join(repeat(mark, len(columns)))})"  # noqa: S608


def _insert_arrays(columns: Sequence[tuple[str, str]]) -> str:
    return f"INSERT INTO calls ({_names(columns)}) SELECT * FROM unnest({_arrays(columns)})"  # noqa: S608


def _update(columns: Sequence[tuple[str, str]], mark: str) -> str:
    plain = ", ".join(f"{name} = {mark}" for name, _ in columns)
    outcome = ", ".join(f"{name} = coalesce({mark}, {name})" for name, _ in _OUTCOME)
    return f"UPDATE calls SET {plain}, {outcome} WHERE call_id = {mark}"  # noqa: S608


def _update_arrays(columns: Sequence[tuple[str, str]]) -> str:
    given = (*columns, *_OUTCOME, ("id", "text"))
    plain = ", ".join(f"{name} = v.{name}" for name, _ in columns)
    outcome = ", ".join(f"{name} = coalesce(v.{name}, c.{name})" for name, _ in _OUTCOME)
    values = f"unnest({_arrays(given)}) AS v({_names(given)})"
    return f"UPDATE calls c SET {plain}, {outcome} FROM {values} WHERE c.call_id = v.id"  # noqa: S608


class Statement(NamedTuple):
    """One statement for a row, and for arrays of many rows where the database knows arrays; the same parameters."""

    row: str
    arrays: str | None = None


class Statements(NamedTuple):
    """The two statements that write calls: of all columns, or without those of calls out of the ordinary.

    Parameters of ``insert``: what is `GIVEN`, live, aside if any, outcome. Of ``update``: live, aside if any,
    outcome, call id. The outcome is result, error, report.
    """

    insert: Statement
    update: Statement


def _statements(columns: Sequence[tuple[str, str]], mark: str, *, arrays: bool) -> Statements:
    new = (*GIVEN, *columns, *_OUTCOME)
    return Statements(
        Statement(_insert(new, mark), _insert_arrays(new) if arrays else None),
        Statement(_update(columns, mark), _update_arrays(columns) if arrays else None),
    )


PG_ORDINARY: Final = _statements(_LIVE, "%b", arrays=True)
PG_WHOLE: Final = _statements((*_LIVE, *ASIDE), "%b", arrays=True)
LITE_ORDINARY: Final = _statements(_LIVE, "?", arrays=False)
LITE_WHOLE: Final = _statements((*_LIVE, *ASIDE), "?", arrays=False)
PG_LOAD: Final = f"SELECT {_loaded} FROM calls WHERE call_id = ANY(%b)"  # noqa: S608
LITE_LOAD: Final = f"SELECT {_loaded} FROM calls WHERE call_id IN (SELECT value FROM json_each(?))"  # noqa: S608
PG_KNOW: Final = "SELECT call_id, call FROM calls WHERE call_id = ANY(%b)"
LITE_KNOW: Final = "SELECT call_id, call FROM calls WHERE call_id IN (SELECT value FROM json_each(?))"
FILL: Final = text(
    f"UPDATE calls SET {', '.join(f'{name} = :{name}' for name, _ in GIVEN[1:])} WHERE call_id = :call_id"  # noqa: S608
)
SUBMIT: Final = text(
    "INSERT INTO submissions (call_id, gateway, body_hash, submitted_at, conflict)"
    " VALUES (:call_id, :gateway, :body_hash, :submitted_at, :conflict) ON CONFLICT DO NOTHING"
)
ASKED_FOR: Final = text(
    "INSERT INTO authorizations (org, provider, authorization_id, caller, tool, call_id, url, scopes, status,"
    " created_at, changed_at, expires_at) VALUES (:org, :provider, :authorization_id, :caller, :tool, :call_id, :url,"
    " :scopes, 'pending', :at, :at, :expires_at) ON CONFLICT (org, provider, authorization_id) DO UPDATE SET"
    " url = excluded.url, scopes = excluded.scopes, status = 'pending', changed_at = excluded.changed_at,"
    " expires_at = CASE WHEN authorizations.status = 'pending' AND authorizations.expires_at > excluded.expires_at"
    " THEN authorizations.expires_at ELSE excluded.expires_at END WHERE authorizations.caller = excluded.caller"
)
_MOVE: Final = (
    "UPDATE ledger SET log_offset = {}, record_id = {}, record_time = {}, beat = beat + 1"
    " WHERE id = 1 AND epoch = {} AND log_offset = {}"
)
_PLACE: Final = ("offset", "record_id", "record_time", "epoch", "before")
MOVE: Final = text(_MOVE.format(*(f":{name}" for name in _PLACE)))
#: One row at least where it moves the place, with empty columns where none of the calls is there.
PG_MOVE_AND_LOAD: Final = (
    f"WITH moved AS ({_MOVE.format(*(f'%({name})b' for name in _PLACE))} RETURNING id)"  # noqa: S608
    f" SELECT {_loaded} FROM moved LEFT JOIN calls ON call_id = ANY(%(call_ids)b)"
)
LEAD: Final = text(
    "UPDATE ledger SET owner = :owner, epoch = epoch + 1, beat = beat + 1"
    " WHERE id = 1 AND epoch = :epoch AND beat = :beat"
)
BEAT: Final = text("UPDATE ledger SET beat = beat + 1 WHERE id = 1 AND epoch = :epoch")
RELEASE: Final = text("UPDATE ledger SET owner = NULL, beat = beat + 1 WHERE id = 1 AND epoch = :epoch")

FORGET_FEED: Final = text("UPDATE feed SET log_offset = NULL WHERE id = 1")
FORGET: Final = text(
    "UPDATE ledger SET log_offset = -1, record_id = '', owner = NULL, epoch = epoch + 1, beat = beat + 1 WHERE id = 1"
)
