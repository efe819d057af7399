"""What is paused, read only: the ledger writes it in the order of the log, and workers learn it from the log."""

from collections.abc import Sequence

from sqlalchemy import or_, select

from toolyard.store.base import PauseRow
from toolyard.store.database import Database
from toolyard.store.tables import pauses
from toolyard.store.values import clean


class SqlPauses:
    """The pauses of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, org: str) -> Sequence[PauseRow]:
        """All that holds for this org: its own tools and itself, and every pool."""
        columns = (pauses.c.kind, pauses.c.org, pauses.c.name, pauses.c.paused_at)
        wanted = select(*columns).where(or_(pauses.c.org == clean(org), pauses.c.kind == "pool"))
        with self._database.read() as connection:
            return [PauseRow(*row) for row in connection.execute(wanted)]
