"""The desk of secrets over a transport and a real store: who is told, what, and that nobody else learns anything."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.numbers import lines
from tests.support.waiting import async_wait_until
from tests.unit.executors.making import a_call, a_message, a_tool

from toolyard import ids
from toolyard.contracts.calls import VERSION, Call
from toolyard.contracts.secrets import SecretsAsked, SecretsTold, box_words
from toolyard.contracts.tools import HttpBinding, SandboxBinding, ToolSpec
from toolyard.errors import SecretUnreadable, StoreUnavailable
from toolyard.security.keys import SecretKeys
from toolyard.security.sealing import Recipient
from toolyard.security.signing import Keyring
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.vault import Locked, Vault
from toolyard.testing.fakes import MemoryJournal
from toolyard.testing.store_suite import a_row, save
from toolyard.transport import topology
from toolyard.transport.base import Delivery
from toolyard.transport.embedded import EmbeddedTransport
from toolyard.transport.envelope import Envelope, held
from toolyard_scheduler import entitlement
from toolyard_scheduler.resealing import reseal
from toolyard_scheduler.secrets_desk import SecretsDesk

ENVELOPE = Envelope(Keyring({"k": b"k" * 32}))
FORGER = Envelope(Keyring({"k": b"x" * 32}))
KEYS = SecretKeys({"k": b"s" * 32})
VALUE = "hunter2-of-the-default-org"


def a_spec(name: str = "t", *, binding: Any = None, secrets: tuple[str, ...] = ("TOKEN",)) -> ToolSpec:
    chosen = binding or HttpBinding(method="POST", url="https://h.example/")
    return ToolSpec(
        name=name, version=0, description="d", parameters={"type": "object"}, binding=chosen, secrets=secrets
    )


class Desk:
    """A desk, and a worker that asks it by hand.

    Attributes:
        running: the desk itself.
        told: what came to the worker's queue.
        put_away: what was quarantined.
    """

    running: SecretsDesk

    def __init__(self, store: Store, crossing: Crossing) -> None:
        self.store = store
        self.journal = MemoryJournal()
        self.transport = EmbeddedTransport(self.journal)
        self.vault = Vault(store.secrets, KEYS)
        self.provider: Any = self.vault
        self.crossing = crossing
        self.recipient = Recipient()
        self.told: list[SecretsTold] = []
        self.bodies: list[bytes] = []
        self.put_away: list[Delivery] = []

    async def open(self) -> None:
        await self.transport.open()
        own = topology.worker_queue("http", "w1")
        await self.transport.own_queue(own, topology.worker_bindings("http", "w1"))
        await self.transport.consume(own, self._hear, prefetch=9)
        await self.transport.consume(topology.QUARANTINE, self.put_away.append, prefetch=9)

    def _hear(self, delivery: Delivery) -> None:
        self.bodies.append(delivery.body)
        self.told.append(ENVELOPE.open_secrets_told(delivery))
        delivery.ack()

    def get(self, org: str, name: str) -> str | None:
        value: str | None = self.provider.get(org, name)
        return value

    # ---- the worker -----------------------------------------------------------------------------
    def question(self, *, call: Call | None = None, envelope: Envelope = ENVELOPE, **changes: Any) -> SecretsAsked:
        """A question about a call that the worker holds."""
        chosen = call or a_call()
        message = ENVELOPE.call(a_message(chosen, a_tool()))
        message = message if envelope is ENVELOPE else envelope.call(a_message(chosen, a_tool()))
        headers = message.headers
        delivery: Any = Delivery(
            "",
            message.exchange,
            message.key,
            message.body,
            message.message_id,
            headers,
            "",
            0,
            1,
            settle=None,  # type: ignore[arg-type]
        )
        asked = SecretsAsked(
            v=VERSION,
            worker="w1",
            pool=chosen.pool,
            org=chosen.org,
            call_id=chosen.call_id,
            attempt=1,
            tool=chosen.tool,
            version=chosen.version,
            names=("TOKEN",),
            public_key=self.recipient.public,
            nonce=ids.new_id(),
            time=time.time(),
            held=held(delivery),
        )
        return msgspec.structs.replace(asked, **changes)

    async def ask(self, asked: SecretsAsked, envelope: Envelope = ENVELOPE) -> SecretsTold:
        """The answer to a question."""
        await self.transport.publish(envelope.secrets_asked(asked))

        async def answered() -> bool:
            return any(told.nonce == asked.nonce for told in self.told)

        await async_wait_until(answered, within=60, what="an answer", every=0.001)
        return next(told for told in self.told if told.nonce == asked.nonce)

    def opened(self, asked: SecretsAsked, told: SecretsTold) -> Any:
        assert told.refused is None, told.message
        return msgspec.json.decode(self.recipient.open(told.sealed, *box_words(asked)))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    with closing(open_store(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        store.migrate()
        crossing = Crossing(2)
        made = Desk(store, crossing)
        store.tools.create("default", a_spec())
        made.vault.create("default", "TOKEN", VALUE, by="k")
        await made.open()
        made.running = SecretsDesk(made.transport, ENVELOPE, store, crossing, made)
        task = asyncio.create_task(made.running.run())
        yield made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.transport.close()
        await crossing.close()


# ---- who is told --------------------------------------------------------------------------------
async def test_a_worker_that_holds_a_call_is_told_what_its_tool_names_and_it_alone_can_read_it(desk: Desk):
    asked = desk.question()
    told = await desk.ask(asked)
    assert desk.opened(asked, told) == {"TOKEN": VALUE}
    with pytest.raises(SecretUnreadable):
        Recipient().open(told.sealed, *box_words(asked))
    assert all(VALUE.encode() not in body for body in desk.bodies)
    assert desk.journal.read(1, 99) == []


async def test_a_call_that_the_ledger_does_not_know_yet_or_still_runs_is_told_of(desk: Desk):
    call = a_call()
    asked = desk.question(call=call)
    assert desk.opened(asked, await desk.ask(asked)) == {"TOKEN": VALUE}
    save(desk.store, a_row(call, state="running"))
    asked = desk.question(call=call)
    assert desk.opened(asked, await desk.ask(asked)) == {"TOKEN": VALUE}


async def test_a_secret_without_a_value_is_left_out(desk: Desk):
    desk.store.secrets.delete("default", "TOKEN")
    asked = desk.question()
    assert desk.opened(asked, await desk.ask(asked)) == {}


async def test_an_older_version_of_a_tool_is_told_what_it_names_also_once_the_tool_is_gone(desk: Desk):
    desk.store.tools.replace("default", a_spec(secrets=()), expected=1)
    desk.store.tools.delete("default", "t", expected=2)
    asked = desk.question()
    assert desk.opened(asked, await desk.ask(asked)) == {"TOKEN": VALUE}
    newer = await desk.ask(desk.question(call=a_call(version=2)))
    assert (newer.refused, newer.sealed) == ("not_named", b"")


async def test_an_answer_tells_the_newest_value(desk: Desk):
    desk.vault.replace("default", "TOKEN", "rotated", by="k")
    asked = desk.question()
    assert desk.opened(asked, await desk.ask(asked)) == {"TOKEN": "rotated"}


# ---- who is not ---------------------------------------------------------------------------------
async def test_another_orgs_call_gets_nothing_of_this_org(desk: Desk):
    call = a_call(org="other")
    pretending = await desk.ask(desk.question(call=call, org="default"))
    assert (pretending.refused, pretending.sealed) == ("not_held", b"")
    asked = desk.question(call=call)
    assert (await desk.ask(asked)).refused == "not_named"  # that org has no such tool
    desk.store.tools.create("other", a_spec())
    asked = desk.question(call=call)
    assert desk.opened(asked, await desk.ask(asked)) == {}
    desk.vault.create("other", "TOKEN", "theirs", by="k")
    asked = desk.question(call=call)
    assert desk.opened(asked, await desk.ask(asked)) == {"TOKEN": "theirs"}


@pytest.mark.parametrize(
    "changes",
    [{"call_id": "another"}, {"attempt": 2}, {"tool": "u"}, {"version": 2}, {"pool": "sandbox"}, {"org": "other"}],
    ids=lambda changes: next(iter(changes)),
)
async def test_the_message_that_is_held_must_be_of_the_call_that_is_asked_for(desk: Desk, changes: dict[str, Any]):
    asked = desk.question(**changes)
    if "pool" in changes:
        await desk.transport.own_queue(
            topology.worker_queue("http", "w1"), [(topology.CONTROL, "secrets.told.sandbox.*.w1.*")]
        )
    assert (await desk.ask(asked)).refused == "not_held"


async def test_a_call_that_nobody_accepted_is_no_proof(desk: Desk):
    told = await desk.ask(desk.question(envelope=FORGER))
    assert told.refused == "not_held"
    assert "none of ours" in told.message


async def test_a_call_that_is_over_is_told_nothing(desk: Desk):
    call = a_call()
    save(desk.store, a_row(call, state="succeeded", finished_at=time.time()))
    assert (await desk.ask(desk.question(call=call))).refused == "not_held"
    late = a_call(now=time.time() - 900)
    assert "deadline has passed" in (await desk.ask(desk.question(call=late))).message


@pytest.mark.parametrize("names", [("OTHER",), ("TOKEN", "OTHER")])
async def test_what_the_tool_does_not_name_is_not_told(desk: Desk, names: tuple[str, ...]):
    desk.vault.create("default", "OTHER", "another", by="k")
    told = await desk.ask(desk.question(names=names))
    assert (told.refused, told.sealed) == ("not_named", b"")
    assert "OTHER" in told.message


async def test_a_pool_is_told_nothing_of_another_pools_tool(desk: Desk):
    code = "def execute_tool(parameters, context): return 1"
    desk.store.tools.create("default", a_spec("s", binding=SandboxBinding(code=code, environment_variables=("TOKEN",))))
    told = await desk.ask(desk.question(call=a_call(tool="s")))
    assert (told.refused, told.message) == ("not_named", "the tool is none of the pool http")


@pytest.mark.parametrize("off", [-60.0, 60.0])
async def test_a_question_of_another_time_is_not_answered(desk: Desk, off: float):
    assert (await desk.ask(desk.question(time=time.time() + off))).refused == "stale"


async def test_a_question_that_is_played_again_is_not_answered_again(desk: Desk):
    asked = desk.question()
    await desk.ask(asked)
    await desk.transport.publish(ENVELOPE.secrets_asked(asked))
    await desk.ask(desk.question())
    assert [told.nonce for told in desk.told].count(asked.nonce) == 1


@pytest.mark.parametrize("public_key", [b"", b"\0" * 32])
async def test_a_public_key_that_everybody_could_read_with_is_refused(desk: Desk, public_key: bytes):
    assert (await desk.ask(desk.question(public_key=public_key))).refused == "not_held"


async def test_a_question_that_does_not_verify_is_quarantined(desk: Desk):
    await desk.transport.publish(FORGER.secrets_asked(desk.question()))

    async def put_away() -> bool:
        return bool(desk.put_away)

    await async_wait_until(put_away, within=60, what="the quarantine")
    assert desk.told == []


async def test_secrets_that_are_too_large_together_are_refused(desk: Desk):
    names = tuple(f"S{number}" for number in range(64))
    desk.store.tools.create("default", a_spec("big", secrets=names))

    class Huge:
        def get(self, org: str, name: str) -> str | None:
            return "\x01" * 65_536

    desk.provider = Huge()
    told = await desk.ask(desk.question(call=a_call(tool="big"), names=names))
    assert told.refused == "too_large"


async def test_64_secrets_of_full_length_go_through(desk: Desk):
    names = tuple(f"S{number}" for number in range(64))
    desk.store.tools.create("default", a_spec("big", secrets=names))

    class Large:
        def get(self, org: str, name: str) -> str | None:
            return name.ljust(65_536, "x")

    desk.provider = Large()
    asked = desk.question(call=a_call(tool="big"), names=names)
    assert len(desk.opened(asked, await desk.ask(asked))) == 64


# ---- keys, and a store that is away -------------------------------------------------------------
async def test_a_secret_whose_key_is_missing_says_so_without_its_value(desk: Desk):
    desk.provider = Vault(desk.store.secrets, SecretKeys({"new": b"n" * 32}))
    told = await desk.ask(desk.question())
    assert (told.refused, told.sealed) == ("unreadable", b"")
    assert "'TOKEN' cannot be opened" in told.message
    desk.provider = Locked(desk.store.secrets)
    assert (await desk.ask(desk.question())).refused == "unreadable"
    desk.store.secrets.delete("default", "TOKEN")
    asked = desk.question()
    assert desk.opened(asked, await desk.ask(asked)) == {}


async def test_after_a_change_of_keys_everything_is_sealed_anew_and_still_told(desk: Desk):
    desk.provider = rotated = Vault(desk.store.secrets, SecretKeys({"new": b"n" * 32, "k": b"s" * 32}))
    asked = desk.question()
    assert desk.opened(asked, await desk.ask(asked)) == {"TOKEN": VALUE}
    await reseal(rotated, desk.crossing)
    assert set(desk.store.secrets.key_ids()) == {"new"}
    asked = desk.question()
    assert desk.opened(asked, await desk.ask(asked)) == {"TOKEN": VALUE}


async def test_a_question_while_the_store_is_away_stays_without_an_answer_and_the_next_one_gets_one(desk: Desk):
    class Away:
        asked = 0

        def get(self, org: str, name: str) -> str | None:
            self.asked += 1
            raise StoreUnavailable("the database is away")

    away = desk.provider = Away()
    await desk.transport.publish(ENVELOPE.secrets_asked(desk.question()))

    async def looked() -> bool:
        return away.asked > 0

    await async_wait_until(looked, within=60, what="a look")
    desk.provider = desk.vault
    asked = desk.question()
    assert desk.opened(asked, await desk.ask(asked)) == {"TOKEN": VALUE}
    assert len(desk.told) == 1


async def test_a_defect_at_one_question_is_noted_without_its_words_and_hurts_no_other(
    desk: Desk, capsys: pytest.CaptureFixture[str]
):
    class Broken:
        def get(self, org: str, name: str) -> str | None:
            raise RuntimeError(f"a defect that says {VALUE}")

    desk.provider = Broken()
    await desk.transport.publish(ENVELOPE.secrets_asked(desk.question()))
    said = ""

    async def noted() -> bool:
        nonlocal said
        said += "".join(capsys.readouterr())
        return "a defect at a question for secrets" in said

    await async_wait_until(noted, within=60, what="a line of the log")
    assert "RuntimeError" in said
    assert VALUE not in said
    desk.provider = desk.vault
    asked = desk.question()
    assert desk.opened(asked, await desk.ask(asked)) == {"TOKEN": VALUE}


async def test_what_was_asked_is_counted(desk: Desk):
    for number in range(5):
        await desk.ask(desk.question() if number % 2 else desk.question(time=0.0))
    counted = set(lines(desk.running.answered()))
    name = "toolyard_secrets_answered_total"
    assert {f'{name}{{answer="told"}} 2', f'{name}{{answer="refused"}} 3', f'{name}{{answer="again"}} 0'} <= counted


def _told(one: SecretsDesk) -> int:
    name = 'toolyard_secrets_answered_total{answer="told"} '
    return next(int(line.removeprefix(name)) for line in lines(one.answered()) if line.startswith(name))


async def test_several_desks_share_the_work(desk: Desk):
    second = SecretsDesk(desk.transport, ENVELOPE, desk.store, desk.crossing, desk)
    task = asyncio.create_task(second.run())
    for _ in range(8):
        asked = desk.question()
        assert desk.opened(asked, await desk.ask(asked)) == {"TOKEN": VALUE}
    first, other = (_told(one) for one in (desk.running, second))
    assert first + other == 8
    assert other > 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# ---- questions of late --------------------------------------------------------------------------
def test_questions_are_remembered_as_long_as_they_are_fresh_and_no_more_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
):
    seen = entitlement.Seen()
    assert seen.first_time("a", 0.0)
    assert not seen.first_time("a", entitlement.FRESH)
    assert seen.first_time("b", 3 * entitlement.FRESH)
    assert list(seen._at) == ["b"]
    monkeypatch.setattr(entitlement, "_REMEMBERED", 10)
    for number in range(100):
        seen.first_time(str(number), 3 * entitlement.FRESH)
    assert len(seen._at) <= 12
