"""The duty that delivers, on a database with a feed of the test's own and real receivers: its bounds and its ends."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.receiver import Receiver, receiving
from tests.support.stores import empty_file
from tests.support.waiting import async_wait_until
from tests.unit.gateway.live_feed import FakeLog

from toolyard.clock import SYSTEM
from toolyard.contracts.feed import Cursor, FeedPage
from toolyard.errors import StoreUnavailable
from toolyard.security.egress import AllowList
from toolyard.security.keys import SecretKeys
from toolyard.security.webhooks import PREVIOUS_SIGNS, new_secret
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.vault import Vault
from toolyard.store.webhooks import WebhookRow, secret_name
from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import Board
from toolyard_scheduler.duties.webhooks import FAILING, Webhooks
from toolyard_scheduler.webhooks import delivering
from toolyard_scheduler.webhooks.delivering import Means
from toolyard_scheduler.webhooks.sending import Sender

KEYS = SecretKeys({"test": b"s" * 32})


@dataclass
class House:
    """A duty and what it stands on; its feed says what a test tells.

    Attributes:
        asked: the places behind which pages were asked for.
    """

    store: Store
    vault: Vault
    log: FakeLog = field(default_factory=FakeLog)
    asked: list[Cursor] = field(default_factory=list)
    duty: Webhooks | None = None

    async def page(self, org: str, cursor: Cursor, _patience: float) -> FeedPage:
        self.asked.append(cursor)
        while not (page := self.log.answer(org, cursor, None)).items and not page.lost:
            self.log.changed.clear()
            await self.log.changed.wait()
        return page

    def add(self, webhook_id: str, url: str, **more: Any) -> WebhookRow:
        row = WebhookRow(
            webhook_id=webhook_id,
            org="default",
            url=url,
            events=(),
            tools=(),
            description="",
            enabled=True,
            created_by="k",
            created_at=1.0,
            updated_at=1.0,
            place=Cursor(0),
            secret_id="s1",
        )
        row = replace(row, **more)
        for name in filter(None, (row.secret_id, row.previous_secret_id)):
            self.vault.create("default", secret_name(webhook_id, name), new_secret(), by="k")
        self.store.webhooks.create(row)
        return row

    @property
    def running(self) -> Webhooks:
        assert self.duty is not None
        return self.duty

    def row(self, webhook_id: str) -> WebhookRow:
        found = self.store.webhooks.get("default", webhook_id)
        assert found is not None
        return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "store.db").write_bytes(empty_file())
    with closing(open_store(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        yield store


@pytest.fixture
async def house(store: Store) -> AsyncIterator[House]:
    vault, crossing = Vault(store.secrets, KEYS), Crossing(2)
    made, sender = House(store, vault), Sender(AllowList.parse("127.0.0.1"), SYSTEM)
    counter = Board().counter(catalogue.WEBHOOKS, ("delivered", "retried", "failed"))
    means = Means(store.webhooks, store.secrets, vault, crossing, sender, SYSTEM, lambda: 0.5, counter)
    made.duty = Webhooks(means, made.page, interval=0.05)
    running = asyncio.create_task(made.duty.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await sender.close()
    await crossing.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


async def until(condition: Any, what: str) -> None:
    async def holds() -> bool:
        return bool(condition())

    await async_wait_until(holds, within=60, what=what)


async def test_a_place_is_kept_behind_what_was_delivered(house: House, receiver: Receiver):
    house.add("w1", receiver.url, events=("io.toolyard.call.started.v1",))
    for number in range(40):
        house.log.tell(event="started" if number % 2 else "accepted")
    await until(lambda: house.row("w1").place >= house.log.items["default"][-1].cursor, "the place")
    wanted = {item.event_id for item in house.log.items["default"] if item.event == "started"}
    assert {one.id for one in receiver.got} == wanted


async def test_who_takes_nothing_is_told_nothing_new_beyond_a_bound(
    house: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(delivering, "MOST_WAITING", 10)
    house.log.page = 4
    receiver.answers = lambda _: (503, {"Retry-After": "3600"})
    house.add("w1", receiver.url)
    for _ in range(100):
        house.log.tell()
    await until(lambda: house.row("w1").place.offset >= 12, "twelve that were refused")
    with receiving() as good:
        house.add("w2", good.url)
        await until(lambda: len(good.got) == 100, "all for the other one")
    assert len(receiver.got) == 12
    await until(lambda: house.running.age > 0, "its age")


async def test_a_secret_that_signs_no_more_is_deleted(house: House, receiver: Receiver):
    rotated_at = SYSTEM.now() - PREVIOUS_SIGNS - 1
    row = house.add("w1", receiver.url, previous_secret_id="s0", rotated_at=rotated_at)
    await until(lambda: house.row("w1").previous_secret_id is None, "the end of the rotation")
    await until(lambda: house.vault.get("default", secret_name("w1", "s0")) is None, "the secret to be gone")
    house.log.tell()
    await until(lambda: receiver.got, "a delivery")
    (one, *_) = receiver.got
    assert "," in one.headers["webhook-signature"]
    assert " " not in one.headers["webhook-signature"]
    secret = house.vault.get("default", secret_name("w1", row.secret_id))
    assert secret is not None


async def test_days_of_nothing_but_failures_disable_it_with_the_reason(house: House, receiver: Receiver):
    receiver.answers = lambda _: (500, {})
    house.add("w1", receiver.url, failing_since=SYSTEM.now() - FAILING - 60)
    house.log.tell()
    await until(lambda: not house.row("w1").enabled, "it is disabled")
    assert (house.row("w1").disabled_reason or "").startswith("nothing could be delivered since 20")


async def test_a_change_is_heeded_and_one_that_is_disabled_is_left(house: House, receiver: Receiver):
    house.add("w1", receiver.url)
    house.log.tell()
    await until(lambda: house.row("w1").last_success_at, "the first one")
    house.store.webhooks.change(replace(house.row("w1"), enabled=False))
    await until(lambda: not house.running._running, "nothing runs")
    house.log.tell()
    house.store.webhooks.change(replace(house.row("w1"), enabled=True, tools=("weather",)))
    house.log.tell(tool="weather")
    await until(lambda: len(receiver.got) == 2, "the one that is wanted")
    assert receiver.got[-1].id == house.log.items["default"][-1].event_id


async def test_a_database_that_is_away_ends_nothing(house: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolyard_scheduler.duties.webhooks._REST", 0.05)
    real, away = house.store.webhooks.note, [StoreUnavailable("away")] * 2

    def note(*args: Any) -> None:
        if away:
            raise away.pop()
        real(*args)

    monkeypatch.setattr(house.store.webhooks, "note", note)
    house.add("w1", receiver.url)
    house.log.tell()
    await until(lambda: house.row("w1").last_success_at, "the delivery to be noted")
    assert len(receiver.got) == 3
    assert {one.id for one in receiver.got} == {house.log.items["default"][0].event_id}
