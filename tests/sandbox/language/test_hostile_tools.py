"""Tools that want more than they may: refused before they run, or stopped while they run, in the jail."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.sandbox.language import cases

from toolyard.sandbox.jail.jail import Jail, Level, Limits

HOSTILE = Path(__file__).parent / "hostile"
REFUSED = [case for case in cases.cases("hostile") if "says" in case.fields]
STOPPED = [case for case in cases.cases("hostile") if "says" not in case.fields]
#: What `planted_guest` puts into the real built-ins and modules.
MARK = "this-was-" + "planted-0815"
SMALL = Limits(wall=2, cpu=2, memory=64 << 20, requests=50)
#: For what ends by itself, or by another limit.
PATIENT = Limits(wall=60, cpu=60, memory=64 << 20, requests=50)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_hostile_source_is_refused_with_a_place_and_a_reason(case: cases.Case):
    found = cases.problems(case.source)
    assert any(case.fields["says"] in problem["message"] for problem in found), found
    assert all(problem["line"] >= 1 and problem["column"] >= 1 for problem in found)


def test_there_are_at_least_sixty_of_each_kind():
    assert len({case.name for case in REFUSED}) == len(REFUSED) >= 60
    assert len({case.name for case in STOPPED}) == len(STOPPED) >= 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jail() -> AsyncIterator[Jail]:
    locked = Jail("planted_guest", children=1, minimum=Level.DEGRADED, folders=[str(HOSTILE / "planted")])
    await locked.start()
    yield locked
    await locked.stop()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", STOPPED, ids=lambda case: case.name)
async def test_a_hostile_tool_is_stopped(jail: Jail, case: cases.Case):
    """It is compiled and run in the jail only, and never sees the mark."""
    checked = await jail.run("check", cases.check_payload(case.source), limits=PATIENT)
    told = json.loads(checked.body)
    assert told["problems"] == []
    header = {"parameters": {"x": None}, "limits": {"prints": 1000, "output": 100_000, "requests": 3}}
    payload = cases.run_payload(base64.b64decode(told["code"]), **header)
    limits = SMALL if "timed_out" in _ways(case.fields) else PATIENT
    ran = await jail.run("run", payload, limits=limits, answer=_upstream)
    assert MARK.encode() not in ran.body
    _compare(case.fields, ran.how, json.loads(ran.body) if ran.how == "answered" else {})


def _ways(fields: dict[str, Any]) -> list[str]:
    """How it may be ended from outside."""
    return [*fields.get("how_or_code", ()), fields.get("how", "")]


def _compare(expected: dict[str, Any], how: str, told: dict[str, Any]) -> None:
    shown = (how, told)
    match expected:
        case {"how": wanted}:
            assert how == wanted, shown
        case {"how_or_code": wanted}:
            assert how in wanted or told.get("code") in wanted, shown
        case {"value": wanted}:
            assert told.get("value") == wanted, shown
            assert len(told["prints"]) < 1100
        case {"code": wanted}:
            assert told.get("code") == wanted, shown
        case {"error": wanted}:
            assert told.get("code") == "tool_error", shown
            assert wanted in told["message"], shown
            assert told["line"] is not None


async def _upstream(question: bytes) -> bytes:
    await asyncio.sleep(0)
    return json.dumps({"status": 200, "headers": {}, "body": "", "url": json.loads(question)["url"]}).encode()
