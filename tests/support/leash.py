"""A leash for the processes that tests start: none of them, and none of their folders, outlives the test run.

`Process` and the private nodes hold on to it. A small guard process reads a pipe from the test run; when the pipe ends,
for whatever reason (end, Ctrl-C, SIGKILL, `os._exit`), it kills what is still held and removes the folders.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple


class _Status(NamedTuple):
    state: str
    parent: int
    session: int


#: Seconds that a killed process may take to be gone: on a busy machine the kernel has much else to do.
_DYING = 60.0

_lock = threading.Lock()
_guard: tuple[int, "subprocess.Popen[bytes]"] | None = None


def hold(pid: int) -> None:
    """Kills the session that `pid` leads as soon as the test run is over."""
    _tell(f"hold {pid}")


def release(pid: int) -> None:
    """Forgets a process that has ended."""
    _tell(f"release {pid}")


def hold_folder(folder: Path) -> None:
    """Removes the folder as soon as the test run is over."""
    _tell(f"folder {folder}")


def members(pid: int) -> set[int]:
    """The living processes that `pid` has started, and itself: its descendants and all in its session."""
    table = {int(entry.name): status for entry in Path("/proc").glob("[0-9]*") if (status := _status(entry))}
    family = {pid} | {each for each, status in table.items() if status.session == pid}
    grown = True
    while grown:
        more = {each for each, status in table.items() if status.parent in family} - family
        family |= more
        grown = bool(more)
    return {each for each in family if each in table and table[each].state not in "ZX"}


def freeze(pid: int) -> set[int]:
    """Stops (SIGSTOP) a process and all that it started, until no new one appears; returns them."""
    frozen: set[int] = set()
    while new := members(pid) - frozen:
        for each in sorted(new):
            _signal(each, signal.SIGSTOP)
        frozen |= new
    return frozen


def thaw(pid: int) -> None:
    """Lets a frozen family run again, the parents last, so that no parent sees a child that still stands."""
    for each in sorted(members(pid), reverse=True):
        _signal(each, signal.SIGCONT)


def kill_all(pid: int) -> None:
    """Kills (SIGKILL) a process and all that it started, none of which can escape by forking meanwhile."""
    dying = freeze(pid)
    for each in dying:
        _signal(each, signal.SIGKILL)
    end = time.monotonic() + _DYING
    while dying := {each for each in dying if alive(each)}:
        if time.monotonic() > end:
            raise TimeoutError(f"processes {sorted(dying)} did not die of SIGKILL within {_DYING:g} s")
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether the process exists and is more than an exit code that nobody has fetched."""
    status = _status(Path(f"/proc/{pid}"))
    return status is not None and status.state not in "ZX"


def _status(entry: Path) -> _Status | None:
    try:
        text = (entry / "stat").read_text(errors="replace")
    except OSError:  # it ended while we looked
        return None
    fields = text.rpartition(")")[2].split()
    return _Status(fields[0], int(fields[1]), int(fields[3]))


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _tell(line: str) -> None:
    global _guard
    with _lock:
        if _guard is None or _guard[0] != os.getpid():
            _guard = (os.getpid(), _start_guard())
        pipe = _guard[1].stdin
        assert pipe is not None
        pipe.write(f"{line}\n".encode())
        pipe.flush()


def _start_guard() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-I", __file__]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    atexit.register(_end_guard, os.getpid(), guard)
    return guard


def _end_guard(owner: int, guard: "subprocess.Popen[bytes]") -> None:
    if os.getpid() == owner:
        guard.communicate(b"end\n", timeout=20)


def _keep_watch() -> None:
    """The guard's own life: note what is held; when the pipe ends, leave nothing behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    held: dict[str, list[str]] = {"hold": [], "folder": []}
    for line in sys.stdin:
        word, _, what = line.rstrip("\n").partition(" ")
        if word == "end":
            break
        if word == "release":
            held["hold"].remove(what)
        else:
            held[word].append(what)
    for pid in held["hold"]:
        kill_all(int(pid))
    for folder in held["folder"]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _keep_watch()
