"""A fork server that is there and does nothing: nobody waits for it longer than he may, and another takes its place."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.sandbox.conftest import ended, pid_of
from tests.sandbox.test_jail import LIMITS, LOOP, begun
from tests.support.waiting import async_wait_until

from toolyard.sandbox.jail.jail import Jail, Limits, NoPlace, ServerLost
from toolyard.sandbox.jail.pulse import HOPELESS, WORRYING, Pulse

SHORT = Limits(wall=30.0, total=0.3, cpu=20.0, memory=64 << 20)


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """These processes do nothing for a while."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def all_wait(jail: Jail) -> list[int]:
    """The processes of its children, once they wait."""

    async def ready() -> bool:
        return len(jail._pool._ready) == 4

    await async_wait_until(ready, within=60, what="children that wait")
    return [child.pid for child in jail._pool._ready]


async def without_children(jail: Jail) -> None:
    """Its fork server does not hear that all of them have died."""
    for pid in await all_wait(jail):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def quick(monkeypatch: pytest.MonkeyPatch, jail: Jail) -> Jail:
    """The jail, whose next questions to its fork server come quickly, until the patch is undone."""
    monkeypatch.setattr("toolyard.sandbox.jail.pulse.EVERY", 0.05)
    return jail


async def test_a_run_waits_for_a_process_no_longer_than_it_may_last(jail: Jail):
    await all_wait(jail)
    with stopped(pid_of(jail)):
        await without_children(jail)
        with pytest.raises(ServerLost, match="no process of the sandbox was there for it within"):
            await jail.run("echo", b"x", limits=SHORT)
    assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"


async def test_a_run_that_may_last_for_ever_does_not_wait_for_ever(jail: Jail, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolyard.sandbox.jail.jail._LONGEST_WAIT", 0.2)
    await all_wait(jail)
    with stopped(pid_of(jail)):
        await without_children(jail)
        with pytest.raises(ServerLost):
            await jail.run("echo", b"x", limits=LIMITS)


async def test_a_run_waits_for_its_place_no_longer_than_it_may_last(jail: Jail):
    running, _ = await begun(jail, LOOP, Limits(wall=30.0, cpu=20.0, memory=1 << 30))
    with pytest.raises(NoPlace, match=r"came free within 0\.3 s"):
        await jail.run("echo", b"x", limits=SHORT)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_run_whose_time_is_over_does_not_begin(jail: Jail):
    with pytest.raises(ServerLost):
        await jail.run("echo", b"x", limits=Limits(total=0.0))
    assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"


async def test_a_child_that_does_not_begin_is_not_the_runs_fault(jail: Jail, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolyard.sandbox.jail.pool._SECONDS_TO_LOCK", 0.5)
    for pid in await all_wait(jail):
        os.kill(pid, signal.SIGSTOP)
    verdict = await jail.run("echo", b"x", limits=Limits(wall=0.5, total=60.0, memory=64 << 20))
    assert verdict.how == "answered"


async def test_a_fork_server_that_says_nothing_is_in_trouble_and_then_replaced(
    quick: Jail, monkeypatch: pytest.MonkeyPatch
):
    server = pid_of(quick)
    os.kill(server, signal.SIGSTOP)

    async def told() -> bool:
        return quick.trouble == "the fork server is there and says nothing"

    await async_wait_until(told, within=60, what="its trouble")
    await ended(server)
    monkeypatch.undo()  # the next one has the time to start
    assert (await quick.run("echo", b"x", limits=LIMITS)).how == "answered"
    assert pid_of(quick) != server
    assert quick.trouble == ""


async def test_a_place_that_is_not_given_back_is_the_fork_servers_trouble(jail: Jail):
    await all_wait(jail)
    server = jail._pool._server
    assert server is not None
    with stopped(pid_of(jail)):
        for _ in range(3):
            assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"
        server.pulse.missed = WORRYING
        with pytest.raises(ServerLost, match="is there and says nothing"):
            await jail.run("echo", b"x", limits=SHORT)


async def test_runs_that_wait_while_it_is_replaced_are_answered(quick: Jail, monkeypatch: pytest.MonkeyPatch):
    server = pid_of(quick)
    os.kill(server, signal.SIGSTOP)
    verdicts = await asyncio.gather(*(quick.run("echo", b"x", limits=LIMITS) for _ in range(12)))
    assert {verdict.how for verdict in verdicts} <= {"answered", "lost"}
    await ended(server)
    monkeypatch.undo()
    assert (await quick.run("echo", b"x", limits=LIMITS)).how == "answered"


async def test_a_fork_server_that_speaks_is_left_alone(jail: Jail):
    server = jail._pool._server
    assert server is not None

    async def heard() -> bool:
        return server.pulse.missed == 0

    for _ in range(2 * HOPELESS):
        server.pulse.stop()
        server.pulse._beat()
        await async_wait_until(heard, within=60, what="its answer")
    assert jail._pool._server is server


async def test_silence_is_counted_in_questions():
    asked: list[int] = []
    hopeless = asyncio.Event()
    pulse = Pulse(lambda: asked.append(pulse.missed), hopeless.set)
    for _ in range(HOPELESS):
        pulse._beat()
        assert pulse.weak is (pulse.missed >= WORRYING)
    pulse.heard()
    assert (pulse.missed, pulse.weak, hopeless.is_set()) == (0, False, False)
    for _ in range(HOPELESS + 1):
        pulse._beat()
    assert hopeless.is_set()
    assert asked == [*range(HOPELESS), *range(HOPELESS)]
    pulse.stop()
