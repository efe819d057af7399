"""Namespaces: a world of their own for the children, with no network, no other process, and no file.

The server enters them once. Only the children are in the new process namespace: the server forks a keeper into it,
which is its first process and as long alive as the server.
"""

import os
import signal
import socket
from typing import Final, NoReturn

from toolyard.sandbox.jail import privileges
from toolyard.sandbox.jail.syscalls import LAST_DESCRIPTOR, call

_USER, _NET, _PID, _IPC, _UTS, _MOUNTS, _CGROUP = (
    0x1000_0000,
    0x4000_0000,
    0x2000_0000,
    0x0800_0000,
    0x0400_0000,
    0x0002_0000,
    0x0200_0000,
)
_EVERY_ONE: Final = _USER | _NET | _PID | _IPC | _UTS | _MOUNTS | _CGROUP

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_REC, _MS_PRIVATE = 0x4000, 0x4_0000
_NOTHING_GOES: Final = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_MNT_DETACH: Final = 2
#: Any folder that is always there: the empty root is mounted over it, and then takes the place of all.
_SOMEWHERE: Final = b"/proc"


def enter() -> None:
    """Moves this process into namespaces of its own, with an empty root that cannot be written.

    Raises:
        OSError: they are not allowed here, all or some; then this process has entered none.
    """
    _rehearse()
    _enter()


def _rehearse() -> None:
    """Lets a child go first: there is no way back for a process that got only half of it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _enter()
        except OSError as error:
            os.write(writing, f"{error.errno} {error.strerror}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        refusal = file.read()
    os.waitpid(pid, 0)
    if refusal:
        number, _, text = refusal.partition(" ")
        raise OSError(int(number), text)


def _enter() -> None:
    user, group = os.geteuid(), os.getegid()
    call("unshare", _EVERY_ONE)
    _write("/proc/self/uid_map", f"{user} {user} 1\n")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/gid_map", f"{group} {group} 1\n")
    _empty_root()
    socket.sethostname("sandbox")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib is one import more in the server
        file.write(text)


def _empty_root() -> None:
    call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)
    call("mount", b"tmpfs", _SOMEWHERE, b"tmpfs", _NOTHING_GOES, b"size=4k,nr_inodes=2,mode=555")
    os.chdir(_SOMEWHERE)
    call("pivot_root", b".", b".")
    call("umount2", b".", _MNT_DETACH)
    os.chdir("/")
    call("mount", None, b"/", None, _MS_REMOUNT | _MS_RDONLY | _NOTHING_GOES, None)


def keep() -> int:
    """Forks the keeper: without a first process the new process namespace takes no other. Returns its pid."""
    reading, _held_as_long_as_we_live = os.pipe()
    pid = os.fork()
    if pid == 0:
        _wait_for_the_end(reading)
    os.close(reading)
    return pid


def _wait_for_the_end(reading: int) -> NoReturn:
    """The keeper's life. It ends when the server does: by signal, or because nobody holds the pipe any more."""
    try:
        os.dup2(reading, 0)
        call("close_range", 1, LAST_DESCRIPTOR, 0)
        privileges.die_with_parent(signal.SIGKILL)
        os.read(0, 1)
    finally:
        os._exit(0)
