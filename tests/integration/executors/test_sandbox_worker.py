"""`toolyard worker sandbox` as a process over a real RabbitMQ: calls through it, what it shows, where it refuses."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from tests.integration.executors.door import WITHIN, Door
from tests.integration.executors.sandboxes import sandboxed
from tests.support import leash
from tests.support.processes import Process, console_script, free_port
from tests.support.system import System
from tests.support.upstream import Upstream
from tests.support.waiting import async_wait_until, wait_until
from tests.unit.executors.making import json_of

from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import Cancel
from toolyard.contracts.events import Cancelled, Failed, Started, Succeeded, TimedOut

pytestmark = pytest.mark.usefixtures("uncounted")

ROOT = Path(__file__).resolve().parents[3]
MINIMUM = {"TOOLYARD_SANDBOX_MINIMUM": "degraded"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, amqp_url_module: str) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    with System(folder, amqp=amqp_url_module, database=f"sqlite:///{folder / 'l.db'}", allow="127.0.0.1") as made:
        made.start("scheduler", "scheduler")
        made.start("worker", "worker", "sandbox", env={"TOOLYARD_SECRET_TOKEN": "s3cret-value", **MINIMUM})
        made.ready("scheduler", "worker", within=WITHIN)
        yield made


@pytest.fixture
async def door(system: System, amqp_url_module: str) -> AsyncIterator[Door]:
    made = Door(amqp_url_module, str(system.env["TOOLYARD_SIGNING_KEYS"]))
    await made.open()
    yield made
    await made.transport.close()


async def ask(system: System, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(system.url("worker") + path)


async def test_a_call_comes_back_with_what_its_worker_noted(system: System, door: Door):
    tool = sandboxed(
        "print('for', context['tenant'])",
        "return {'sum': sum(parameters['n']), 'token': os.environ['TOKEN']}",
        environment_variables=("TOKEN",),
    )
    sent = await door.call(tool.binding, pool="sandbox", arguments={"n": [1, 2]}, context={"tenant": "t"})
    end = await door.end_of(sent)
    assert isinstance(end, Succeeded)
    assert json_of(end.result) == {"sum": 3, "token": "[redacted:TOKEN]"}
    assert end.report is not None
    assert end.report.logs == "for t\n"
    assert end.report.isolation in ("full", "container", "degraded")
    assert "s3cret" not in system.processes["worker"].output()


async def test_a_tool_reaches_its_hosts_through_the_worker(system: System, door: Door, upstream: Upstream):
    tool = sandboxed(f"return requests.post('{upstream.url}/echo').json()", allowed_hosts=("127.0.0.1",))
    end = await door.end_of(await door.call(tool.binding, pool="sandbox"))
    assert isinstance(end, Succeeded)
    assert (end.effect, json_of(end.result)["method"]) == ("done", "POST")


async def test_a_tool_that_takes_too_long_ends_timed_out(system: System, door: Door):
    end = await door.end_of(
        await door.call(sandboxed("while True: pass", execution_timeout=0.5).binding, pool="sandbox")
    )
    assert isinstance(end, TimedOut)
    assert end.error is not None
    assert (end.error.phase, end.effect) == ("attempt", "none")
    assert end.report is not None
    assert end.report.cpu_seconds is not None


async def test_a_tool_that_runs_can_be_cancelled(system: System, door: Door):
    sent = await door.call(sandboxed("while True: pass").binding, pool="sandbox")

    async def started() -> bool:
        return any(isinstance(event, Started) for event in door.events)

    await async_wait_until(started, within=WITHIN, what="started")
    cancel = Cancel(v=VERSION, sender=door.name, time=0, call_id=sent.call_id, org=sent.org)
    await door.transport.publish(door.envelope.control(cancel, org=sent.org))
    end = await door.end_of(sent)
    assert isinstance(end, Cancelled)
    assert end.effect == "none"


async def test_it_says_how_well_tools_are_locked_up(system: System, door: Door):
    line = json.loads(system.processes["worker"].wait_for_line(r".*worker started.*").group())
    assert (line["pool"], line["concurrency"]) == ("sandbox", 8)
    ready = (await ask(system, "/readyz")).json()
    assert line["isolation"] == ready["isolation"]
    assert line.get("isolation_missing") == ready.get("isolation_missing")
    metrics = (await ask(system, "/metrics")).text
    assert f'toolyard_sandbox_isolation{{level="{ready["isolation"]}"}} 1' in metrics
    assert re.search(r"^toolyard_sandbox_fork_servers_total [1-9]", metrics, re.MULTILINE)
    assert 'toolyard_sandbox_wall{wall="seccomp"} 1' in metrics


async def test_calls_go_on_after_the_fork_server_was_killed(system: System, door: Door):
    worker = system.processes["worker"].pid
    (server,) = [
        pid for pid in leash.members(worker) if b"sandbox.jail.server" in _command(pid) and _parent(pid) == worker
    ]
    os.kill(server, signal.SIGKILL)

    async def goes_on() -> bool:
        end = await door.end_of(await door.call(sandboxed("return 1").binding, pool="sandbox"))
        assert isinstance(end, Succeeded | Failed)
        return isinstance(end, Succeeded)

    await async_wait_until(goes_on, within=WITHIN, what="a call that succeeds")


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes() if leash.alive(pid) else b""


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_it_lets_a_tool_end_before_it_stops_and_leaves_no_process(system: System, door: Door):
    worker = system.processes["worker"]
    sent = await door.call(sandboxed("import time", "time.sleep(4)", "return 1").binding, pool="sandbox")

    async def started() -> bool:
        return any(isinstance(event, Started) for event in door.events)

    await async_wait_until(started, within=WITHIN, what="started")
    family = leash.members(worker.pid)
    worker.send(signal.SIGTERM)
    assert isinstance(await door.end_of(sent), Succeeded)
    assert await asyncio.to_thread(worker.wait) == 0
    wait_until(lambda: not any(map(leash.alive, family)), within=60, what="none of its processes is left")


# ---- where it does not start --------------------------------------------------------------------


def start(folder: Path, *command: str, **env: str) -> Process:
    variables = {
        "TOOLYARD_TRANSPORT_URL": "amqp://nobody:x@127.0.0.1:1/",  # it does not come so far
        "TOOLYARD_SIGNING_KEYS": "test:" + "ab" * 32,
        "TOOLYARD_PORT": str(free_port()),
        "PYTHONPATH": str(ROOT),
        **env,
    }
    return Process([*command, *console_script("toolyard", "worker", "sandbox")], env=variables, cwd=folder)


def test_below_the_minimum_it_refuses_and_says_which_wall_is_missing(tmp_path: Path):
    profile = (sys.executable, "-m", "tests.support.jail.standing", "-", "without_landlock")
    with start(tmp_path, *profile, TOOLYARD_SANDBOX_MINIMUM="container") as refused:
        assert refused.wait(within=WITHIN) == 1
        said = refused.output()
    assert "toolyard worker: the sandbox reaches the level 'degraded' here, 'container' is the least: landlock:" in said
    assert "Use a kernel from 5.13 on with Landlock" in said


def test_with_too_few_descriptors_for_its_places_it_refuses_and_says_both_numbers(tmp_path: Path):
    with start(tmp_path, "sh", "-c", 'ulimit -n 300; exec "$@"', "sh", TOOLYARD_CONCURRENCY="100") as refused:
        assert refused.wait(within=WITHIN) == 1
        said = refused.output()
    assert "toolyard worker: 100 places of the sandbox need 400 descriptors, and this process may have 300:" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"TOOLYARD_SANDBOX_MINIMUM": "off"},
            "TOOLYARD_SANDBOX_MINIMUM: 'off' is not one of full, container, degraded",
        ),
        ({"TOOLYARD_CONCURRENCY": "2000"}, "TOOLYARD_CONCURRENCY: 2000 are too many for the pool sandbox"),
        ({"TOOLYARD_SANDBOX_MEMORY": "100"}, "TOOLYARD_SANDBOX_MEMORY: 100 is not between 128 and"),
    ],
)
def test_a_setting_that_cannot_be_is_named(tmp_path: Path, env: dict[str, str], said: str):
    with start(tmp_path, **env) as refused:
        assert refused.wait(within=WITHIN) == 1
        assert said in refused.output()
