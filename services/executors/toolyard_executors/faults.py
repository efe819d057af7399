"""Whose fault it was that an attempt failed: the provider's, or somebody else's. Pure; asked by `runtime`."""

from typing import Final

from toolyard.contracts.calls import Phase
from toolyard_executors.executor import Finished

#: The first status that there is, and the first that is the fault of who sends it.
_STATUSES: Final = 100
_SERVER_ERRORS: Final = 500
#: Seconds within which whoever is well would have answered, as far as one can know.
_MOMENT: Final = 1.0


def fault_of_silence(seconds: float, phase: Phase) -> bool | None:
    """Whether it is the provider's fault that an attempt did not end within so many seconds.

    Where the call's deadline left it less than a moment, that says nothing.
    """
    return True if phase == "attempt" or seconds >= _MOMENT else None


def fault_of_provider(finished: Finished, silence: bool | None = True) -> bool | None:
    """Whether an attempt failed because of its provider; None where it says nothing of the provider.

    It is the provider's fault that nobody answered (in time), or with a status of 500 or more. Who answers anything
    else is there, also one that says that he has too much to do; what was never sent says nothing.

    What a tool says of itself (``tool_error``) is its own, whatever status it gives.

    Args:
        finished: how it ended.
        silence: what it says that nobody answered in time: see `fault_of_silence`.
    """
    error = finished.error
    if error is None:
        return False
    if error.code == "timed_out":
        return silence
    if error.code == "unavailable":
        return True
    status = (error.details or {}).get("status")
    if isinstance(status, int) and status >= _STATUSES and error.code != "tool_error":
        return status >= _SERVER_ERRORS
    if error.code == "upstream_error":
        return True
    return None if finished.effect == "none" or error.code == "internal" else False
