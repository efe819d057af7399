"""`toolyard ledger rebuild` as ops meet it: equal, tampered with, older than the log, wrong keys, a torn log."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from tests.support import ledger
from tests.support.house import QUICK, until
from tests.support.ledger import ENVELOPE, Story, message_of
from tests.support.processes import Process, python_module
from tests.support.waiting import wait_until

from toolyard.errors import LogGap, Refused, SettingsError
from toolyard.security.signing import Keyring
from toolyard.store import database
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.journal import SqlJournal
from toolyard.testing.store_suite import a_spec
from toolyard.transport.embedded import EmbeddedTransport
from toolyard_scheduler.app import Scheduler
from toolyard_scheduler.duty import in_background
from toolyard_scheduler.rebuilding import __main__ as command
from toolyard_scheduler.rebuilding import process
from toolyard_scheduler.rebuilding.process import Report
from toolyard_scheduler.rebuilding.settings import LedgerSettings

KEY = f"test:{bytes(range(32)).hex()}"
CALLS = [f"c{number}" for number in range(8)]


@pytest.fixture
async def url(store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a log and the ledger that a scheduler has made of it."""
    monkeypatch.setattr(ledger, "NOW", time.time() - 100.0)  # no clock is ahead of the scheduler's
    store.tools.create("default", a_spec())
    journal, crossing = SqlJournal(store.url), Crossing(4)
    transport = EmbeddedTransport(journal)
    await transport.open()
    scheduler = Scheduler(transport, ENVELOPE, store, crossing, options=QUICK)
    try:
        await scheduler.start()
        await until(lambda: scheduler.leading, "the scheduler to lead")
        for call_id in CALLS:
            story = Story(call_id, deadline=ledger.NOW + 3e8)
            await transport.publish(message_of(story.accepted()))
            if call_id != CALLS[-1]:
                await transport.publish(message_of(story.ended()))
        await asyncio.wait_for(scheduler.reached(journal.last() or 0), 60)
    finally:
        await scheduler.stop()
        await transport.close()
        await crossing.close()
        journal.close()
    return store.url


def settings(url: str, keys: str = KEY) -> LedgerSettings:
    return LedgerSettings(database_url=url, signing_keys=Keyring.parse(keys))


async def compared(url: str) -> Report:
    return await process.check(settings(url), _silent, pass_over=False)


async def replaced(url: str) -> Report:
    return await process.rebuild(settings(url), _silent, replace=True, pass_over=False)


def _silent(_: int, __: int, ___: str) -> None:
    """Nobody looks."""


def execute(url: str, statement: str) -> None:
    engine = create_engine(database.parse_url(url))
    with engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount > 0
    engine.dispose()


def rows(url: str, table: str = "calls") -> list[Any]:
    engine = create_engine(database.parse_url(url))
    with engine.connect() as connection:
        found = sorted(map(tuple, connection.execute(text(f"SELECT * FROM {table}"))), key=str)
    engine.dispose()
    return found


# ---- compared and replaced ------------------------------------------------------------------------
async def test_what_nobody_has_touched_is_equal_and_says_what_it_speaks_of(url: str):
    report = await compared(url)

    assert report.comparison is not None
    assert (report.comparison.count, report.comparison.calls, report.comparison.older) == (0, len(CALLS), 0)
    assert report.built.since == ledger.NOW
    assert report.built.passed_over == 0


async def test_what_was_tampered_with_is_named_and_a_replacement_mends_it(url: str):
    before = rows(url)
    execute(url, "UPDATE calls SET state = 'failed', effect = 'unknown' WHERE call_id = 'c1'")
    execute(url, "DELETE FROM calls WHERE call_id = 'c2'")

    found = (await compared(url)).comparison
    assert found is not None
    told = {(each.key, each.column): (each.database, each.log) for each in found.differences}
    assert told == {
        ("c1", "state"): ("failed", "succeeded"),
        ("c1", "effect"): ("unknown", "done"),
        ("c2", ""): (None, "succeeded"),
    }

    assert (await replaced(url)).calls == len(CALLS)
    assert rows(url) == before


async def test_a_call_that_the_log_does_not_know_is_told_and_kept(url: str):
    execute(url, "UPDATE calls SET call_id = 'foreign' WHERE call_id = 'c3'")

    found = (await compared(url)).comparison
    assert found is not None
    assert found.missing == 1
    await replaced(url)

    assert {"foreign", "c3"} <= {row[0] for row in rows(url)}


async def test_calls_older_than_the_log_stay_as_they_are(url: str):
    before = rows(url)
    execute(url, "DELETE FROM log WHERE log_offset <= (SELECT min(log_offset) FROM log WHERE kind <> 'x') + 4")

    found = (await compared(url)).comparison
    assert found is not None
    assert found.count == 0
    assert found.older > 0
    assert found.calls + found.older == len(CALLS)
    await replaced(url)
    assert rows(url) == before


