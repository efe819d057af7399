"""The common interface of all kinds: what runs one attempt, and what it says when it is done.

`runtime` calls it and knows nothing else of a kind; each kind is one file or folder in ``kinds``, and
`toolyard.testing.executor_suite` holds them all to one behaviour.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from toolyard.clock import rfc3339
from toolyard.contracts.calls import Authorization, ErrorInfo, Report, Result, error_info
from toolyard.contracts.tools import PinnedTool
from toolyard.states import Effect
from toolyard.telemetry.metrics import Reading
from toolyard_executors.context import Attempt


@dataclass(frozen=True, slots=True)
class Finished:
    """How an attempt ended, in the words of its kind: it succeeded where there is no error.

    Attributes:
        effect: what the world saw of it.
        error: of the code ``timed_out`` where the kind itself saw that its time was over.
        report: what the kind noted of it, whichever way it ended.
        authorization: what its user has to consent to before another attempt; see `needs_consent`.
    """

    effect: Effect
    result: Result | None = None
    error: ErrorInfo | None = None
    report: Report | None = None
    authorization: Authorization | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a kind stands, apart from its attempts.

    Attributes:
        reason: why it can run nothing at the moment; empty where it can.
        details: plain values that are worth showing beside the worker's own.
        metrics: numbers of its own.
        isolation: how well it locks tools up; None where it locks up nothing.
    """

    reason: str = ""
    details: Mapping[str, object] = field(default_factory=dict)
    metrics: tuple[Reading, ...] = ()
    isolation: str | None = None


#: Nothing to say.
WELL: Final = Standing()


class Executor(Protocol):
    """Runs the attempts of one pool. Many run at a time on one loop; none may block it."""

    @property
    def pool(self) -> str:
        """The pool whose calls it runs."""

    async def open(self) -> None:
        """Get ready; called once, before the first attempt.

        Raises:
            ToolyardError: it cannot run here; the worker does not start.
        """

    async def close(self) -> None:
        """Let go of everything; called once, after the last attempt."""

    def standing(self) -> Standing:
        """How it stands now; must not block."""

    def prepare(self, tool: PinnedTool) -> Any:
        """What can be worked out once for a version of a tool; each attempt gets it as ``attempt.plan``.

        Raises:
            ValueError: the tool can never run here; says why.
        """

    def circuit(self, attempt: Attempt) -> str | None:
        """The name of what this attempt depends on, and what may be down as a whole: a host and port, a function.

        Attempts whose circuit has failed too often are not run for a while (`toolyard_executors.circuits`). None where
        there is nothing of that kind. At most 300 characters; asked first of all, so that it may need no secret.
        """

    async def run(self, attempt: Attempt) -> Finished:
        """Run one attempt.

        It calls ``attempt.reached_out`` before the world can see anything of it, ends soon when it is cancelled
        (timeout or cancel: the caller judges the effect by whether it reached out), and reports its own failures as
        a `Finished` with an error. What it raises is a defect.
        """


def failed(code: str, message: str, effect: Effect, **details: Any) -> Finished:
    """An attempt that failed; ``details`` are those of `toolyard.contracts.calls.error_info`."""
    return Finished(effect, error=error_info(code, message, **details))


def needs_consent(authorization: Authorization) -> Finished:
    """An attempt that could do nothing, because its user has not consented yet: the call waits for that, parked."""
    told = {
        "authorization_id": authorization.authorization_id,
        "provider": authorization.provider,
        "url": authorization.url,
        "scopes": authorization.scopes,
        "expires_at": rfc3339(authorization.expires_at),
    }
    error = error_info("authorization_required", authorization.url, retryable=True, details=told)
    return Finished("none", error=error, authorization=authorization)
