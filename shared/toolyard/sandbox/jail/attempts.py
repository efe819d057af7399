"""What a locked child tries at the start of every server: each of these must fail, and in the way that is named.

Used by `selftest`. An attempt that succeeds returns; one that is refused raises.
"""

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
from collections.abc import Callable
from typing import Final, NamedTuple

from toolyard.sandbox.jail.syscalls import X86_64, Machine, call

_PR_GET_DUMPABLE: Final = 3
_PR_GET_NO_NEW_PRIVS: Final = 39
_PROT_ALL: Final = 7
_MIB: Final = 1 << 20
#: The memory that the child which tries to get more is given.
MEMORY: Final = 16 * _MIB


class Attempt(NamedTuple):
    """One thing to try.

    Attributes:
        name: what it would do if it succeeded.
        run: does it.
        expected: the outcomes that prove the wall, see `outcome`; none means that any refusal will do.
    """

    name: str
    run: Callable[[], object]
    expected: tuple[str, ...] = ()


def outcome(attempt: Attempt) -> str:
    """``succeeded``, or how it was refused: the name of an `errno`, or of an exception."""
    try:
        attempt.run()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "OSError")
    except Exception as error:  # noqa: BLE001 - its name is the outcome
        return type(error).__name__
    return "succeeded"


_PROVES_NOTHING: Final = ("succeeded", "nothing")


def refused(attempt: Attempt, how: str) -> bool:
    """Whether this outcome proves the wall."""
    return how in attempt.expected if attempt.expected else how not in _PROVES_NOTHING


# ---- refused by seccomp --------------------------------------------------------------------------


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _datagram() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def _make_executable() -> None:
    memory = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    call("mprotect", ctypes.addressof(ctypes.c_char.from_buffer(memory)), mmap.PAGESIZE, _PROT_ALL)


def _executable_memory() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=_PROT_ALL).close()


_EPERM: Final = ("EPERM",)

#: In a child that is wholly locked.
LOCKED: Final = (
    Attempt("open a file", lambda: os.open("/proc/self/status", os.O_RDONLY), _EPERM),
    Attempt("list a folder", lambda: os.scandir("/").close(), _EPERM),
    Attempt("write a file", lambda: os.open("/tmp/anything", os.O_WRONLY | os.O_CREAT), _EPERM),  # noqa: S108
    Attempt("make a TCP socket", lambda: socket.socket().close(), _EPERM),
    Attempt("make a UDP socket", _datagram, _EPERM),
    Attempt("make a pair of sockets", socket.socketpair, _EPERM),
    Attempt("fork", _fork, _EPERM),
    Attempt("start a thread", lambda: call("clone3", None, 0), _EPERM),
    Attempt("map executable memory", _executable_memory, _EPERM),
    Attempt("make memory executable", _make_executable, _EPERM),
    Attempt("send a signal", lambda: os.kill(os.getpid(), 0), _EPERM),
    Attempt("catch a signal", lambda: signal.signal(signal.SIGXCPU, signal.SIG_IGN), _EPERM),
    Attempt("copy a descriptor", lambda: os.dup(3), _EPERM),
    Attempt("read another descriptor", lambda: os.read(0, 1), _EPERM),
)

_UNLIMITED: Final = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

#: In a locked child with the limits of a request.
LIMITED: Final = (
    Attempt("use more memory", lambda: bytearray(4 * MEMORY), ("MemoryError",)),
    Attempt("map more memory", lambda: mmap.mmap(-1, 4 * MEMORY, flags=mmap.MAP_PRIVATE), ("ENOMEM",)),
    Attempt("raise a limit", lambda: resource.setrlimit(resource.RLIMIT_AS, _UNLIMITED), ("ValueError", "EPERM")),
)


def deadly(machine: Machine) -> tuple[Attempt, ...]:
    """Each in a locked child of its own, which the kernel must end with SIGSYS."""
    attempts = (
        Attempt("enter a namespace", lambda: call("unshare", 0)),
        Attempt("execute a program", lambda: call("execve", None, None, None)),
    )
    if machine is not X86_64:
        return attempts
    return (*attempts, Attempt("call by x32 numbers", lambda: call(machine.foreign + 39)))


# ---- refused by one wall alone -------------------------------------------------------------------


def _root() -> None:
    os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY))


def _connect() -> None:
    with socket.socket() as tried:
        tried.settimeout(1.0)
        tried.connect(("127.0.0.1", 9))


#: In a child behind Landlock alone.
LANDLOCKED: Final = (Attempt("open the root behind Landlock", _root, ("EACCES",)),)


def _look_around() -> None:
    if not os.listdir("/"):  # noqa: PTH208
        raise FileNotFoundError(errno.ENOENT, "nothing there")


def _see_the_server() -> None:
    if os.getppid() == 0:
        raise ProcessLookupError(errno.ESRCH, "no such process in here")


#: In a child in the namespaces, and behind nothing else.
ELSEWHERE: Final = (
    Attempt("see a file in the namespaces", _look_around, ("ENOENT",)),
    Attempt("see the server in the namespaces", _see_the_server, ("ESRCH",)),
    Attempt("reach a network in the namespaces", _connect, ("ENETUNREACH",)),
)


def _gain_privileges() -> None:
    if call("prctl", _PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1:
        raise PermissionError(errno.EPERM, "new privileges are given up")


def _be_looked_into() -> None:
    if call("prctl", _PR_GET_DUMPABLE, 0, 0, 0, 0) == 0:
        raise PermissionError(errno.EPERM, "nobody may look inside")


#: In a child behind nothing.
UNPRIVILEGED: Final = (
    Attempt("become root", lambda: os.setuid(0)),
    Attempt("become root's group", lambda: os.setgid(0)),
    Attempt("gain privileges by a program", _gain_privileges),
    Attempt("be looked into", _be_looked_into),
)
