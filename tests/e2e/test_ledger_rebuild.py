"""Acceptance: a ledger that is made anew of the log equals the original, row by row, column by column.

Real gateways, workers and a scheduler on a real broker, with everything that makes a ledger more than a list: retries,
fallbacks, cancels, pauses, calls for later, submissions by two gateways, conflicts, workers that die or come back late,
and a scheduler that is killed. A thousand calls; `make ledger` makes ten thousand.
"""

import asyncio
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import jsonschema_rs
import pytest
from sqlalchemy import create_engine, select
from tests.support import upstream as upstream_server
from tests.support.processes import console_script, free_port
from tests.support.services import Database
from tests.support.system import KEY, System, http_tool
from tests.support.waiting import async_wait_until

from toolyard.contracts import schemas
from toolyard.store import database, tables

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(900)]

CALLS = int(os.environ.get("TOOLYARD_TEST_REBUILD_CALLS", "300"))
IN_FLIGHT = 48
GATEWAYS = ("gateway1", "gateway2")
RETRY = {"max_attempts": 3, "backoff": 0.05}
#: Of each hundred calls: how many go which way; all others are fine.
WAYS = {
    "again": 8,
    "broken": 4,
    "slow": 3,
    "away": 5,
    "second": 5,
    "cancelled": 6,
    "later": 4,
    "paused": 3,
    "twice": 4,
    "conflict": 3,
    "talk": 3,
    "once": 20,
}
#: Columns that may differ, and why. There are none: what the clock of the scheduler said is told in the log.
MAY_DIFFER: frozenset[str] = frozenset()


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
        running.start("worker2", "worker", "http")
        running.ready("worker2")
        with running.client() as client:
            for tool in _tools(address, f"http://127.0.0.1:{nobody}/"):
                client.post("/v1/tools", json=tool).raise_for_status()
        yield running


def _tools(address: str, nobody: str) -> list[dict[str, Any]]:
    second = {"type": "http", "method": "POST", "url": f"{address}/echo"}
    return [
        http_tool("fine", "GET", f"{address}/echo"),
        http_tool("once", "POST", f"{address}/echo"),
        http_tool("again", "GET", f"{address}/status/503", retry=RETRY),
        http_tool("broken", "POST", f"{address}/status/500"),
        http_tool("slow", "POST", f"{address}/sleep/5", timeout=0.3),
        http_tool("away", "POST", nobody, retry=RETRY),
        http_tool("second", "POST", nobody, fallback=second),
        http_tool("cancelled", "POST", f"{address}/sleep/3"),
        http_tool("paused", "POST", f"{address}/echo"),
        http_tool("stops", "POST", f"{address}/sleep/15", timeout=90),
        http_tool("stops_again", "GET", f"{address}/sleep/15", timeout=90),
    ]


# ---- the load -----------------------------------------------------------------------------------


def _way(number: int) -> str:
    place = number % 100
    for way, share in WAYS.items():
        if place < share:
            return way
        place -= share
    return "fine"


