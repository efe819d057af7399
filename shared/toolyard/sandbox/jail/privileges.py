"""What a process gives up: another user's rights, capabilities, the gain of new ones, and being looked into."""

import os
import struct
from typing import Final

from toolyard.sandbox.jail.syscalls import call

#: The user and group that nobody owns files as.
NOBODY: Final = 65_534

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT, _CLEAR_ALL = 47, 4
_CAPABILITIES: Final = 64  # as many as the kernel has bits for
_CAPABILITY_VERSION: Final = 0x2008_0522


def leave_root() -> None:
    """Becomes nobody, if this process is root; files that only root may read must have been read before.

    Raises:
        OSError: root without the capability to become another user.
    """
    if os.geteuid() != 0 and os.getuid() != 0:
        return
    _empty_bounding_set()
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)  # else our own /proc belongs to root, and no namespace could be set up


def give_up() -> None:
    """No capability, none to be gained ever, and no other process may look inside this one.

    Raises:
        OSError: the kernel refused it.
    """
    _empty_bounding_set()
    call("prctl", _PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    call("capset", header, bytes(24))
    call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with_parent(signal: int) -> None:
    """This process gets the signal when the thread that forked it ends."""
    call("prctl", _PR_SET_PDEATHSIG, signal, 0, 0, 0)


def _empty_bounding_set() -> None:
    """What could be gained by executing a program. Only the privileged may shrink it; nobody else can use it."""
    for capability in range(_CAPABILITIES):
        try:
            call("prctl", _PR_CAPBSET_DROP, capability, 0, 0, 0)
        except OSError:  # not ours to drop, or beyond the last that this kernel knows
            return
