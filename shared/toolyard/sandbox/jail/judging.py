"""From what a child's frames said and what the kernel counted, how its run ended. Pure."""

import os
import signal
from typing import Final

from toolyard.sandbox.jail.control import Died
from toolyard.sandbox.jail.conversation import Ending
from toolyard.sandbox.jail.runs import How, Limits, Usage, Verdict

#: The kernel ends by SIGKILL what has used up its CPU time and lived through SIGXCPU; its clock is not quite the same.
_NEARLY: Final = 0.95


def judge(ending: Ending, died: Died | None, limits: Limits, base_memory: int, base_cpu: float = 0.0) -> Verdict:
    """The verdict on a run.

    Args:
        ending: what the frames said.
        died: what the kernel counted; None if the fork server ended before it could tell.
        limits: what the run was allowed.
        base_memory: bytes that a child has resident before it is asked anything.
        base_cpu: seconds that it had used by then.
    """
    usage = Usage(output=len(ending.body), requests=ending.requests)
    if died is not None:
        peak = max(0, died.peak - base_memory)
        cpu = max(0.0, died.cpu - base_cpu)
        usage = Usage(cpu=cpu, peak=peak, output=len(ending.body), requests=ending.requests)
    if ending.how is not None:
        return Verdict(how=ending.how, body=ending.body, reason=ending.reason, usage=usage)
    how, number, reason = _silence(died, limits)
    return Verdict(how=how, signal=number, reason=reason, usage=usage)


def _silence(died: Died | None, limits: Limits) -> tuple[How, int | None, str]:
    """How a run ended whose child stopped speaking in the middle."""
    if died is None:
        return "lost", None, "its fork server ended, and it with it"
    if not os.WIFSIGNALED(died.status):
        return "crashed", None, f"it ended itself with status {os.waitstatus_to_exitcode(died.status)}"
    number = os.WTERMSIG(died.status)
    if number == signal.SIGXCPU or (number == signal.SIGKILL and died.cpu >= limits.cpu * _NEARLY):
        return "timed_out", number, f"used {died.cpu:.1f} s of CPU time; {limits.cpu:g} are allowed"
    return "crashed", number, f"ended by signal {number} ({signal.strsignal(number)})"
