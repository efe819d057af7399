"""The process of the tour: a whole system in a temporary folder, the walk through it, and nothing left behind."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from toolyard.cli.output import Output
from toolyard.client import AsyncClient, Call, Refused, Turn
from toolyard.errors import SettingsError, ToolyardError
from toolyard.telemetry import logs
from toolyard_embedded.app import Embedded, Ready
from toolyard_embedded.demo import asking, stand_in_arcade, stand_in_lambda
from toolyard_embedded.demo.asking import Notes, Unlike
from toolyard_embedded.demo.steps import STEPS, TURNS, Step
from toolyard_embedded.demo.telling import Documents, Screen, Teller
from toolyard_embedded.folder import DataFolder
from toolyard_embedded.listening import Server, address, bind
from toolyard_embedded.settings import EmbeddedSettings

_LOOPBACK: Final = "127.0.0.1"
#: Seconds after which a step is given up.
_STEP_WITHIN: Final = 30.0
#: Seconds for which the client asks again: nothing lies between it and the gateway.
_RETRY_FOR: Final = 2.0


def run(out: Output) -> bool:
    """Start the system, walk through it, and take all of it away again.

    Returns:
        Whether the walk came to its end; false where a signal stopped it.

    Raises:
        Unlike: what came is not what must come.
        ToolyardError: the system did not start, or came to its end by itself.
    """
    logs.configure(service="demo", level="warning")
    return uvloop.run(_run(out))


async def _run(out: Output) -> bool:
    """Both at once, the system and the walk; when either ends, the other is ended, and the system is waited for."""
    stop = asyncio.Event()
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    walking = asyncio.create_task(_walk(ready, out))
    _on_signals(walking)  # before there is anything to leave behind
    with _temporary_folder() as path:
        folder = DataFolder(Path(path)).open()
        function = Server(stand_in_lambda.stand_in, at := bind(_LOOPBACK, 0))
        arcade = Server(stand_in_arcade.StandIn(address(at_arcade := bind(_LOOPBACK, 0))), at_arcade)
        stand_ins = (function, arcade)
        for each in stand_ins:
            await each.start()
        stand_in_lambda.stand_in_for_aws(address(at), folder.path)
        stand_in_arcade.stand_in_for_arcade()
        system = Embedded(
            EmbeddedSettings(data=folder.path, arcade_url=address(at_arcade)),
            folder,
            bind(_LOOPBACK, 0),
            with_samples=True,
            more_samples=[stand_in_lambda.tool(), stand_in_arcade.tool()],
        )
        serving = asyncio.create_task(system.serve(stop, ready.set_result))
        await asyncio.wait([walking, serving], return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        walking.cancel()
        await asyncio.wait([walking, serving])
        for each in stand_ins:
            await each.stop()
        folder.close()
    serving.result()
    if walking.cancelled():
        return False
    walking.result()
    return True


def _temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory(prefix="toolyard-demo-")
    except OSError as error:
        raise SettingsError(f"no temporary folder can be made: {error.strerror}; let TMPDIR name one") from error


def _on_signals(walking: "asyncio.Task[None]") -> None:
    """A signal ends the walk, and the system after it; a second one changes nothing, so that nothing is left behind."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, walking.cancel)


async def _walk(ready: "asyncio.Future[Ready]", out: Output) -> None:
    teller: Teller = Documents(out) if out.as_json else Screen(out)
    begun = time.monotonic()
    with out.waiting("Starting Toolyard"):
        system = await asyncio.shield(ready)  # the system tells it also when nobody waits any more
    lacking = {"sandbox": system.left_out} if system.left_out else {}
    steps = [step for step in STEPS if step.pool not in lacking]
    teller.welcome(time.monotonic() - begun, len(steps))
    for step in STEPS:
        if step.pool in lacking:
            teller.left_out(step, lacking[step.pool])
    async with AsyncClient(system.address, system.api_key, retry_for=_RETRY_FOR) as client:
        await walk(client, steps, teller)
    teller.farewell()


async def walk(client: AsyncClient, steps: Sequence[Step], teller: Teller) -> None:
    """Take the steps one after the other, and tell what is seen.

    Raises:
        Unlike: what came is not what must come, or a request failed; the text names the step.
    """
    for step in steps:
        teller.begin(step)
        notes = Notes(teller.event)
        answer: Call | Turn | None = None
        try:
            answer = await _taken(client, step, notes)
            teller.end(step, notes.seen, answer, step.check(answer, notes.seen))
        except (Unlike, ToolyardError) as error:
            why = _in_words(error)
            teller.failed(step, notes.seen, answer, why)
            raise Unlike(f"{step.title}: {why}") from error


def _in_words(error: Unlike | ToolyardError) -> str:
    match error:
        case Unlike():
            return str(error)
        case Refused():
            return f"{error.refusal}: {error.detail}"
        case _:
            return f"{error.code}: {error}"


async def _taken(client: AsyncClient, step: Step, notes: Notes) -> Call | Turn:
    try:
        async with asyncio.timeout(_STEP_WITHIN):
            if step.path == TURNS:
                return await asking.turn(client, step.body, notes)
            return await asking.call(client, step.body, notes)
    except TimeoutError:
        raise Unlike(f"nothing more came within {_STEP_WITHIN:g} s") from None
