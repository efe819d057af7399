"""The data folder of an embedded process: its rights, and the lock that keeps a second process out of it."""

import fcntl
import os
from pathlib import Path
from typing import Self

from toolyard.errors import SettingsError

_LOCK = "lock"


class DataFolder:
    """`.toolyard/`, held by one process from `open` to `close`; the kernel lets go of it when the process dies.

    Args:
        path: it is made where it is missing, for its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def open(self) -> Self:
        """Make the folder and take its lock.

        Raises:
            SettingsError: another process holds it, or it cannot be made; says which and what to do.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(
                f"the data folder {self.path} cannot be used: {error.strerror}; set TOOLYARD_DATA to one that can"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(lock)
            os.close(lock)
            raise SettingsError(
                f"the data folder {self.path} is in use by {holder}; stop that one first, or set TOOLYARD_DATA to "
                "another folder"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        return self

    def close(self) -> None:
        """Let go of it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def database_url(self) -> str:
        """The URL of the database that is kept here."""
        return f"sqlite:///{self.path / 'toolyard.db'}"


def _holder(lock: int) -> str:
    pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
    return f"process {pid}" if pid.isdigit() else "another process"
