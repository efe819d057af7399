"""Seccomp profiles that stand around a whole worker, as those of container engines do: data for a fixture to install.

Written after what engines document that their default refuses to a container without capabilities.
"""

import errno
from typing import Final

from toolyard.sandbox.jail.seccomp import ALLOW, Argument, Policy, Rule, refuse

_NEW_NAMESPACES: Final = 0x7E02_0000  # the flags of clone that make namespaces
_REFUSED: Final = refuse(errno.EPERM)

#: What needs a capability that such a container does not have, or is refused to everybody.
_OUT_OF_BOUNDS: Final = (
    "acct",
    "add_key",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "name_to_handle_at",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "quotactl",
    "reboot",
    "request_key",
    "set_mempolicy",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
)

CONTAINER: Final = Policy(
    (
        Rule(("clone",), ALLOW, where=((Argument(0, 0, mask=_NEW_NAMESPACES),),), otherwise=_REFUSED),
        Rule(("clone3",), refuse(errno.ENOSYS)),  # its flags lie in memory, where no filter can look
        Rule(_OUT_OF_BOUNDS, _REFUSED),
    ),
    default=ALLOW,
)

_LANDLOCK: Final = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")
#: A container on a kernel without Landlock.
WITHOUT_LANDLOCK: Final = Policy((*CONTAINER.rules, Rule(_LANDLOCK, refuse(errno.ENOSYS))), default=ALLOW)
#: A container that lets nobody install a filter.
WITHOUT_SECCOMP: Final = Policy((*CONTAINER.rules, Rule(("seccomp",), _REFUSED)), default=ALLOW)

PROFILES: Final = {
    "container": CONTAINER,
    "without_landlock": WITHOUT_LANDLOCK,
    "without_seccomp": WITHOUT_SECCOMP,
}
