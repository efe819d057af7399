"""What more processes bring: 1, 2 and 4 workers, 1 and 2 gateways, against an upstream that takes 50 ms.

    make scaling                                       about three minutes
    python benchmarks/scaling.py --seconds 4           half of that

Two tables, because the machine has few cores and the load, the broker and the database share them. In the first the
workers have the places that they ship with, and the cores are the limit: what more processes bring there is seen in
`busy cores`, which says how many of them were in use. In the second each worker has so few places that they are the
limit and not the cores, as where workers have machines of their own. The exit code is 1 if two workers do less than 1.8
times what one does there, or if a call did not succeed.

`waiting` is how many calls stood in the pool's queue, in the mean; CPU is in milliseconds a call.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import threading
import time
from typing import Final

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import pika
from whole import KINDS, Whole

from toolyard.transport import topology

WORKERS: Final = (1, 2, 4)
GATEWAYS: Final = (("gateway1",), ("gateway1", "gateway2"))
#: Calls in flight in the first table, and in the second; places of a worker there.
IN_FLIGHT: Final = 256
FEW_IN_FLIGHT: Final = 96
FEW_PLACES: Final = 8
#: Seconds until a worker claims no more than it must.
FIRST: Final = 8.0
#: What two workers must do of what one does, where cores allow.
WANTED: Final = 1.8
Row = dict[str, float]


class Depth:
    """Looks four times a second how many calls wait in the pool's queue."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seen: list[int] = []

    def __enter__(self) -> "Depth":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            self.seen.append(
                self._channel.queue_declare(topology.pool_queue("http"), passive=True).method.message_count
            )


def measure(whole: Whole, gateways: tuple[str, ...], in_flight: int, seconds: float) -> Row:
    """One cell: so many calls in flight for so long."""
    with whole.load(in_flight, *gateways) as load:
        load.run(seconds=1.0)
        before = whole.cpu()
        with Depth(whole.broker.url()) as depth:
            report = load.run(seconds=seconds)
        used = {kind: seconds - before[kind] for kind, seconds in whole.cpu().items()}
    costs = {kind: used[kind] / report["calls"] * 1e3 for kind in KINDS}
    return {
        "calls/s": report["calls"] / report["wall"],
        "p50": report["p50"],
        "p99": report["p99"],
        "waiting": statistics.fmean(depth.seen),
        "busy": sum(used.values()) / report["wall"],
        **costs,
    }


def table(whole: Whole, in_flight: int, seconds: float, **env: str) -> dict[tuple[int, int], Row]:
    """The cells by workers and gateways, printed as they come; no worker is left."""
    print(f"| workers | gateways | calls/s | of one | p50 ms | p99 ms | waiting | busy cores | {' | '.join(KINDS)} |")
    print("|" + "---:|" * (8 + len(KINDS)))
    cells: dict[tuple[int, int], Row] = {}
    names = [f"worker{number}" for number in range(1, max(WORKERS) + 1)]
    running = 0
    for workers in WORKERS:
        for name in names[running:workers]:
            whole.start(name, "worker", "http", **env)
        running = workers
        time.sleep(FIRST)
        for gateways in GATEWAYS:
            cells[workers, len(gateways)] = measure(whole, gateways, in_flight, seconds)
            print(_line(workers, len(gateways), cells), flush=True)
    whole.stop(*names)
    return cells


def _line(workers: int, gateways: int, cells: dict[tuple[int, int], Row]) -> str:
    row = cells[workers, gateways]
    ratio = row["calls/s"] / cells[1, gateways]["calls/s"]
    said = f"{row['calls/s']:,.0f} | {ratio:.2f} | {row['p50']:.0f} | {row['p99']:.0f} | {row['waiting']:.0f}"
    costs = " | ".join(f"{row[kind]:.3f}" for kind in KINDS)
    return f"| {workers} | {gateways} | {said} | {row['busy']:.2f} | {costs} |"


def main() -> int:
    """Print both tables; what more workers bring is judged by the second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a cell")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="toolyard-scaling-") as folder, Whole(pathlib.Path(folder)) as whole:
        whole.start("gateway2", "gateway")
        print(f"{whole.machine()}\n\nThe cores are the limit: {IN_FLIGHT} in flight, places as shipped\n")
        table(whole, IN_FLIGHT, options.seconds)
        print(f"\nThe places are the limit: {FEW_IN_FLIGHT} in flight, {FEW_PLACES} places a worker\n")
        cells = table(whole, FEW_IN_FLIGHT, options.seconds, TOOLYARD_CONCURRENCY=str(FEW_PLACES))
    ratios = [cells[2, gateways]["calls/s"] / cells[1, gateways]["calls/s"] for gateways in (1, 2)]
    reached = min(ratios) >= WANTED
    print(
        f"\ntwo workers do {min(ratios):.2f} times what one does, at least; "
        f"{WANTED} are wanted: {'reached' if reached else 'MISSED'}"
    )
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
