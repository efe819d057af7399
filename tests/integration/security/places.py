"""Where a secret could leak to: everything that is published, kept, logged, told or shown, as bytes to be searched."""

import contextlib
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pika
from sqlalchemy import create_engine, text
from tests.integration.security.canaries import Search
from tests.support import leash

from toolyard.store import database, tables
from toolyard.transport import topology


class Spy:
    """A queue beside all others that gets a copy of whatever is published to any exchange."""

    def __init__(self, amqp: str) -> None:
        self._url = amqp
        self._connection = pika.BlockingConnection(pika.URLParameters(amqp))
        self._channel = self._connection.channel()
        self._queue = str(self._channel.queue_declare("", durable=True, exclusive=True).method.queue)
        for exchange in topology.EXCHANGES:
            self._channel.queue_bind(self._queue, exchange, "#")

    def report(self, search: Search) -> int:
        """Look at all that came; how many that were."""
        count = 0
        while True:
            method, properties, body = self._channel.basic_get(self._queue, auto_ack=True)
            if method is None:
                return count
            count += 1
            place = "secrets on the wire" if method.routing_key.startswith("secrets.") else "messages"
            search.look(place, body + repr((method.routing_key, properties)).encode())

    def peek(self, search: Search) -> None:
        """Look at what waits in the shared queues, and leave it there."""
        for queue in topology.QUEUES:
            if queue.arguments["x-queue-type"] == "stream":
                continue
            waiting = self._channel.queue_declare(queue.name, passive=True).method.message_count
            for _ in range(waiting):
                method, properties, body = self._channel.basic_get(queue.name)
                if method is not None:
                    search.look("queues", body + repr(properties).encode())
            self._channel.basic_nack(0, multiple=True, requeue=True)

    def stream(self, search: Search) -> int:
        """Look at every record that the log has by now; how many that were. Others are written all the time."""
        records = 0
        with contextlib.closing(self._log("last")) as log:
            end, _ = next(log)
        with contextlib.closing(self._log("first")) as log:
            for offset, record in log:
                records += 1
                search.look("log", record)
                if offset >= end:
                    break
        return records

    def _log(self, start: str) -> Generator[tuple[int, bytes], None, None]:
        """The log's records from a place on, each with its offset, for as long as some come.

        On a connection that ends with it: what is not read cannot be given back to a stream.
        """
        connection = pika.BlockingConnection(pika.URLParameters(self._url))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=500)
        try:
            for method, properties, body in channel.consume(
                topology.LOG, arguments={"x-stream-offset": start}, inactivity_timeout=10.0
            ):
                if method is None:
                    return
                yield properties.headers["x-stream-offset"], body + repr(properties).encode()
                channel.basic_ack(method.delivery_tag)
        finally:
            with contextlib.suppress(pika.exceptions.AMQPError):
                connection.close()

    def close(self) -> None:
        with contextlib.suppress(pika.exceptions.AMQPError):
            self._connection.close()


class Follower:
    """Follows the live feed of an org for as long as the block lasts, and keeps all that it is told."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = f"{url}/v1/events"
        self._headers = headers
        self._stop = threading.Event()
        self.told: list[bytes] = []
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        with httpx.Client(trust_env=False, timeout=httpx.Timeout(30, read=1.0)) as client:
            last: dict[str, str] = {}
            while not self._stop.is_set():
                with (
                    contextlib.suppress(httpx.ReadTimeout),
                    client.stream("GET", self._url, headers=self._headers | last) as answer,
                ):
                    for line in answer.iter_lines():
                        self.told.append(line.encode())
                        if line.startswith("id:"):
                            last = {"Last-Event-ID": line.partition(":")[2].strip()}
                        if self._stop.is_set():
                            return


class Watch:
    """Looks at the process list again and again: all command lines, and the environments of what workers start."""

    def __init__(self, search: Search, parents: list[int]) -> None:
        self._search = search
        self._parents = parents
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.children: set[int] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.look()
            time.sleep(0.05)  # between two looks; nothing waits for it

    def look(self) -> None:
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                self._search.look("process list", _read(folder / "cmdline"))
        for parent in self._parents:
            for child in leash.members(parent) - {parent}:
                self.children.add(child)
                self._search.look("environments of children", _read(Path(f"/proc/{child}/environ")))


def tables_of(url: str) -> Iterator[tuple[str, bytes]]:
    """Every row of every table."""
    engine = create_engine(database.parse_url(url))
    with engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            for row in connection.execute(text(f'SELECT * FROM "{table.name}"')):
                yield table.name, b" ".join(_bytes(value) for value in row)
    engine.dispose()


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode("utf-8", "surrogatepass")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended while we looked, or is not ours to look at
        return b""
