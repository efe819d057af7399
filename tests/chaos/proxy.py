"""A proxy between one part and its broker that knows AMQP frames: it passes, counts, delays and stalls them.

It cuts or holds a connection at exactly one frame, and can change the order of deliveries. Drills put it in front of a
private node. It changes and repeats nothing else; what it does not pass is lost with the connection.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, TypeVar
from urllib.parse import quote

from tests.chaos.frames import Frame, Splitter, Tags
from tests.chaos.order import shuffled
from tests.support.connections import Listener, closing
from tests.support.processes import free_port
from tests.support.waiting import wait_until

T = TypeVar("T")
Way = Literal["to_broker", "to_client"]
Place = Literal["confirm", "ack", "publish", "deliver", "publish_body", "deliver_body"]
Deed = Literal["cut", "hold"]

#: Which frames a fault may wait for: the way and the names.
PLACES: Final[dict[Place, tuple[Way, frozenset[str]]]] = {
    "confirm": ("to_client", frozenset({"basic.ack", "basic.nack"})),
    "ack": ("to_broker", frozenset({"basic.ack"})),
    "publish": ("to_broker", frozenset({"basic.publish"})),
    "deliver": ("to_client", frozenset({"basic.deliver"})),
    "publish_body": ("to_broker", frozenset({"body"})),
    "deliver_body": ("to_client", frozenset({"body"})),
}
#: Faults in the middle of a frame: half of it passes first.
_HALF: Final = frozenset({"publish_body", "deliver_body"})
_CHUNK: Final = 1 << 16
_PATIENCE: Final = 60.0
_LOOK_EVERY: Final = 0.02


@dataclass(frozen=True)
class Strike:
    """A fault that hit: where, and what was under way on all connections at that moment."""

    place: Place
    unconfirmed: int
    unacked: int


@dataclass
class _Trap:
    place: Place
    deed: Deed
    after: int
    key: str


class AmqpProxy:
    """The proxy, in a thread of its own; a context manager.

    Args:
        target: the broker's port on 127.0.0.1; it may come and go.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = free_port()
        self.counts: dict[Way, Counter[str]] = {"to_broker": Counter(), "to_client": Counter()}
        self.strikes: list[Strike] = []
        self.pause = 0.0
        self.chance: random.Random | None = None
        self.shuffled = 0
        self._traps: list[_Trap] = []
        self._pairs: set[_Pair] = set()
        self._ready = threading.Event()

    def url(self, vhost: str = "/", *, user: str = "guest", password: str = "guest") -> str:
        """The address that a part is given instead of the broker's."""
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="amqp-proxy", daemon=True)
        self._thread.start()
        if not self._ready.wait(_PATIENCE):
            raise TimeoutError("the proxy did not begin to listen")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            raise TimeoutError("the proxy did not end")

    # ---- faults ---------------------------------------------------------------------------------
    def strike_at(self, place: Place, deed: Deed = "cut", *, after: int = 0, key: str = "") -> None:
        """Cut (or hold) the connection on which this frame comes next, before it passes.

        A body is broken off in its middle. ``hold`` stops both ways of all connections until `cut_all` or `go_on`: a
        part that is killed meanwhile has told nothing more. ``after`` lets that many of these frames pass first.
        ``key`` is how the routing key of a publish or a delivery begins.
        """
        self._run(self._set, _Trap(place, deed, after, key))

    def wait_for_strike(self, number: int = 1, *, within: float = 60) -> Strike:
        """The n-th strike since the proxy began, once it hit."""
        wait_until(lambda: len(self.strikes) >= number, within=within, what=f"strike {number} of the proxy")
        return self.strikes[number - 1]

    def disarm(self) -> None:
        """Take back what has not struck yet."""
        self._run(self._traps.clear)

    def cut_all(self) -> int:
        """Cut all connections now; returns how many there were."""
        return self._run(self._cut_all)

    def shuffle(self, seed: int | None) -> None:
        """Deliveries that come together pass in another order, until it is called with None."""
        self.shuffled = 0
        self.chance = None if seed is None else random.Random(seed)

    def delay(self, seconds: float) -> None:
        """Each piece that passes waits that long; 0 ends it."""
        self.pause = seconds

    def stall(self) -> None:
        """Pass nothing any more, either way, also on new connections; nothing is closed."""
        self._run(self._open.clear)

    def go_on(self) -> None:
        """Pass everything again."""
        self._run(self._open.set)

    # ---- what it sees ---------------------------------------------------------------------------
    @property
    def connections(self) -> int:
        """Client connections that stand."""
        return len(self._pairs)

    @property
    def unacked(self) -> int:
        """Deliveries that the clients hold unsettled."""
        return sum(len(pair.deliveries) for pair in list(self._pairs))

    @property
    def unconfirmed(self) -> int:
        """Publishes that the broker has not confirmed."""
        return sum(len(pair.publishes) for pair in list(self._pairs))

    # ---- inside: on the loop --------------------------------------------------------------------
    def _run(self, act: Callable[..., T], *args: Any) -> T:
        async def on_loop() -> T:
            return act(*args)

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(_PATIENCE)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end, self._open = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._away = asyncio.Event()
        listener = Listener(self._accept)
        try:
            await self._listen(listener)
        finally:
            self._cut_all()
            await listener.close()

    async def _listen(self, listener: Listener) -> None:
        """Take connections until the end; while the broker is away they are refused, as it would refuse them."""
        ended = asyncio.ensure_future(self._end.wait())
        while not ended.done():
            self._away.clear()
            listener.listen(self.port)
            self._ready.set()
            away = asyncio.ensure_future(self._away.wait())
            await asyncio.wait((ended, away), return_when=asyncio.FIRST_COMPLETED)
            away.cancel()
            listener.refuse()
            while not (ended.done() or await self._is_back()):
                await asyncio.wait((ended,), timeout=_LOOK_EVERY)

    async def _is_back(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return False
        async with closing(writer):
            _abort(writer)
        return True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the broker is away: so is this connection
            _abort(writer)
            self._away.set()
            return
        pair = _Pair(writer, far_writer)
        self._pairs.add(pair)
        async with closing(far_writer):
            ways = (
                asyncio.ensure_future(self._pass(pair, reader, far_writer, "to_broker")),
                asyncio.ensure_future(self._pass(pair, far_reader, writer, "to_client")),
            )
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                self._pairs.discard(pair)
                pair.close()

    async def _pass(self, pair: "_Pair", reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        splitter = Splitter(from_client=way == "to_broker")
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                await self._open.wait()
                if self.pause:
                    await asyncio.sleep(self.pause)
                for frame in self._ordered(splitter.feed(data), way):
                    if not await self._may_pass(pair, frame, writer, way):
                        return
                    writer.write(frame.raw if isinstance(frame, Frame) else frame)
                    await writer.drain()
            await writer.drain()

    def _ordered(self, frames: list[Frame | bytes], way: Way) -> list[Frame | bytes]:
        if self.chance is None or way == "to_broker":
            return frames
        ordered, moved = shuffled(frames, self.chance)
        self.shuffled += moved
        return ordered

    async def _may_pass(self, pair: "_Pair", frame: Frame | bytes, writer: asyncio.StreamWriter, way: Way) -> bool:
        """False where the connection was cut at this frame."""
        if isinstance(frame, bytes):
            return True
        trap = self._trap(frame, way)
        if trap is not None and not await self._survives(pair, trap, frame, writer):
            return False
        pair.note(frame, way)
        self.counts[way][frame.name] += 1
        return True

    async def _survives(self, pair: "_Pair", trap: "_Trap", frame: Frame, writer: asyncio.StreamWriter) -> bool:
        self.strikes.append(Strike(trap.place, self.unconfirmed, self.unacked))
        if trap.place in _HALF:
            writer.write(frame.raw[: len(frame.raw) // 2])
            await writer.drain()
        if trap.deed == "hold":
            self._open.clear()
            await self._open.wait()
            return pair.alive and trap.place not in _HALF
        pair.cut()
        return False

    def _trap(self, frame: Frame, way: Way) -> _Trap | None:
        for trap in self._traps:
            wanted, names = PLACES[trap.place]
            if way == wanted and frame.name in names and frame.routing_key().startswith(trap.key):
                if trap.after > 0:
                    trap.after -= 1
                    continue
                self._traps.remove(trap)
                return trap
        return None

    def _set(self, trap: _Trap) -> None:
        self._traps.append(trap)

    def _cut_all(self) -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            pair.cut()
        self._pairs.clear()
        return len(pairs)


class _Pair:
    """The two ends of one proxied connection, and what is under way on it."""

    def __init__(self, client: asyncio.StreamWriter, broker: asyncio.StreamWriter) -> None:
        self._ends = (client, broker)
        self._published: dict[int, int] = {}  # by channel, where confirms were asked for
        self.deliveries, self.publishes = Tags(), Tags()
        self.alive = True

    def note(self, frame: Frame, way: Way) -> None:
        """Keep the books of one frame that passes."""
        name, channel = frame.name, frame.channel
        if name == "confirm.select":
            self._published[channel] = 0
        elif name == "channel.close":
            self._published.pop(channel, None)
            self.deliveries.forget(channel)
            self.publishes.forget(channel)
        elif name == "basic.publish" and channel in self._published:
            self._published[channel] += 1
            self.publishes.add(channel, self._published[channel])
        elif name == "basic.deliver":
            self.deliveries.add(channel, frame.delivers())
        elif name in ("basic.ack", "basic.nack", "basic.reject"):
            tag, multiple = frame.settles()
            (self.deliveries if way == "to_broker" else self.publishes).settle(channel, tag, multiple=multiple)

    def cut(self) -> None:
        """Both ends see a reset."""
        self.alive = False
        for end in self._ends:
            _abort(end)

    def close(self) -> None:
        """The one end is gone: so is the other."""
        self.alive = False
        for end in self._ends:
            end.close()


def _abort(writer: asyncio.StreamWriter) -> None:
    """Ends it as a crash does: with a reset, and without what was still to be sent."""
    transport: Any = writer.transport
    end = transport.get_extra_info("socket")
    if end is not None and not transport.is_closing():
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
