"""A PostgreSQL connection that gives up on a server that has fallen silent. Used by `database` alone.

The server's own ``statement_timeout`` does not help where the server is frozen or the network swallows everything.
"""

import select
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import OperationalError

from toolyard.errors import StoreUnavailable

T = TypeVar("T")


class PatientConnection(psycopg.Connection[Any]):
    """Waits for an answer no longer than `patience` seconds (``None``: for ever)."""

    patience: float | None = None

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait as the driver does, but not for ever.

        Raises:
            StoreUnavailable: no answer in time; the connection is closed, because nobody knows where it stands. Raised
                here, and not as an error of the driver, so that the pool does not try the silent server once more.
        """
        limit = self.patience if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except OperationalError as error:
            if timeout is None and "wait timeout expired" in str(error):
                self.pgconn.finish()
                raise StoreUnavailable(f"the database did not answer within {limit:g} s") from error
            raise

    def rollback(self) -> None:
        """Undo the transaction. Where the connection was given up or lost the server does, and why stays the error."""
        if not self.closed:
            super().rollback()

    def is_quiet(self) -> bool:
        """Whether nothing has come from the server that was not read: no farewell, and no end of the connection."""
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return not poll.poll(0)
