"""Descriptors: as many as the places need are there from the start, and where they run out nothing breaks."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.sandbox.conftest import children_of, ended, pid_of
from tests.sandbox.test_jail import LIMITS, LOOP, begun
from tests.support.jail.yard import GUESTS
from tests.support.waiting import async_wait_until

from toolyard.sandbox.jail.jail import Jail, Level

PROVIDE = """
import resource, sys
from toolyard.errors import SettingsError
from toolyard.sandbox.jail.descriptors import provide
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[1])))
try:
    provide(8)
except SettingsError as error:
    print(error)
else:
    print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def provided(hard: int) -> str:
    command = [sys.executable, "-c", PROVIDE, str(hard)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_limit_is_raised_as_far_as_it_may_be():
    assert provided(216) == "216 216\n"


def test_too_low_a_limit_is_refused_with_both_numbers_and_what_to_do():
    said = provided(215)
    assert said.startswith(
        "8 places of the sandbox need 216 descriptors, and this process may have 215: raise its limit"
    )
    assert "TOOLYARD_CONCURRENCY" in said


class Shortage:
    """Takes whatever descriptor becomes free."""

    def __init__(self) -> None:
        self.held: list[int] = []

    def fill(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.held.append(os.open("/dev/null", os.O_RDONLY))


@contextmanager
def shortage() -> Iterator[Shortage]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    made = Shortage()
    most = max(map(int, os.listdir("/proc/self/fd"))) + 1  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield made
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in made.held:
            os.close(each)


async def test_children_for_which_there_is_no_descriptor_are_let_go_and_it_says_why(
    jail: Jail, caplog: pytest.LogCaptureFixture
):
    assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"
    with shortage() as taken:
        for pid in children_of(jail):
            with contextlib.suppress(ProcessLookupError):  # the one that has run ends by itself
                os.kill(pid, signal.SIGKILL)

        async def short() -> bool:
            taken.fill()
            return "descriptors left for the sandbox" in jail.trouble

        await async_wait_until(short, within=60, what="the shortage", every=0.001)
        assert jail._pool._server is not None
        assert jail._pool._server.ordered >= 0

    async def well() -> bool:
        return jail.trouble == ""

    await async_wait_until(well, within=60, what="the end of the shortage")
    assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_a_fork_server_that_has_too_few_descriptors_is_replaced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolyard.sandbox.jail.jail.provide", lambda places: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = max(map(int, os.listdir("/proc/self/fd"))) + 10  # noqa: PTH208
    jail = Jail("raw_guest", children=low, minimum=Level.DEGRADED, folders=[GUESTS])
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        await jail.start()
        server = pid_of(jail)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"
        await ended(server)
        assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"
    finally:
        await jail.stop()


async def test_two_fork_servers_hold_no_more_children_than_one():
    jail = Jail("raw_guest", children=2, minimum=Level.DEGRADED, folders=[GUESTS], renew_after=8)
    await jail.start()
    first = jail._pool._server
    assert first is not None
    try:
        running, _ = await begun(jail, LOOP)
        while jail._pool._server in (first, None):
            await jail.run("echo", b"x", limits=LIMITS)
        second = jail._pool._server
        assert second is not None

        async def settled() -> bool:
            return len(jail._pool._ready) == 2

        await async_wait_until(settled, within=60, what="children of the second")
        assert (first.held, second.expected) == (1, 2)
        running.cancel()

        async def alone() -> bool:
            return len(jail._pool._ready) == second.expected == 3

        await async_wait_until(alone, within=60, what="the last place for the second")
    finally:
        await jail.stop()
