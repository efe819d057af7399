"""The commands that start a part: loaded by entry point, so that an image holds only the part it runs.

What stands behind the command's name goes to the part's own command line, unread. A part starts without the libraries
of the client commands: this module loads none of them.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, NamedTuple

from toolyard.errors import SettingsError

GROUP: Final = "toolyard.commands"


class _NotInstalled(Exception):  # noqa: N818 - it is told, and never leaves this module
    """A package that a part needs is missing."""


class Service(NamedTuple):
    """A part that can be started: its command, what it is, and the extra that installs what it needs."""

    name: str
    about: str
    extra: str


SERVICES: Final = (
    Service("dev", "Run the whole system in one process: no broker, sample tools, a first call to paste.", "all"),
    Service("demo", "Walk through a call, a turn, a failing tool and a timeout; nothing is left behind.", "all"),
    Service("gateway", "Run a gateway: takes calls over HTTP and answers them.", "gateway"),
    Service("worker", "Run a worker of one pool, as in [bold]toolyard worker http[/bold].", "executors"),
    Service("scheduler", "Run the scheduler: keeps the ledger and ends overdue calls.", "scheduler"),
    Service("ledger", "See where the ledger stands, compare it with the log, or make it anew of the log.", "scheduler"),
)
#: The exit code of what Ctrl-C has ended, as shells give it.
_INTERRUPTED: Final = 130
#: The parts by their commands.
NAMED: Final = {service.name: service for service in SERVICES}


def start(service: Service, words: Sequence[str]) -> int:
    """Run a part with these words behind its command; the exit code."""
    try:
        main = _load(service)
        sys.argv = [f"toolyard {service.name}", *words]
        return main() or 0
    except _NotInstalled as error:
        return _told("not_installed", str(error))
    except SettingsError as error:
        return _told("settings", str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED  # before it heard signals itself


def _told(code: str, text: str) -> int:
    from toolyard.cli.output import Output  # here, because a part that starts prints nothing by it

    Output().problem(code, text)
    return 1


def _load(service: Service) -> Callable[[], Any]:
    for entry in entry_points(group=GROUP, name=service.name):
        try:
            return _loaded(entry)
        except ModuleNotFoundError as error:
            if not _is_left_out(error, entry):
                raise
            raise _missing(service, f"the package {error.name!r} is not installed") from None
    raise _missing(service, "it is not installed")


def _loaded(entry: EntryPoint) -> Callable[[], Any]:
    main: Callable[[], Any] = entry.load()
    return main


def _is_left_out(error: ModuleNotFoundError, entry: EntryPoint) -> bool:
    """Whether a whole package is missing, and not a module of ours that should be there."""
    missing = error.name or ""
    return missing == entry.module.partition(".")[0] or not missing.startswith("toolyard")


def _missing(service: Service, why: str) -> _NotInstalled:
    advice = f"pip install 'toolyard[{service.extra}]'"
    return _NotInstalled(f"toolyard {service.name} cannot start: {why}. Install it with: {advice}")
