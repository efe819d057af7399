"""What a process says of itself, whatever it does: what it is, its CPU, its memory, its files. Shown by every part."""

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from toolyard import __version__
from toolyard.clock import SYSTEM
from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import Board, Part, Reading

_SELF: Final = Path("/proc/self")
_BOOTED: Final = re.compile(r"^btime (\d+)$", re.MULTILINE)
#: The field of `/proc/self/stat` that says when the process began, counted behind its name.
_BEGAN: Final = 19
_RESIDENT: Final = 1


def show(board: Board, *parts: Part) -> None:
    """Have a process say what it is."""
    whole = (catalogue.CPU, catalogue.MEMORY, catalogue.OPEN_FILES, catalogue.MOST_FILES, catalogue.STARTED)
    began = _began()

    def readings() -> Iterator[Reading]:
        for part in parts:
            yield Reading(catalogue.BUILD_INFO, (__version__, part), 1)
        used = resource.getrusage(resource.RUSAGE_SELF)
        yield Reading(catalogue.CPU, (), used.ru_utime + used.ru_stime)
        yield Reading(catalogue.STARTED, (), began)
        yield Reading(catalogue.MOST_FILES, (), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if _SELF.exists():  # elsewhere than on Linux these two are not known
            yield Reading(catalogue.MEMORY, (), _resident())
            yield Reading(catalogue.OPEN_FILES, (), sum(1 for _ in (_SELF / "fd").iterdir()) - 1)

    board.watch(readings, catalogue.BUILD_INFO, *whole)


def _resident() -> int:
    return int((_SELF / "statm").read_text().split()[_RESIDENT]) * resource.getpagesize()


def _began() -> float:
    """When the process began, in seconds since 1970; now, where the system does not say it."""
    booted = _BOOTED.search(Path("/proc/stat").read_text()) if _SELF.exists() else None
    if booted is None:
        return SYSTEM.now()
    ticks = int((_SELF / "stat").read_text().rpartition(")")[2].split()[_BEGAN])
    return int(booted[1]) + ticks / os.sysconf("SC_CLK_TCK")
