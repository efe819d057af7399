"""A million calls through the whole system: is memory flat, and does a call cost the same at the end as at the start?

    make million                                    a million calls: a quarter of an hour
    python benchmarks/million.py --calls 50000      a minute and a half

Calls of an HTTP tool by ``POST /v1/calls``, 256 in flight: gateway, worker and scheduler as they ship, a broker, a
database, an upstream. A row is a tenth of the calls: what a call cost each kind of process in CPU, how much memory the
processes had (the mean of a look every second; what is shared is counted once), what PostgreSQL wrote to its log and
what went over the loopback, all parts, load and upstream together, and how large database and broker's files are. The
first row is beside them: in these calls all is filled that is kept for a while, such as the calls that a gateway
remembers for a minute, or PostgreSQL's buffers.

Below the table a line for each kind says whether it is flat: the least-squares line through the tenths must rise over
the run by no more than the bound that is printed, a tenth of its mean or 4 MiB (0.02 ms). CPU is judged by the load's:
what makes the load does the same for each call and remembers none, so a tenth in which it costs more is one of a slower
machine, and the others are taken for as much cheaper. The exit code is 1 if one is not flat, or if a call did not
succeed.
"""

import argparse
import contextlib
import pathlib
import statistics
import sys
import tempfile
import threading
import time
from typing import Final

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import processes
import psycopg
from whole import KINDS, Whole

IN_FLIGHT: Final = 256
TENTHS: Final = 10
#: Calls until everything that remembers calls has forgotten its first.
WARM_UP: Final = 60_000
#: Seconds until a worker claims no more than it must.
FIRST: Final = 8.0
#: How far a line may rise over the whole run, as a share of its mean.
BOUND: Final = 0.1
#: What it may rise by, however small it is: bytes, of which an allocator keeps some; milliseconds, for a vacuum now and
#: then.
ALLOWANCES: Final = {"memory": 4 << 20, "cpu": 0.02}
#: Those that are judged: what makes the load is no part of the system.
JUDGED: Final = KINDS[:-1]
#: What tells how fast the machine was.
_YARDSTICK: Final = f"cpu {KINDS[-1]}"
Row = dict[str, float]
_NETWORK: Final = pathlib.Path("/proc/net/dev")


class Watch:
    """Looks once a second how much memory each kind of process has."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._stop = threading.Event()
        self._seen: list[Row] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def means(self) -> Row:
        """Bytes of each kind, the mean since the last question."""
        self._look()
        seen, self._seen = self._seen, []
        return {kind: statistics.fmean(row[kind] for row in seen) for kind in KINDS}

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            self._look()

    def _look(self) -> None:
        self._seen.append({kind: sum(map(processes.pss, pids)) for kind, pids in self._whole.pids().items()})


def _stored(whole: Whole) -> Row:
    """Calls in the database, its size, and what the broker has on its disk."""
    with psycopg.connect(whole.database) as connection:
        row = connection.execute("select count(*), pg_database_size(current_database()) from calls").fetchone()
    assert row is not None
    return {"stored": row[0], "database size": row[1], "broker's files": _size(whole.broker.folder / "data")}


def _size(folder: pathlib.Path) -> int:
    """Bytes of all files; the broker drops some while it is looked."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size if path.is_file() else 0
    return size


def _moved(whole: Whole) -> Row:
    """Bytes so far: written ahead by PostgreSQL, and sent over the loopback by anybody on this machine."""
    with psycopg.connect(whole.database) as connection:
        row = connection.execute("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").fetchone()
    assert row is not None
    loopback = next(line for line in _NETWORK.read_text().splitlines() if line.strip().startswith("lo:"))
    return {"written ahead": float(row[0]), "loopback": float(loopback.split()[9])}


def measure(whole: Whole, calls: int) -> list[Row]:
    """The rows of the tenths; all are printed as they come."""
    rows: list[Row] = []
    made = 0
    with Watch(whole) as watch, whole.load(IN_FLIGHT, "gateway1") as load:
        for asked in (WARM_UP, *[calls // TENTHS] * TENTHS):
            before, moved = whole.cpu(), _moved(whole)
            report = load.run(calls=asked)
            sent = {name: (size - moved[name]) / report["calls"] for name, size in _moved(whole).items()}
            cost = {f"cpu {kind}": (used - before[kind]) / report["calls"] * 1e3 for kind, used in whole.cpu().items()}
            memory = {f"memory {kind}": size for kind, size in watch.means().items()}
            made += report["calls"]
            rows.append({"made": made, **report, **cost, **memory, **sent, **_stored(whole)})
            print(_line(rows[-1]), flush=True)
    return rows[1:]


def _head() -> str:
    costs = " | ".join(KINDS)
    kept = "KiB a call: WAL | loopback | database MiB | broker's files MiB | calls in the database"
    columns = f"| calls | calls/s | p50 ms | p99 ms | CPU ms a call: {costs} | MiB: {costs} | {kept} |"
    return f"{columns}\n|" + "---:|" * (columns.count("|") - 1)


def _line(row: Row) -> str:
    cells = [f"{row['made']:,}", f"{row['calls'] / row['wall']:,.0f}"]
    cells += [f"{row['p50']:.0f}", f"{row['p99']:.0f}"]
    cells += [f"{row[f'cpu {kind}']:.3f}" for kind in KINDS]
    cells += [f"{row[f'memory {kind}'] / 2**20:.1f}" for kind in KINDS]
    cells += [f"{row[name] / 2**20:,.0f}" for name in ("database size", "broker's files")]
    cells[-2:-2] = [f"{row[name] / 2**10:.1f}" for name in ("written ahead", "loopback")]
    cells += [f"{row['stored']:,}"]
    return f"| {' | '.join(cells)} |"


def _rise(values: list[float]) -> float:
    """By how much the least-squares line through these rises from the first to the last."""
    return statistics.linear_regression(range(len(values)), values).slope * (len(values) - 1)


def _at_one_speed(rows: list[Row]) -> list[Row]:
    """The rows as if the machine had been as fast in each as it was in the mean, by the CPU of the load."""
    mean = statistics.fmean(row[_YARDSTICK] for row in rows)
    costs = [f"cpu {kind}" for kind in JUDGED]
    return [{**row, **{cost: row[cost] * mean / row[_YARDSTICK] for cost in costs}} for row in rows]


def judge(rows: list[Row]) -> bool:
    """Print what rises by how much, and whether that is flat; whether all of it is."""
    flat = True
    rows = _at_one_speed(rows)
    for what, unit, size in (("memory", "MiB", 2**20), ("cpu", "ms a call", 1)):
        for kind in JUDGED:
            values = [row[f"{what} {kind}"] for row in rows]
            mean, rises = statistics.fmean(values), _rise(values)
            bound = max(mean * BOUND, ALLOWANCES[what])
            flat &= rises <= bound
            word = "flat" if rises <= bound else "NOT FLAT"
            print(
                f"{kind:<10} {what:<7} mean {mean / size:8.3f} {unit}, rises by {rises / size:+.3f}, "
                f"bound {bound / size:.3f}: {word}"
            )
    return flat


def main() -> int:
    """Make the calls and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="toolyard-million-") as folder, Whole(pathlib.Path(folder)) as whole:
        whole.start("worker1", "worker", "http")
        time.sleep(FIRST)
        print(f"{whole.machine()}\n\n{_head()}", flush=True)
        rows = measure(whole, options.calls)
    print()
    return 0 if judge(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
