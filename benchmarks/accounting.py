"""CPU seconds and memory of process trees, read from /proc. Used by the benchmarks, which compare whole systems."""

import os
import pathlib

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> list[str] | None:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu(pids: list[int]) -> float:
    """CPU seconds that the processes have used so far, their reaped children included."""
    return sum(sum(map(int, stat[11:15])) for pid in pids if (stat := _stat(pid)) is not None) / _TICK


def rss_mb(pids: list[int]) -> float:
    """Resident memory of the processes, in MiB (shared pages count in each)."""
    return sum(int(stat[21]) for pid in pids if (stat := _stat(pid)) is not None) * _PAGE / 2**20