class Load:
    """Makes all calls, and what happens to them on the way."""

    def __init__(self, gateways: list[aiohttp.ClientSession]) -> None:
        self._gateways = gateways
        self.made: Counter[str] = Counter()

    async def run(self) -> None:
        numbers = iter(range(CALLS))

        async def some() -> None:
            for number in numbers:
                way = _way(number)
                await getattr(self, f"_{way}", self._plain)(way, number)
                self.made[way] += 1

        await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))

    async def _call(self, number: int, wait: int = 30, gateway: int | None = None, **asked: Any) -> dict[str, Any]:
        session = self._gateways[number % 2 if gateway is None else gateway]
        body = {"arguments": {"number": number}, **asked}
        async with session.post("/v1/calls", json=body, headers={"Prefer": f"wait={wait}"}) as answer:
            told: dict[str, Any] = await answer.json()
            assert answer.status in (200, 202, 409, 422, 503), told
            return told

    async def _plain(self, way: str, number: int) -> None:
        await self._call(number, tool=way)

    async def _cancelled(self, way: str, number: int) -> None:
        call = await self._call(number, wait=0, tool=way)
        async with self._gateways[0].post(f"/v1/calls/{call['call_id']}/cancel") as answer:
            assert answer.status in (200, 202, 404), await answer.text()

    async def _later(self, _: str, number: int) -> None:
        soon = datetime.now(UTC) + timedelta(seconds=2)
        call = await self._call(number, wait=0, tool="once", not_before=soon.isoformat())
        if number % 2 and "call_id" in call:
            async with self._gateways[0].post(f"/v1/calls/{call['call_id']}/cancel") as answer:
                assert answer.status in (200, 202, 404)

    async def _paused(self, _: str, number: int) -> None:
        await self._call(number, wait=0, tool="paused")

    async def _twice(self, _: str, number: int) -> None:
        """By two gateways at once, under one key."""
        key = f"twice-{number}"
        await asyncio.gather(*(self._call(number, gateway=each, tool="once", idempotency_key=key) for each in (0, 1)))

    async def _conflict(self, _: str, number: int) -> None:
        """By two gateways at once, under one key, with other arguments: whoever comes late is told of it."""
        key = f"conflict-{number}"

        async def one(gateway: int) -> None:
            arguments = {"number": number, "by": gateway}
            await self._call(number, gateway=gateway, tool="once", idempotency_key=key, arguments=arguments)

        await asyncio.gather(one(0), one(1))

    async def _talk(self, _: str, number: int) -> None:
        conversation = f"talk-{number}"
        await self._call(number, wait=0, tool="cancelled", conversation=conversation)
        async with self._gateways[0].post("/v1/calls/cancel", json={"conversation": conversation}) as answer:
            assert answer.status == 200


async def _deaths(system: System, gateways: list[aiohttp.ClientSession]) -> None:
    """A worker is killed, another one stands still until its leases have lapsed, and the scheduler is killed."""

    async def both_hold_some() -> bool:
        for tool in ("stops", "stops_again"):
            asked: dict[str, Any] = {"tool": tool, "arguments": {}}
            async with gateways[0].post("/v1/calls", json=asked, headers={"Prefer": "wait=0"}) as answer:
                assert answer.status == 202, await answer.text()
        held = [row["holder"] for row in await _stopped(system) if row["holder"]]
        return len({holder.rpartition(":")[0] for holder in held}) > 1

    await async_wait_until(both_hold_some, within=60, what="both workers to hold calls", every=0.2)
    system.processes["worker"].kill()
    system.processes["worker2"].suspend()
    system.processes["scheduler"].kill()
    system.start("scheduler", "scheduler")
    system.start("worker3", "worker", "http")
    await asyncio.to_thread(system.ready, "scheduler", "worker3")

    async def given_up() -> bool:
        return all(row["finished_at"] is not None for row in await _stopped(system))

    await async_wait_until(given_up, within=120, what="the verdicts over what both had held", every=0.5)
    system.processes["worker2"].resume()


async def _stopped(system: System) -> list[dict[str, Any]]:
    stored = await asyncio.to_thread(rows, _database(system))
    return [row for row in stored if row["tool"] == "stops"]


async def _load(system: System) -> Counter[str]:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    patience = aiohttp.ClientTimeout(total=120)
    sessions = [aiohttp.ClientSession(system.url(name), headers=headers, timeout=patience) for name in GATEWAYS]
    try:
        async with sessions[0].post("/v1/tools/paused/pause") as answer:
            assert answer.status == 200
        load = Load(sessions)
        await asyncio.gather(load.run(), _deaths(system, sessions))
        async with sessions[1].post("/v1/tools/paused/resume") as answer:
            assert answer.status == 200
        await async_wait_until(lambda: _all_is_over(system), within=300, what="the end of all calls", every=0.5)
        return load.made
    finally:
        for session in sessions:
            await session.close()


async def _all_is_over(system: System) -> bool:
    """All calls have ended, and who came back late has been heard."""
    stored = await asyncio.to_thread(rows, _database(system))
    return all(row["finished_at"] is not None for row in stored) and any(row["late_results"] for row in stored)


# ---- what is compared ---------------------------------------------------------------------------


def _database(system: System) -> str:
    return str(system.env["TOOLYARD_DATABASE_URL"])


def rows(url: str, name: str = "calls") -> list[dict[str, Any]]:
    """All rows of a table, in the order of their keys."""
    table = tables.metadata.tables[name]
    engine = create_engine(database.parse_url(url))
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(select(table)).mappings()]
    engine.dispose()
    return sorted(found, key=lambda row: [str(row[column.name]) for column in table.primary_key.columns])


