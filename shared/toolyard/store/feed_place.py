"""How far the log was published to followers at the broker: one row, moved forward by the scheduler that leads."""

from typing import Final

from sqlalchemy import select, text, update

from toolyard.store.database import Database
from toolyard.store.tables import feed

_BEGIN: Final = text(
    "INSERT INTO feed (id, log_offset) VALUES (1, :offset)"
    " ON CONFLICT (id) DO UPDATE SET log_offset = coalesce(feed.log_offset, excluded.log_offset)"
)


class SqlFeedPlace:
    """The place of one database's feed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, offset: int) -> int:
        """The offset of the newest record of which all was published; this one, where nobody has begun yet."""
        with self._database.write() as connection:
            connection.execute(_BEGIN, {"offset": offset})
            kept: int = connection.execute(select(feed.c.log_offset).where(feed.c.id == 1)).scalar_one()
        return kept

    def move(self, offset: int) -> None:
        """Everything up to this record was published. One who led before, and is late, moves nothing back."""
        further = update(feed).where(feed.c.id == 1, feed.c.log_offset < offset).values(log_offset=offset)
        with self._database.write() as connection:
            connection.execute(further)
