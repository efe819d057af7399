"""Landlock: a process denies itself every file, every TCP port and every signal to others, without any privilege.

One ruleset without a rule is made in the server; each child puts itself under it.
"""

import ctypes
import struct
from typing import Final

from toolyard.sandbox.jail.syscalls import call

_VERSION: Final = 1  # the flag that asks for the version instead of a ruleset

#: How many kinds of access to files each version of the interface knows; from version 5 on all that we know.
_FILE_ACCESS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NEWEST: Final = 5
_TCP_SINCE, _TCP_BIND_AND_CONNECT = 4, 0b11
_SCOPES_SINCE, _ABSTRACT_SOCKETS_AND_SIGNALS = 6, 0b11


def version() -> int:
    """The version of the kernel's interface; 0 where there is none, or where we may not ask for it."""
    try:
        return call("landlock_create_ruleset", None, 0, _VERSION)
    except OSError:
        return 0


def handled(abi: int) -> bytes:
    """What a ruleset of this version decides about: all that the version can. Without a rule all of it is denied."""
    files = (1 << _FILE_ACCESS[min(abi, _NEWEST)]) - 1
    if abi < _TCP_SINCE:
        return struct.pack("=Q", files)
    if abi < _SCOPES_SINCE:
        return struct.pack("=QQ", files, _TCP_BIND_AND_CONNECT)
    return struct.pack("=QQQ", files, _TCP_BIND_AND_CONNECT, _ABSTRACT_SOCKETS_AND_SIGNALS)


def deny_all() -> int:
    """A descriptor of the ruleset that allows nothing. It is closed on exec.

    Raises:
        OSError: the kernel has no Landlock, or does not give it to us.
    """
    attributes = handled(call("landlock_create_ruleset", None, 0, _VERSION))
    held = ctypes.create_string_buffer(attributes, len(attributes))
    return call("landlock_create_ruleset", ctypes.addressof(held), len(attributes), 0)


def restrict(ruleset: int) -> None:
    """Puts this process under the ruleset, for good; new privileges must have been given up before.

    Raises:
        OSError: the kernel refused it.
    """
    call("landlock_restrict_self", ruleset, 0)
