"""`toolyard scheduler`: read the settings, and run until a signal comes."""

import argparse
import sys
from typing import Final

import uvloop

from toolyard.errors import LogGap, ToolyardError
from toolyard.telemetry import logs
from toolyard_scheduler.settings import read_settings

#: The exit code of a scheduler that an operator must help first.
_GAP: Final = 3


def main() -> int:
    """Run a scheduler; the exit code."""
    arguments = _arguments()
    try:
        settings = read_settings()
        logs.configure(service="scheduler", level=settings.log_level, form=settings.log_format)
        from toolyard_scheduler import process  # here: --help and wrong settings are told without its libraries

        if arguments.migrate or arguments.accept_log_gap:
            process.prepare(settings, accept_log_gap=arguments.accept_log_gap)
        else:
            uvloop.run(process.serve(settings))
    except LogGap as error:
        print(f"toolyard scheduler: log_gap: {error}", file=sys.stderr)
        return _GAP
    except ToolyardError as error:
        print(f"toolyard scheduler: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="toolyard scheduler",
        description="Run the scheduler: it keeps the ledger and ends overdue calls.",
    )
    parser.add_argument("--migrate", action="store_true", help="bring the database up to date, and end")
    parser.add_argument(
        "--accept-log-gap",
        action="store_true",
        help="let the ledger go on at the first record that the log still has, and end",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
