"""The code of sandboxed tools, looked at before it is saved: in a jailed process, because looking at it is a risk too.

Called by the tool operations, once nothing else is wrong with a definition. Nothing is saved that was not looked at.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final, Protocol

from toolyard.clock import Clock
from toolyard.contracts.tools import Binding, SandboxBinding, ToolSpec
from toolyard.errors import FieldError, FieldsRefused, Refused, SettingsError, ToolyardError
from toolyard.sandbox.runner import Checked, Level, Problem, Runner, ServerLost
from toolyard.telemetry.logs import logger
from toolyard_gateway.one_at_a_time import OneAtATime

log = logger("code_check")

#: Seconds that a check may take, with the wait for its turn: most take some milliseconds, a hostile one five seconds,
#: or ten where the machine has other work.
PATIENCE: Final = 20.0
#: Seconds after a start that failed in which nobody tries again.
PAUSE: Final = 5.0
#: Seconds after which an author may try again, where the operator has to mend something first.
_MENDED: Final = 60.0
#: Characters of what is told of one problem: its words may be the author's.
_TOLD: Final = 500
#: Bytes that checks may take together; one is made at a time.
_MEMORY: Final = 256 << 20
#: How the check begins what it says of the list of imports, and not of the code.
_OF_THE_LIST: Final = "allowed_imports: "


class Checker(Protocol):
    """Looks at sources; a `Runner` that somebody else starts and stops, or `OwnRunner`."""

    async def check(self, source: str, allowed_imports: Sequence[str] | None) -> Checked:
        """What is wrong with a source.

        Raises:
            ServerLost: nobody could look at it.
            SettingsError: nobody may look at it here: the machine has less walls than are asked for.
        """


class OwnRunner:
    """A runner for checks alone, started by the first of them."""

    def __init__(self, minimum: Level, clock: Clock) -> None:
        self._minimum = minimum
        self._clock = clock
        self._start: asyncio.Task[Runner] | None = None
        self._again = 0.0
        self._stopped = False

    async def check(self, source: str, allowed_imports: Sequence[str] | None) -> Checked:
        """What is wrong with a source; see `Checker`."""
        return await (await self._started()).check(source, allowed_imports)

    async def stop(self) -> None:
        """End its processes, and start no more."""
        self._stopped = True
        if self._start is None:
            return
        self._start.cancel()
        await asyncio.wait([self._start])
        if _succeeded(self._start):
            await self._start.result().stop()

    async def _started(self) -> Runner:
        """The runner, once it runs; its start goes on where whoever asked for it went away."""
        failed = self._start is not None and self._start.done() and not _succeeded(self._start)
        if self._stopped:
            raise ServerLost("the gateway is stopping")
        if self._start is None or (failed and self._clock.monotonic() >= self._again):
            self._start = asyncio.create_task(self._begin())
        return await asyncio.shield(self._start)

    async def _begin(self) -> Runner:
        try:
            return await _running(self._minimum)
        except asyncio.CancelledError:
            raise ServerLost("the gateway is stopping") from None
        except (ToolyardError, OSError) as error:
            self._again = self._clock.monotonic() + PAUSE
            log.warning("no code of tools can be checked, and none is saved", error=str(error))
            if isinstance(error, OSError):
                raise ServerLost(f"no process could be started: {error.strerror}") from error
            raise


async def _running(minimum: Level) -> Runner:
    """A runner that was started; what could not be started leaves nothing."""
    async with AsyncExitStack() as stack:
        runner = Runner(children=1, memory=_MEMORY, minimum=minimum)
        stack.push_async_callback(runner.stop)
        found = await runner.start()
        stack.pop_all()
    log.info("code of tools is checked in a sandbox", isolation=found.level.value)
    return runner


def _succeeded(task: "asyncio.Task[Runner]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


class CodeCheck:
    """Lets a definition pass whose code nothing is wrong with.

    One source is looked at at a time, and no org takes a second turn while another one waits.

    Args:
        checker: looks at sources; whoever made it stops it.
    """

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._orgs = OneAtATime()
        self._turn = asyncio.Lock()

    async def check(self, org: str, spec: ToolSpec, before: ToolSpec | None = None) -> None:
        """Look at the code of a tool, if it has any that was not looked at before.

        Args:
            org: whose tool it is.
            spec: the tool.
            before: the version that it replaces: what it has in common with that one was looked at then.

        Raises:
            FieldsRefused: something is wrong; all of it is told, with line and column.
            Refused: ``unavailable``: nobody could look at it.
        """
        binding = spec.binding
        if not isinstance(binding, SandboxBinding) or (before is not None and _same_code(binding, before.binding)):
            return
        try:
            checked = await self._in_turn(org, binding)
        except ServerLost as error:
            raise Refused("unavailable", f"The code cannot be checked now: {error}.", retry_after=PAUSE) from None
        except SettingsError as error:
            detail = f"This gateway cannot check code, so it saves none: {error}."
            raise Refused("unavailable", detail, retry_after=_MENDED) from None
        if checked.problems:
            raise FieldsRefused(tuple(_field(problem, binding) for problem in checked.problems))

    async def _in_turn(self, org: str, binding: SandboxBinding) -> Checked:
        try:
            async with asyncio.timeout(PATIENCE), self._orgs.only(org), self._turn:
                return await self._checker.check(binding.code, binding.allowed_imports)
        except TimeoutError:
            detail = "Too much other code is being checked; try again."
            raise Refused("unavailable", detail, retry_after=PAUSE) from None


def _same_code(binding: SandboxBinding, before: Binding) -> bool:
    if not isinstance(before, SandboxBinding):
        return False
    return (before.code, before.allowed_imports) == (binding.code, binding.allowed_imports)


def _field(problem: Problem, binding: SandboxBinding) -> FieldError:
    """A problem as an author sees it. What is said of the list of imports is said of the name in it."""
    text = problem.message[:_TOLD]
    if problem.line == 0 and text.startswith(_OF_THE_LIST):
        text = text.removeprefix(_OF_THE_LIST)
        numbers = (str(n) for n, name in enumerate(binding.allowed_imports or ()) if text.startswith(f"`{name}` "))
        return FieldError(".".join(("binding.allowed_imports", *list(numbers)[:1])), text)
    column = f", column {problem.column}" if problem.column else ""
    return FieldError("binding.code", f"line {problem.line}{column}: {text}" if problem.line else text)
