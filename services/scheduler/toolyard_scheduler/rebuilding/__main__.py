"""`toolyard ledger`: where the ledger stands, whether it is what the log says, and making it anew."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from toolyard.clock import rfc3339
from toolyard.errors import LogGap, Refused, SettingsError, ToolyardError
from toolyard.telemetry import logs
from toolyard_scheduler.rebuilding.settings import LedgerSettings, read_settings

#: The exit code where the log is not whole, as of `toolyard scheduler`.
_GAP: Final = 3
#: Seconds between two lines of progress.
_PACE: Final = 0.5
#: Columns whose values are not printed: they hold what users and tools said.
_UNSAID: Final = frozenset({"call", "result", "error", "report", "consent", "url"})


def main() -> int:
    """Do what the command line asks for; the exit code: 0 done, 1 it failed or differs, 3 the log is not whole."""
    arguments = _arguments()
    try:
        settings = read_settings()
        logs.configure(service="ledger", level=settings.log_level, form=settings.log_format)
        does: Callable[[LedgerSettings, argparse.Namespace], int] = arguments.does
        return does(settings, arguments)
    except ToolyardError as error:
        _problem(_code(error), str(error), as_json=arguments.json)
        return _GAP if isinstance(error, LogGap) else 1


def _code(error: ToolyardError) -> str:
    if isinstance(error, Refused):
        return error.refusal
    return "settings" if isinstance(error, SettingsError) else error.code


# ---- what it does -------------------------------------------------------------------------------


def _position(settings: LedgerSettings, arguments: argparse.Namespace) -> int:
    from toolyard_scheduler.rebuilding import process  # here: --help and wrong settings are told without its libraries

    at = process.position(settings)
    never = at.offset < 0
    told = {
        "offset": at.offset,
        "record_id": at.record_id,
        "record_time": None if never else rfc3339(at.record_time),
        "behind_seconds": None if never else round(max(time.time() - at.record_time, 0.0), 3),
        "leader": at.owner,
    }
    _tell(told, as_json=arguments.json)
    return 0


def _rebuild(settings: LedgerSettings, arguments: argparse.Namespace) -> int:
    from toolyard_scheduler.rebuilding import process

    progress = _Progress(shown=sys.stderr.isatty() and not arguments.json)
    began = time.monotonic()
    if arguments.check:
        report = asyncio.run(process.check(settings, progress, pass_over=arguments.pass_over_unknown_keys))
    else:
        again, passed = arguments.replace, arguments.pass_over_unknown_keys
        report = asyncio.run(process.rebuild(settings, progress, replace=again, pass_over=passed))
    progress.end()
    built, found = report.built, report.comparison
    told: dict[str, Any] = {
        "since": rfc3339(built.since) if built.since else None,
        "first_offset": built.first,
        "offset": report.offset,
        "records": built.records,
        "passed_over": built.passed_over,
        "unknown_keys": dict(built.unknown),
    }
    if found is None:
        told |= {"written": True, "calls": report.calls}
    else:
        told |= {"equal": not found.count, "calls": found.calls, "older": found.older, "differences": found.count}
        told |= {"shown": [_difference(each) for each in found.differences]} if found.count else {}
    _tell(told | {"seconds": round(time.monotonic() - began, 1)}, as_json=arguments.json)
    return 1 if found is not None and found.count else 0


def _difference(each: Any) -> dict[str, Any]:
    named = {"table": each.table, "key": each.key}
    if each.column in _UNSAID:
        return {**named, "column": each.column}
    return {**named, "column": each.column, "database": _shown(each.database), "log": _shown(each.log)}


def _shown(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else json.loads(json.dumps(value))


# ---- what it prints -----------------------------------------------------------------------------


class _Progress:
    """A line for people who look at a terminal."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._next = 0.0

    def __call__(self, read: int, of: int, walk: str) -> None:
        """So many records of so many were read, in this walk."""
        if self._shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PACE
            share = f" of about {of:,}" if of else ""
            sys.stderr.write(f"\r\x1b[K{walk}: {read:,}{share} records")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave no line behind."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    for name, value in told.items():
        if name == "shown":
            sys.stdout.write("".join(f"  {json.dumps(each)}\n" for each in value))
        elif value not in (None, "", {}):
            sys.stdout.write(f"{name.replace('_', ' ')}: {value}\n")


def _problem(code: str, detail: str, *, as_json: bool) -> None:
    text = json.dumps({"code": code, "detail": detail}) if as_json else f"toolyard ledger: {code}: {detail}"
    print(text, file=sys.stderr)


# ---- what it is asked ---------------------------------------------------------------------------


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="toolyard ledger",
        description="See where the ledger stands, compare it with the log, or make it anew of the log.",
        epilog="Exit codes: 0 done, 1 it failed or differs, 2 wrong usage, 3 the log is not whole.",
    )
    asked = parser.add_subparsers(required=True, metavar="COMMAND")
    position = asked.add_parser("position", help="print where the ledger stands")
    position.set_defaults(does=_position)
    rebuild = asked.add_parser("rebuild", help="make a ledger of the log, and put it into the database")
    rebuild.set_defaults(does=_rebuild)
    how = rebuild.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="only compare with the database, and print what differs")
    how.add_argument(
        "--replace", action="store_true", help="put it in the place of the database's ledger, in one transaction"
    )
    rebuild.add_argument(
        "--pass-over-unknown-keys",
        action="store_true",
        help="go on where records are signed with keys that are not here; what they say is not believed",
    )
    for each in (position, rebuild):
        each.add_argument("--json", action="store_true", help="one JSON document, for scripts")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
