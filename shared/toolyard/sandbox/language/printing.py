"""`print`: what a tool prints is kept with its call, up to a limit."""

import io
from collections.abc import Callable
from typing import Final

from toolyard.sandbox.language.redacting import NOTHING, Redactor

_NOTE: Final = "… (what was printed after this was not kept)\n"


class Printer:
    """Keeps what is printed.

    Args:
        limit: bytes that are kept; what comes later is dropped, and a note says so.
        redactor: what it takes out before it cuts.
    """

    def __init__(self, limit: int, redactor: Redactor = NOTHING) -> None:
        self._limit = limit
        self._redactor = redactor
        # So much more is kept that of a value which begins within the limit all is there.
        self._room = limit + 4 * redactor.longest
        self._kept: list[bytes] = []
        self._full = False

    def __deepcopy__(self, memo: object) -> "Printer":
        # What a copy of a logger prints is kept, too.
        return self

    def write(self, *values: object, sep: str | None = None, end: str | None = None) -> None:
        """Print values with what stands between them and after them."""
        self.keep(_text(values, sep, end))

    def keep(self, text: str) -> None:
        """Keep a text, or as much of it as there is room for."""
        if self._full:
            return
        data = text.encode(errors="backslashreplace")
        if len(data) > self._room:
            data, self._full = data[: self._room], True
        self._room -= len(data)
        self._kept.append(data)

    def printed(self) -> str:
        """All that was kept, as text that can be sent."""
        text = b"".join(self._kept).decode(errors="ignore")
        if self._full:
            text = self._redactor.without_half(text)
        kept = self._redactor.text(text).encode()
        cut = self._full or len(kept) > self._limit
        return kept[: self._limit].decode(errors="ignore") + (_NOTE if cut else "")


def _text(values: tuple[object, ...], sep: str | None, end: str | None) -> str:
    between = " " if sep is None else str.__str__(sep)
    after = "\n" if end is None else str.__str__(end)
    return between.join([str.__str__(str(value)) for value in values]) + after


def print_into(printer: Printer) -> Callable[..., None]:
    """The built-in `print` of one run."""

    def print_(
        *values: object, sep: str | None = None, end: str | None = None, file: object = None, flush: bool = False
    ) -> None:
        if file is None:
            printer.write(*values, sep=sep, end=end)
        elif isinstance(file, io.StringIO):
            io.StringIO.write(file, _text(values, sep, end))
        else:
            raise TypeError("print writes to an io.StringIO, or to the log of the call")

    print_.__name__ = print_.__qualname__ = "print"
    return print_
