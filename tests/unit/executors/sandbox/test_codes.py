"""The code of tools: made once, by whoever comes first, and kept."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.executors.making import a_tool

from toolyard.contracts.tools import SandboxBinding
from toolyard.sandbox.runner import Checked, Problem, ServerLost
from toolyard_executors.kinds.sandbox import codes
from toolyard_executors.kinds.sandbox.codes import Codes, Refused
from toolyard_executors.kinds.sandbox.plans import Plan, plan_of


def a_plan(source: str, allowed: tuple[str, ...] | None = None) -> Plan:
    return plan_of(a_tool(SandboxBinding(code=source, allowed_imports=allowed)), 1 << 30)


class Checks:
    """Checks that end when the test lets them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.answer: Checked | Exception | None = None

    async def check(self, source: str, allowed: Sequence[str] | None) -> Checked:
        self.asked.append((source, allowed))
        await self.go_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or Checked((), f"code of {source}".encode())


@pytest.fixture
def checks() -> Checks:
    return Checks()


async def test_many_calls_of_a_tool_share_one_check(checks):
    kept, plan = Codes(checks.check), a_plan("a", ("re",))
    checks.go_on.clear()
    waiting = [asyncio.create_task(kept.get(plan)) for _ in range(5)]
    await asyncio.sleep(0)
    checks.go_on.set()
    assert await asyncio.gather(*waiting, kept.get(a_plan("b"))) == [b"code of a"] * 5 + [b"code of b"]
    assert await kept.get(plan) == b"code of a"
    assert checks.asked == [("a", ("re",)), ("b", None)]


async def test_who_is_cancelled_does_not_take_the_others_along(checks):
    kept, plan = Codes(checks.check), a_plan("a")
    checks.go_on.clear()
    first, second = asyncio.create_task(kept.get(plan)), asyncio.create_task(kept.get(plan))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    checks.go_on.set()
    assert first.cancelled()
    assert await second == b"code of a"


@pytest.mark.parametrize(
    ("problem", "says"),
    [(Problem(3, 5, "no"), "line 3, column 5: no"), (Problem(0, 0, "too slow"), "too slow")],
)
async def test_code_that_does_not_pass_here_is_refused_and_looked_at_again_next_time(checks, problem, says):
    kept = Codes(checks.check)
    checks.answer = Checked((problem, Problem(9, 9, "more")), None)
    with pytest.raises(Refused) as refused:
        await kept.get(a_plan("a"))
    assert str(refused.value) == says
    checks.answer = None
    assert await kept.get(a_plan("a")) == b"code of a"


async def test_a_sandbox_that_is_away_is_told_to_all_who_wait(checks):
    kept = Codes(checks.check)
    checks.answer = ServerLost("gone")
    told = await asyncio.gather(*(kept.get(a_plan("a")) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in told] == [ServerLost] * 3
    assert len(checks.asked) == 1


async def test_what_was_not_asked_for_longest_goes_first(checks, monkeypatch):
    monkeypatch.setattr(codes, "_SOURCES", 2)
    kept = Codes(checks.check)
    for source in "abaca":
        await kept.get(a_plan(source))
    assert [source for source, _ in checks.asked] == ["a", "b", "c"]
    await kept.get(a_plan("b"))
    assert len(checks.asked) == 4


async def test_large_codes_do_not_fill_the_memory(checks, monkeypatch):
    monkeypatch.setattr(codes, "_BYTES", 25)
    kept = Codes(checks.check)
    for source in "abcb":
        await kept.get(a_plan(source))
    assert [source for source, _ in checks.asked] == ["a", "b", "c"]
    assert sum(map(len, kept._kept.values())) == kept._bytes == 18


async def test_closing_leaves_nothing_behind(checks):
    kept = Codes(checks.check)
    checks.go_on.clear()
    waiting = asyncio.create_task(kept.get(a_plan("a")))
    await asyncio.sleep(0)
    await kept.close()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert kept._making == {}
