"""Delivers to webhooks: looks which there are, and runs one task for each, so that none is in another's way."""

import asyncio
from collections.abc import Sequence
from typing import Final

from toolyard.clock import rfc3339
from toolyard.errors import Refused, StoreUnavailable
from toolyard.security.webhooks import PREVIOUS_SIGNS
from toolyard.store.webhooks import Waiting, WebhookRow, secret_name
from toolyard.telemetry.logs import logger
from toolyard_scheduler.webhooks.delivering import Delivering, Means, Pages

#: Seconds between two looks, and before another one where the database is away, or something else went wrong.
INTERVAL: Final = 1.0
_REST: Final = 5.0
#: Attempts of all webhooks at a time.
_PLACES: Final = 64
#: Seconds of nothing but failures after which a webhook is disabled.
FAILING: Final = 5 * 86_400.0
log = logger("webhooks")


class Webhooks:
    """One a term.

    Attributes:
        oldest: when the oldest event happened that waits to be delivered again.
    """

    def __init__(self, means: Means, pages: Pages, *, interval: float = INTERVAL) -> None:
        self._means = means
        self._pages = pages
        self._interval = interval
        self._places = asyncio.Semaphore(_PLACES)
        self._running: dict[str, tuple[Delivering, asyncio.Task[None]]] = {}
        self._resting: dict[str, float] = {}
        self.oldest: float | None = None

    @property
    def age(self) -> float:
        """Seconds since the oldest event happened that waits to be delivered again; 0 where none does."""
        return 0.0 if self.oldest is None else max(0.0, self._means.clock.now() - self.oldest)

    async def run(self) -> None:
        """Deliver for ever: a database that is away ends no term here."""
        try:
            while True:
                try:
                    await self.sweep()
                except StoreUnavailable as error:
                    log.warning("webhooks wait for the database", reason=str(error))
                    await asyncio.sleep(_REST)
                await asyncio.sleep(self._interval)
        finally:
            await self._stop(list(self._running))

    async def sweep(self) -> None:
        """See to it that each enabled webhook is delivered to, as it is asked for now, and no other."""
        found = await self._means.crossing.run(self._means.rows.enabled)
        self.oldest = min((each.oldest for each in found if each.oldest is not None), default=None)
        rows = {each.row.webhook_id: each for each in found}
        await self._stop([known for known, (one, task) in self._running.items() if self._is_over(rows, known)])
        for waiting in found:
            if not (await self._gave_up(waiting) or await self._rotated(waiting.row)):
                self._look(waiting)

    def _is_over(self, rows: dict[str, Waiting], known: str) -> bool:
        delivering, task = self._running[known]
        return known not in rows or rows[known].row.version != delivering.row.version or task.done()

    def _look(self, waiting: Waiting) -> None:
        row = waiting.row
        if row.webhook_id not in self._running:
            if self._resting.get(row.webhook_id, 0.0) > self._means.clock.monotonic():
                return
            self._resting.pop(row.webhook_id, None)
            one = Delivering(row, self._means, self._pages, self._places)
            self._running[row.webhook_id] = (one, asyncio.create_task(one.run(), name=f"webhook {row.webhook_id}"))
        self._running[row.webhook_id][0].look(waiting)

    async def _gave_up(self, waiting: Waiting) -> bool:
        """Whether it has failed for so long that it is disabled now."""
        row, now = waiting.row, self._means.clock.now()
        if row.failing_since is None or not waiting.count or now - row.failing_since < FAILING:
            return False
        reason = f"nothing could be delivered since {rfc3339(row.failing_since)}"
        await self._means.crossing.run(self._means.rows.disable, row.webhook_id, reason, now)
        log.warning("a webhook is disabled", org=row.org, webhook=row.webhook_id, reason=reason)
        await self._stop([row.webhook_id])
        return True

    async def _rotated(self, row: WebhookRow) -> bool:
        """Forget the secret before, once it signs no more; its webhook is looked at again as it is then."""
        previous = row.previous_secret_id
        if previous is None or self._means.clock.now() < (row.rotated_at or 0.0) + PREVIOUS_SIGNS:
            return False
        await self._means.crossing.run(self._means.rows.end_rotation, row.webhook_id, previous)
        try:
            name = secret_name(row.webhook_id, previous)
            await self._means.crossing.run(self._means.secrets.delete, row.org, name)
        except Refused as refused:  # it is gone already
            log.info("a secret of a webhook was not there any more", webhook=row.webhook_id, reason=refused.detail)
        return False

    async def _stop(self, those: Sequence[str]) -> None:
        """Stop these tasks; what went wrong in one is told."""
        tasks = {each: self._running.pop(each)[1] for each in those if each in self._running}
        for task in tasks.values():
            task.cancel()
        ended = await asyncio.gather(*tasks.values(), return_exceptions=True)
        for webhook_id, error in zip(tasks, ended, strict=True):
            if isinstance(error, Exception):
                log.warning("deliveries to a webhook begin anew", webhook=webhook_id, reason=repr(error))
                self._resting[webhook_id] = self._means.clock.monotonic() + _REST
