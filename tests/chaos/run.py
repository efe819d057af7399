"""`make chaos`: runs the drills, one after the other on one system, and prints their table.

    python -m tests.chaos.run [--seed N] [--short] [--keep FOLDER] [DRILL …]
    python -m tests.chaos.run --rounds 30       so many rounds of 100 calls, each with a victim chosen by its seed

A drill that breaks a promise is told with its witnesses, the folder of its logs is kept, and the next one begins on a
system of its own. Nothing of the environment's brokers and databases is used.
"""

import argparse
import contextlib
import json
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.chaos.drill import Row, run_drill, table
from tests.chaos.drills import BEYOND, DRILLS, SHORT
from tests.chaos.yard import Yard

_SEEDS: Final = 1_000_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 where every promise held."""
    options = _parse(argv)
    print(f"seed {options.seed}; again: python -m tests.chaos.run --seed {options.seed} {' '.join(options.drills)}")
    begun = time.monotonic()
    step = 1 if options.rounds else 0
    rows = Runner(options.seed, short=options.short, keep=options.keep, step=step).run(options.drills)
    print(f"\n{table(rows)}\n\nseed {options.seed}, {len(rows)} drills in {(time.monotonic() - begun) / 60:.1f} min")
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "rows": [asdict(row) for row in rows]}, indent=1))
    failed = [row for row in rows if not row.held]
    for row in failed:
        print(f"\n{row.drill} broke promises:", *row.failures, sep="\n  ")
    return 1 if failed else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description="Break the system in every known way.")
    parser.add_argument("drills", nargs="*", help=f"of: {', '.join(DRILLS)}")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(_SEEDS))
    parser.add_argument("--short", action="store_true", help="shorter faults and fewer calls")
    parser.add_argument("--keep", type=Path, help="keep the logs of all drills below this folder")
    parser.add_argument("--rounds", type=int, help="only so many rounds of 100 calls, each with a random victim")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.drills if name not in DRILLS | BEYOND]:
        parser.error(f"there is no drill {unknown[0]}; there are: {', '.join(DRILLS)}")
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        parser.error(f"--keep: {options.keep} holds something already; name a new folder")
    if options.rounds:
        options.drills = ["round_of_calls"] * options.rounds
    options.drills = options.drills or (SHORT if options.short else list(DRILLS))
    return options


class Runner:
    """Runs drills on one system as long as they hold; each one's seed is ``step`` above the last one's."""

    def __init__(self, seed: int, *, short: bool, keep: Path | None = None, step: int = 0) -> None:
        self._seed, self._short, self._keep, self._step = seed, short, keep, step
        self._systems = 0

    def run(self, names: Sequence[str]) -> list[Row]:
        """The rows, in the order of the names."""
        rows: list[Row] = []
        while len(rows) < len(names):
            rows += self._on_one_system(names[len(rows) :])
        return rows

    def _on_one_system(self, names: Sequence[str]) -> list[Row]:
        """Rows until the first drill that did not hold, and its own."""
        folder, rows = self._folder(), list[Row]()
        with Yard(folder) as yard:
            for name in names:
                rows.append(self._one(name, yard))
                if not rows[-1].held:
                    print(f"   the logs are in {folder}", flush=True)
                    break
        if rows[-1].held and self._keep is None:
            shutil.rmtree(folder, ignore_errors=True)
        return rows

    def _one(self, name: str, yard: Yard) -> Row:
        seed, self._seed = self._seed, self._seed + self._step
        print(f"{name}{f' (seed {seed})' if self._step else ''} …", end=" ", flush=True)
        begun = time.monotonic()
        try:
            row = run_drill(name, (DRILLS | BEYOND)[name], yard, seed, short=self._short)
        except Exception as error:  # noqa: BLE001 - a drill that cannot be run is a row that did not hold
            traceback.print_exc()
            failures = [f"{type(error).__name__}: {error}"[:2000], *yard.complaints()]
            row = Row(name, 0, 0, 0, 0, 0, None, time.monotonic() - begun, failures)
        counts = f"{row.calls} calls, {row.in_flight} in flight, recovery {row.recovery or 0:.2f} s, {row.codes}"
        print(f"{'held' if row.held else 'BROKEN'} in {row.seconds:.0f} s: {counts}", flush=True)
        for failure in row.failures:
            print(f"   {failure}", flush=True)
        return row

    def _folder(self) -> Path:
        self._systems += 1
        if self._keep is None:
            return Path(tempfile.mkdtemp(prefix="toolyard-chaos-"))
        folder = self._keep / f"system{self._systems}"
        folder.mkdir(parents=True)
        return folder


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
