"""A gateway on a socket: uvicorn with our own signals, so that a stop drains first.

Called by this package's `__main__` and by `toolyard_embedded`.
"""

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
from fastapi import FastAPI

from toolyard.errors import SettingsError
from toolyard.process import settle
from toolyard.telemetry.logs import logger
from toolyard_gateway.http_protocol import BoundedHttp
from toolyard_gateway.lifespan import drain
from toolyard_gateway.websocket_protocol import BoundedWebSocket

log = logger("gateway")

PORT: Final = 8080
#: Seconds that open connections are given after waiters had theirs.
LAST_WORDS: Final = 2
#: Seconds that an idle connection is kept: longer than what usually stands in front of a gateway keeps it.
KEEP_ALIVE: Final = 75
#: Bytes of a message on a websocket: longer ones end it. Shorter ones that are too long are only refused by the app.
MAX_SOCKET_MESSAGE: Final = 256 * 1024
#: Seconds between pings on a websocket, and until one must be answered.
PING_EVERY: Final = 20.0
PONG_WITHIN: Final = 20.0
_BACKLOG: Final = 2_048


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket: on the port asked for, else on 8080, else, where that is taken, on a free one.

    Raises:
        SettingsError: the port that was asked for is taken, or the address is not ours.
    """
    try:
        return _bound(host, PORT if port is None else port)
    except OSError as error:
        if port is not None or error.errno != errno.EADDRINUSE:
            raise SettingsError(f"cannot listen on {host}:{port or PORT}: {error.strerror}") from error
        return _bound(host, 0)


def _bound(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)  # from here on clients wait instead of being sent away
    except OSError:
        made.close()
        raise
    return made


class Server(uvicorn.Server):
    """Leaves signals to us: a stop drains before anything is closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process."""
        yield


class Serving:
    """One app on one socket."""

    def __init__(self, app: FastAPI, sock: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=BoundedHttp,
            ws=BoundedWebSocket,
            ws_max_size=MAX_SOCKET_MESSAGE,
            ws_ping_interval=PING_EVERY,
            ws_ping_timeout=PONG_WITHIN,
            ws_per_message_deflate=False,
            lifespan="on",
            access_log=False,
            log_config=None,
            backlog=_BACKLOG,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=LAST_WORDS,
        )
        self._app = app
        self._socket = sock
        self._server = Server(config)
        self._stopping: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def run(self, *, signals: bool = True) -> None:
        """Serve until `stop` is called, or a signal comes."""
        if signals:
            loop = asyncio.get_running_loop()
            for one in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(one, self.stop)
        log.info("listening", url=self.url)
        settle()
        await self._server.serve(sockets=[self._socket])
        if self._stopping is not None:
            await self._stopping

    def stop(self) -> None:
        """Drain, then stop: not ready at once, waiters answered, then the socket is closed."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        log.info("stopping")
        await drain(self._app.state.parts)
        self._server.should_exit = True
