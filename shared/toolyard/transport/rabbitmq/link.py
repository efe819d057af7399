"""One connection to the broker that is always there or on its way back.

`RabbitTransport` holds two: a memory alarm stops the broker from reading a connection that publishes, and acks must not
be stopped. What runs over a link is set up anew by its owner whenever it comes up.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pika import URLParameters
from pika.adapters.asyncio_connection import AsyncioConnection

from toolyard.errors import SettingsError, ToolyardError, Unavailable
from toolyard.telemetry.logs import logger
from toolyard.transport.rabbitmq.errors import translate

FIRST_RETRY = 0.1
LAST_RETRY = 1.0
#: Seconds for a connection to close in good order; a broker that is blocked or frozen does not answer.
CLOSE_WITHIN = 1.0

# pika tells each failed attempt in ten lines and two tracebacks; we tell it in one, when something changes.
logging.getLogger("pika").setLevel(logging.CRITICAL)

SetUp = Callable[[AsyncioConnection], Awaitable[None]]


class Link:
    """Keeps one connection; all of it runs on one loop.

    Args:
        connection_class: pika's own or the fast one.
        set_up: called with each new connection before it counts as up.
        on_blocked: called when the broker blocks or unblocks publishing on it.
    """

    def __init__(
        self,
        parameters: URLParameters,
        connection_class: type[AsyncioConnection],
        *,
        set_up: SetUp,
        on_blocked: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._parameters = parameters
        self._connection_class = connection_class
        self._set_up, self._on_blocked = set_up, on_blocked
        self._loop = asyncio.get_running_loop()
        self._up: asyncio.Future[AsyncioConnection] = self._loop.create_future()
        self._tried: asyncio.Future[ToolyardError | None] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._log = logger("transport")
        self._connection: AsyncioConnection | None = None
        self.reason = "not connected yet"

    @property
    def connection(self) -> AsyncioConnection | None:
        """The connection, if it is set up and stands."""
        connection = self._connection
        return connection if connection is not None and connection.is_open else None

    @property
    def is_up(self) -> bool:
        """Whether it is connected and set up."""
        return self.connection is not None

    async def start(self) -> None:
        """Begin to connect; returns after the first attempt, whatever came of it.

        Raises:
            SettingsError: what more attempts will not mend.
        """
        if not self._up.cancelled():
            self._task = asyncio.create_task(self._keep())
        first = await self._tried
        if isinstance(first, SettingsError):
            await self.close()
            raise first

    async def up(self) -> AsyncioConnection:
        """The connection, as soon as there is one."""
        return self.connection or await asyncio.shield(self._up)

    async def close(self) -> None:
        """Disconnect and stay so."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._up.cancel()
        self.reason = "closed"
        if not self._tried.done():
            self._tried.set_result(Unavailable(self.reason))

    # ---- its life -------------------------------------------------------------------------------
    async def _keep(self) -> None:
        pause = FIRST_RETRY
        while True:
            try:
                if await self._live():
                    pause = FIRST_RETRY
            except ToolyardError as error:
                self._failed(error)
            except Exception as error:  # noqa: BLE001 - a defect must be seen, and not leave us unconnected
                self._log.exception("setting up a connection failed", name=self._name)
                self._failed(Unavailable(f"setting up the connection failed: {type(error).__name__}"))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_RETRY)

    async def _live(self) -> bool:
        """One connection from its opening to its end; True when it was up."""
        connection, lost = await self._connect()
        try:
            await self._set_up(connection)
            if lost.done():
                raise lost.result()
            self._is_up(connection)
            self._is_lost(await asyncio.shield(lost))
        finally:
            self._connection = None
            await _end(connection, lost)
        return True

    def _is_up(self, connection: AsyncioConnection) -> None:
        self._connection, self.reason = connection, ""
        self._up.set_result(connection)
        self._up = self._loop.create_future()
        if not self._tried.done():
            self._tried.set_result(None)

    def _is_lost(self, reason: ToolyardError) -> None:
        self._connection, self.reason = None, str(reason)
        self._log.warning("connection lost", name=self._name, reason=self.reason)

    def _failed(self, error: ToolyardError) -> None:
        text = str(error)
        if text != self.reason:  # once for each reason, not once for each attempt
            self._log.warning("cannot connect", name=self._name, reason=text)
        self.reason = text
        if not self._tried.done():
            self._tried.set_result(error)

    async def _connect(self) -> "tuple[AsyncioConnection, asyncio.Future[ToolyardError]]":
        opened: asyncio.Future[None] = self._loop.create_future()
        lost: asyncio.Future[ToolyardError] = self._loop.create_future()
        where = f"{self._parameters.host}:{self._parameters.port}"

        def failed(_connection: object, error: BaseException) -> None:
            if not opened.done():
                opened.set_exception(translate(error, f"connecting to {where}"))
            closed(_connection, error)

        def closed(_connection: object, error: BaseException) -> None:
            if not lost.done():
                lost.set_result(translate(error, f"connected to {where}"))

        connection = self._connection_class(
            self._parameters,
            on_open_callback=lambda _: _done(opened),
            on_open_error_callback=failed,
            on_close_callback=closed,
            custom_ioloop=self._loop,
        )
        connection.add_on_connection_blocked_callback(lambda *_: self._on_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._on_blocked(False))
        try:
            await opened
        except asyncio.CancelledError:
            await _end(connection, lost)
            raise
        return connection, lost

    @property
    def _name(self) -> str:
        properties: dict[str, Any] = self._parameters.client_properties or {}
        return str(properties.get("connection_name", ""))


async def _end(connection: AsyncioConnection, lost: "asyncio.Future[ToolyardError]") -> None:
    """Close it in good order, or by force when the broker does not answer."""
    if lost.done():
        return
    if connection.is_open:
        connection.close()
    elif not connection.is_closing:
        _give_up(connection)
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await asyncio.shield(lost)
    except TimeoutError:
        _give_up(connection)
        await asyncio.shield(lost)


def _give_up(connection: AsyncioConnection) -> None:
    """End it without a word to the broker, for which pika has no public word that works during the handshake."""
    transport = connection._transport  # noqa: SLF001
    if transport is None:
        connection.close()
    else:
        transport._initiate_abort(ConnectionAbortedError("given up"))  # noqa: SLF001


def _done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def parameters(url: str, name: str) -> URLParameters:
    """The parameters that a URL means: its query options hold, our bounds stand in where it says nothing.

    Raises:
        SettingsError: the URL is not readable; the text has no password.
    """
    try:
        read = URLParameters(url)
    except Exception as error:  # noqa: BLE001 - pika raises whatever its parsing meets, and its texts may hold the password
        raise SettingsError(
            "the broker's URL cannot be read; it looks like amqp://user:password@host:5672/vhost?heartbeat=15 "
            f"({type(error).__name__})"
        ) from None
    bounds = {"heartbeat": 15, "socket_timeout": 3.0, "stack_timeout": 6.0}
    for option, bound in bounds.items():
        if f"{option}=" not in url.partition("?")[2]:
            setattr(read, option, bound)
    read.connection_attempts = 1  # trying again is the link's work
    read.client_properties = {**(read.client_properties or {}), "connection_name": name}
    return read
