"""The servers of the tests leave no socket behind, whenever they end."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from tests.support.connections import Listener, closing


class Served:
    """Holds what it is given, and never ends by itself."""

    def __init__(self, *, writes: int = 0) -> None:
        self.began = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self._writes = writes

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(bytes(self._writes))
        self.began.set()
        if not self._writes:
            await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port)) as connected:
        connected.setblocking(False)
        yield connected


def owned(listener: Listener) -> list[socket.socket]:
    return list(listener._accepted.values())


async def test_what_is_served_is_closed_with_the_listener():
    served = Served()
    listener = Listener(served)
    async with client(listener.listen()) as connected:
        await served.began.wait()
        sockets = owned(listener)
        await listener.close()

        assert [each.fileno() for each in sockets] == [-1]
        assert await asyncio.get_running_loop().sock_recv(connected, 1) == b""


async def test_what_was_accepted_in_the_last_turn_is_closed_too():
    served = Served()
    listener = Listener(served)
    async with client(listener.listen()):
        assert listener._listening is not None
        listener._accept(listener._listening, None)  # as the loop does, and then ends before the task begins
        sockets = owned(listener)
        await listener.close()

    assert [each.fileno() for each in sockets] == [-1]
    assert served.writers == []


async def test_a_peer_that_does_not_read_does_not_keep_its_socket():
    served = Served(writes=50_000_000)  # more than two sockets hold
    listener = Listener(served)
    async with client(listener.listen()):
        await served.began.wait()
        sockets = owned(listener)
        await listener.close()

    assert [each.fileno() for each in sockets] == [-1]


async def test_what_was_written_before_the_end_goes_out():
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(3_000_000))

    listener = Listener(greet)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.listen())
    async with closing(writer):
        assert len(await reader.read()) == 3_000_000
    await listener.close()


async def test_a_listener_refuses_and_listens_again_on_its_port():
    served = Served()
    listener = Listener(served)
    port = listener.listen()
    listener.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert listener.listen(port) == port
    async with client(port):
        await served.began.wait()
    await listener.close()
