"""Whether a file is still the one that was opened: SQLite goes on writing into one that was removed, and says nothing.

Used by `database`. A look costs two microseconds.
"""

from pathlib import Path

from toolyard.errors import StoreLost


class OpenedFile:
    """A file that somebody may remove, or put another one in the place of.

    Args:
        path: where it was opened.
        remedy: for people: what to do once it is gone.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        self._path = path
        self._remedy = remedy
        self._known: tuple[int, int] | None = None

    def opened(self) -> None:
        """Remember which file stands there, unless one is remembered."""
        if self._known is None:
            self._known = self._there()

    def check(self) -> None:
        """Look whether the remembered file still stands there.

        Raises:
            StoreLost: it does not.
        """
        if self._known is not None and self._there() != self._known:
            raise StoreLost(f"{self._path} was removed or replaced while it was in use; {self._remedy}")

    def _there(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # it cannot be looked at, which does not mean that it is gone
            return self._known
        return found.st_dev, found.st_ino
