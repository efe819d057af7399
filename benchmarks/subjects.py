"""The systems that stand side by side: how their client and their worker are started.

Each gets the broker, and what keeps its results, for itself; commands run in benchmarks/ with the BENCH_* variables.
"""

import dataclasses
import pathlib
import sys

from tests.support.peers import BIN as PEERS

HERE = pathlib.Path(__file__).resolve().parent
OURS = sys.executable


@dataclasses.dataclass(frozen=True)
class Subject:
    """One system.

    Attributes:
        client: the command that makes the load. ``worker``: runs the tools; another one may run the HTTP tool.
        extra: further processes by role (``gateway``, ``ledger``), started before the worker.
        skips: tools that it does not have.
        needs: ``redis``, ``postgres``: whose CPU counts as this subject's store; ``c``: a compiler.
    """

    name: str
    client: list[str]
    worker: list[str]
    worker_http: list[str] | None = None
    extra: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    needs: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()


def _celery(pool: str, concurrency: int, prefetch: int) -> list[str]:
    flags = ["-P", pool, "-c", str(concurrency), "--prefetch-multiplier", str(prefetch)]
    quiet = ["-l", "WARNING", "-Q", "bench.celery", "--without-gossip", "--without-mingle"]
    return [str(PEERS / "celery"), "-A", "peers.celery_app", "worker", *flags, *quiet]


def _peer(script: str, role: str) -> list[str]:
    return [str(PEERS / "python"), f"peers/{script}.py", role]


def _dramatiq(threads: int) -> list[str]:
    return [str(PEERS / "dramatiq"), "peers.dramatiq_app", "-p", "1", "-t", str(threads), "-Q", "bench_dramatiq"]


#: Compiled by the run, where a compiler and the headers of librabbitmq are found.
C_PAIR = HERE.parent / ".benchenv" / "c_pair"

_LEDGER = {"ledger": [OURS, "ours.py", "scheduler"]}

SUBJECTS = (
    Subject(
        "toolyard",
        [OURS, "ours.py", "client"],
        [OURS, "ours.py", "worker"],
        extra=_LEDGER,
        needs=("postgres",),
    ),
    Subject(
        "toolyard, POST /v1/calls",
        [OURS, "ours.py", "http-client"],
        [OURS, "ours.py", "worker"],
        extra={**_LEDGER, "gateway": [OURS, "ours.py", "gateway"]},
        needs=("postgres",),
        skips=("http", "claimed"),
    ),
    Subject(
        "C pair",
        [str(C_PAIR), "client"],
        [str(C_PAIR), "worker"],
        extra={"ledger": [str(C_PAIR), "reader"]},
        needs=("c",),
        skips=("claimed",),
    ),
    Subject("pika by hand", _peer("pika_pair", "client"), _peer("pika_pair", "worker"), skips=("claimed",)),
    Subject(
        "dramatiq + Redis results",
        _peer("dramatiq_app", "client"),
        _dramatiq(8),
        worker_http=_dramatiq(256),
        needs=("redis",),
        skips=("claimed",),
    ),
    Subject(
        "Celery + rpc results",
        _peer("celery_app", "client"),
        _celery("prefork", 1, 64),
        _celery("threads", 256, 2),
        skips=("claimed",),
    ),
)