async def test_the_scheduler_goes_on_at_the_place_where_the_old_ledger_stood(url: str, store: Store):
    before = store.ledger.position()
    await replaced(url)
    after = store.ledger.position()

    assert (after.offset, after.record_id) == (before.offset, before.record_id)
    assert after.owner is None
    assert after.epoch > before.epoch


# ---- refused --------------------------------------------------------------------------------------
async def test_a_ledger_is_not_replaced_unasked(url: str):
    with pytest.raises(Refused, match="--replace"):
        await process.rebuild(settings(url), _silent, replace=False, pass_over=False)


async def test_while_somebody_leads_it_is_not_replaced(url: str, store: Store):
    lead = store.ledger.lead(store.ledger.position(), "another")

    async def live() -> None:
        while True:
            await asyncio.to_thread(store.ledger.beat, lead.epoch)
            await asyncio.sleep(0.1)

    async with in_background([live()]):
        with pytest.raises(Refused, match="A scheduler leads"):
            await replaced(url)
    assert store.ledger.position().owner == "another"


async def test_keys_that_are_not_here_are_named(url: str):
    other = settings(url, f"other:{'00' * 32}")
    before = rows(url)

    with pytest.raises(SettingsError, match=r"keys that are not in TOOLYARD_SIGNING_KEYS: test \(\d+ records\)"):
        await process.rebuild(other, _silent, replace=True, pass_over=False)
    assert rows(url) == before
    await process.rebuild(other, _silent, replace=True, pass_over=True)
    assert rows(url) == before  # of what nobody can vouch for, the database's word stays


@pytest.mark.parametrize(
    ("torn", "told"),
    [
        ("DELETE FROM log WHERE log_offset IN (5, 6)", "records between them are lost"),
        ("DELETE FROM log WHERE log_offset > 8", "does not reach"),
        ("DELETE FROM log", "there is no log"),
    ],
)
async def test_a_torn_log_is_told_and_nothing_is_written(url: str, torn: str, told: str):
    before = rows(url)
    execute(url, torn)

    for run in (compared, replaced):
        with pytest.raises(LogGap, match=told):
            await run(url)
    assert rows(url) == before


# ---- the command ----------------------------------------------------------------------------------
async def test_the_command_tells_differences_but_not_what_users_said(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    execute(url, "UPDATE calls SET state = 'failed', result = '{\"content\":\"private\"}' WHERE call_id = 'c1'")
    code, told = await _run(monkeypatch, capsys, url, "rebuild", "--check", "--json")
    document = json.loads(told)

    assert (code, document["equal"], document["differences"]) == (1, False, 2)
    assert {"table": "calls", "key": "c1", "column": "result"} in document["shown"]
    assert "private" not in told

    code, told = await _run(monkeypatch, capsys, url, "rebuild", "--replace")
    assert (code, "written: True" in told) == (0, True)
    code, told = await _run(monkeypatch, capsys, url, "position", "--json")
    assert (code, json.loads(told)["leader"]) == (0, None)
    code, told = await _run(monkeypatch, capsys, url, "rebuild", "--json")
    assert (code, json.loads(told)["code"]) == (1, "conflict")


async def _run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, *words: str
) -> tuple[int, str]:
    for name in [name for name in os.environ if name.startswith("TOOLYARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TOOLYARD_DATABASE_URL", url)
    monkeypatch.setenv("TOOLYARD_SIGNING_KEYS", KEY)
    monkeypatch.setattr("sys.argv", ["toolyard ledger", *words])
    run: Callable[[], int] = command.main
    code = await asyncio.to_thread(run)
    said = capsys.readouterr()
    return code, said.out or said.err


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
async def test_killed_in_the_middle_it_leaves_the_ledger_as_it_was(url: str, tmp_path: Path):
    """It waits for a lock in the middle of its transaction; then it is killed."""
    execute(url, "UPDATE calls SET state = 'failed' WHERE call_id = 'c1'")
    before = rows(url)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOOLYARD_")}
    env = kept | {"TOOLYARD_DATABASE_URL": url, "TOOLYARD_SIGNING_KEYS": KEY}
    engine = create_engine(database.parse_url(url))
    words = ("toolyard_scheduler.rebuilding", "rebuild", "--replace")
    with closing(open_store(url)) as store, engine.connect() as holder:
        holder.execute(text("LOCK TABLE submissions IN ACCESS EXCLUSIVE MODE"))
        with Process(python_module(*words), cwd=tmp_path, env=env) as running:
            await asyncio.to_thread(wait_until, lambda: _waits(url), within=60, what="it to wait for the lock")
            running.send(signal.SIGKILL)
            running.wait()
        holder.rollback()
        assert rows(url) == before
        assert (await replaced(url)).calls == len(CALLS)
        assert store.ledger.position().owner is None
    engine.dispose()


def _waits(url: str) -> bool:
    engine = create_engine(database.parse_url(url))
    with engine.connect() as connection:
        waiting = connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one()
    engine.dispose()
    return bool(waiting)
