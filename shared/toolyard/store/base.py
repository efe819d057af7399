"""The seam of the store: what gateways and the scheduler ask of it. Synchronous; `Crossing` brings it to a loop.

Implementations raise `StoreUnavailable` when the database is away, within a few seconds and never later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from toolyard.contracts.calls import Authorization, Call, ErrorInfo, Report, Result
from toolyard.contracts.tools import ToolSpec
from toolyard.errors import StoreError
from toolyard.states import Effect, State

T = TypeVar("T")
Role = Literal["caller", "author", "approver", "operator", "admin"]


class NotStorable(StoreError):  # noqa: N818 - says what it is
    """Values that the database will never take; another try is in vain."""

    code = "internal"


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as the ledger has it.

    Attributes:
        attempts: attempts that started.
        ending: a verdict over it is under way.
        authorization: what it waits for, or has waited for just now.
    """

    call: Call
    state: State
    effect: Effect
    attempts: int
    started_at: float | None = None
    finished_at: float | None = None
    result: Result | None = None
    error: ErrorInfo | None = None
    report: Report | None = None
    ending: bool = False
    authorization: Authorization | None = None


@dataclass(frozen=True, slots=True)
class UnfinishedCall:
    """A call that has not ended, as an embedded process finds it at its start.

    Attributes:
        log_offset: where its newest message stands in the log, accepted or dispatched; ``None`` where only events of it
            are known.
    """

    row: CallRow
    log_offset: int | None


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls to list; ``None`` is any. Times: seconds since 1970, ``since`` inclusive, ``until`` exclusive."""

    tool: str | None = None
    state: State | None = None
    conversation: str | None = None
    user: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A piece of a list, and where it goes on."""

    items: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """What an org has in a pool. Times: seconds since 1970.

    Attributes:
        oldest: when the oldest call that waits there was accepted.
        last_success: when the last one succeeded, of the org's newest calls.
    """

    pool: str
    queued: int
    running: int
    oldest: float | None
    last_success: float | None


@dataclass(frozen=True, slots=True)
class PauseRow:
    """One thing that is paused, since when; its words are those of `toolyard.contracts.control.Pause`."""

    kind: str
    org: str
    name: str
    since: float


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key; its secret part is kept as a hash alone.

    Attributes:
        broker_user: a user of the broker; what it publishes is asked with this key.
    """

    key_id: str
    org: str
    name: str
    roles: frozenset[Role]
    secret_hash: str
    created_at: float
    revoked_at: float | None = None
    broker_user: str | None = None


class CallReader(Protocol):
    """Calls, read only: the ledger alone writes them."""

    def get(self, org: str, call_id: str) -> CallRow | None:
        """One call of this org."""

    def ended(self, call_ids: Sequence[str], *, or_asking: bool = False) -> Sequence[CallRow]:
        """Those of these calls that have ended, of any org: for waiters that lost their connection; one query.

        ``or_asking``: those that wait for their users as well.
        """

    def some(self, org: str, call_ids: Sequence[str]) -> Sequence[CallRow]:
        """Those of these calls that this org has, in no order; one query."""

    def open_ids(self, org: str, conversation: str, *, limit: int) -> Sequence[str]:
        """Calls of a conversation that have not ended."""

    def offset_before(self, org: str, moment: float) -> int | None:
        """An offset of the log before which nothing of this org happened at this time or later, if one is known."""

    def pools(self, org: str) -> Sequence[PoolLoad]:
        """What the org has in each pool that it has used lately; one query."""

    def list(self, org: str, wanted: CallFilter, *, cursor: str | None, limit: int) -> Page[CallRow]:
        """The org's calls, newest first. Raises ValueError for a cursor that is none of ours."""


class Unfinished(Protocol):
    """What an embedded process asks at its start, after its ledger has caught up with the log."""

    def unfinished(self) -> Sequence[UnfinishedCall]:
        """All calls that have not ended, oldest first."""


class ToolStore(Protocol):
    """Tool definitions. Every change is a new version; versions of a deleted name go on counting."""

    def create(self, org: str, spec: ToolSpec) -> ToolSpec:
        """Add a tool; gives it its version. Raises `Refused` (conflict) where the name is taken."""

    def replace(self, org: str, spec: ToolSpec, *, expected: int) -> ToolSpec:
        """Add a version. Raises `Refused`: not_found, or precondition_failed where ``expected`` is not current."""

    def delete(self, org: str, name: str, *, expected: int) -> None:
        """Remove a tool; its versions stay readable by number. Raises as `replace` does."""

    def get(self, org: str, name: str, version: int | None = None) -> ToolSpec | None:
        """The current version (of a tool that is not deleted), or a given one."""

    def versions(self, org: str, name: str, *, cursor: str | None, limit: int) -> Page[ToolSpec]:
        """All versions, newest first."""

    def list(self, org: str, *, q: str | None, toolkit: str | None, cursor: str | None, limit: int) -> Page[ToolSpec]:
        """Current versions by name; ``q`` is looked for in name, title and description, without case."""

    def names(self, org: str) -> Sequence[str]:
        """All current names, for suggestions; at most 10,000."""


class PauseReader(Protocol):
    """What is paused, read only: the ledger alone writes it."""

    def list(self, org: str) -> Sequence[PauseRow]:
        """All that holds for this org: its own tools and itself, and every pool."""


class KeyStore(Protocol):
    """API keys."""

    def add(self, key: KeyRow) -> None:
        """Add a key. Raises `Refused` (conflict) where its id is taken, or its broker user stands for another key."""

    def find(self, key_id: str) -> KeyRow | None:
        """A key by its id, revoked ones included."""

    def of_broker_user(self, user: str) -> KeyRow | None:
        """The key, not revoked, that this user of the broker stands for."""

    def list(self, org: str, *, cursor: str | None, limit: int) -> Page[KeyRow]:
        """The org's keys, newest first."""

    def revoke(self, org: str, key_id: str, *, at: float) -> bool:
        """Revoke a key of this org; False where there is none."""

    def any(self) -> bool:
        """Whether there is any key that is not revoked."""
