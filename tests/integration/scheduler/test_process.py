"""The scheduler as ops run it: a process over a real broker and a real database."""

import asyncio
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.ledger import Story
from tests.support.processes import Process, console_script, free_port
from tests.support.waiting import async_wait_until

from toolyard.contracts.calls import Call, CallMessage
from toolyard.contracts.events import CallEvent
from toolyard.contracts.schedules import Interval, ScheduleSpec
from toolyard.security.keys import SecretKeys
from toolyard.security.signing import Keyring
from toolyard.store.connect import Store, open_store
from toolyard.store.schedules import ScheduleRow
from toolyard.store.vault import Vault
from toolyard.testing.store_suite import a_spec
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.firing import call_id

KEYS = f"test:{secrets.token_hex(32)}"


class Command:
    """`toolyard scheduler` with settings of the test's choice."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.env: dict[str, str | None] = {
            "TOOLYARD_SIGNING_KEYS": KEYS,
            "TOOLYARD_PORT": str(self.port),
            "TOOLYARD_LOG_FORMAT": "json",
            **env,
        }

    def start(self, *words: str, **env: str) -> Process:
        command = console_script("toolyard", "scheduler", *words)
        return Process(command, env=self.env | env, cwd=self.folder, log=self.folder / "scheduler.log")

    def end(self, *words: str, **env: str) -> tuple[int, str]:
        """Run it to its end: exit code and output."""
        process = self.start(*words, **env)
        return process.wait(within=60), process.output()

    def get(self, path: str) -> str:
        return httpx.get(self.url + path, trust_env=False).text

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def command(tmp_path: Path, amqp_url: str, postgres_url: str) -> Command:
    return Command(tmp_path, TOOLYARD_TRANSPORT_URL=amqp_url, TOOLYARD_DATABASE_URL=postgres_url)


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    store = open_store(postgres_url)
    yield store
    store.close()


async def publish(url: str, *contents: CallMessage | CallEvent) -> None:
    envelope = Envelope(Keyring.parse(KEYS))
    transport = connect(url, name="test", declare=True)
    await transport.open()
    await asyncio.gather(
        *(
            transport.publish(envelope.call(each) if isinstance(each, CallMessage) else envelope.event(each))
            for each in contents
        )
    )
    await transport.close()


async def test_it_migrates_keeps_the_ledger_and_ends_in_good_order(command: Command, store: Store, amqp_url: str):
    process = command.start()
    process.wait_for_http(f"{command.url}/readyz", status=200)
    now = time.time()
    stories = [Story(f"c{number}", accepted_at=now, deadline=now + 300.0) for number in range(100)]
    await publish(amqp_url, *(story.accepted() for story in stories))
    await publish(amqp_url, *(story.ended() for story in stories))

    async def all_ended() -> bool:
        return len(store.calls.ended([story.call.call_id for story in stories])) == 100

    await async_wait_until(all_ended, within=60, what="the end of all calls")
    assert "toolyard_ledger_leading 1" in await asyncio.to_thread(command.get, "/metrics")
    process.end_by(signal.SIGTERM, within=60)

    assert process.exit_code == 0
    assert store.ledger.position().owner is None


async def test_it_goes_on_where_it_stood_when_it_was_killed(command: Command, store: Store, amqp_url: str):
    first = command.start()
    first.wait_for_http(f"{command.url}/readyz", status=200)
    now = time.time()
    story = Story(accepted_at=now, deadline=now + 300.0)
    await publish(amqp_url, story.accepted())

    async def known() -> bool:
        return store.calls.get("default", "c1") is not None

    await async_wait_until(known, within=60, what="the call")
    first.kill()
    await publish(amqp_url, story.ended())
    second = command.start()

    async def ended() -> bool:
        return bool(store.calls.ended(["c1"]))

    await async_wait_until(ended, within=60, what="the end of the call")
    second.end_by(signal.SIGTERM, within=60)


@pytest.mark.proof
async def test_two_schedulers_of_which_one_is_killed_fire_every_slot_as_one_call(
    command: Command, store: Store, amqp_url: str, tmp_path: Path
):
    first = command.start()
    first.wait_for_http(f"{command.url}/readyz", status=200)
    (tmp_path / "standby").mkdir()
    standby = Command(tmp_path / "standby", **{name: value for name, value in command.env.items() if value})
    standby.env["TOOLYARD_PORT"] = str(standby.port)
    second = standby.start()
    second.wait_for_http(f"{standby.url}/readyz", status=200)
    begin = float(int(time.time()) + 1)
    store.tools.create("default", a_spec())
    spec = ScheduleSpec(
        name="often", tool="lookup", when=Interval(seconds=1.0), anchor=begin, missed="catch_up", catch_up=60, checked=1
    )
    made = ScheduleRow("id-often", "default", spec, 1, "key1", begin, begin, paused=False, next_at=begin)
    store.schedules.create(made)

    async def fired_at_least(count: int) -> None:
        async def enough() -> bool:
            row = store.schedules.get("default", "often")
            return row is not None and row.last is not None and row.last.slot >= begin + count

        await async_wait_until(enough, within=60, what=f"{count} firings")

    await fired_at_least(3)
    first.kill()
    killed_at = time.time()
    await fired_at_least(int(killed_at - begin) + 5)
    second.end_by(signal.SIGTERM, within=60)

    row = store.schedules.get("default", "often")
    assert row is not None
    assert row.last is not None
    expected = {call_id(made, begin + number) for number in range(int(row.last.slot - begin) + 1)}
    published = await accepted(amqp_url, "-")
    assert {call.call_id for call in published} == expected
    assert len({call.body_hash for call in published}) == 1
    assert len(published) <= len(expected) + 1, "only what was on its way at the kill is published twice"


async def accepted(url: str, gateway: str) -> list[Call]:
    """The calls of this gateway in the log."""
    envelope = Envelope(Keyring.parse(KEYS))
    transport = connect(url, name="test", declare=True)
    await transport.open()
    mark = Story("mark", accepted_at=time.time())
    await transport.publish(envelope.call(mark.accepted()))
    reader = await transport.read_log(None)
    found: list[Call] = []
    while True:
        for record in await reader.batch(500):
            if record.key.startswith("call.accepted."):
                call = envelope.open_call(record).call
                if call.call_id == "mark":
                    await reader.close()
                    await transport.close()
                    return [each for each in found if each.gateway == gateway]
                found.append(call)


def test_it_waits_for_a_database_that_is_away(command: Command):
    process = command.start(TOOLYARD_DATABASE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    process.wait_for_http(f"{command.url}/readyz", status=503)
    process.wait_for(lambda: "database" in command.get("/readyz"), what="the reason")
    process.wait_for_http(f"{command.url}/livez", status=200)
    process.end_by(signal.SIGTERM, within=60)
    assert process.exit_code == 0


def test_a_database_can_be_migrated_without_a_scheduler(command: Command, store: Store):
    code, _ = command.end("--migrate")

    assert code == 0
    store.check()


def test_production_does_not_migrate_by_itself(command: Command):
    safe = {"TOOLYARD_PROFILE": "production", "TOOLYARD_TOPOLOGY": "check"}
    url = command.env["TOOLYARD_TRANSPORT_URL"] or ""
    code, output = command.end(**safe, TOOLYARD_TRANSPORT_URL=url.replace("guest:guest", "other:other"))

    assert code == 1
    assert "toolyard scheduler --migrate" in output


def test_unsafe_settings_stop_production(command: Command):
    code, output = command.end(
        TOOLYARD_PROFILE="production", TOOLYARD_DATABASE_URL="sqlite:///a.db", TOOLYARD_SIGNING_KEYS=""
    )

    assert code == 1
    for name in ("TOOLYARD_SIGNING_KEYS", "TOOLYARD_DATABASE_URL", "TOOLYARD_TOPOLOGY"):
        assert name in output


def test_a_log_gap_ends_it_with_a_code_of_its_own_until_an_operator_accepts_it(command: Command, store: Store):
    store.migrate()
    place = store.ledger.position()
    with store.ledger.batch(place.epoch, place.offset, 0, "another record", 0.0):
        pass
    process = command.start()
    process.wait_for_line("waits|keeps the ledger")
    asyncio.run(publish(command.env["TOOLYARD_TRANSPORT_URL"] or "", Story().accepted()))

    assert process.wait(within=60) == 3
    assert "log_gap" in process.output()
    assert command.end("--accept-log-gap")[0] == 0
    assert store.ledger.position().offset == -1


# ---- secrets ------------------------------------------------------------------------------------
OLD, NEW = f"old:{'01' * 32}", f"new:{'02' * 32}"


def kept(store: Store, *keys: str) -> Vault:
    return Vault(store.secrets, SecretKeys.parse(",".join(keys)))


def test_at_its_start_it_seals_anew_what_older_keys_have_sealed(command: Command, store: Store):
    store.migrate()
    for number in range(150):
        kept(store, OLD).create("default", f"S{number}", f"value {number}", by="k")
    with command.start(TOOLYARD_SECRETS_KEY=f"{NEW},{OLD}") as process:
        process.wait_for_line("secrets were sealed anew.*150|150.*secrets were sealed anew")
    assert set(store.secrets.key_ids()) == {"new"}
    assert kept(store, NEW).get("default", "S149") == "value 149"


def test_production_does_not_start_without_the_key_of_the_secrets_that_are_there(command: Command, store: Store):
    store.migrate()
    kept(store, OLD).create("default", "TOKEN", "v", by="k")
    url = "amqp://ann:pw@[::1]:9/"
    safe = {"TOOLYARD_PROFILE": "production", "TOOLYARD_TOPOLOGY": "check", "TOOLYARD_TRANSPORT_URL": url}
    code, output = command.end(**safe)
    assert code == 1
    assert "TOOLYARD_SECRETS_KEY is not set, and the store has secrets that were sealed with 'old'" in output


def test_a_key_that_is_missing_is_told_and_stops_nothing(command: Command, store: Store):
    store.migrate()
    kept(store, OLD).create("default", "TOKEN", "v", by="k")
    with command.start(TOOLYARD_SECRETS_KEY=NEW) as process:
        process.wait_for_line("keys are missing in TOOLYARD_SECRETS_KEY")
        process.wait_for_http(f"{command.url}/readyz", status=200)
        assert "toolyard_secrets_answered_total" in command.get("/metrics")
    assert set(store.secrets.key_ids()) == {"old"}
