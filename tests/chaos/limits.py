"""`python -m tests.chaos.limits`: how exact deadlines are under load, and what a hundred thousand parked calls cost.

Each measurement has a system of its own, prints its figures and says whether they are within what is promised.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from tests.chaos.checker import stored_calls
from tests.chaos.drills.register import SMALL
from tests.chaos.load import TERMINAL
from tests.chaos.yard import GATEWAYS, Yard
from tests.support.system import http_tool
from tests.support.waiting import wait_until

from toolyard.transport import topology

#: Calls of one request.
BATCH: Final = 100
#: Promises: seconds past the deadline at the 99th percentile; MiB that the scheduler grows; seconds in which a thousand
#: calls that are due together leave.
LATE: Final = 2.0
GROWTH: Final = 20.0
LEAVE_WITHIN: Final = 1.0


@dataclass(frozen=True)
class Figure:
    """One number that was measured, and what it may be at most."""

    what: str
    seen: float
    limit: float

    def line(self) -> str:
        held = "within" if self.seen <= self.limit else "BEYOND"
        return f"{self.what}: {self.seen:.2f}, {held} {self.limit:g}"


def deadlines(yard: Yard, *, rate: int = 1_000, seconds: int = 20, deadline: float = 10.0) -> Iterator[Figure]:
    """Calls that outlive their deadline, so many a second: ``rate * deadline`` are open at any time.

    A small worker runs a few of them; the others wait in the queue.
    """
    yard.kill("worker1")
    yard.start("worker1", env=SMALL)
    yard.ready("worker1")
    _make_tool(yard, "wait", f"{yard.upstream.url}/sleep/600")
    fields = {"tool": "wait", "arguments": {}, "conversation": "deadlines", "deadline": deadline}
    took = _send(yard, fields, rate * seconds, rate=rate)
    yield Figure(f"seconds that sending {rate * seconds:,} calls took", took, seconds * 1.2)
    stored: dict[str, dict[str, Any]] = {}

    def over() -> bool:
        nonlocal stored
        with yard.system.client("gateway2") as client:
            stored = stored_calls(client, "deadlines")
        return len(stored) >= rate * seconds and all(call["state"] in TERMINAL for call in stored.values())

    wait_until(over, within=120, what="all calls to end", every=3)
    late = sorted(_time(call["finished_at"]) - _time(call["deadline"]) for call in stored.values())
    yield Figure(f"seconds past the deadline, 99th percentile of {len(late):,}", late[len(late) * 99 // 100], LATE)
    yield Figure("seconds before it, at most", -late[0], 0.1)


def parked(yard: Yard, *, number: int = 100_000, together: int = 1_000) -> Iterator[Figure]:
    """Calls that wait for an hour; and a thousand that are due in the same second."""
    _make_tool(yard, "later", f"{yard.upstream.url}/sleep/0")
    fields = {"tool": "later", "arguments": {}, "conversation": "parked"}
    hour = {"not_before": _written(time.time() + 3600)}
    _send(yard, {**fields, **hour}, 5_000)  # what the scheduler needs for reading them at all
    _wait_for_parked(yard, 5_000)
    before = _rss(yard)
    took = _send(yard, {**fields, **hour}, number)
    print(f"{number:,} parked in {took:.0f} s", flush=True)
    _wait_for_parked(yard, number + 5_000)
    yield Figure(f"MiB that the scheduler grew by {number:,} parked calls", _rss(yard) - before, GROWTH)
    due = time.time() + 15
    with _dispatches(yard) as dispatched:
        _send(yard, {**fields, "not_before": _written(due), "conversation": "due"}, together)
        times = dispatched(together)
    yield Figure("seconds until the first of them left", times[0] - due, LEAVE_WITHIN)
    yield Figure(f"seconds in which {together:,} that were due together left", times[-1] - due, LEAVE_WITHIN)
    wait_until(lambda: _ended(yard, "due", together), within=60, what="those that were due to end", every=0.5)


MEASURED: Final[dict[str, Callable[[Yard], Iterator[Figure]]]] = {"deadlines": deadlines, "parked": parked}


def main() -> int:
    """Measure; 0 where all is within its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *MEASURED], help=f"of: {', '.join(MEASURED)}")
    options = parser.parse_args()
    figures: list[Figure] = []
    for name in options.names or list(MEASURED):
        with Yard(Path(tempfile.mkdtemp(prefix=f"toolyard-{name}-"))) as yard:
            for figure in MEASURED[name](yard):
                print(f"{name}: {figure.line()}", flush=True)
                figures.append(figure)
    return 1 if any(figure.seen > figure.limit for figure in figures) else 0


def _make_tool(yard: Yard, name: str, url: str) -> None:
    with yard.system.client() as client:
        client.post("/v1/tools", json=http_tool(name, "GET", url)).raise_for_status()


def _send(yard: Yard, fields: dict[str, Any], number: int, *, rate: float = 1e9) -> float:
    """Send so many calls in batches, over both gateways, at most so many a second; returns how long it took."""
    clients = [yard.system.client(gateway) for gateway in GATEWAYS for _ in range(2)]
    begun = time.monotonic()

    def post(at: int) -> None:
        rest = begun + at * BATCH / rate - time.monotonic()
        if rest > 0:
            time.sleep(rest)
        client = clients[at % len(clients)]
        answer = client.post("/v1/calls/batch", json={"calls": [fields] * BATCH}, headers={"Prefer": "wait=0"})
        _check(answer)

    with ThreadPoolExecutor(len(clients)) as sending:
        list(sending.map(post, range(number // BATCH)))
    for client in clients:
        client.close()
    return time.monotonic() - begun


def _check(answer: httpx.Response) -> None:
    answer.raise_for_status()
    refused = [call["error"] for call in answer.json()["calls"] if "call_id" not in call]
    if refused:
        raise AssertionError(f"{len(refused)} calls were refused: {refused[0]}")


def _rss(yard: Yard) -> float:
    """MiB that the scheduler holds."""
    status = Path(f"/proc/{yard.part('scheduler1').pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def _count(yard: Yard, state: str) -> int:
    with psycopg.connect(yard.database_url) as connection:
        row = connection.execute("select count(*) from calls where state = %s", (state,)).fetchone()
    return 0 if row is None else int(row[0])


def _wait_for_parked(yard: Yard, number: int) -> None:
    wait_until(
        lambda: _count(yard, "scheduled") >= number,
        within=180,
        what=lambda: f"{number:,} parked calls in the store; there are {_count(yard, 'scheduled'):,}",
        every=1,
    )


def _ended(yard: Yard, conversation: str, number: int) -> bool:
    with yard.system.client() as client:
        stored = stored_calls(client, conversation)
    ended: int = sum(call["state"] == "succeeded" for call in stored.values())
    return ended >= number


@contextlib.contextmanager
def _dispatches(yard: Yard) -> Iterator[Callable[[int], list[float]]]:
    """What waits for so many dispatched calls and gives the times at which they came."""
    with yard.channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, topology.CALLS, "call.dispatched.#")

        def come(number: int) -> list[float]:
            times: list[float] = []
            for method, _, _ in channel.consume(queue, auto_ack=True, inactivity_timeout=60):
                if method is None:
                    raise TimeoutError(f"only {len(times)} of {number} calls were dispatched")
                times.append(time.time())
                if len(times) == number:
                    break
            return times

        yield come


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def _time(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    sys.exit(main())
