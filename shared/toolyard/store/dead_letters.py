"""Dead letters: messages that did not verify or decode, kept as they came, so that a person can look and repeat them.

The scheduler keeps them; gateways show and drop them. The table is bounded: the oldest go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from toolyard.store.base import Page
from toolyard.store.database import Database
from toolyard.store.tables import dead_letters
from toolyard.store.values import clean, json_text, read_cursor, write_cursor

Header = str | int | float | bool
#: Letters that are kept at most, and bytes of one body.
KEPT: Final = 10_000
MAX_BODY: Final = 256 * 1024
_headers = msgspec.json.Decoder(dict[str, Header])


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message, as it came.

    Attributes:
        headers: the original ones, the signature among them.
        body: at most `MAX_BODY` bytes of it; empty in lists.
        size: bytes of the whole body.
        complete: nothing of it was cut or lost, so that it can be published as it came.
        arrivals: how often it arrived; grows when a repeated message comes back.
    """

    letter_id: str
    reason: str
    exchange: str
    key: str
    message_id: str
    headers: Mapping[str, Header]
    expiration: str
    kind: str
    body: bytes
    size: int
    complete: bool
    arrived_at: float
    arrivals: int = 1


class SqlDeadLetters:
    """The dead letters of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, letters: Sequence[DeadLetter], *, most: int = KEPT) -> None:
        """Keep these; one that is there already has arrived once more. The oldest beyond ``most`` go."""
        insert = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        statement = insert(dead_letters)
        again = {
            "reason": statement.excluded.reason,
            "arrived_at": statement.excluded.arrived_at,
            "arrivals": dead_letters.c.arrivals + 1,
        }
        statement = statement.on_conflict_do_update(index_elements=[dead_letters.c.letter_id], set_=again)
        place = (dead_letters.c.arrived_at, dead_letters.c.letter_id)
        with self._database.write() as connection:
            connection.execute(statement, [_values(letter) for letter in letters])
            newest_first = select(*place).order_by(*(column.desc() for column in place))
            last = connection.execute(newest_first.offset(most - 1).limit(1)).one_or_none()
            if last is not None:
                connection.execute(delete(dead_letters).where(tuple_(*place) < tuple(last)))

    def list(self, *, cursor: str | None, limit: int) -> Page[DeadLetter]:
        """Letters without their bodies, newest first. Raises ValueError for a cursor that is none of ours."""
        columns = [column for column in dead_letters.c if column.name != "body"]
        place = (dead_letters.c.arrived_at, dead_letters.c.letter_id)
        statement = select(*columns)
        if cursor is not None:
            statement = statement.where(tuple_(*place) < read_cursor(cursor, tuple[float, str]))
        statement = statement.order_by(*(column.desc() for column in place)).limit(limit + 1)
        with self._database.read() as connection:
            letters = [_letter(row, b"") for row in connection.execute(statement)]
        last = letters[limit - 1] if len(letters) > limit else None
        return Page(letters[:limit], None if last is None else write_cursor(last.arrived_at, last.letter_id))

    def get(self, letter_id: str) -> DeadLetter | None:
        """One letter, with its body."""
        with self._database.read() as connection:
            wanted = select(dead_letters).where(dead_letters.c.letter_id == clean(letter_id))
            row = connection.execute(wanted).one_or_none()
        return None if row is None else _letter(row, bytes(row.body))

    def count(self) -> int:
        """How many there are."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(dead_letters)).scalar_one()

    def drop(self, letter: DeadLetter) -> bool:
        """Forget a letter, unless it has arrived once more since it was read; whether it is gone."""
        here = (dead_letters.c.letter_id == letter.letter_id) & (dead_letters.c.arrivals == letter.arrivals)
        with self._database.write() as connection:
            return connection.execute(delete(dead_letters).where(here)).rowcount == 1


def _values(letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter_id": letter.letter_id,
        "reason": clean(letter.reason),
        "exchange": clean(letter.exchange),
        "routing_key": clean(letter.key),
        "message_id": clean(letter.message_id),
        "headers": json_text(dict(letter.headers)),
        "expiration": clean(letter.expiration),
        "kind": clean(letter.kind),
        "body": letter.body[:MAX_BODY],
        "size": letter.size,
        "complete": letter.complete,
        "arrived_at": letter.arrived_at,
        "arrivals": letter.arrivals,
    }


def _letter(row: Any, body: bytes) -> DeadLetter:
    return DeadLetter(
        letter_id=row.letter_id,
        reason=row.reason,
        exchange=row.exchange,
        key=row.routing_key,
        message_id=row.message_id,
        headers=_headers.decode(row.headers),
        expiration=row.expiration,
        kind=row.kind,
        body=body,
        size=row.size,
        complete=bool(row.complete),
        arrived_at=row.arrived_at,
        arrivals=row.arrivals,
    )
