"""What a jail finds of itself, in a worker of every standing: the level, the walls, the refusal below the minimum."""

import os
import signal
from pathlib import Path

import pytest
from tests.sandbox.conftest import children_of, ended, pid_of
from tests.support import leash
from tests.support.jail.yard import STANDINGS, Yard
from tests.support.waiting import wait_until

from toolyard.sandbox.jail.jail import Jail, Level, Limits

NOBODY = 65_534


def test_unconfined_or_not_the_level_is_what_the_attempts_proved():
    for standing in STANDINGS:
        with Yard(standing) as yard:
            assert yard.isolation is not None
            found = yard.isolation
            assert found.level in (Level.FULL, Level.CONTAINER)
            assert found.walls == {wall: wall not in found.missing for wall in found.walls}
            assert found.attempts["fork"] == "EPERM"
            assert found.attempts["use more memory"] == "MemoryError"
            assert found.attempts["execute a program"] == "SIGSYS"
            assert found.attempts["open the root behind Landlock"] == "EACCES"
            assert "succeeded" not in found.attempts.values()


def test_a_container_allows_no_namespaces_and_all_the_rest():
    with Yard("container", minimum=Level.CONTAINER) as yard:
        assert yard.isolation is not None
        assert yard.isolation.level is Level.CONTAINER
        assert list(yard.isolation.missing) == ["namespaces"]
        assert "unshare" in yard.isolation.missing["namespaces"]


def test_a_container_is_refused_where_everything_is_asked_for():
    with Yard("container", minimum=Level.FULL) as yard:
        assert yard.refusal is not None
        assert "reaches the level 'container' here, 'full' is the least: namespaces: " in yard.refusal
        assert "Allow user namespaces" in yard.refusal


def test_without_landlock_it_runs_degraded_and_says_so():
    with Yard("without_landlock") as yard:
        assert yard.isolation is not None
        assert yard.isolation.level is Level.DEGRADED
        assert yard.isolation.landlock_abi == 0
        assert yard.run("open('/etc/passwd')").verdict.reason.startswith("PermissionError")


def test_without_landlock_it_is_refused_where_a_container_is_asked_for():
    with Yard("without_landlock", minimum=Level.CONTAINER) as yard:
        assert yard.refusal is not None
        assert "'degraded' here, 'container' is the least: landlock: " in yard.refusal
        assert "5.13" in yard.refusal


@pytest.mark.parametrize("minimum", Level)
def test_without_seccomp_nothing_runs_whatever_is_asked_for(minimum: Level):
    with Yard("without_seccomp", minimum=minimum) as yard:
        assert yard.refusal is not None
        assert "the level 'off' here" in yard.refusal
        assert "seccomp: [Errno 1] seccomp: Operation not permitted. The container must allow" in yard.refusal


def test_a_worker_that_is_killed_takes_everything_with_it():
    yard = Yard("as_we_are")
    yard.run("result = 1")
    family = leash.members(yard._process.pid)
    assert len(family) >= 4

    yard._process.kill()

    yard.close()
    wait_until(lambda: not any(map(leash.alive, family)), within=60, what=f"none of {family} is left")


async def test_a_waiting_child_is_locked_before_anything_is_asked_of_it(jail: Jail):
    await jail.run("echo", b"", limits=Limits())
    waiting = {pid: status for pid in children_of(jail) if (status := _status(pid))}  # the one that ran is gone
    assert waiting
    for status in waiting.values():
        assert status["NoNewPrivs"] == "1"
        assert status["CapEff"] == status["CapPrm"] == status["CapAmb"] == "0" * 16
        assert status["Threads"] == "1"
        assert status["OomScoreAdj"] == "1000"  # the first to die where memory runs out
        if os.geteuid() == 0:
            assert status["Uid"].split() == [str(NOBODY)] * 4
            assert status["Gid"].split() == [str(NOBODY)] * 4
            assert status["Groups"] == ""
            assert status["CapBnd"] == "0" * 16


async def test_children_die_with_their_server_and_the_keeper_too(jail: Jail):
    await jail.run("echo", b"", limits=Limits())
    server = pid_of(jail)
    family = leash.members(server)

    os.kill(server, signal.SIGKILL)

    await ended(*family)


def _status(pid: int) -> dict[str, str]:
    """What the kernel says of this process; nothing if it is gone, or goes meanwhile."""
    folder = Path(f"/proc/{pid}")
    try:
        lines = (folder / "status").read_text().splitlines()
        adjusted = (folder / "oom_score_adj").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {**status, "OomScoreAdj": adjusted.strip()}
