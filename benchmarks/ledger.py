"""What the ledger costs: synthetic signed records of the log, no broker, applied to a database.

    python benchmarks/ledger.py sqlite:////tmp/bench.db postgresql://user@host/database [--calls 20000]

Prints calls per second, and CPU per call of this process (database client included, database server not). The database
is migrated and written to: take an empty one.
"""

import argparse
import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence

import msgspec

from toolyard import ids
from toolyard.clock import SYSTEM
from toolyard.contracts.calls import VERSION, Call, CallMessage, Result
from toolyard.contracts.events import Succeeded, about, sequence
from toolyard.security.signing import Keyring
from toolyard.store.connect import open_store
from toolyard.store.crossing import Crossing
from toolyard.transport.base import Message, Record
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.clock_check import ClockCheck
from toolyard_scheduler.ledger import Ledger

#: Calls in flight: how far an outcome stands behind its call in the log.
IN_FLIGHT = 256
_BINDING = msgspec.Raw(
    b'{"binding":{"type":"http","method":"POST","url":"https://api.example.com/v1/orders/${arguments.order}",'
    b'"headers":{"accept":"application/json"},"authentication":{"type":"bearer","secret":"ORDERS_TOKEN"}},'
    b'"output":{"type":"object","properties":{"status":{"type":"string"}}},"secrets":["ORDERS_TOKEN"]}'
)


def records(envelope: Envelope, calls: int) -> list[Record]:
    """The log of this many calls: about 1 KB for each call and 0.6 KB for each outcome."""
    log: list[Message] = []
    ends: list[Message] = []
    for number in range(calls):
        call, end = _call(number), None
        log.append(envelope.call(CallMessage(v=VERSION, call=call, tool=_BINDING, budget=300.0)))
        end = Succeeded(
            **about(call),
            attempt=1,
            sequence=sequence(1, 2),
            time=call.accepted_at + 0.05,
            effect="done",
            finished_at=call.accepted_at + 0.05,
            started_at=call.accepted_at + 0.01,
            worker="worker-1",
            result=Result(structured=msgspec.Raw(b'{"status":"shipped","items":[1,2,3],"total":"129.00 CHF"}')),
        )
        ends.append(envelope.event(end))
        if number >= IN_FLIGHT:
            log.append(ends[number - IN_FLIGHT])
    log += ends[max(calls - IN_FLIGHT, 0) :]
    return [
        Record(offset, each.exchange, each.key, each.body, each.message_id, each.headers)
        for offset, each in enumerate(log)
    ]


def _call(number: int) -> Call:
    now = time.time()
    return Call(
        call_id=ids.new_id(),
        org="default",
        tool="orders.lookup",
        version=3,
        pool="http",
        gateway="gateway-1",
        principal="key-1",
        arguments={
            "order": f"A-{number}",
            "note": "please check whether this one has been shipped" * 4,
            "lines": [1, 2],
        },
        body_hash="0" * 64,
        accepted_at=now,
        deadline=now + 300,
        timeout=30.0,
        conversation=f"talk-{number // 10}",
        user="ann",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )


class Replay:
    """A log that is all there; stands where a transport would."""

    def __init__(self, log: Sequence[Record]) -> None:
        self._log = log
        self._next = 0

    async def read_log(self, _: int | None) -> "Replay":
        return self

    async def batch(self, limit: int) -> Sequence[Record]:
        if self._next >= len(self._log):
            await asyncio.Event().wait()
        piece = self._log[self._next : self._next + limit]
        self._next += len(piece)
        return piece

    async def close(self) -> None:
        self._next = 0


async def measure(url: str, log: Sequence[Record], envelope: Envelope) -> tuple[float, float]:
    """Seconds and CPU seconds to apply this log."""
    store, crossing = open_store(url, timeout=30.0), Crossing(1)
    store.migrate()
    place = store.ledger.lead(store.ledger.position(), "bench")
    ledger = Ledger(
        Replay(log),  # type: ignore[arg-type]  # all that the ledger asks of a transport
        envelope,
        store.ledger,
        crossing,
        SYSTEM,
        position=place,
        counts=Counter(),
        clock_check=ClockCheck(SYSTEM),
        pace=0.0,
    )
    began, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(ledger.run())
    while ledger.offset < log[-1].offset:
        done, _ = await asyncio.wait({running, asyncio.ensure_future(ledger.advanced())}, return_when="FIRST_COMPLETED")
        if running in done:
            running.result()
    took, spent = time.perf_counter() - began, time.process_time() - cpu
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await crossing.close()
    store.close()
    return took, spent


def main() -> None:
    """Measure each database that was given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--calls", type=int, default=20_000)
    options = parser.parse_args()
    envelope = Envelope(Keyring({"bench": os.urandom(32)}))
    log = records(envelope, options.calls)
    print(f"{options.calls} calls, {len(log)} records, {sum(len(each.body) for each in log) / 1e6:.1f} MB of bodies")
    print(f"{'database':<12} {'calls/s':>9} {'CPU ms/call':>12}")
    for url in options.urls:
        took, spent = asyncio.run(measure(url, log, envelope))
        print(f"{url.partition(':')[0]:<12} {options.calls / took:>9,.0f} {spent / options.calls * 1000:>12.3f}")


if __name__ == "__main__":
    main()
