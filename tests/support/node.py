"""A private server of the machine's own installation: free ports, everything it writes in a temporary folder.

`rabbit` and `postgres` say how theirs is started and stopped; what is the same for both lives here.
"""

import contextlib
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from tests.support import leash
from tests.support.processes import Process, ProcessError

#: First starts, each on other ports, because a stranger may take a port between the choice and the start.
TRIES: Final = 3


class Node(ABC):
    """One server, its address and data kept from start to start until `discard`.

    Args:
        kind: a word of its folder's name.
    """

    def __init__(self, kind: str) -> None:
        self._server: Process | None = None
        self._started_once = False
        self.folder = Path(tempfile.mkdtemp(prefix=f"toolyard-{kind}-"))
        leash.hold_folder(self.folder)
        self._choose_ports()

    @abstractmethod
    def _choose_ports(self) -> None: ...

    @abstractmethod
    def _start(self) -> None:
        """Starts the server and returns when it serves."""

    @abstractmethod
    def _end(self, server: Process) -> None:
        """Ends it in good order, as an operator does."""

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.running

    def start(self) -> Self:
        """Starts the server on its data and returns when it serves."""
        if self._server:
            raise RuntimeError(f"the server in {self.folder} has been started already")
        for attempt in range(1, TRIES + 1):
            try:
                self._start()
            except ProcessError as error:
                self.kill()
                if self._started_once or attempt == TRIES or not error.port_was_taken:
                    raise
                self._choose_ports()
            else:
                self._started_once = True
                return self
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """Stops the server in good order."""
        try:
            if self._server:
                self._end(self._server)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kills (SIGKILL) the server; the data stays, as after a power cut of the process."""
        if self._server:
            self._server.kill()
        self._server = None

    def suspend(self) -> None:
        """Freezes the server: connections stay open, nothing is answered."""
        self._running().suspend()

    def resume(self) -> None:
        self._running().resume()

    @contextlib.contextmanager
    def kept_running(self) -> Iterator[Self]:
        """Running when the `with` begins, and again when it ends, whatever was done to it."""
        self._put_right()
        try:
            yield self
        finally:
            self._put_right()

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Frozen inside the `with`, and going on after it whatever happened."""
        with self._running().suspended():
            yield

    def discard(self) -> None:
        """Ends the server at once and removes its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self if self._server else self.start()

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _put_right(self) -> None:
        if self.running:
            self.resume()
        else:
            self.kill()
            self.start()

    def _running(self) -> Process:
        if self._server is None:
            raise RuntimeError(f"the server in {self.folder} is not running")
        return self._server
