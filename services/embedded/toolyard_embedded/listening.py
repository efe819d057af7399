"""Ports of an embedded process, bound before anything is promised, and the server of its small upstream."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from toolyard.errors import SettingsError

#: Ports tried after a default one that is taken, before the kernel chooses.
_NEXT = 10


def bind(host: str, port: int) -> socket.socket:
    """A socket at this address, not yet listening; port 0 takes a free one.

    Raises:
        OSError: the port is taken, or the address is not ours.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(0)  # a port that another socket listens on shows itself only here
    except OSError:
        bound.close()
        raise
    return bound


def bind_asked(host: str, port: int | None, *, default: int) -> socket.socket:
    """A socket at the port that was asked for, else at the default one or the next that is free.

    Raises:
        SettingsError: the port that was asked for is taken, or the address is not ours; says what to do.
    """
    for candidate in [port] if port is not None else [*range(default, default + _NEXT), 0]:
        try:
            return bind(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(f"TOOLYARD_HOST: cannot listen on {host}: {error.strerror}") from error
    raise SettingsError(
        f"TOOLYARD_PORT: the port {port} on {host} is taken by another process; stop that one, give another port "
        "(--port), or leave it out to take the next free one"
    )


def bind_free(host: str, wanted: int | None) -> socket.socket:
    """A socket at the wanted port, or at a free one where that is taken."""
    if wanted is not None:
        with contextlib.suppress(OSError):
            return bind(host, wanted)
    return bind(host, 0)


def address(bound: socket.socket) -> str:
    """The URL of a bound socket, as a client on this machine writes it."""
    host, port = bound.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - listening everywhere includes here
        host = "127.0.0.1" if bound.family == socket.AF_INET else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """A plain ASGI application on a socket, on a loop and among signals that are the process's own."""

    def __init__(self, app: Any, bound: socket.socket) -> None:
        config = uvicorn.Config(
            app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False, server_header=False
        )
        super().__init__(config)
        self._bound = bound
        self._listening = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve; returns when requests are answered."""
        self._serving = asyncio.create_task(self.serve(sockets=[self._bound]))
        await self._listening.wait()

    async def stop(self) -> None:
        """Close everything, also what is under way."""
        self.should_exit = self.force_exit = True
        if self._serving is not None:
            await self._serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, and tell."""
        await super().startup(sockets)
        self._listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process."""
        yield
