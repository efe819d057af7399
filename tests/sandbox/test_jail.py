"""The jail's life with real processes: runs, their limits and counts, cancelling, and the deaths of its parts."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest
from tests.sandbox.conftest import children_of, ended, pid_of
from tests.support import leash
from tests.support.jail.yard import GUESTS
from tests.support.waiting import async_wait_until

from toolyard.sandbox.jail.jail import Jail, Limits, ServerLost, Verdict

LIMITS = Limits(wall=30.0, cpu=20.0, memory=64 << 20)
LOOP = b"while True: pass"
SLOW = b"import time; time.sleep(0.2); result = 1"


async def begun(jail: Jail, source: bytes, limits: Limits = LIMITS) -> "tuple[asyncio.Task[Verdict], int]":
    """Starts a run and waits until its guest runs; returns it and its child's pid."""
    asked = asyncio.get_running_loop().create_future()

    async def answer(question: bytes) -> bytes:
        asked.set_result(int(question))
        return b""

    source = b"import os; ask(str(os.getpid()).encode())\n" + source
    running = asyncio.create_task(jail.run("run", source, limits=limits, answer=answer))
    await asyncio.wait_for(asked, 60)
    server = jail._pool._server
    assert server is not None
    lives = [child for child in server.children.values() if child._pidfd is not None]
    busy = [child.pid for child in lives if child not in jail._pool._ready]
    assert len(busy) == 1
    return running, busy[0]


async def test_a_run_is_answered_and_counted(jail: Jail):
    source = b"""
import time
kept = bytearray(30 << 20)
start = time.process_time()
while time.process_time() < start + 0.2: pass
result = [ask(b"a").decode(), ask(b"b").decode()]
"""

    async def answer(question: bytes) -> bytes:
        return question.upper()

    verdict = await jail.run("run", source, limits=LIMITS, answer=answer)

    assert (verdict.how, verdict.body, verdict.signal, verdict.reason) == ("answered", b'["A", "B"]', None, "")
    assert 0.2 <= verdict.usage.cpu < 5
    assert 30 << 20 <= verdict.usage.peak < 64 << 20
    assert verdict.usage.output == 10
    assert verdict.usage.requests == 2


async def test_a_large_payload_and_a_large_answer_go_through(jail: Jail):
    payload = os.urandom(5 << 20)

    verdict = await jail.run("echo", payload, limits=Limits(output=5 << 20))

    assert verdict.body == payload


async def test_runs_share_nothing_and_all_are_answered(jail: Jail):
    async def run(number: int) -> bool:
        return (await jail.run("echo", b"%d" % number, limits=LIMITS)).body == b"%d" % number

    assert all(await asyncio.gather(*map(run, range(60))))


async def test_cancelling_kills_the_process_at_once(jail: Jail):
    running, child = await begun(jail, LOOP)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await ended(child)
    assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"


async def test_cancelling_a_run_that_waits_for_its_turn_leaves_the_others_alone(jail: Jail):
    whole = Limits(wall=30.0, memory=1 << 30)
    running, _ = await begun(jail, SLOW, whole)
    waiting = [asyncio.create_task(jail.run("echo", b"x", limits=whole)) for _ in range(3)]
    await asyncio.sleep(0)

    waiting[0].cancel()

    assert (await running).how == "answered"
    assert [(await each).how for each in waiting[1:]] == ["answered", "answered"]


async def test_the_memory_of_all_runs_together_is_bounded(jail: Jail):
    half = Limits(wall=30.0, memory=600 << 20)
    first, child = await begun(jail, SLOW, half)

    second = await jail.run("echo", b"x", limits=half)

    assert second.how == "answered"
    assert first.done()
    assert not leash.alive(child)


async def test_a_run_that_could_never_have_its_memory_is_refused(jail: Jail):
    with pytest.raises(ValueError, match="all runs together have"):
        await jail.run("echo", b"x", limits=Limits(memory=2 << 30))


async def test_a_child_that_is_killed_while_it_waits_is_not_missed(jail: Jail):
    for _ in range(3):
        assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"
        for pid in children_of(jail):
            with contextlib.suppress(ProcessLookupError):  # the one that has just answered goes by itself
                os.kill(pid, signal.SIGKILL)


async def test_a_child_that_is_killed_in_its_run_is_that_runs_end(jail: Jail):
    running, child = await begun(jail, LOOP)

    os.kill(child, signal.SIGKILL)

    verdict = await running
    assert (verdict.how, verdict.signal) == ("crashed", 9)
    assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"


async def test_the_death_of_the_fork_server_ends_the_runs_that_had_begun_and_no_other(jail: Jail):
    running, child = await begun(jail, LOOP)
    server = pid_of(jail)
    waiting = [asyncio.create_task(jail.run("echo", b"%d" % each, limits=LIMITS)) for each in range(20)]
    await asyncio.sleep(0)

    os.kill(server, signal.SIGKILL)

    verdict = await running
    assert (verdict.how, verdict.signal, verdict.reason) == ("lost", None, "its fork server ended, and it with it")
    await ended(server, child)
    for number, each in enumerate(waiting):
        found = await each
        assert found.body == b"%d" % number or found.reason == "its fork server ended, and it with it"
    assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"
    assert pid_of(jail) != server


