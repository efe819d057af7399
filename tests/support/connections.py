"""The connections that a server of the tests accepts: each has an owner at once, and none outlives the server.

`asyncio.start_server` gives no such promise. It loses a socket whose task is cancelled before its first step, a
connection that is closed while its peer does not read, and what it accepted in the last turn of its loop. The garbage
collector finds them later, and then a test fails that has nothing to do with them.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

#: Serves one connection; it is closed when this returns.
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_BACKLOG = 1024


class Listener:
    """Accepts connections on 127.0.0.1, on the loop that runs, and serves each in a task of its own.

    Args:
        serve: what is done with each. What it raises is told to the loop's exception handler.
        limit: bytes that a reader holds, as in `asyncio.start_server`.
    """

    def __init__(self, serve: Serve, *, limit: int = 1 << 16) -> None:
        self._serve, self._limit = serve, limit
        self._listening: socket.socket | None = None
        self._accepted: dict[asyncio.Task[None], socket.socket] = {}

    def listen(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> int:
        """Accepts connections until `refuse`; returns the port, a free one for 0.

        Raises:
            OSError: the port is taken.
        """
        listening = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
        listening.setblocking(False)
        self._listening, self._loop = listening, asyncio.get_running_loop()
        self._loop.add_reader(listening, self._accept, listening, tls)
        taken: int = listening.getsockname()[1]
        return taken

    def refuse(self) -> None:
        """Accepts no more; what was accepted goes on."""
        if self._listening is not None:
            self._loop.remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    async def close(self) -> None:
        """Accepts no more, and ends what was accepted; returns when every socket is closed."""
        self.refuse()
        for task in self._accepted:
            task.cancel()
        if self._accepted:
            await asyncio.wait(self._accepted)

    def _accept(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # it has left again
            return
        task = self._loop.create_task(self._run(accepted, tls))
        self._accepted[task] = accepted
        task.add_done_callback(self._is_over)

    async def _run(self, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        accepted.setblocking(False)
        reader = asyncio.StreamReader(limit=self._limit)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, accepted, ssl=tls)
        except OSError:  # it left during the handshake
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        async with closing(writer):
            await self._serve(reader, writer)

    def _is_over(self, task: "asyncio.Task[None]") -> None:
        self._accepted.pop(task).close()  # still open only where the task was cancelled before its first step
        if not task.cancelled() and (error := task.exception()) is not None:
            told = {"message": "serving a connection failed", "exception": error, "task": task}
            self._loop.call_exception_handler(told)


@contextlib.asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Ends a connection with the block, and waits until its socket is closed.

    What was written still goes out, unless the block raised, is cancelled, or the peer has gone.
    """
    try:
        yield
        writer.close()
        await _closed(writer)
    finally:
        writer.transport.abort()
        await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # how it ended
        await asyncio.shield(
            writer.wait_closed()
        )  # to be cancelled it must not take the future along that tells the end
