"""A relay between a client and its server: it passes bytes on, and can cut, hold up or refuse connections.

Used by tests of what a lost, slow or absent server does. It runs on the loop of the test.
"""

import asyncio
import contextlib
import ssl

from tests.support.connections import Listener, closing


class Relay:
    """Listens on a free port of this machine, the same one from `listen` to `listen`.

    Args:
        host: the server's.
        port: the server's.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = Listener(self._serve)
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0

    def listen(self, tls: ssl.SSLContext | None = None) -> None:
        """Accepts connections; with a context it speaks TLS to the client, and none to the server."""
        self.port = self._listener.listen(self.port, tls=tls)

    def cut(self) -> None:
        """Ends all connections at once, on both sides."""
        for writer in self._writers:
            writer.transport.abort()

    def hold(self) -> None:
        """Passes nothing on until `flow`; connections stay open."""
        self._flows.clear()

    def flow(self) -> None:
        """Passes on what was held up, and all that follows."""
        self._flows.set()

    def refuse(self) -> None:
        """Ends all connections and accepts no more until `listen`."""
        self._listener.refuse()
        self.cut()

    async def close(self) -> None:
        """The same for good; returns when all connections are closed."""
        await self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:  # the server is away, so this connection ends too
            return
        self._writers |= {writer, back}
        try:
            async with closing(back):
                await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        finally:
            self._writers -= {writer, back}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
