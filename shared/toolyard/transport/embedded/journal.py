"""What the embedded transport asks of whoever keeps its log: defined by its user, kept by `toolyard.store.journal`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from toolyard.transport.base import Header, Message


class Kept(Protocol):
    """One record, as a journal gives it back; a `Record` is one."""

    @property
    def offset(self) -> int:
        """Its place in the log."""

    @property
    def exchange(self) -> str:
        """Where it was published."""

    @property
    def key(self) -> str:
        """Its routing key."""

    @property
    def body(self) -> bytes:
        """Its bytes."""

    @property
    def message_id(self) -> str:
        """Its id."""

    @property
    def headers(self) -> Mapping[str, Header]:
        """Its headers, with the types they had."""

    @property
    def expiration(self) -> str:
        """Milliseconds as text, or empty."""


class Journal(Protocol):
    """The log on disk. Synchronous: ``append`` on one thread, ``read`` on another, never two of a kind at once.

    Offsets begin at 1, rise by at least one from record to record and never come back.
    """

    def append(self, records: Sequence[Message], /) -> Sequence[int]:
        """Keep all of these or none, in this order, in one transaction that survives the machine; their offsets.

        Raises:
            Unconfirmed: it is not known whether they were kept.
            StoreLost: what was kept is gone, and nothing will be kept any more.
            ToolyardError: nothing was kept; the text says why.
        """

    def check(self) -> None:
        """Look whether what was kept is still there; on the thread of ``append``.

        Raises:
            StoreLost: it is gone, and nothing will be kept any more.
        """

    def read(self, offset: int, limit: int) -> Sequence[Kept]:
        """The records at this offset and after it, in order, at most ``limit``.

        Raises:
            StoreError: they cannot be read now.
        """

    def last(self) -> int | None:
        """The offset of the newest record; none where there is none."""
