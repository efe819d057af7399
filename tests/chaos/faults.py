"""What drills do to the surroundings of a yard: its broker's queues, its messages, its log's file, its database."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pika
import psycopg
from tests.support.postgres import PostgresNode
from tests.support.processes import Process
from tests.support.rabbit import RabbitNode
from tests.support.system import System
from tests.support.waiting import wait_until

from toolyard.transport import topology


class Faults:
    """The part of a yard that breaks what is around our processes."""

    folder: Path
    node: RabbitNode
    database: PostgresNode
    database_url: str
    system: System

    # ---- processes ------------------------------------------------------------------------------
    @contextlib.contextmanager
    def still(self, *names: str) -> Iterator[None]:
        """These parts are frozen inside the `with`."""
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(self.system.processes[name].suspended())
            yield

    def run_once(self, command: Sequence[str]) -> int:
        """Run one of our commands with the environment of the parts, to its end; the exit code."""
        with Process(command, env=self.system.env, cwd=self.folder, log=self.folder / "command.log") as process:
            return process.wait(within=60)

    # ---- queues ---------------------------------------------------------------------------------
    @contextlib.contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of our own at the broker itself."""
        connection = pika.BlockingConnection(pika.URLParameters(self.node.url()))
        try:
            yield connection.channel()
        finally:
            connection.close()

    def waiting(self) -> int:
        """Calls that wait in the pool's queue."""
        with self.channel() as channel:
            count: int = channel.queue_declare(topology.pool_queue("http"), passive=True).method.message_count
            return count

    def delete_queue(self, name: str) -> int:
        """Delete a queue; returns how many messages waited in it."""
        with self.channel() as channel:
            count: int = channel.queue_delete(name).method.message_count
            return count

    def delete_pool_queue(self) -> int:
        """What waited in it."""
        return self.delete_queue(topology.pool_queue("http"))

    def declare_queue(self, name: str) -> None:
        """As `toolyard.transport.topology` says, and empty."""
        queue = next(queue for queue in topology.QUEUES if queue.name == name)
        with self.channel() as channel:
            channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
            for exchange, key in queue.bindings:
                channel.queue_bind(queue.name, exchange, key)

    @contextlib.contextmanager
    def limited_pool_queue(self, length: int) -> Iterator[None]:
        """The pool's queue takes no more than so many messages inside the `with`."""
        pattern = f"^{topology.pool_queue('http')}$"
        limit = json.dumps({"max-length": length})
        self.node.ctl("set_policy", "full", pattern, limit, "--apply-to", "queues")
        try:
            yield
        finally:
            self.node.ctl("clear_policy", "full")

    # ---- messages -------------------------------------------------------------------------------
    @contextlib.contextmanager
    def copies(self, *exchanges: str) -> "Iterator[Copies]":
        """A queue of our own which gets every message of these exchanges too."""
        with self.channel() as channel:
            queue = channel.queue_declare("", exclusive=True).method.queue
            for exchange in exchanges:
                channel.queue_bind(queue, exchange, "#")
            yield Copies(channel, queue)

    def cut_log(self) -> int:
        """Cut the second half of the log's newest file, the broker being down; returns the bytes that are gone."""
        segments = self.node.folder.glob(f"data/**/*{topology.LOG.replace('.', '_')}*/*.segment")
        newest = max(segments, key=lambda each: each.name)
        size = newest.stat().st_size
        with newest.open("r+b") as file:
            file.truncate(size // 2)
        return size - size // 2

    # ---- the store ------------------------------------------------------------------------------
    @contextlib.contextmanager
    def locked_store(self) -> Iterator[None]:
        """Nobody reads or writes the table of calls inside the `with`."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute("lock table calls in access exclusive mode")
            yield

    def back_up(self) -> None:
        """Keep what the store holds now."""
        self.database.back_up(self.database_url, self.folder / "backup")

    def restore(self) -> None:
        """Make the store what it was at `back_up`."""
        self.database.restore(self.database_url, self.folder / "backup")


class Copies:
    """Messages as they were published, none of them twice."""

    def __init__(self, channel: Any, queue: str) -> None:
        self._channel, self._queue = channel, queue
        self._seen: set[str] = set()

    def publish_again(self, number: int) -> int:
        """Publish the next so many a second time, byte for byte; returns how many."""
        for _ in range(number):
            self._publish(wait_until(self._next, within=20, what="a message"))
        return number

    def publish_all_again(self, *, newest_first: bool = False) -> int:
        """Publish all that came until now a second time; returns how many there were."""
        come = []
        while (got := self._next()) is not None:
            come.append(got)
        for got in reversed(come) if newest_first else come:
            self._publish(got)
        return len(come)

    def _publish(self, got: Any) -> None:
        method, properties, body = got
        self._channel.basic_publish(method.exchange, method.routing_key, body, properties)

    def _next(self) -> Any:
        """The next one that is not a copy which we published ourselves; None where there is none."""
        while True:
            got = self._channel.basic_get(self._queue, auto_ack=True)
            if got[0] is None:
                return None
            if got[1].message_id not in self._seen:
                self._seen.add(got[1].message_id)
                return got
