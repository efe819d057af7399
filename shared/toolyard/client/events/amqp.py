"""Events from the broker, for programs that may connect to it: a queue that is bound to the feed, or an org's stream.

The only file of the SDK's events that knows the library of the broker; whoever follows over HTTP does not need it.
"""

import random
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from toolyard import ids
from toolyard.client.errors import How, Unreachable
from toolyard.client.events.messages import Known, feed_event_of, matches
from toolyard.client.feed import FeedEvent, Gap
from toolyard.client.following import FIRST
from toolyard.client.patience import HELD, Patience
from toolyard.clock import SYSTEM
from toolyard.errors import Refused

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

FEED: Final = "toolyard.feed"
#: Messages that the broker sends ahead.
_AHEAD: Final = 200
#: Seconds for which one look for a message waits.
_LOOK: Final = 0.5
#: What the broker says when it closes a channel: refused, not found, there with other properties.
_REFUSALS: Final = {403: "permission_denied", 404: "not_found", 405: "conflict", 406: "conflict"}


def over_amqp(
    url: str,
    org: str,
    *,
    keys: str | Collection[str] = "call.#",
    since: datetime | int | str | None = None,
    queue: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    retry_for: float = inf,
) -> "OverAmqp":
    """The events of an org, from the broker.

    Args:
        url: of the broker, as in ``amqps://user:password@rabbit.example.com/``.
        org: whose events; the user must be allowed to read them.
        keys: which, as ``<channel>.<event>.<pool>.<tool>`` with the wildcards of topics, as in ``call.succeeded.#``;
            what is of no call is passed over.
        since: replays the org's stream and goes on live: from its ``"first"`` event, from behind a cursor of this
            function's own, or from a time.
        queue: a durable queue of this name, which keeps what comes while nobody reads it; made where it is missing, and
            an event is taken from it once the next one is asked for, or the block ends well. Without ``since`` and
            ``queue`` you are given what comes while you are connected.
        arguments: of that queue, for its declaration.
        retry_for: seconds for which a broker that is away is asked again; for ever where nothing is said.

    Raises:
        Refused: the broker does not let you; Unreachable: it is away: from the block's beginning and from the loop.
        ModuleNotFoundError: the package pika is not installed.
    """
    if queue is not None and since is not None:
        raise ValueError("a queue keeps its own place: give queue or since")
    try:
        import pika  # noqa: F401 - said at once, and not in the first block
    except ModuleNotFoundError as error:
        told = "events.over_amqp needs the package pika: pip install 'toolyard[amqp]'"
        raise ModuleNotFoundError(told, name=error.name) from None
    wanted = tuple(f"{org}.{key}" for key in ((keys,) if isinstance(keys, str) else keys))
    return OverAmqp(url, org, wanted, since, queue, dict(arguments or {}), retry_for)


