"""Who follows what: the front of live events. It opens a channel for an org with followers, and closes it after them.

Called by the HTTP edge and by the app's start and stop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakValueDictionary

from toolyard.contracts.feed import BEGINNING, Cursor, Interest
from toolyard.errors import Refused, ToolyardError
from toolyard.telemetry.logs import logger
from toolyard_gateway.live.asking import Asker
from toolyard_gateway.live.bounds import Bounds
from toolyard_gateway.live.channel import Channel
from toolyard_gateway.live.follower import Follower
from toolyard_gateway.live.outbox import Outbox
from toolyard_gateway.metrics import Metrics
from toolyard_gateway.stores import StoreAccess

log = logger("live")

#: Asks whether who opened a connection may still follow.
StillAllowed = Callable[[], Awaitable[bool]]
#: Seconds after which somebody who was refused for want of room may try again.
RETRY_AFTER: Final = 5


class Live:
    """The live events of one gateway.

    Attributes:
        bounds: what it keeps to.
    """

    def __init__(self, asker: Asker, store: StoreAccess, metrics: Metrics, bounds: Bounds) -> None:
        self.bounds = bounds
        self._asker = asker
        self._metrics = metrics
        self._store = store
        self._turns = asyncio.Semaphore(bounds.catching_up)
        self._channels: dict[str, Channel] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._outboxes: dict[Outbox, StillAllowed] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._followers = 0
        self._released = False

    @property
    def followers(self) -> int:
        """Streams and subscriptions at this moment."""
        return self._followers

    # ---- connections ----------------------------------------------------------------------------
    def connect(self, still_allowed: StillAllowed) -> Outbox:
        """The outbox of a new connection.

        Raises:
            Refused: ``unavailable``: the gateway is stopping.
        """
        if self._released:
            raise Refused("unavailable", "This gateway is stopping; another one goes on.", retry_after=1)
        outbox = Outbox(self.bounds.socket_bytes)
        self._outboxes[outbox] = still_allowed
        return outbox

    def disconnect(self, outbox: Outbox, *followers: Follower) -> None:
        """The connection is over, with all who follow on it."""
        self._outboxes.pop(outbox, None)
        if outbox.ending == "cut_off":
            self._metrics.cut_off(len(followers))
        for follower in followers:
            self.leave(follower)

    # ---- followers ------------------------------------------------------------------------------
    async def follow(
        self, org: str, interest: Interest, since: Cursor | None, outbox: Outbox, name: str = ""
    ) -> Follower:
        """Let somebody follow: from this place on, or from now on.

        Raises:
            FieldsRefused: the log does not reach that place.
            Refused: ``unavailable``: too many follow, or no scheduler answers.
        """
        if self._followers >= self.bounds.followers:
            detail = f"This gateway has {self.bounds.followers:,} followers, and takes no more; try again."
            raise Refused("unavailable", detail, retry_after=RETRY_AFTER)
        self._followers += 1
        follower = Follower(org, interest, outbox, self.bounds, name)
        try:
            async with asyncio.timeout(self.bounds.opening):
                channel = await self._channel(org, since, follower)
                await channel.join(follower, since)
        except TimeoutError:
            self.leave(follower)
            raise _nobody_tells() from None
        except BaseException:
            self.leave(follower)
            raise
        return follower

    def leave(self, follower: Follower) -> None:
        """Tell this one nothing more."""
        if follower.gone:
            return
        follower.gone = True
        self._followers -= 1
        channel = self._channels.get(follower.org)
        if channel is not None and follower in channel.members:
            channel.leave(follower)
            if not channel.members:
                loop = asyncio.get_running_loop()
                self._timers[follower.org] = loop.call_later(self.bounds.linger, self._close, channel)

    async def now(self, org: str) -> Cursor:
        """The place behind all that was told of the org up to now.

        Raises:
            Refused: unavailable: no scheduler answers.
        """
        try:
            async with asyncio.timeout(self.bounds.opening):
                return (await self._asker.ask(org, None)).cursor
        except TimeoutError:
            raise _nobody_tells() from None

    async def place_of(self, org: str, moment: float) -> Cursor:
        """A place before all that happened at this time or later (seconds since 1970).

        Raises:
            StoreUnavailable: the store is away.
        """
        offset = await self._store.ask(self._store.calls.offset_before, org, moment)
        return BEGINNING if offset is None else Cursor(max(0, offset))

    # ---- channels -------------------------------------------------------------------------------
    async def _channel(self, org: str, since: Cursor | None, follower: Follower) -> Channel:
        """The org's channel, with this follower as a member; opened if there is none."""
        lock = self._opening.setdefault(org, asyncio.Lock())
        async with lock:
            channel = self._channels.get(org)
            if channel is None:
                channel = self._channels[org] = await self._opened(org, since)
                channel.start().add_done_callback(lambda task: self._ended(channel, task))
            if (timer := self._timers.pop(org, None)) is not None:
                timer.cancel()
            channel.members.add(follower)
            return channel

    async def _opened(self, org: str, since: Cursor | None) -> Channel:
        """A channel that begins where its first follower stands, if that is near; else now: the follower catches up."""
        now = (await self._asker.ask(org, None)).cursor
        near = since is not None and since.offset >= now.offset - self.bounds.ring_items
        begin = min(since, now) if since is not None and near else now
        return Channel(org, begin, now, self._asker, self.bounds, self._turns)

    def _close(self, channel: Channel) -> None:
        """Nobody has followed for a while."""
        if self._channels.get(channel.org) is channel:
            self._timers.pop(channel.org, None)
            del self._channels[channel.org]
        task = asyncio.ensure_future(channel.stop())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _ended(self, channel: Channel, task: "asyncio.Task[None]") -> None:
        """A channel reads for ever, unless it is stopped; a defect must not leave its followers waiting."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("a channel failed", org=channel.org, error=type(error).__name__, exc_info=error)
        for follower in channel.members:
            follower.outbox.end("cut_off")
        self._close(channel)

    # ---- its life -------------------------------------------------------------------------------
    async def watch(self) -> None:
        """End the connections of those whose key was revoked; for ever."""
        while True:
            await asyncio.sleep(self.bounds.recheck)
            for outbox, still_allowed in list(self._outboxes.items()):
                try:
                    if outbox.ending is None and not await still_allowed():
                        outbox.end("revoked")
                except ToolyardError as error:  # the store is away: it is asked again
                    log.info("a key was not looked at again", error=str(error))

    def release(self) -> None:
        """Let everybody go: what waits is written, and each connection ends."""
        self._released = True
        for outbox in list(self._outboxes):
            outbox.end("drained")

    async def stop(self) -> None:
        """Ask nothing more."""
        self.release()
        for timer in self._timers.values():
            timer.cancel()
        channels, self._channels = list(self._channels.values()), {}
        await asyncio.gather(*(channel.stop() for channel in channels), *self._background, return_exceptions=True)
        await self._asker.stop()


def _nobody_tells() -> Refused:
    detail = "No scheduler tells what happens at this moment; try again."
    return Refused("unavailable", detail, retry_after=RETRY_AFTER)
