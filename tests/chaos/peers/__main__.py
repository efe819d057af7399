"""`make chaos-peers`: the drills that apply against plain dramatiq and Celery at their recommended settings, and ours.

    python -m tests.chaos.peers [--seed N] [--short] [--without-ours] [--only NAME] [DRILL …]

Each drill of a peer has a broker, a Redis and processes of its own. It prints one table: what each loses or doubles.
"""

import argparse
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.chaos.drill import HEADER, Row, cells
from tests.chaos.peers.drills import PEER_DRILLS, PeerDrill
from tests.chaos.peers.yard import SUBJECTS, PeerYard, Subject
from tests.chaos.run import Runner
from tests.support.peers import make_environment

OURS: Final = "Toolyard"


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; 0 where every drill could be run and ours held."""
    options = _parse(argv)
    print(f"seed {options.seed}", flush=True)
    make_environment()
    rows: dict[str, list[Row]] = {}
    if not options.without_ours:
        rows[OURS] = Runner(options.seed, short=options.short).run(options.drills)
    for subject in SUBJECTS:
        if options.only in subject.name:
            rows[subject.name] = [_one(subject, name, options) for name in options.drills]
    print(f"\n{side_by_side(rows, options.drills)}\n\nseed {options.seed}")
    return 1 if any(row.failures for them in rows.values() for row in them) else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos-peers", description="Break the peers in the ways that apply.")
    parser.add_argument("drills", nargs="*", help=f"of: {', '.join(PEER_DRILLS)}")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--short", action="store_true", help="shorter faults and fewer calls")
    parser.add_argument("--without-ours", action="store_true")
    parser.add_argument("--only", default="", help="a part of the peer's name")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.drills if name not in PEER_DRILLS]:
        parser.error(f"there is no drill {unknown[0]}; there are: {', '.join(PEER_DRILLS)}")
    options.drills = options.drills or list(PEER_DRILLS)
    return options


def _one(subject: Subject, name: str, options: argparse.Namespace) -> Row:
    print(f"{subject.name}: {name} …", end=" ", flush=True)
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="toolyard-peers-"))
    try:
        with PeerYard(subject, folder) as yard:
            drill = PeerDrill(name, yard, options.seed, options.short)
            row = drill.finish(PEER_DRILLS[name](drill))
    except Exception as error:  # noqa: BLE001 - a drill that cannot be run is a row that says so
        traceback.print_exc()
        row = Row(name, 0, 0, 0, 0, 0, None, 0.0, [f"{type(error).__name__}: {error}"[:500]])
    row = replace(row, seconds=time.monotonic() - begun)
    counts = f"{row.calls} calls, {row.in_flight} in flight, {row.lost} lost, {row.doubled} doubled, {row.codes}"
    print(
        f"{'could not be run' if row.failures else 'ran'} in {row.seconds:.0f} s: {counts}; logs in {folder}",
        flush=True,
    )
    return row


def side_by_side(rows: dict[str, list[Row]], drills: Iterable[str]) -> str:
    """One Markdown table, the systems below each other in each drill."""
    head = (HEADER[0], "system", *HEADER[1:])
    lines = [head, tuple("---" for _ in head)]
    for name in drills:
        for system, them in rows.items():
            lines += [(first, system, *rest) for first, *rest in (cells(row) for row in them if row.drill == name)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