async def test_a_fork_server_that_dies_again_and_again_costs_no_run(jail: Jail):
    for _ in range(4):
        server = pid_of(jail)
        os.kill(server, signal.SIGKILL)
        await ended(server)
        assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"


async def test_a_run_is_told_when_no_fork_server_can_be_started(jail: Jail):
    jail._pool._guest, guest = "no_such_guest", jail._pool._guest
    os.kill(pid_of(jail), signal.SIGKILL)

    async def run_until_it_fails() -> None:
        while True:  # the first runs may find a child that is still there
            await jail.run("echo", b"x", limits=LIMITS)

    with pytest.raises(ServerLost, match=r"no fork server could be started: .*no_such_guest"):
        await run_until_it_fails()

    jail._pool._guest = guest

    async def recovered() -> bool:
        return jail._pool._server is not None

    await async_wait_until(recovered, within=60, what="a fork server again")
    assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"


async def test_children_that_cannot_be_born_are_waited_for(jail: Jail):
    from toolyard.sandbox.jail.control import Barren

    assert jail._pool._server is not None
    jail._pool._server.ordered += 1
    jail._pool._server._take(Barren(11), [])

    verdicts = await asyncio.gather(*(jail.run("echo", b"x", limits=LIMITS) for _ in range(10)))

    assert {verdict.how for verdict in verdicts} == {"answered"}


async def test_a_fork_server_that_can_bear_no_more_children_is_replaced(jail: Jail):
    assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"
    server = pid_of(jail)
    for pid in leash.members(server) - {server}:  # with its first process gone, the namespace takes no other
        with contextlib.suppress(ProcessLookupError):  # it went with the first
            os.kill(pid, signal.SIGKILL)

    assert (await jail.run("echo", b"x", limits=LIMITS)).how == "answered"


async def test_a_worn_out_fork_server_is_renewed_and_no_run_notices():
    jail = Jail("raw_guest", children=2, folders=[GUESTS], renew_after=8)
    await jail.start()
    first = pid_of(jail)
    try:
        number = 0
        while leash.alive(first):
            number += 1
            assert (await jail.run("echo", b"%d" % number, limits=LIMITS)).body == b"%d" % number
        second = pid_of(jail)
    finally:
        await jail.stop()

    assert number >= 5
    assert first != second
    await ended(second)


async def test_a_run_under_way_outlives_the_renewal_of_its_fork_server():
    jail = Jail("raw_guest", children=2, folders=[GUESTS], renew_after=8)
    await jail.start()
    first = pid_of(jail)
    gate = asyncio.Event()

    async def answer(question: bytes) -> bytes:
        await gate.wait()
        return question

    try:
        running = asyncio.create_task(jail.run("run", b"result = ask(b'x').decode()", limits=LIMITS, answer=answer))
        while pid_of(jail) == first:
            await jail.run("echo", b"x", limits=LIMITS)
        assert leash.alive(first)
        gate.set()
        assert (await running).body == b'"x"'
        await ended(first)
    finally:
        await jail.stop()


async def test_stopping_ends_runs_and_tells_those_that_wait():
    jail = Jail("raw_guest", children=1, folders=[GUESTS])
    await jail.start()
    running, child = await begun(jail, LOOP)
    waiting = asyncio.create_task(jail.run("echo", b"x", limits=LIMITS))
    await asyncio.sleep(0)

    await jail.stop()

    assert (await running).how == "lost"
    with pytest.raises(ServerLost):
        await waiting
    await ended(child)


@pytest.mark.parametrize(("guest", "says"), [("no_such_guest", "ModuleNotFoundError"), ("textwrap", "preload")])
async def test_a_guest_that_cannot_be_loaded_stops_the_start(guest: str, says: str):
    with pytest.raises(ServerLost, match=f"could not start.*{says}"):
        await Jail(guest, children=1).start()


async def test_what_the_answering_side_raises_ends_the_run_and_its_process(jail: Jail):
    seen: list[int] = []

    async def answer(_: bytes) -> bytes:
        seen.extend(children_of(jail))
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await jail.run("run", b"ask(b'')", limits=LIMITS, answer=answer)

    verdict = await jail.run("echo", b"x", limits=LIMITS)
    assert verdict.how == "answered"
    assert seen


async def test_nothing_grows(jail: Jail):
    async def some_runs(count: int) -> None:
        for number in range(count):
            source = (b"result = 1", b"1/0", b"x = bytearray(1 << 30)", b"import os; os._exit(3)")[number % 4]
            await jail.run("run", source, limits=LIMITS)

    await some_runs(40)
    before = _resident(pid_of(jail)), _resident(os.getpid())
    descriptors = _descriptors()
    await some_runs(300)

    assert _descriptors() <= descriptors + 4
    assert len(leash.members(pid_of(jail))) <= 3 + 4 + 1
    assert _resident(pid_of(jail)) <= before[0] + (1 << 20)
    assert _resident(os.getpid()) <= before[1] + (8 << 20)


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
