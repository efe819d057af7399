"""One connection to the broker in a thread of its own, always there or on its way back: what `AmqpClient` publishes by.

The only place of the SDK that knows pika, which is loaded when the first line is made. What is published and not
answered is published once more after a reconnect, with the same ids: whoever took it before finds the same.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from toolyard import ids
from toolyard.client.errors import Unreachable
from toolyard.errors import FieldError, FieldsRefused, Refused, ToolyardError

REQUESTS: Final = "toolyard.requests"
#: Milliseconds that the reply queue outlives its client: long enough for a broker that is started anew.
EXPIRES: Final = 300_000
#: Answers on their way to us at a time.
PREFETCH: Final = 500
#: Seconds between two tries to connect: at first, and at most.
FIRST_RETRY: Final = 0.1
LAST_RETRY: Final = 2.0
#: Seconds after a reconnect in which answers that have waited come first.
ANSWERS_FIRST: Final = 0.3
#: Seconds for a connection to close in good order.
CLOSE_WITHIN: Final = 2.0
_ACCESS_REFUSED: Final = 403


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    kind: str
    body: bytes
    headers: dict[str, Any]


@dataclass(slots=True, eq=False)
class Post:
    """One request on its way.

    Attributes:
        done: told once, on the line's thread.
        sent: it was published over this connection or an earlier one.
    """

    body: bytes
    kind: str
    headers: dict[str, str]
    done: Callable[[Answer | ToolyardError], None]
    message_id: str = field(default_factory=ids.new_id)
    sent: bool = False
    timer: Any = None


def load_pika() -> Any:
    """The package; raises `ModuleNotFoundError`, which names our extra."""
    try:
        import pika  # here: who asks over HTTP needs none
    except ModuleNotFoundError:
        text = "toolyard.client.AmqpClient needs pika, which is not installed: pip install 'toolyard[amqp]'"
        raise ModuleNotFoundError(text, name="pika") from None
    return pika


class Line:
    """Publishes requests and hears their answers.

    Args:
        url: of the broker.
        queue: for answers; of this line alone. One with a name of its own where none is given.
        as_user: sends the name of the broker's user, for the broker to check.

    Raises:
        FieldsRefused: the URL is none; its password is not in the text.
    """

    def __init__(self, url: str, queue: str | None, *, as_user: bool) -> None:
        self._pika = load_pika()
        self._parameters = self._read(url)
        user: str = self._parameters.credentials.username
        self._queue = queue or f"answers.{user}.{ids.new_id()}"
        self._user = user if as_user else None
        self._loop = _io_loop()
        self._posts: dict[str, Post] = {}
        self._unconfirmed: dict[int, Post] = {}
        self._channel: Any = None
        self._connection: Any = None
        self._tag = 0
        self._pause = FIRST_RETRY
        self._closing = False
        self._reason = "it was not reached yet"
        self._thread = threading.Thread(target=self._run, name="toolyard-amqp", daemon=True)
        self._thread.start()

    def _read(self, url: str) -> Any:
        try:
            parameters = self._pika.URLParameters(url)
        except Exception:  # noqa: BLE001 - pika raises whatever its parsing meets, and its texts may hold the password
            text = "is no URL like amqp://user:password@127.0.0.1:5672/vhost"
            raise FieldsRefused((FieldError("url", text),)) from None
        parameters.connection_attempts = 1  # trying again is ours
        if "heartbeat=" not in url:
            parameters.heartbeat = 15
        self.where = f"{parameters.host}:{parameters.port}"
        return parameters

    # ---- for any thread -------------------------------------------------------------------------
    def run(self, function: Callable[[], None]) -> None:
        """Call this on the line's thread, soon."""
        self._loop.add_callback_threadsafe(function)

    def close(self) -> None:
        """Leave; what is not answered stays so. The reply queue goes by itself some minutes later."""
        if self._thread.is_alive():
            self.run(self._leave)
            self._thread.join()

    # ---- for the line's thread ------------------------------------------------------------------
    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call this then."""
        self._loop.call_later(seconds, function)

    def post(self, post: Post, *, within: float) -> None:
        """Publish a request; it is told its answer, or that none came in this time (seconds)."""
        self._posts[post.message_id] = post
        post.timer = self._loop.call_later(within, lambda: self._fail(post, self._silence(post, within)))
        if self._channel is not None:
            self._publish(post)

    def _silence(self, post: Post, within: float) -> Unreachable:
        if post.sent:
            return Unreachable(f"No answer by way of the broker at {self.where} within {within:g} s.", how="silent")
        return Unreachable(f"The broker at {self.where} cannot be reached: {self._reason}.", how="refused")

    def _end(self, post: Post, outcome: Answer | ToolyardError) -> None:
        if self._posts.pop(post.message_id, None) is not None:
            self._loop.remove_timeout(post.timer)
            post.done(outcome)

    def _fail(self, post: Post, error: ToolyardError) -> None:
        self._end(post, error)

    def _fail_all(self, error: ToolyardError) -> None:
        for post in list(self._posts.values()):
            self._fail(post, error)

    # ---- its life -------------------------------------------------------------------------------
    def _run(self) -> None:
        self._connect()
        self._loop.start()
        self._loop.close()

    def _connect(self) -> None:
        if self._closing:
            return
        self._connection = self._pika.SelectConnection(
            self._parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._set_up),
            on_open_error_callback=self._lost,
            on_close_callback=self._lost,
            custom_ioloop=self._loop,
        )

    def _set_up(self, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirmed, callback=lambda _: declare())

        def declare() -> None:
            arguments = {"x-expires": EXPIRES}
            channel.queue_declare(self._queue, durable=True, arguments=arguments, callback=lambda _: limit())

        def limit() -> None:
            channel.basic_qos(prefetch_count=PREFETCH, callback=lambda _: consume())

        def consume() -> None:
            channel.basic_consume(self._queue, self._answered, callback=lambda _: self._up(channel))

        channel.add_on_cancel_callback(lambda _: channel.close())  # somebody deleted the queue: declared anew

    def _up(self, channel: Any) -> None:
        self._channel, self._tag, self._pause = channel, 0, FIRST_RETRY
        self._unconfirmed.clear()
        before = [post for post in self._posts.values() if post.sent]
        for post in list(self._posts.values()):
            if not post.sent:
                self._publish(post)
        if before:
            self.later(ANSWERS_FIRST, lambda: self._publish_again(channel, before))

    def _publish_again(self, channel: Any, posts: list[Post]) -> None:
        for post in posts:
            if self._channel is channel and post.message_id in self._posts:
                self._publish(post)

    def _channel_closed(self, channel: Any, reason: Any) -> None:
        self._channel = None
        if getattr(reason, "reply_code", 0) == _ACCESS_REFUSED:
            self._fail_all(Refused("permission_denied", f"The broker refuses it: {reason.reply_text}"))
        if channel.connection.is_open:
            channel.connection.close()

    def _lost(self, _connection: Any, reason: Any) -> None:
        self._channel = None
        self._reason = _words(reason)
        if self._closing:
            self._loop.stop()
            return
        errors = self._pika.exceptions
        wrong = (errors.ProbableAuthenticationError, errors.AuthenticationError, errors.ProbableAccessDeniedError)
        if isinstance(_innermost(reason), wrong):
            text = f"The broker at {self.where} refuses the user, the password or the vhost of its URL."
            self._fail_all(Refused("unauthenticated", text))
        self.later(self._pause, self._connect)
        self._pause = min(2 * self._pause, LAST_RETRY)

    def _leave(self) -> None:
        self._closing = True
        connection = self._connection
        if connection.is_closed:
            self._loop.stop()
        elif connection.is_open:
            connection.close()
            self.later(CLOSE_WITHIN, lambda: _give_up(connection))
        else:
            _give_up(connection)

    # ---- messages -------------------------------------------------------------------------------
    def _publish(self, post: Post) -> None:
        properties = self._pika.BasicProperties(
            content_type="application/json",
            headers=dict(post.headers),
            delivery_mode=2,
            type=post.kind,
            message_id=post.message_id,
            correlation_id=post.message_id,
            reply_to=self._queue,
            user_id=self._user,
        )
        self._tag += 1
        self._unconfirmed[self._tag] = post
        post.sent = True
        self._channel.basic_publish("", REQUESTS, post.body, properties, mandatory=True)

    def _confirmed(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        tags = [one for one in self._unconfirmed if one <= tag] if frame.method.multiple else [tag]
        posts = [post for one in tags if (post := self._unconfirmed.pop(one, None)) is not None]
        if isinstance(frame.method, self._pika.spec.Basic.Nack):
            for post in posts:
                self._fail(post, Refused("unavailable", "The queue of requests is full.", retry_after=1))

    def _returned(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        post = self._posts.get(properties.message_id)
        if post is not None:
            text = f"There is no queue {REQUESTS} at {self.where}: no gateway was started there, or its front is off."
            self._fail(post, Unreachable(text, how="refused"))

    def _answered(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        post = self._posts.get(properties.correlation_id or "")
        if post is not None:  # else it was answered before, or nobody waits for it any more
            self._end(post, Answer(properties.type or "", body, properties.headers or {}))
        channel.basic_ack(method.delivery_tag)


def _give_up(connection: Any) -> None:
    """End it without a word to the broker, for which pika has no public word that works during the handshake."""
    transport = connection._transport  # noqa: SLF001
    if transport is None:
        connection.close()
    else:
        transport._initiate_abort(ConnectionAbortedError("given up"))  # noqa: SLF001


def _io_loop() -> Any:
    from pika.adapters.select_connection import IOLoop  # here, as pika itself

    return IOLoop()


def _innermost(reason: Any) -> Any:
    """The cause itself: pika wraps what befalls a connection that is being made."""
    while True:
        inner = getattr(reason, "exceptions", None)
        if inner:
            reason = inner[-1]
        elif isinstance(getattr(reason, "exception", None), BaseException):
            reason = reason.exception
        elif reason.args and isinstance(reason.args[0], BaseException):
            reason = reason.args[0]
        else:
            return reason


def _words(reason: Any) -> str:
    inner = _innermost(reason)
    return f"{type(inner).__name__}: {inner}" if str(inner) else type(inner).__name__
