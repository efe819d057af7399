"""What a locked child may ask of the kernel: to compute, to look at the clock, and to speak through one descriptor.

Data for `seccomp`. All that is not named here is answered with EPERM, so that library code fails with an exception of
Python; calls that only an attack makes end the process.
"""

import errno
from typing import Final

from toolyard.sandbox.jail.seccomp import ALLOW, KILL_PROCESS, Argument, Policy, Rule, refuse

#: The only descriptor that a child has: its end of the socket to the worker.
CHANNEL: Final = 3

_REFUSED: Final = refuse(errno.EPERM)

_PROT_READ_WRITE: Final = 0x1 | 0x2
_MAP_PRIVATE, _MAP_FIXED, _MAP_ANONYMOUS, _MAP_NORESERVE, _MAP_STACK = 0x02, 0x10, 0x20, 0x4000, 0x20000
_MREMAP_MAYMOVE: Final = 1
_MADV_DONTNEED, _MADV_FREE = 4, 8
_FUTEX_PRIVATE, _FUTEX_CLOCK_REALTIME = 128, 256
_FUTEX_WAIT, _FUTEX_WAKE, _FUTEX_WAIT_BITSET, _FUTEX_WAKE_BITSET = 0, 1, 9, 10
_EVERY_BIT: Final = 2**64 - 1


def _nothing_but(index: int, bits: int) -> Argument:
    return Argument(index, 0, mask=_EVERY_BIT & ~bits)


def _one_of(index: int, *values: int, besides: int = 0) -> tuple[tuple[Argument, ...], ...]:
    return tuple((Argument(index, each, mask=_EVERY_BIT & ~besides),) for each in values)


_not_executable: Final = _nothing_but(2, _PROT_READ_WRITE)
_private_memory: Final = Argument(
    3,
    _MAP_PRIVATE | _MAP_ANONYMOUS,
    mask=_EVERY_BIT & ~(_MAP_FIXED | _MAP_NORESERVE | _MAP_STACK),
)

_COMPUTE: Final = (
    Rule(("read", "write"), ALLOW, where=((Argument(0, CHANNEL),),), otherwise=_REFUSED),
    Rule(("mmap",), ALLOW, where=((_not_executable, _private_memory),), otherwise=_REFUSED),
    Rule(("munmap", "brk"), ALLOW),
    Rule(("mprotect",), ALLOW, where=((_not_executable,),), otherwise=_REFUSED),
    Rule(("mremap",), ALLOW, where=((_nothing_but(3, _MREMAP_MAYMOVE),),), otherwise=_REFUSED),
    Rule(("madvise",), ALLOW, where=_one_of(2, _MADV_DONTNEED, _MADV_FREE), otherwise=_REFUSED),
    Rule(
        ("futex",),
        ALLOW,
        where=_one_of(
            1,
            _FUTEX_WAIT,
            _FUTEX_WAKE,
            _FUTEX_WAIT_BITSET,
            _FUTEX_WAKE_BITSET,
            besides=_FUTEX_PRIVATE | _FUTEX_CLOCK_REALTIME,
        ),
        otherwise=_REFUSED,
    ),
    Rule(("clock_gettime", "clock_getres", "gettimeofday", "time"), ALLOW),
    Rule(("clock_nanosleep", "nanosleep", "restart_syscall", "sched_yield"), ALLOW),
    Rule(("getrandom", "getrusage", "getpid", "gettid"), ALLOW),
    # Its own limits, which can only go down: the ones of a request are set when it has come.
    Rule(("prlimit64",), ALLOW, where=((Argument(0, 0),),), otherwise=_REFUSED),
    Rule(("exit_group", "exit"), ALLOW),
)

_DEADLY: Final = Rule(
    (
        "execve",
        "execveat",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "process_madvise",
        "pidfd_getfd",
        "kcmp",
        "unshare",
        "setns",
        "mount",
        "umount2",
        "mount_setattr",
        "move_mount",
        "open_tree",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "pivot_root",
        "chroot",
        "bpf",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "perf_event_open",
        "userfaultfd",
        "add_key",
        "request_key",
        "keyctl",
        "personality",
        "modify_ldt",
        "init_module",
        "finit_module",
        "delete_module",
        "kexec_load",
        "kexec_file_load",
        "open_by_handle_at",
        "name_to_handle_at",
        "memfd_secret",
        "vmsplice",
        "swapon",
        "swapoff",
        "reboot",
        "acct",
        "iopl",
        "ioperm",
    ),
    KILL_PROCESS,
)

#: The policy of every child.
POLICY: Final = Policy((*_COMPUTE, _DEADLY), default=_REFUSED)
