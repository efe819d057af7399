"""Toolyard and its peers side by side in one run, and what Toolyard must reach line by line.

    make bench                                 everything, about seven minutes
    python benchmarks/run.py --rounds 3        medians of three interleaved rounds
    python benchmarks/run.py --subjects toolyard --phases noop@256

Everything is private to the run: a RabbitMQ node, a PostgreSQL cluster, a Redis, an upstream that answers after 50 ms.
Tables of each phase come first, the table of targets last; what would have to be installed for a line is told.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
HERE = pathlib.Path(__file__).resolve().parent

import accounting  # noqa: E402
import targets  # noqa: E402
from ledger_lag import LedgerLag  # noqa: E402
from subjects import C_PAIR, SUBJECTS, Subject  # noqa: E402

from tests.support import peers  # noqa: E402
from tests.support.postgres import PostgresNode  # noqa: E402
from tests.support.processes import free_port  # noqa: E402
from tests.support.rabbit import RabbitNode  # noqa: E402

Row = dict[str, float]
#: ``claimed`` does nothing either, but must not run twice: the peers know no such tool.
TOOLS = {"noop": "no-op call", "claimed": "no-op call by claim", "http": "50 ms upstream"}
PHASES = (("noop", 1), ("noop", 64), ("noop", 256), ("http", 256), ("claimed", 1), ("claimed", 256))
#: Seconds that a phase may take beyond its length.
PATIENCE = 60.0
#: Calls in flight, and seconds, before a tool is measured.
WARM_UP = (64, 2.0)


class Services:
    """What the subjects share: their addresses in the environment, and the processes whose CPU is counted."""

    def __init__(self, stack: contextlib.ExitStack, logs: pathlib.Path) -> None:
        self.logs = logs
        self.broker = stack.enter_context(RabbitNode(schedulers=os.cpu_count() or 1))
        self.postgres = stack.enter_context(PostgresNode())
        self.redis = _redis(stack, logs)
        self.has_c_pair = _compile_c_pair()
        port = free_port()
        upstream = stack.enter_context(
            _running([sys.executable, "upstream.py", str(port)], dict(os.environ), logs / "up")
        )
        assert upstream.stdout is not None
        upstream.stdout.readline()
        self.environment = {
            "BENCH_UPSTREAM": f"http://127.0.0.1:{port}/tool",
            "BENCH_REDIS_URL": f"redis://127.0.0.1:{self.redis[1]}/0" if self.redis else "",
            "BENCH_GATEWAY_PORT": str(free_port()),
            "BENCH_SCHEDULER_PORT": str(free_port()),
            "PYTHONPATH": f"{HERE}:{HERE.parent}",
        }

    def lacking(self, needs: tuple[str, ...]) -> str:
        """What would have to be installed for a subject; empty where nothing would."""
        if "redis" in needs and self.redis is None:
            return "redis-server"
        return "librabbitmq-dev and a C compiler" if "c" in needs and not self.has_c_pair else ""

    def stores(self, needs: tuple[str, ...]) -> list[int]:
        """The processes that keep results for a subject."""
        found = accounting.tree(self.postgres.pid) if "postgres" in needs else []
        return found + ([self.redis[0]] if self.redis and "redis" in needs else [])


def _redis(stack: contextlib.ExitStack, logs: pathlib.Path) -> tuple[int, int] | None:
    program = shutil.which("redis-server")
    if program is None:
        return None
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(logs)]
    return stack.enter_context(_running(command, dict(os.environ), logs / "redis")).pid, port


def _compile_c_pair() -> bool:
    """Compile the pair in C; whether that could be done here."""
    compiler = shutil.which("cc")
    if compiler is None:
        return False
    command = [compiler, "-O2", "-o", str(C_PAIR), str(HERE / "peers" / "c_pair.c"), "-lrabbitmq"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


@contextlib.contextmanager
def _running(
    command: list[str], env: dict[str, str], log: pathlib.Path, **pipes: Any
) -> Iterator["subprocess.Popen[str]"]:
    with log.with_suffix(".log").open("a") as errors:
        process = subprocess.Popen(
            command, cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=errors, text=True, **pipes
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def _measure_with_lag(database: str, *measured: Any) -> Row:
    with LedgerLag(database) as lag:
        row = _measure(*measured)
    return {**row, "lag": lag.longest}


def _measure(
    client: "subprocess.Popen[str]", roles: dict[str, list[int]], worker: int, phase: tuple[str, int, float]
) -> Row:
    assert client.stdin is not None
    assert client.stdout is not None

    def used() -> dict[str, float]:
        return {role: accounting.cpu(pids) for role, pids in roles.items()}

    before = used()
    client.stdin.write("{} {} {}\n".format(*phase))
    client.stdin.flush()
    limit = threading.Timer(phase[2] + PATIENCE, client.kill)  # a subject that hangs ends the run, not the evening
    limit.start()
    while (line := client.stdout.readline()).strip() == "MARK":
        before = used()
    limit.cancel()
    if not line:
        raise RuntimeError("the client died; see its log")
    after, report = used(), json.loads(line)
    calls = max(report["calls"], 1)
    costs = {f"cpu {role}": (after[role] - before[role]) / calls * 1e3 for role in roles}
    return {
        "calls/s": report["calls"] / report["wall"],
        "p50": report["p50"],
        "p99": report["p99"],
        "errors": report["errors"],
        **costs,
        "cpu": sum(costs.values()),
        "rss": accounting.rss_mb(accounting.tree(worker)),
    }


def _round(subject: Subject, services: Services, phases: list[tuple[str, int, float]]) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    asked = [phase for phase in phases if phase[0] not in subject.skips]
    http = [phase for phase in asked if phase[0] == "http" and subject.worker_http]
    for worker, some in ((subject.worker, [each for each in asked if each not in http]), (subject.worker_http, http)):
        if worker and some:
            rows |= _session(subject, services, worker, some)
    return rows


def _session(
    subject: Subject, services: Services, worker: list[str], phases: list[tuple[str, int, float]]
) -> dict[str, Row]:
    vhost = f"bench{time.time_ns()}"
    database = services.postgres.create_database()
    env = {
        **os.environ,
        **services.environment,
        "BENCH_AMQP_URL": services.broker.add_vhost(vhost),
        "BENCH_DATABASE_URL": database,
    }
    log = services.logs / "".join(c if c.isalnum() else "_" for c in subject.name)
    rows: dict[str, Row] = {}
    with contextlib.ExitStack() as stack:
        roles: dict[str, list[int]] = {}
        for role, command in subject.extra.items():
            process = stack.enter_context(_running(command, env, log))
            assert process.stdout is not None
            if process.stdout.readline().strip() != "READY":
                raise RuntimeError(f"{subject.name}: its {role} did not start; see {log}.log")
            roles[role] = accounting.tree(process.pid)
        runner = stack.enter_context(_running(worker, env, log))
        client = stack.enter_context(_running(subject.client, env, log, stdin=subprocess.PIPE))
        assert client.stdout is not None
        if client.stdout.readline().strip() != "READY":
            raise RuntimeError(f"{subject.name}: its client did not start; see {log}.log")
        warm = ""
        for phase in phases:
            if phase[0] != warm:
                warm = phase[0]
                _measure(client, {}, runner.pid, (warm, *WARM_UP))
            roles |= {
                "client": accounting.tree(client.pid),
                "worker": accounting.tree(runner.pid),
                "broker": [services.broker.pid],
                "store": services.stores(subject.needs),
            }
            measured = (client, roles, runner.pid, phase)
            has_ledger = "postgres" in subject.needs
            row = _measure_with_lag(database, *measured) if has_ledger else _measure(*measured)
            rows[f"{phase[0]}@{phase[1]}"] = row
    services.broker.delete_vhost(vhost)
    services.postgres.drop_database(database)
    return rows


ROLES = ("client", "gateway", "worker", "ledger", "broker", "store")


def _table(results: dict[str, list[dict[str, Row]]], phases: list[tuple[str, int, float]]) -> str:
    lines = []
    for tool, inflight, _ in phases:
        key = f"{tool}@{inflight}"
        lines += [
            f"\n{key}: {TOOLS[tool]}, {inflight} in flight\n",
            "| subject | calls/s | p50 ms | p99 ms | CPU ms/call | " + " | ".join(ROLES) + " | worker MiB | errors |",
            "|---|" + "---:|" * (len(ROLES) + 6),
        ]
        rows = {name: [r[key] for r in rounds if key in r] for name, rounds in results.items()}
        for name, measured in sorted(rows.items(), key=lambda item: -_middle(item[1], "calls/s")):
            if measured:
                lines.append(f"| {name} | {_cells(measured)} |")
    return "\n".join(lines)


def _middle(rows: list[Row], column: str) -> float:
    return statistics.median(row.get(column) or 0.0 for row in rows) if rows else 0.0


def _cells(rows: list[Row]) -> str:
    numbers = [f"{_middle(rows, 'calls/s'):.0f}", f"{_middle(rows, 'p50'):.2f}", f"{_middle(rows, 'p99'):.2f}"]
    costs = [f"{_middle(rows, 'cpu'):.3f}"]
    for role in ROLES:
        cost = _middle(rows, f"cpu {role}")
        costs.append(f"{cost:.3f}" if cost else "-")
    return " | ".join([*numbers, *costs, f"{_middle(rows, 'rss'):.0f}", f"{sum(row['errors'] for row in rows):.0f}"])


def _sandbox(calls: int) -> targets.Sandbox | None:
    """What `sandbox.py` says of so many calls."""
    if not calls:
        return None
    print("the sandbox", file=sys.stderr)
    command = [sys.executable, "sandbox.py", str(calls), "--json"]
    told = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, text=True, check=True).stdout
    *ways, memory = map(json.loads, told.splitlines())
    middle = {way["way"].split(",")[0]: way["p50_ms"] for way in ways}
    return targets.Sandbox(middle["the pool"], middle["a bare fork per call"], memory["at_once_mib"])


def _machine(services: Services) -> str:
    version = services.broker.ctl("version").strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    with psycopg.connect(services.postgres.url()) as connection:
        stores = f"PostgreSQL {connection.info.server_version // 10_000}"
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{today}, {os.cpu_count()} cores, {memory:.1f} GiB, {system}, RabbitMQ {version}, {stores}"


def main() -> None:
    """Run the rounds and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a phase")
    parser.add_argument("--subjects", default="", help="names, separated by semicolons")
    parser.add_argument("--phases", default="", help="noop@1,noop@256,http@64 …; claimed@256 is for ours alone")
    parser.add_argument("--sandbox", type=int, default=100, help="calls of the sandbox; 0 for none")
    options = parser.parse_args()
    wanted = [s for s in SUBJECTS if not options.subjects or s.name in options.subjects.split(";")]
    asked = [phase.partition("@") for phase in options.phases.split(",") if phase]
    phases = [(t, n, options.seconds) for t, n in [(t, int(n)) for t, _, n in asked] or PHASES]
    peers.make_environment()
    logs = pathlib.Path(tempfile.mkdtemp(prefix="toolyard-bench-"))
    results: dict[str, list[dict[str, Row]]] = {subject.name: [] for subject in wanted}
    with contextlib.ExitStack() as stack:
        services = Services(stack, logs)
        print(_machine(services), file=sys.stderr)
        for number in range(options.rounds):
            for subject in wanted:
                if lacking := services.lacking(subject.needs):
                    print(f"{subject.name}: not measured: install {lacking}")
                    continue
                print(f"round {number + 1} of {options.rounds}: {subject.name}", file=sys.stderr)
                results[subject.name].append(_round(subject, services, phases))
        print(_machine(services))
    sandbox = _sandbox(options.sandbox)
    print(_table(results, phases))
    print(f"\nWhat must be reached (`{shlex.join(['python', 'benchmarks/run.py', *sys.argv[1:]])}`)\n")
    print(targets.table(targets.lines(results, sandbox)))
    print(f"\nlogs: {logs}", file=sys.stderr)


if __name__ == "__main__":
    main()
