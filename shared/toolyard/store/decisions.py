"""What the log tells of the ledger's decisions, put by while a fresh ledger is made: a file that is thrown away.

`toolyard ledger rebuild` alone uses it. A decision stands in the log behind what it is about, however far: so all are
looked up here, and memory stays flat.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Boolean, Column, Double, Integer, MetaData, Table, Text, func, select
from sqlalchemy.dialects.sqlite import insert

from toolyard.contracts.control import Paused
from toolyard.store.database import Database

_metadata = MetaData()
_grants: Final = Table(
    "grants", _metadata, Column("claim_id", Text, primary_key=True), Column("at", Double), Column("granted", Boolean)
)
_parked: Final = Table(
    "parked",
    _metadata,
    Column("call_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("at", Double, nullable=False),
)
_fates: Final = Table(
    "fates",
    _metadata,
    Column("call_id", Text, primary_key=True),
    Column("ended", Integer),
    Column("diverted", Integer),
)
_accepted: Final = Table("accepted", _metadata, Column("call_id", Text, primary_key=True))
_pauses: Final = Table(
    "pauses",
    _metadata,
    *(Column(name, Text, primary_key=True) for name in ("kind", "org", "name")),
    Column("began", Boolean, nullable=False),
)


@dataclass(slots=True)
class Told:
    """Decisions, as the log tells them.

    Attributes:
        claims: claim -> when it was answered, and whether with a grant.
        parked: call and attempt -> when it was decided that this attempt shall come.
        ended: call -> the attempt with which the scheduler ended it.
        diverted: call -> the first attempt that was its fallback's.
        accepted: calls whose own record is there.
        pauses: what a record pauses or resumes, and whether the first one of it paused.
    """

    claims: dict[str, tuple[float, bool]] = field(default_factory=dict)
    parked: dict[tuple[str, int], float] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    diverted: dict[str, int] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    pauses: dict[Paused, bool] = field(default_factory=dict)


class SqlDecisions:
    """The file of one rebuild.

    Args:
        database: empty; SQLite.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.write() as connection:
            _metadata.create_all(connection)

    def note(self, told: Told) -> None:
        """Put these by, beside those before."""
        with self._database.write() as connection:
            for statement, rows in _statements(told):
                if rows:
                    connection.execute(statement, rows)

    def of(self, call_ids: Sequence[str], claim_ids: Sequence[str]) -> Told:
        """What is known of these calls and claims; a thousand of each at most."""
        told = Told()
        with self._database.read() as connection:
            grants = select(_grants).where(_grants.c.claim_id.in_(claim_ids))
            told.claims = {claim_id: (at, granted) for claim_id, at, granted in connection.execute(grants)}
            parked = select(_parked).where(_parked.c.call_id.in_(call_ids))
            told.parked = {(call_id, attempt): at for call_id, attempt, at in connection.execute(parked)}
            for call_id, ended, diverted in connection.execute(select(_fates).where(_fates.c.call_id.in_(call_ids))):
                if ended is not None:
                    told.ended[call_id] = ended
                if diverted is not None:
                    told.diverted[call_id] = diverted
        return told

    def accepted(self, call_ids: Sequence[str]) -> set[str]:
        """Those of these calls whose own record is in the log; a thousand at most."""
        with self._database.read() as connection:
            return set(connection.execute(select(_accepted).where(_accepted.c.call_id.in_(call_ids))).scalars())

    def began_before(self, paused: Iterable[Paused]) -> set[Paused]:
        """What was paused before the first record: of these, of which no record speaks, and what a record only ends."""
        with self._database.read() as connection:
            table = _pauses.c
            rows = connection.execute(select(table.kind, table.org, table.name, table.began)).all()
        spoken = {Paused(kind=kind, org=org, name=name): began for kind, org, name, began in rows}
        return {each for each in paused if each not in spoken} | {each for each, began in spoken.items() if not began}

    def close(self) -> None:
        """Close its connections."""
        self._database.close()


def _statements(told: Told) -> list[tuple[Any, list[dict[str, Any]]]]:
    grants = insert(_grants)
    newer = grants.on_conflict_do_update(
        index_elements=["claim_id"],
        set_={"at": grants.excluded.at, "granted": grants.excluded.granted},
        where=grants.excluded.granted | ~_grants.c.granted,
    )
    parked = insert(_parked)
    fates = insert(_fates)
    worst = fates.on_conflict_do_update(
        index_elements=["call_id"],
        set_={
            "ended": func.coalesce(fates.excluded.ended, _fates.c.ended),
            "diverted": func.coalesce(
                func.min(_fates.c.diverted, fates.excluded.diverted), _fates.c.diverted, fates.excluded.diverted
            ),
        },
    )
    calls = told.ended.keys() | told.diverted.keys()
    return [
        (newer, [{"claim_id": each, "at": at, "granted": granted} for each, (at, granted) in told.claims.items()]),
        (
            parked.on_conflict_do_update(index_elements=["call_id", "attempt"], set_={"at": parked.excluded.at}),
            [{"call_id": call_id, "attempt": attempt, "at": at} for (call_id, attempt), at in told.parked.items()],
        ),
        (
            worst,
            [{"call_id": each, "ended": told.ended.get(each), "diverted": told.diverted.get(each)} for each in calls],
        ),
        (insert(_accepted).on_conflict_do_nothing(), [{"call_id": each} for each in told.accepted]),
        (
            insert(_pauses).on_conflict_do_nothing(),
            [
                {"kind": each.kind, "org": each.org, "name": each.name, "began": began}
                for each, began in told.pauses.items()
            ],
        ),
    ]
