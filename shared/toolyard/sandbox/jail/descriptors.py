"""The descriptors that a process needs to hold children: their number is limited, and they are never to run out."""

import contextlib
import resource
from typing import Final

from toolyard.errors import SettingsError

#: Of a child: its socket and its pidfd.
OF_A_CHILD: Final = 2
#: Everything else: connections, files, the fork servers.
_OF_THE_REST: Final = 200


def provide(places: int) -> None:
    """Raises this process's limit as far as it may.

    Args:
        places: runs at the same time.

    Raises:
        SettingsError: that is not enough; says what is, and what to do.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # "unlimited" is more than some kernels give
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OF_A_CHILD * places + _OF_THE_REST
    if soft != resource.RLIM_INFINITY and soft < needed:
        raise SettingsError(
            f"{places} places of the sandbox need {needed} descriptors, and this process may have {soft}: raise its "
            "limit (ulimit -n, LimitNOFILE= of systemd, ulimits of the container), or lower TOOLYARD_CONCURRENCY"
        )
