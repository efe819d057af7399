"""Acceptance: sandboxed tools end to end over a real broker and database, one call in ten hostile."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from tests.support.processes import free_port
from tests.support.system import KEY, System
from tests.support.waiting import async_wait_until

pytestmark = pytest.mark.usefixtures("uncounted")

CALLS: Final = 1_000
IN_FLIGHT: Final = 32
HONEST: Final = "counts"
TEXT: Final = "the cat and the dog and the bird"
COUNTED: Final = {"the": 3, "cat": 1, "and": 2, "dog": 1, "bird": 1}

_COUNTS: Final = """
def execute_tool(parameters, context):
    counts = {}
    for word in parameters["text"].split():
        counts[word] = counts.get(word, 0)
        counts[word] += 1
    print(parameters["number"], "counted")
    return {"success": True, "message": f"{len(counts)} words", "data": counts}
"""
#: What each does, and how its calls must end: state, code, effect.
_HOSTILE: Final[dict[str, tuple[str, tuple[str, str, str]]]] = {
    "loops": ("while True: pass", ("timed_out", "timed_out", "none")),
    "loops_in_c": ("sum(range(10**15))", ("timed_out", "timed_out", "none")),
    "catches_everything": ("while True:\n try:\n  1 / 0\n except: pass", ("timed_out", "timed_out", "none")),
    "backtracks": ("import re\nre.match('(a+)+$', 'a' * 40 + 'b')", ("timed_out", "timed_out", "none")),
    "eats_memory": ("x = []\nwhile True: x.append('a' * 1_000_000)", ("failed", "resource_exhausted", "none")),
    "asks_for_much": ("return 'a' * 10**10", ("failed", "resource_exhausted", "none")),
    "goes_deep": ("def f(): return f()\nreturn f()", ("failed", "tool_error", "none")),
    "returns_much": ("return 'a' * 2_000_000", ("failed", "output_too_large", "none")),
    "returns_a_set": ("return {1, 2}", ("failed", "output_invalid", "none")),
    "prints_without_end": ("while True: print('a' * 10_000)", ("timed_out", "timed_out", "none")),
    "raises": ("raise ValueError('wrong')", ("failed", "tool_error", "none")),
    "knocks_at_home": (
        "import requests\nreturn requests.get('http://localhost:{nobody}/').text",
        ("failed", "egress_denied", "none"),
    ),
}
HOSTILE: Final = tuple(_HOSTILE)


def _tool(name: str, body: str, **binding: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"A sandboxed tool that {name}.",
        "parameters": {"type": "object"},
        "binding": {"type": "sandbox", "code": body, **binding},
    }


def _hostile_tool(name: str, nobody: int) -> dict[str, Any]:
    lines = _HOSTILE[name][0].replace("{nobody}", str(nobody)).split("\n")
    code = "\n    ".join(["def execute_tool(parameters, context):", *lines])
    reaches = {"allowed_imports": ["requests"], "allowed_hosts": ["localhost"]} if "requests" in code else {}
    seconds = 0.5 if "timed_out" in _HOSTILE[name][1] else 20.0
    return _tool(name, code, execution_timeout=seconds, memory_limit_mb=32, **reaches)


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, amqp_url_module: str, postgres_url_module: str
) -> Iterator[System]:
    nobody = free_port()
    folder = tmp_path_factory.mktemp("sandbox")
    with System(folder, amqp=amqp_url_module, database=postgres_url_module, allow="") as running:
        running.start_all(pool="sandbox")
        with running.client() as client:
            tools = [_tool(HONEST, _COUNTS), *(_hostile_tool(name, nobody) for name in HOSTILE)]
            for tool in tools:
                saved = client.post("/v1/tools", json=tool)
                assert saved.status_code == 201, saved.text
        yield running


def _name(number: int) -> str:
    return HOSTILE[number // 10 % len(HOSTILE)] if number % 10 == 0 else HONEST


async def _load(url: str) -> list[tuple[int, dict[str, Any]]]:
    ended: list[tuple[int, dict[str, Any]]] = []
    numbers = iter(range(CALLS))

    async def one(client: aiohttp.ClientSession) -> None:
        for number in numbers:
            body = {"tool": _name(number), "arguments": {"number": number, "text": TEXT}}
            async with client.post("/v1/calls", json=body, headers={"Prefer": "wait=60"}) as answer:
                assert answer.status == 200, await answer.text()
                ended.append((number, await answer.json()))

    patience = aiohttp.ClientTimeout(total=90)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(url, headers=headers, timeout=patience) as client:
        await asyncio.gather(*(one(client) for _ in range(IN_FLIGHT)))
    return ended


def _is_right(number: int, call: dict[str, Any]) -> bool:
    found = call["state"], call.get("error", {}).get("code"), call["effect"]
    name = _name(number)
    if name != HONEST:
        return found == _HOSTILE[name][1]
    data = call["result"]["structured"]["data"]
    return found == ("succeeded", None, "done") and data == COUNTED and call["report"]["logs"] == f"{number} counted\n"


@pytest.mark.timeout(600)
async def test_a_thousand_calls_one_in_ten_hostile_all_end_with_the_right_code(system: System) -> None:
    worker = system.processes["worker"].pid
    before = _below(worker)

    ended = await _load(system.url())

    assert sorted(number for number, _ in ended) == list(range(CALLS))
    assert len({call["call_id"] for _, call in ended}) == CALLS
    wrong = [(_name(number), call) for number, call in ended if not _is_right(number, call)]
    assert not wrong, wrong[:3]
    assert all(call["attempts"] == 1 for _, call in ended)
    levels = {call["report"]["isolation"] for _, call in ended}
    assert levels <= {"full", "container"}, levels
    await async_wait_until(lambda: _quiet(worker, before), within=60, what="no more processes than before")
    system.ready("worker")


async def _quiet(worker: int, before: int) -> bool:
    return _below(worker) <= before


def _below(pid: int) -> int:
    """How many processes there are below one."""
    parents = dict(filter(None, (_parent(folder) for folder in Path("/proc").iterdir() if folder.name.isdecimal())))
    found, level = 0, {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found += len(level)
    return found


def _parent(folder: Path) -> tuple[int, int] | None:
    try:
        stat = (folder / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return None
    return int(folder.name), int(stat.rpartition(")")[2].split()[1])
