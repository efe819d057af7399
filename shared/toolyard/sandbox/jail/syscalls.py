"""System calls by name: their numbers on the two machines that we know, and the call itself.

Used by all that talks to the kernel in ways that Python has no words for. It holds no policy.
"""

import ctypes
import functools
import os
import platform
from typing import Final, NamedTuple

from toolyard.sandbox.jail.numbers import NUMBERS


class Machine(NamedTuple):
    """A kind of processor as the kernel counts its calls.

    Attributes:
        name: as `platform.machine()` says it.
        audit: the number by which a seccomp filter knows it.
        column: which column of `numbers.NUMBERS` is its own.
        foreign: call numbers from here on belong to another convention (x32) and are never ours; 0 where there is none.
    """

    name: str
    audit: int
    column: int
    foreign: int

    def number(self, call: str) -> int | None:
        """The number of a call; None if this machine has no such call.

        Raises:
            KeyError: no machine has it, as far as the table knows.
        """
        return NUMBERS[call][self.column]


X86_64: Final = Machine("x86_64", 0xC000003E, 0, 0x4000_0000)
AARCH64: Final = Machine("aarch64", 0xC00000B7, 1, 0)
MACHINES: Final = {machine.name: machine for machine in (X86_64, AARCH64)}

#: The end of a range that takes in every descriptor (`close_range`).
LAST_DESCRIPTOR: Final = 0xFFFF_FFFF

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@functools.cache
def this_machine() -> Machine:
    """The machine that we run on.

    Raises:
        OSError: one whose calls we do not know.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(f"no table of system calls for the machine {platform.machine()!r}")
    return machine


def call(name: str | int, *arguments: int | bytes | None) -> int:
    """Makes a system call.

    Args:
        name: a name of the table, or a bare number.
        arguments: numbers (addresses among them), text for the kernel to read, or None for a null pointer.

    Raises:
        OSError: what the kernel answered.
    """
    number = name if isinstance(name, int) else this_machine().number(name)
    if number is None:
        raise OSError(f"no system call {name} on {platform.machine()!r}")
    words = [ctypes.c_long(each) if isinstance(each, int) else ctypes.c_char_p(each) for each in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result
