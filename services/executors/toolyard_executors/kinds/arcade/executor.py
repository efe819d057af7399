"""One attempt of an arcade tool: has its user consented, one run, and what came of it.

Given to the runtime by `worker`. One attempt is one run: whatever happens to it, it is not repeated here. Consent is
asked for right before each run, because it may have been taken back since the last one.
"""

from typing import Final

import httpx
from arcadepy import ArcadeError, AsyncArcade, PermissionDeniedError, omit

from toolyard.arcade_names import ARCADE_URL
from toolyard.clock import SYSTEM, Clock
from toolyard.contracts.tools import PinnedTool
from toolyard.templates import Unfillable
from toolyard_executors.context import Attempt
from toolyard_executors.executor import WELL, Finished, Standing, failed
from toolyard_executors.kinds.arcade.answers import COMPLETED, Authorized, Executed, Unreadable, read
from toolyard_executors.kinds.arcade.clients import CONNECT_TIMEOUT, Clients
from toolyard_executors.kinds.arcade.consent import consent_of
from toolyard_executors.kinds.arcade.plans import Plan, Request, plan_of
from toolyard_executors.kinds.arcade.verdicts import About, answered, raised, still_forbidden, unreadable

#: Seconds that a connection waits longer than its attempt: whoever waits for the attempt is told first.
_LONGER: Final = 1.0


class ArcadeExecutor:
    """Runs arcade tools.

    Args:
        concurrency: attempts at a time.
        url: where Arcade is.
    """

    pool = "arcade"

    def __init__(self, *, concurrency: int, url: str = ARCADE_URL, clock: Clock = SYSTEM) -> None:
        self._concurrency = concurrency
        self._url = url
        self._clock = clock
        self._clients: Clients | None = None

    async def open(self) -> None:
        """Get ready; connections are opened when they are needed."""
        self._clients = Clients(self._url, connections=self._concurrency + 1)

    async def close(self) -> None:
        """Close all connections."""
        if self._clients is not None:
            await self._clients.close()
            self._clients = None

    def standing(self) -> Standing:
        """Always well: how Arcade is, is seen in its calls."""
        return WELL

    def prepare(self, tool: PinnedTool) -> Plan:
        """What there is to work out of a tool once."""
        return plan_of(tool)

    def circuit(self, attempt: Attempt) -> str | None:
        """The toolkit: what its tools need may be down, and Arcade is then down for each."""
        plan: Plan = attempt.plan
        return plan.circuit

    async def run(self, attempt: Attempt) -> Finished:
        """Run the tool; see `toolyard_executors.executor.Executor`."""
        plan: Plan = attempt.plan
        if self._clients is None:
            raise RuntimeError("the executor is not open")
        try:
            request = plan.request(attempt)
        except Unfillable as error:
            return failed(error.code, str(error), "none")
        run = _Run(self._clients.get(request.key), request, attempt, self._clock)
        try:
            return await run.unless_consent_is_missing()
        except ArcadeError as error:
            finished = raised(error, run.about)
            if finished is None:
                raise
            return finished
        except Unreadable:
            return unreadable(run.about)


class _Run:
    """The requests of one attempt, and how far it is."""

    def __init__(self, client: AsyncArcade, request: Request, attempt: Attempt, clock: Clock) -> None:
        self._tools = client.tools.with_raw_response
        self._request = request
        self._attempt = attempt
        self._clock = clock
        self._version = omit if request.version is None else request.version
        self._ran = False

    @property
    def about(self) -> About:
        """What its verdict depends on."""
        attempt = self._attempt
        return About(attempt.plan.binding, self._ran, self._clock.now(), attempt.redactor)

    async def unless_consent_is_missing(self) -> Finished:
        """Run the tool, if its user has consented.

        Raises:
            ArcadeError: Arcade refused, or did not answer.
            Unreadable: it answered something else.
        """
        if (missing := await self._missing()) is not None:
            return missing
        self._attempt.reached_out()
        self._ran = True
        try:
            executed = await self._execute()
        except PermissionDeniedError:
            return await self._forbidden()
        if (asked := executed.asked) is not None:
            return self._consent(asked) if asked.url else await self._forbidden()
        return answered(executed, self.about)

    async def _forbidden(self) -> Finished:
        """The tool was refused to run, for want of consent: since when there is none is not known."""
        self._ran = False
        missing = await self._missing()
        return still_forbidden(self.about) if missing is None else missing

    async def _missing(self) -> Finished | None:
        """The end of an attempt whose user has not consented."""
        request = self._request
        answer = await self._tools.authorize(
            tool_name=request.tool,
            tool_version=self._version,
            user_id=request.user,
            extra_headers=request.headers,
            timeout=self._timeout(),
        )
        said = read(Authorized, await answer.read())
        return None if said.status == COMPLETED else self._consent(said)

    def _consent(self, said: Authorized) -> Finished:
        attempt = self._attempt
        return consent_of(said, attempt.plan.binding, attempt.call, self._clock.now())

    async def _execute(self) -> Executed:
        request = self._request
        answer = await self._tools.execute(
            tool_name=request.tool,
            tool_version=self._version,
            input=request.arguments,
            user_id=request.user,
            extra_headers=request.headers,
            timeout=self._timeout(),
        )
        return read(Executed, await answer.read())

    def _timeout(self) -> httpx.Timeout:
        return httpx.Timeout(max(self._attempt.remaining, 0.0) + _LONGER, connect=CONNECT_TIMEOUT)
