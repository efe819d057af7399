"""How far the ledger is behind, seen from outside: the age of the newest record that its table says it has applied."""

import threading
from typing import Final, Self

import psycopg

_AGE: Final = "SELECT extract(epoch FROM clock_timestamp()) - record_time FROM ledger"
#: Seconds between two looks; and before the first one, until calls flow.
_EVERY: Final = 0.1
_BEFORE: Final = 0.5


class LedgerLag:
    """Looks again and again while it is entered. ``longest``: seconds at the worst of these moments."""

    def __init__(self, database: str) -> None:
        self.longest = 0.0
        self._connection = psycopg.connect(database, autocommit=True)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()

    def _look(self) -> None:
        wait = _BEFORE
        while not self._over.wait(wait):
            row = self._connection.execute(_AGE).fetchone()
            if row is not None:
                self.longest = max(self.longest, float(row[0]))
            wait = _EVERY
