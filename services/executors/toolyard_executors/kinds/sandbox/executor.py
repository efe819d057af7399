"""One attempt of a sandboxed tool: its code, checked once; its values; a run in a process of its own; what came of it.

Given to the runtime by `worker`. It runs nothing itself: see `toolyard.sandbox.runner`. Effects: nothing was reached
``none``; reached and not succeeded ``unknown``; succeeded ``done``.
"""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Final, get_args

from toolyard.contracts.tools import PinnedTool
from toolyard.sandbox.jail.runs import How
from toolyard.sandbox.runner import Isolation, NoPlace, Runner, ServerLost, Step, Told, Verdict
from toolyard.security.egress import AllowList
from toolyard.telemetry import catalogue
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Counter, Reading
from toolyard.templates import Unfillable
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished, Standing, failed
from toolyard_executors.kinds.sandbox.codes import Codes, Refused
from toolyard_executors.kinds.sandbox.plans import Plan, plan_of
from toolyard_executors.kinds.sandbox.requests import Requests
from toolyard_executors.kinds.sandbox.verdicts import Circumstances, finished, is_hostile
from toolyard_executors.outbound.connection import Connections, Resolve
from toolyard_executors.outbound.denials import Denials

#: The reason of a process that only code which has left the language can end by.
_HOSTILE: Final = "hostile"

log = logger("sandbox")

_AWAY: Final = "the sandbox of this worker is not there at the moment"
_FULL: Final = "no place in the sandbox of this worker came free in its time"


class SandboxExecutor:
    """Runs sandboxed tools.

    Args:
        runner: runs their code; opened and closed with this.
        allow: the private destinations that the operator opened to their requests.
        https_only: deny plain http.
        resolve: a host's addresses; the system's resolver if not given.
    """

    pool = "sandbox"

    def __init__(
        self,
        runner: Runner,
        *,
        allow: AllowList | None = None,
        https_only: bool = False,
        resolve: Resolve | None = None,
    ) -> None:
        self._runner = runner
        self._codes = Codes(runner.check)
        self._allow = allow or AllowList()
        self._https_only = https_only
        self._resolve = resolve
        self._connections: Connections | None = None
        self._denials = Denials(self.pool)
        self._kills = Counter(catalogue.SANDBOX_KILLS, ((how,) for how in (*get_args(How)[1:], _HOSTILE)))

    async def open(self) -> None:
        """Start the locked processes; connections are opened when they are needed.

        Raises:
            SettingsError: the machine locks them up less well than is asked for; says what is missing.
            ServerLost: they did not come up.
        """
        await self._runner.start()
        self._connections = Connections(self._allow, self._resolve)

    async def close(self) -> None:
        """End the processes, and close all connections."""
        await self._codes.close()
        await self._runner.stop()
        if self._connections is not None:
            await self._connections.close()
            self._connections = None

    def standing(self) -> Standing:
        """How well tools are locked up, and whether they can be run."""
        found = self._runner.isolation
        details: dict[str, object] = {}
        level = None
        if found is not None:
            level = details["isolation"] = str(found.level)
            if found.missing:
                details["isolation_missing"] = dict(found.missing)
        metrics = (*_readings(found, self._runner), *self._denials(), *self._kills())
        return Standing(self._runner.trouble, details, metrics, level)

    def prepare(self, tool: PinnedTool) -> Plan:
        """What the tool may use and is given; its code is looked at when it is first run."""
        return plan_of(tool, self._runner.memory)

    def circuit(self, attempt: Attempt) -> str | None:
        """None: what fails is the author's code, and whom it asks is its own affair."""
        return None

    async def run(self, attempt: Attempt) -> Finished:
        """Run the tool; see `toolyard_executors.executor.Executor`."""
        plan: Plan = attempt.plan
        try:
            job = plan.job(attempt)
            code = self._codes.kept(plan) or await self._code(plan, attempt.remaining)
        except Unfillable as error:
            return failed(error.code, str(error), "none")
        except Refused as refused:
            return failed("internal", f"this worker cannot run it: {refused}", "none")
        except ServerLost as lost:
            return _lost(lost)
        requests = self._requests(attempt, plan)
        seconds = attempt.remaining
        try:
            verdict, told = await self._runner.run(
                code, job, plan.limits(seconds), requests.answer, partial(_say, attempt)
            )
        except ServerLost as lost:
            return _lost(lost)
        return self._finished(attempt, verdict, told, denied=requests.denied, seconds=seconds)

    async def _code(self, plan: Plan, seconds: float) -> bytes:
        """The tool's code, within the time of its process.

        Raises:
            Refused: it does not pass here.
            ServerLost: nobody could look at it, or not in that time.
        """
        total = plan.limits(seconds).total
        try:
            async with asyncio.timeout(total):
                return await self._codes.get(plan)
        except TimeoutError:
            raise ServerLost(f"its code was not looked at within {total:.1f} s") from None

    def _requests(self, attempt: Attempt, plan: Plan) -> Requests:
        if self._connections is None:
            raise RuntimeError("the executor is not open")
        return Requests(
            attempt,
            self._connections,
            hosts=plan.hosts,
            memory=plan.memory,
            allow=self._allow,
            https_only=self._https_only,
            denials=self._denials,
        )

    def _finished(
        self, attempt: Attempt, verdict: Verdict, told: Told | None, *, denied: bool, seconds: float
    ) -> Finished:
        if verdict.how != "answered":
            self._kills.add(_HOSTILE if is_hostile(verdict) else verdict.how)
        if is_hostile(verdict):
            call = attempt.call
            about = {"call_id": call.call_id, "org": call.org, "tool": call.tool, "version": call.version}
            log.warning("a tool left its bounds and was stopped", **about, how=verdict.how, signal=verdict.signal)
        found = self._runner.isolation
        circumstances = Circumstances(
            plan=attempt.plan,
            touched=attempt.touched,
            denied=denied,
            seconds=seconds,
            redactor=attempt.redactor,
            isolation=None if found is None else str(found.level),
        )
        return finished(verdict, told, circumstances)


def _lost(error: ServerLost) -> Finished:
    """Nothing was run: another worker, or this one in a moment, may."""
    if isinstance(error, NoPlace):  # nothing is wrong here, and it may be so for many at a time
        log.info("a tool found no place", reason=str(error))
        return failed("unavailable", _FULL, "none", retryable=True)
    log.warning("a tool could not be run", reason=str(error))
    return failed("unavailable", _AWAY, "none", retryable=True)


def _readings(found: Isolation | None, runner: Runner) -> Iterator[Reading]:
    yield Reading(catalogue.SANDBOX_RUNS, (), runner.runs)
    yield Reading(catalogue.FORK_SERVERS, (), runner.servers)
    if found is not None:
        yield Reading(catalogue.ISOLATION, (found.level,), 1)
        yield Reading(catalogue.SHORTFALL, (), found.level.short_of(runner.minimum))
        for wall, stands in found.walls.items():
            yield Reading(catalogue.WALL, (wall,), stands)


def _say(attempt: Attempt, step: Step) -> None:
    attempt.progress(step.done, step.total, step.message)
