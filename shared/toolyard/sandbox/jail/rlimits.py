"""Limits of the kernel for one process: what a child may use, measured from what it was born with.

A limit that is lowered here cannot be raised again: soft and hard limits are the same, and the privilege to raise them
is gone.
"""

import os
import resource
from typing import Final, NamedTuple

#: What no child ever needs, whatever it is asked to do.
_NONE_OF: Final = (
    resource.RLIMIT_CORE,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_MEMLOCK,
    resource.RLIMIT_MSGQUEUE,
    resource.RLIMIT_NICE,
    resource.RLIMIT_RTPRIO,
)
_STACK: Final = 8 << 20
#: A process that uses up its CPU time is told so by SIGXCPU, and is killed this many seconds later.
_AFTER_WARNING: Final = 1


class Base(NamedTuple):
    """What a process has before it does anything: bytes of address space, and of writable memory."""

    address_space: int
    data: int


def forgo() -> None:
    """Gives up what neither the server nor a child needs. Children inherit it."""
    for each in _NONE_OF:
        resource.setrlimit(each, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    stack = _STACK if hard == resource.RLIM_INFINITY else min(_STACK, hard)
    resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))


def seal() -> None:
    """Gives up new descriptors and new processes; the last thing before a child is locked."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def grant(base: Base, memory: int, cpu: int) -> None:
    """Sets the limits of one request: `memory` bytes beyond the base, `cpu` whole seconds in all."""
    _lower(resource.RLIMIT_AS, base.address_space + memory)
    _lower(resource.RLIMIT_DATA, base.data + memory)
    _lower(resource.RLIMIT_CPU, cpu, cpu + _AFTER_WARNING)


def _lower(which: int, soft: int, hard: int | None = None) -> None:
    _, highest = resource.getrlimit(which)
    if highest == resource.RLIM_INFINITY:
        highest = max(soft, hard or soft)
    resource.setrlimit(which, (min(soft, highest), min(hard or soft, highest)))


def measure(statm: int) -> Base:
    """The base of the process whose `/proc/…/statm` is open as this descriptor."""
    pages = os.pread(statm, 256, 0).split()
    size = resource.getpagesize()
    return Base(int(pages[0]) * size, int(pages[5]) * size)