def command(system: System, *words: str, **env: str) -> tuple[int, dict[str, Any]]:
    """The exit code of `toolyard ledger`, and what it says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOOLYARD_")}
    given = {name: value for name, value in system.env.items() if value and name in NEEDED}
    done = subprocess.run(
        console_script("toolyard", "ledger", *words, "--json"),
        env={**kept, **given, **env},
        cwd=system.folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or done.stderr)


NEEDED = ("TOOLYARD_TRANSPORT_URL", "TOOLYARD_DATABASE_URL", "TOOLYARD_SIGNING_KEYS")


async def test_a_ledger_made_anew_equals_the_one_that_was_kept(system: System, postgres: Database) -> None:
    made = await _load(system)
    stored = rows(_database(system))
    print(f"\n{len(stored)} calls: {dict(Counter(row['state'] for row in stored))}; made {dict(made)}")
    _everything_happened(stored)
    _every_event_is_as_its_schema_says(system)

    assert command(system, "position")[1]["offset"] > len(stored)
    code, told = command(system, "rebuild", "--check")
    assert (code, told.get("shown")) == (0, None), told
    assert told["calls"] == len(stored)

    code, refused = command(system, "rebuild", "--replace")
    assert (code, refused["code"]) == (1, "conflict")
    assert "Stop all schedulers" in refused["detail"]

    system.processes["scheduler"].terminate()
    elsewhere = postgres.create_database()
    try:
        _is_made_elsewhere(system, elsewhere)
    finally:
        postgres.drop_database(elsewhere)
    _is_replaced(system)


def _everything_happened(stored: list[dict[str, Any]]) -> None:
    """The load was what it should be: a ledger without these would be easy to make anew."""
    states = Counter(row["state"] for row in stored)
    assert states.keys() >= {"succeeded", "failed", "timed_out", "cancelled"}
    errors = Counter(json.loads(row["error"])["code"] for row in stored if row["error"])
    assert errors["outcome_unknown"] > 0
    assert sum(row["attempts"] > 1 for row in stored) > 0
    assert sum(row["diverted"] for row in stored) > 0
    assert sum(row["late_results"] for row in stored) > 0
    assert sum(row["submitters"] > 1 for row in stored) > 0
    assert sum(row["fence"] > 1 for row in stored) > 0


def _is_made_elsewhere(system: System, elsewhere: str) -> None:
    """In an empty database: the same tables, but for who leads."""
    code, told = command(system, "rebuild", TOOLYARD_DATABASE_URL=elsewhere)
    assert (code, told.get("written")) == (0, True), told
    for name in ("calls", "submissions", "authorizations", "pauses"):
        one, other = rows(_database(system), name), rows(elsewhere, name)
        assert len(one) == len(other)
        for before, after in zip(one, other, strict=True):
            different = {each for each in before if before[each] != after[each]} - MAY_DIFFER
            assert not different, (before, after)
    again, _ = command(system, "rebuild", TOOLYARD_DATABASE_URL=elsewhere)
    assert again == 1


def _is_replaced(system: System) -> None:
    """And a scheduler goes on behind it as if nothing had been."""
    before = rows(_database(system))
    code, told = command(system, "rebuild", "--replace")
    assert (code, told["calls"]) == (0, len(before)), told
    assert rows(_database(system)) == before
    system.start("scheduler", "scheduler")
    system.ready("scheduler")
    with system.client() as client:
        assert client.post("/v1/calls", json={"tool": "once", "arguments": {}}).json()["state"] == "succeeded"
    code, told = command(system, "rebuild", "--check")
    assert (code, told.get("shown")) == (0, None), told


def _every_event_is_as_its_schema_says(system: System) -> None:
    """All that followers are told of these calls."""
    validators = {
        schemas.event_type(each): jsonschema_rs.Draft202012Validator(schemas.event_schema(each), validate_formats=True)
        for each in schemas.events()
    }
    seen: Counter[str] = Counter()
    with system.client() as client, client.stream("GET", "/v1/events", params={"since": "0-0", "until": "now"}) as told:
        for line in told.iter_lines():
            if line.startswith("data: {") and "specversion" in line:
                event = json.loads(line.removeprefix("data: "))
                assert [each.message for each in validators[event["type"]].iter_errors(event)] == [], event
                seen[event["type"]] += 1
    assert seen[schemas.event_type("accepted")] >= CALLS
    assert len(seen) > 8
