"""Answers gateways that have a user asked for a consent before any call needs it.

The leader does, beside its ledger. What a user is asked for is told to the log before the gateway is told, so that it
is listed, looked after and counted like one that a call waits for.
"""

import asyncio
from typing import Final, Protocol

from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION, Authorization
from toolyard.contracts.consents import ConsentAsked, ConsentTold
from toolyard.contracts.control import AuthorizationAsked
from toolyard.contracts.tools import ToolSpec
from toolyard.errors import ToolyardError, TransportError
from toolyard.store.connect import Store
from toolyard.store.crossing import Crossing
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.starting import NotStarted

#: Questions that are answered at a time; more are told to come again.
TOGETHER: Final = 16
#: Seconds that a provider has for one: less than the gateway waits.
PATIENCE: Final = 8.0
#: Characters of a reason.
_REASON: Final = 300
log = logger("consents")


class Starts(Protocol):
    """Asks providers."""

    async def start(self, org: str, user: str, spec: ToolSpec, now: float) -> Authorization | None:
        """What this user has to consent to for a tool; None where nothing is missing. Raises `NotStarted`."""


class ConsentDesk:
    """Answers `ConsentAsked`; one a term.

    Args:
        starts: without it every question is refused.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: Envelope,
        store: Store,
        crossing: Crossing,
        clock: Clock,
        starts: Starts | None,
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._tools = store.tools
        self._crossing = crossing
        self._clock = clock
        self._starts = starts
        self._open: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Be there for ever; what is under way ends with it."""
        try:
            await asyncio.Event().wait()
        finally:
            for task in self._open:
                task.cancel()

    def ask(self, asked: ConsentAsked) -> None:
        """A gateway asks."""
        if len(self._open) >= TOGETHER:
            busy = NotStarted("rate_limited", "too many consents are asked for at a time", retry_after=1.0)
            self._tell(asked, _refusal(asked, busy))
            return
        task = asyncio.create_task(self._handle(asked))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _handle(self, asked: ConsentAsked) -> None:
        """Answer one; a gateway that hears nothing says so itself."""
        try:
            async with asyncio.timeout(PATIENCE):
                told = await self._answer(asked)
        except NotStarted as refused:
            about = {"org": asked.org, "tool": asked.tool}
            log.warning("a consent could not be asked for", **about, code=refused.code, reason=str(refused))
            told = _refusal(asked, refused)
        except TimeoutError:
            told = _refusal(asked, NotStarted("upstream_error", "the provider did not answer in time"))
        except ToolyardError as error:
            log.warning("a consent could not be asked for now", org=asked.org, reason=f"{error.code}: {error}")
            return
        self._tell(asked, told)

    async def _answer(self, asked: ConsentAsked) -> ConsentTold:
        if self._starts is None:
            raise NotStarted("unavailable", "this scheduler asks no providers")
        spec = await self._crossing.run(self._tools.get, asked.org, asked.tool, asked.version)
        if spec is None:
            raise NotStarted("version_gone", "this version of the tool is not there")
        found = await self._starts.start(asked.org, asked.user, spec, self._clock.now())
        if found is not None:
            await self._note(asked, found)
        return ConsentTold(v=VERSION, number=asked.number, org=asked.org, authorization=found)

    async def _note(self, asked: ConsentAsked, found: Authorization) -> None:
        """Tell the log, which the ledger reads."""
        noted = AuthorizationAsked(
            v=VERSION,
            sender="scheduler",
            time=self._clock.now(),
            org=asked.org,
            user=asked.user,
            tool=asked.tool,
            authorization=found,
        )
        await self._transport.publish(self._envelope.control(noted, org=asked.org, tool=asked.tool))

    def _tell(self, asked: ConsentAsked, told: ConsentTold) -> None:
        self._transport.publish(self._envelope.consent_told(told, asked.gateway)).add_done_callback(_note_loss)


def _refusal(asked: ConsentAsked, refused: NotStarted) -> ConsentTold:
    return ConsentTold(
        v=VERSION,
        number=asked.number,
        org=asked.org,
        refused=refused.code,
        message=str(refused)[:_REASON],
        retry_after=refused.retry_after,
    )


def _note_loss(sent: "asyncio.Future[None]") -> None:
    if not sent.cancelled() and isinstance(error := sent.exception(), TransportError):
        log.warning("the answer to a question for a consent may not have arrived", reason=str(error))
