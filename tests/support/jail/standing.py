"""Starts a program in another standing: ``python -m tests.support.jail.standing <nobody|-> <profile|-> program …``.

First it becomes nobody (only root can), then it puts itself under a profile; the program inherits both.
"""

import os
import sys
from pathlib import Path

from tests.support.jail.profiles import PROFILES

from toolyard.sandbox.jail.privileges import NOBODY
from toolyard.sandbox.jail.seccomp import Filter, program
from toolyard.sandbox.jail.syscalls import call, this_machine

_CLONE_NEWNS = 0x2_0000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x4_0000
_PR_SET_NO_NEW_PRIVS = 38
_REPOSITORY = Path(__file__).resolve().parents[3]


def become_nobody() -> None:
    """Drops root's rights for good. Python stays within reach, wherever it is installed."""
    needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), _REPOSITORY}
    closed = {door for path in needed if (door := _closed_door(path))}
    if closed:
        _open_doors(closed, needed)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _closed_door(path: Path) -> Path | None:
    """The outermost folder on the way to `path` that others may not pass."""
    return next((each for each in (*reversed(path.parents), path) if not each.stat().st_mode & 0o001), None)


def _open_doors(closed: set[Path], needed: set[Path]) -> None:
    """In a mount namespace of our own: what is needed, and only that, under a folder that all may pass."""
    call("unshare", _CLONE_NEWNS)
    call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)
    held = {path: os.open(path, os.O_PATH) for path in needed if any(door in (path, *path.parents) for door in closed)}
    for door in closed:
        call("mount", b"tmpfs", bytes(door), b"tmpfs", 0, b"mode=755")
    for path, descriptor in held.items():
        path.mkdir(parents=True)
        call("mount", f"/proc/self/fd/{descriptor}".encode(), bytes(path), None, _MS_BIND, None)
        os.close(descriptor)


def confine(profile: str) -> None:
    """Puts this process, and all that it starts, under a profile."""
    call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    Filter(program(PROFILES[profile], this_machine())).install()


if __name__ == "__main__":
    user, around, *command = sys.argv[1:]
    if user == "nobody":
        become_nobody()
    if around != "-":
        confine(around)
    os.execv(command[0], command)
