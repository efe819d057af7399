"""The deliveries of one webhook: what the feed tells behind its place, and what is due to be tried again.

Whatever goes wrong here is in nobody else's way: each webhook has a task, a place in the feed and bounds of its own.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import toolyard
from toolyard.clock import SYSTEM, Clock
from toolyard.contracts.feed import Cursor, FeedItem, FeedPage
from toolyard.errors import SecretUnreadable
from toolyard.security.webhooks import PREVIOUS_SIGNS, signatures
from toolyard.store.connect import Store
from toolyard.store.crossing import Crossing
from toolyard.store.secrets import SqlSecrets
from toolyard.store.vault import Vault
from toolyard.store.webhooks import Delivery, SqlWebhooks, Waiting, WebhookRow, secret_name
from toolyard.telemetry import catalogue
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Board, Counter
from toolyard_scheduler.duty import until_first
from toolyard_scheduler.told import Bell
from toolyard_scheduler.webhooks.judging import GONE, Answered, Chance, judged
from toolyard_scheduler.webhooks.sending import Sender

#: Attempts of one webhook at a time, and deliveries that are noted together.
AT_ONCE: Final = 8
TOGETHER: Final = 32
#: Deliveries that may wait to be tried again; beyond that the feed waits, which loses nothing.
MOST_WAITING: Final = 1_000
#: Seconds that a page may wait for something to tell, and between two notes of a place where nothing was wanted.
_PATIENCE: Final = 10.0
_NOTE_EVERY: Final = 30.0
#: Seconds between two looks whether there is room, and at a secret that cannot be opened.
_LOOK: Final = 1.0
_UNREADABLE: Final = 30.0
log = logger("webhooks")

#: What an org is told behind a place.
Pages = Callable[[str, Cursor, float], Awaitable[FeedPage]]


@dataclass(frozen=True, slots=True)
class Means:
    """What deliveries need.

    Attributes:
        crossing: of their own: what waits here holds up no ledger.
        counter: of attempts by result.
    """

    rows: SqlWebhooks
    secrets: SqlSecrets
    vault: Vault
    crossing: Crossing
    sender: Sender
    clock: Clock
    chance: Chance
    counter: Counter


def means(store: Store, vault: Vault, crossing: Crossing, sender: Sender, board: Board) -> Means:
    """What deliveries need, of a process."""
    counter = board.counter(catalogue.WEBHOOKS, (("delivered",), ("retried",), ("failed",)))
    return Means(store.webhooks, store.secrets, vault, crossing, sender, SYSTEM, random.random, counter)


class Delivering:
    """One webhook, as it was asked for at one time.

    Args:
        places: of attempts of all webhooks at a time.
    """

    def __init__(self, row: WebhookRow, means: Means, pages: Pages, places: asyncio.Semaphore) -> None:
        self.row = row
        self._means = means
        self._pages = pages
        self._places = places
        self._own_places = asyncio.Semaphore(AT_ONCE)
        self._due = Bell()
        self._waiting = 0
        self._secrets: list[str] = []
        self._noted_at = means.clock.monotonic()

    def look(self, waiting: Waiting) -> None:
        """So much waits to be tried again."""
        self._waiting = waiting.count
        if waiting.next_at is not None and waiting.next_at <= self._means.clock.now():
            self._due.ring()

    async def run(self) -> None:
        """Deliver until cancelled.

        Raises:
            StoreUnavailable: the database is away.
        """
        await self._open()
        await until_first(self._follow(), self._repeat())

    # ---- what is new --------------------------------------------------------------------------
    async def _follow(self) -> None:
        place = self.row.place
        while True:
            while self._waiting >= MOST_WAITING:  # noqa: ASYNC110 - the sweep that looks tells nobody
                await asyncio.sleep(_LOOK)
            try:
                page = await self._pages(self.row.org, place, _PATIENCE)
            except TimeoutError:
                continue
            if page.lost or page.ahead:
                log.warning("a webhook missed what is not kept any more", **self._words, behind=str(place))
            await self._take([item for item in page.items if self._wants(item)])
            place = page.cursor
            await self._note_place(place)

    async def _take(self, items: Sequence[FeedItem]) -> None:
        for start in range(0, len(items), TOGETHER):
            some = items[start : start + TOGETHER]
            tried = await asyncio.gather(*(self._try(_fresh(self.row.webhook_id, item)) for item in some))
            await self._note(tried, some[-1].cursor)

    def _wants(self, item: FeedItem) -> bool:
        events, tools = self.row.events, self.row.tools
        return (not events or _type(item) in events) and (not tools or item.tool in tools)

    async def _note_place(self, place: Cursor) -> None:
        """Now and then, where nothing was wanted: whoever begins anew need not look at it again."""
        now = self._means.clock.monotonic()
        if now - self._noted_at >= _NOTE_EVERY:
            self._noted_at = now
            await self._means.crossing.run(self._means.rows.note, self.row.webhook_id, (), place)

    # ---- what is tried again ------------------------------------------------------------------
    async def _repeat(self) -> None:
        means, own = self._means, self.row.webhook_id
        while True:
            await self._due.wait(_NOTE_EVERY)
            while found := await means.crossing.run(means.rows.due, own, means.clock.now(), TOGETHER):
                await self._note(await asyncio.gather(*(self._try(each) for each in found)))

    # ---- one attempt --------------------------------------------------------------------------
    async def _try(self, delivery: Delivery) -> Delivery:
        means = self._means
        async with self._own_places, self._places:
            answered = await self._send(delivery)
        tried = judged(delivery, answered, means.clock.now(), means.chance)
        means.counter.add("retried" if tried.state == "pending" else tried.state)
        if answered.error is not None:
            log.info(
                "a delivery failed",
                **self._words,
                event_id=delivery.event_id,
                attempt=tried.attempts,
                status=answered.status,
            )
        return tried

    async def _send(self, delivery: Delivery) -> Answered:
        row, body, now = self.row, delivery.body or b"", int(self._means.clock.now())
        previous_signs = now < (row.rotated_at or 0.0) + PREVIOUS_SIGNS
        secrets = self._secrets if previous_signs else self._secrets[:1]
        headers = {
            "Content-Type": "application/cloudevents+json",
            "User-Agent": f"Toolyard/{toolyard.__version__}",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(now),
            "webhook-signature": signatures(secrets, delivery.event_id, now, body),
        }
        return await self._means.sender.send(row.url, headers, body, secrets=secrets)

    async def _note(self, tried: Sequence[Delivery], place: Cursor | None = None) -> None:
        means, own = self._means, self.row.webhook_id
        await means.crossing.run(means.rows.note, own, tried, place)
        self._waiting += sum(each.state == "pending" for each in tried)
        if any(each.status == GONE and each.state == "failed" for each in tried):
            reason = "the receiver answered 410: it wants nothing more"
            await means.crossing.run(means.rows.disable, own, reason, means.clock.now())
            log.warning("a webhook is disabled", **self._words, reason=reason)
            await asyncio.Event().wait()  # the sweep that sees it stops this

    # ---- secrets ------------------------------------------------------------------------------
    async def _open(self) -> None:
        """Wait until its secrets can be opened: until then nothing could be signed."""
        while not self._secrets:
            try:
                self._secrets = await self._means.crossing.run(self._opened)
            except SecretUnreadable as error:
                log.error("the secret of a webhook cannot be opened", **self._words, reason=str(error))  # noqa: TRY400
                await asyncio.sleep(_UNREADABLE)

    def _opened(self) -> list[str]:
        """On a thread of the crossing: what signs, the newest first."""
        row = self.row
        names = [row.secret_id, *([] if row.previous_secret_id is None else [row.previous_secret_id])]
        found = [self._means.vault.get(row.org, secret_name(row.webhook_id, each)) for each in names]
        if found[0] is None:
            raise SecretUnreadable("it is not there any more; rotate it")
        return [each for each in found if each is not None]

    @property
    def _words(self) -> dict[str, str]:
        return {"org": self.row.org, "webhook": self.row.webhook_id}


def _fresh(webhook_id: str, item: FeedItem) -> Delivery:
    return Delivery(webhook_id, item.event_id, _type(item), item.time, item.time, bytes(item.body))


def _type(item: FeedItem) -> str:
    return f"io.toolyard.call.{item.event}.v1"
