"""The one process from its settings to the signal that ends it, and what it prints when it is ready."""

import asyncio
import json
import os
import shlex
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import uvloop

from toolyard import ids
from toolyard.cli.output import Output
from toolyard.telemetry.export import exporting
from toolyard_embedded import samples
from toolyard_embedded.app import DRAIN, Embedded, Ready
from toolyard_embedded.folder import DataFolder
from toolyard_embedded.listening import bind_asked
from toolyard_embedded.settings import EmbeddedSettings

_PORT: Final = 8080


def run(settings: EmbeddedSettings, *, with_samples: bool, accept_lost_key: bool, as_json: bool) -> None:
    """Run until SIGTERM or SIGINT, and print what a first call needs once all is ready.

    Args:
        settings: of this process.
        with_samples: keep sample tools, and an upstream for them.
        accept_lost_key: sign anew what the log holds under a key that is lost.
        as_json: print one JSON document, for scripts.

    Raises:
        ToolyardError: it cannot start: the port is taken, the folder is in use, the signing key is lost.
    """
    folder = DataFolder(settings.data.absolute()).open()
    try:
        bound = bind_asked(settings.host, settings.port, default=_PORT)
        system = Embedded(settings, folder, bound, with_samples=with_samples, accept_lost_key=accept_lost_key)
        uvloop.run(_serve(system, folder.path, as_json=as_json))
    finally:
        folder.close()


async def _serve(system: Embedded, data: Path, *, as_json: bool) -> None:
    with ExitStack() as starting:
        starting.enter_context(Output(as_json=as_json).waiting("Starting Toolyard"))

        def on_ready(ready: Ready) -> None:
            starting.close()
            told = _document(ready, data) if as_json else _welcome(ready, data)
            print(told, flush=True)

        with exporting("dev", ids.new_id()[-12:], system.board, messaging="toolyard"):
            await system.serve(_signals(), on_ready)


def _signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def stopped() -> None:
        if stop.is_set():
            os._exit(1)
        print(f"Stopping: calls that run may end within {DRAIN:g} s; once more ends at once.", file=sys.stderr)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped)
    return stop


# ---- what is printed ----------------------------------------------------------------------------
def _document(ready: Ready, data: Path) -> str:
    return json.dumps(
        {
            "address": ready.address,
            "api_key": ready.api_key,
            "data": str(data),
            "tools": ready.tools,
            "sandbox": {"isolation": ready.isolation} if ready.isolation else {"left_out": ready.left_out},
            "pools": {one.pool: {"needs": one.needs} if one.needs else {} for one in ready.offered},
            "first_call": _first_call(ready),
        }
    )


def _welcome(ready: Ready, data: Path) -> str:
    tools = ", ".join(ready.tools) or "none yet: make one with `toolyard tools create FILE`"
    what = "A first call, to paste into another terminal:" if ready.tools else "Ask it for its tools:"
    return (
        "Toolyard is ready.\n\n"
        f"  address   {ready.address}\n"
        f"  API key   {ready.api_key}\n"
        f"  tools     {tools}\n"
        f"  sandbox   {_sandbox(ready)}\n"
        f"{_offered(ready)}"
        f"  data      {data}\n\n"
        f"{what}\n\n{_first_call(ready)}\n\n"
        "Stop it with Ctrl-C."
    )


def _sandbox(ready: Ready) -> str:
    if ready.left_out:
        return f"left out: {ready.left_out}"
    return f"isolation {ready.isolation}"


def _offered(ready: Ready) -> str:
    said = {one.pool: f"needs {one.needs}" if one.needs else "opened with its first call" for one in ready.offered}
    return "".join(f"  {pool:8}  {text}\n" for pool, text in said.items())


def _first_call(ready: Ready) -> str:
    """One line for a shell that works as it stands."""
    words = ["curl", "-sS", f"{ready.address}/v1/tools", "-H", f"Authorization: Bearer {ready.api_key}"]
    if ready.tools:
        body = json.dumps({"tool": samples.FIRST_TOOL, "arguments": samples.FIRST_ARGUMENTS})
        words[2] = f"{ready.address}/v1/calls"
        words += ["-H", "Content-Type: application/json", "-d", body]
    return shlex.join(words)