class OverAmqp:
    """Events as they come; for ``with``, and for one thread.

    Attributes:
        cursor: of a stream: the place behind what was given last, for ``since``; empty elsewhere.
    """

    def __init__(
        self,
        url: str,
        org: str,
        keys: tuple[str, ...],
        since: datetime | int | str | None,
        queue: str | None,
        arguments: dict[str, Any],
        retry_for: float,
    ) -> None:
        self.cursor = str(since) if isinstance(since, int) or (isinstance(since, str) and since != FIRST) else ""
        self._url, self._org, self._keys = url, org, keys
        self._since, self._queue, self._arguments = since, queue, arguments
        self._patience = Patience(retry_for, clock=SYSTEM, chance=random.random)
        self._known = Known()
        self._connection: BlockingConnection | None = None
        self._channel: BlockingChannel | None = None
        self._coming: Iterator[Any] = iter(())
        self._given: int | None = None
        self._lost = False
        self._began = 0.0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more is given."""
        return self._closed

    # ---- what is given ------------------------------------------------------------------------
    def __iter__(self) -> Iterator[FeedEvent | Gap]:
        return self

    def __next__(self) -> FeedEvent | Gap:
        while not self._closed:
            if (found := self.step()) is not None:
                return found
        raise StopIteration

    def step(self) -> FeedEvent | Gap | None:
        """What comes next, if it comes within half a second; broken connections are opened again."""
        from pika.exceptions import AMQPError

        try:
            self._open()
            if self._lost:  # nobody kept what came while there was no connection
                self._lost = False
                return Gap()
            self._acknowledge()
            method, properties, body = next(self._coming)
        except (AMQPError, StopIteration, OSError) as error:
            self._after(error)
            return None
        return None if method is None else self._taken(method, properties, body)

    def _taken(self, method: Any, properties: Any, body: bytes) -> FeedEvent | Gap | None:
        self._patience.renew()
        self._given = method.delivery_tag
        headers = properties.headers or {}
        offset = None if self._since is None else headers.get("x-stream-offset")
        if offset is not None:
            before, self.cursor = self.cursor, str(offset)
            if before and int(before) >= offset:  # a broker may begin before the place that it was told
                self.cursor = before
                return None
            if before and offset > int(before) + 2:  # one is missing where a segment begins
                self.cursor = str(offset - 1)
                self._drop()
                return Gap(cursor=self.cursor)
        if method.exchange != FEED:  # whoever may publish can put a message into any queue, but not through the feed
            return None
        if self._since is not None and not any(matches(key, method.routing_key) for key in self._keys):
            return None
        event = feed_event_of(headers, body, cursor=self.cursor)
        return event if event is not None and self._known.is_new(event.id) else None

    def _acknowledge(self) -> None:
        """Whoever asks for the next one is done with the last one."""
        if self._given is not None and self._channel is not None:
            self._channel.basic_ack(self._given, multiple=True)
        self._given = None

    # ---- the connection -----------------------------------------------------------------------
    def _open(self) -> None:
        if self._channel is not None:
            return
        import pika

        self._began = time.monotonic()
        self._connection = pika.BlockingConnection(pika.URLParameters(self._url))
        channel = self._connection.channel()
        channel.basic_qos(prefetch_count=_AHEAD)
        if self._since is None:
            self._coming = channel.consume(self._bound(channel), inactivity_timeout=_LOOK)
        else:
            stream, place = f"{FEED}.{self._org}", {"x-stream-offset": self._place()}
            self._coming = channel.consume(stream, arguments=place, inactivity_timeout=_LOOK)
        self._channel = channel

    def _bound(self, channel: "BlockingChannel") -> str:
        """A queue that gets what is wanted: the one that is named, or one of this connection alone."""
        kept = self._queue is not None
        name = self._queue or f"follow.{self._org}.{ids.new_id()}"
        channel.queue_declare(name, durable=kept, exclusive=not kept, auto_delete=not kept, arguments=self._arguments)
        for key in self._keys:
            channel.queue_bind(name, FEED, key)
        return name

    def _place(self) -> Any:
        if self.cursor:
            return int(self.cursor) + 1
        return self._since if isinstance(self._since, datetime) else FIRST

    def _after(self, error: BaseException) -> None:
        """Wait before the next try, or raise what makes no sense to try again."""
        self._drop()
        self._lost = self._since is None and self._queue is None
        if (refused := _refusal(error)) is not None:
            raise refused from None
        lasted = time.monotonic() - self._began
        how: How = "cut" if lasted >= HELD else "refused"
        told = f"The connection to the broker failed: {type(error).__name__}."
        time.sleep(self._patience.after(Unreachable(told, how=how), repeatable=True, lasted=lasted).seconds)

    def _drop(self) -> None:
        from pika.exceptions import AMQPError

        connection, self._connection, self._channel, self._coming = self._connection, None, None, iter(())
        self._given = None
        if connection is not None and connection.is_open:
            with suppress(AMQPError, OSError):  # it is gone already: that was wanted
                connection.close()

    # ---- its life -----------------------------------------------------------------------------
    def open(self) -> None:
        """Connect; what happens from now on is given."""
        while self._channel is None and not self._closed:
            from pika.exceptions import AMQPError

            try:
                self._open()
            except (AMQPError, OSError) as error:
                self._after(error)
        self._lost = False

    def close(self, *, done: bool = True) -> None:
        """End; what was given last is done, unless it is said that it is not."""
        from pika.exceptions import AMQPError

        if done and not self._closed:
            with suppress(AMQPError, OSError):  # it comes once more, then
                self._acknowledge()
        self._closed = True
        self._drop()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(done=error is None)


def _refusal(error: BaseException) -> Refused | None:
    """What the broker will not change its mind about."""
    from pika.exceptions import AuthenticationError, ChannelClosedByBroker, ProbableAuthenticationError

    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return Refused("unauthenticated", "The broker does not know this user, or not with this password.")
    if isinstance(error, ChannelClosedByBroker) and error.reply_code in _REFUSALS:
        return Refused(_REFUSALS[error.reply_code], f"The broker refused: {error.reply_text}")
    return None
