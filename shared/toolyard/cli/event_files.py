"""Files of events: one CloudEvents document a line, by themselves or as one JSON batch, each with its cursor.

Whatever stopped an export, what it left ends with a whole event or in the middle of one: the next export cuts that off,
and goes on behind the last whole one.
"""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, NoReturn, Self

import typer

#: ``lines``: JSON lines. ``batch``: a JSON array, as in CloudEvents' batch format.
Form = Literal["lines", "batch"]
#: Bytes that are looked at together, from the end of a file on.
_BLOCK: Final = 1024 * 1024
_OPENS, _CLOSES = b"[", b"]"
#: How each event begins.
_BEGINS: Final = b'{"cursor":"'


class EventFile:
    """A file that events are added to; for ``with``, and for one process at a time.

    Args:
        path: of the file, which is made where it is missing.
        form: of the file.

    Attributes:
        cursor: of the last event in it; empty where there is none.
        added: how many were added.
    """

    def __init__(self, path: Path, form: Form) -> None:
        self._path = path
        self._form = form
        self._source: object = None
        self.cursor = ""
        self.added = 0

    def add(self, document: dict[str, Any]) -> None:
        """Add an event, with its ``cursor`` in it: of the org of those that are there."""
        self._source = self._source or document.get("source")
        if document.get("source") != self._source:
            self._refuse(f"it holds events of {self._source}, not of {document.get('source')}: name another file")
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        comma = b"," if self._form == "batch" and self.cursor else b""
        try:
            self._file.write(comma + text + b"\n")
        except OSError as error:
            self._fail("written", error)
        self.cursor = str(document["cursor"])
        self.added += 1

    def __enter__(self) -> Self:
        try:
            self._file: BinaryIO = open(self._path, "r+b", opener=_made_if_missing)
        except OSError as error:
            self._fail("opened", error)
        try:
            self._begin()
        except OSError as error:
            self._file.close()
            self._fail("read", error)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._file:
                if self._form == "batch":
                    self._file.write(_CLOSES + b"\n")
        except OSError as failed:
            self._fail("written", failed)

    def _begin(self) -> None:
        """Stand behind the last whole event, in a file that nobody else adds to."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._refuse("another export is writing to it")
        self._check_form()
        size = self._file.seek(0, os.SEEK_END)
        end, line = _last_line(self._file, size)
        if self._form == "batch" and line == _CLOSES:
            end, line = _last_line(self._file, end - len(_CLOSES) - 1)
        if line and not (self._form == "batch" and line == _OPENS):
            self.cursor = self._cursor_in(line)
        else:
            self._check_rest(end, size, opened=bool(line))
        self._file.truncate(end)
        self._file.seek(end)
        if self._form == "batch" and not line:
            self._file.write(_OPENS + b"\n")

    def _check_form(self) -> None:
        self._file.seek(0)
        first = self._file.read(1)
        other = "batch" if self._form == "lines" else "lines"
        if first == (_OPENS if other == "batch" else b"{"):
            self._refuse(f"it holds {other}: say --format {other}, or name another file")

    def _check_rest(self, end: int, size: int, *, opened: bool) -> None:
        """Cut off, in a file without events, only what an export may have left: everything else is somebody's."""
        self._file.seek(end)
        rest = self._file.read(min(len(_BEGINS), size - end))
        ours = [_OPENS] if self._form == "batch" and not opened else [_BEGINS, _CLOSES + b"\n"] if opened else [_BEGINS]
        if not any(each.startswith(rest) for each in ours):
            self._refuse("it holds something else than events: name another file")

    def _cursor_in(self, line: bytes) -> str:
        try:
            event = json.loads(line.removeprefix(b","))
            cursor, self._source = event["cursor"], event["source"]
        except (ValueError, KeyError, TypeError):
            cursor = None
        if not isinstance(cursor, str) or not cursor:
            self._refuse("its last line is no event of an export: name another file")
        return cursor

    def _refuse(self, why: str) -> NoReturn:
        raise typer.BadParameter(f"{self._path}: {why}", param_hint="FILE")

    def _fail(self, what: str, error: OSError) -> NoReturn:
        raise typer.BadParameter(f"{self._path} cannot be {what}: {error.strerror}", param_hint="FILE") from None


def _made_if_missing(path: str, _: int) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _last_line(file: BinaryIO, end: int) -> tuple[int, bytes]:
    """Where the last whole line before this place ends, and what it says; nothing, at the beginning, without one."""
    held, start = b"", end
    while start > 0 and held.count(b"\n") < 2:
        step = min(_BLOCK, start)
        start -= step
        file.seek(start)
        held = file.read(step) + held
    whole = held[: held.rfind(b"\n") + 1]
    return start + len(whole), whole[:-1].rpartition(b"\n")[2]
