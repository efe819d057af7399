"""Acceptance: gateway, worker and scheduler as processes over a real broker and database, under load."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any

import aiohttp
import httpx
import pytest
from tests.support import upstream as upstream_server
from tests.support.processes import free_port
from tests.support.system import KEY, System, http_tool
from tests.support.waiting import async_wait_until

pytestmark = pytest.mark.usefixtures("uncounted")

CALLS = 10_000
IN_FLIGHT = 64
#: Of each thousand calls: a hundred go wrong, each in its way.
WRONG = {"broken": 40, "slow": 30, "away": 30}
EXPECTED = {
    "fine": ("succeeded", None, "done"),
    "broken": ("failed", "upstream_error", "unknown"),
    "slow": ("timed_out", "timed_out", "unknown"),
    "away": ("failed", "upstream_error", "none"),
}


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, amqp_url_module: str, postgres_url_module: str
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    process, address = upstream_server.spawn(folder / "effects.jsonl")
    nobody = free_port()
    allow = f"{address.removeprefix('http://')},127.0.0.1:{nobody}"
    with process, System(folder, amqp=amqp_url_module, database=postgres_url_module, allow=allow) as running:
        running.env["TOOLYARD_BREAKER"] = "off"  # each call shall end by itself, however many fail before it
        running.start_all(gateways=2)
        with running.client() as client:
            for tool in (
                http_tool("fine", "POST", f"{address}/echo"),
                http_tool("broken", "POST", f"{address}/status/500"),
                http_tool("slow", "POST", f"{address}/sleep/5", timeout=3),
                http_tool("away", "POST", f"http://127.0.0.1:{nobody}/"),
            ):
                client.post("/v1/tools", json=tool).raise_for_status()
        yield running


def _tool(number: int) -> str:
    place = number % 1000
    for tool, share in WRONG.items():
        if place < share:
            return tool
        place -= share
    return "fine"


async def _load(url: str) -> list[tuple[str, dict[str, Any]]]:
    ended: list[tuple[str, dict[str, Any]]] = []
    numbers = iter(range(CALLS))

    async def one(client: aiohttp.ClientSession) -> None:
        for number in numbers:
            tool = _tool(number)
            async with client.post("/v1/calls", json={"tool": tool, "arguments": {"number": number}}) as answer:
                assert answer.status == 200, await answer.text()
                ended.append((tool, await answer.json()))

    headers = {"Authorization": f"Bearer {KEY}"}
    patience = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(url, headers=headers, timeout=patience) as client:
        await asyncio.gather(*(one(client) for _ in range(IN_FLIGHT)))
    return ended


def _judge(tool: str, call: dict[str, Any]) -> bool:
    error = call.get("error") or {}
    return (call["state"], error.get("code"), call["effect"]) == EXPECTED[tool]


def _metric(url: str, name: str) -> float:
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    values = [line.split()[-1] for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
    assert values, f"{name} is not among the metrics:\n{text}"
    return float(values[0])


async def _lag(system: System) -> float:
    return await asyncio.to_thread(_metric, system.url("scheduler"), "toolyard_ledger_lag_seconds")


@pytest.mark.timeout(600)
async def test_ten_thousand_calls_all_end_once_with_the_right_code_and_any_gateway_answers(system: System) -> None:
    begun = time.monotonic()
    load = asyncio.create_task(_load(system.url("gateway1")))
    lags = []
    while not (await asyncio.wait([load], timeout=0.2))[0]:
        lags.append(await _lag(system))
    ended, over = load.result(), time.monotonic()

    async def all_applied() -> bool:
        """What the ledger has published after the last answer has come back to it."""
        return await _lag(system) < time.monotonic() - over

    await async_wait_until(all_applied, within=60, what="the ledger to have applied everything")

    assert len(ended) == CALLS
    wrong = [(tool, call) for tool, call in ended if not _judge(tool, call)]
    assert not wrong, wrong[:3]
    ids = [call["call_id"] for _, call in ended]
    assert len(set(ids)) == CALLS

    stored = await asyncio.to_thread(_all_of, system, "gateway2")
    assert Counter(call["call_id"] for call in stored) == Counter(ids)
    told = {call["call_id"]: call for _, call in ended}
    different = [(call, told[call["call_id"]]) for call in stored if call != told[call["call_id"]]]
    assert not different, different[:2]
    lag = median(lags)  # the machine may stand still for a moment
    assert lag < 1.0
    rate = CALLS / (over - begun)
    print(f"\n{CALLS} calls, {IN_FLIGHT} in flight: {rate:.0f} calls/s, ledger lag {lag * 1e3:.0f} ms")


def _all_of(system: System, gateway: str) -> list[dict[str, Any]]:
    """Every call of the store, page by page, through a gateway that took none of them."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    with system.client(gateway) as client:
        last = client.get("/v1/calls", params={"limit": 1}).json()["items"]
        assert last
        while True:
            page = client.get("/v1/calls", params={"limit": 200} | ({"cursor": cursor} if cursor else {})).json()
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found


def test_one_call_is_answered_the_same_by_the_other_gateway_at_once(system: System) -> None:
    with system.client("gateway1") as first, system.client("gateway2") as second:
        call = first.post("/v1/calls", json={"tool": "fine", "arguments": {"a": 1}}).json()
        assert call["state"] == "succeeded"
        assert second.get(f"/v1/calls/{call['call_id']}", params={"wait": 60}).json() == call
