"""What a living process has used so far, as the kernel counts it: asked from outside, for it may lie about itself."""

import contextlib
import os
import time
from typing import Final

_PEAK: Final = b"VmHWM:"
_STATUS_SIZE: Final = 4096


def so_far(pid: int) -> tuple[float, int] | None:
    """Seconds of CPU time, and bytes resident at most; None if the process has ended, or may not be asked."""
    with contextlib.suppress(OSError, ValueError):
        return time.clock_gettime(_clock(pid)), _peak(pid)
    return None


def cpu_so_far(pid: int) -> float:
    """Seconds of CPU time; 0 if the process has ended."""
    with contextlib.suppress(OSError):
        return time.clock_gettime(_clock(pid))
    return 0.0


def _clock(pid: int) -> int:
    """The kernel's clock of a process (`clock_getcpuclockid` makes the same of a pid)."""
    return (~pid << 3) | 2


def _peak(pid: int) -> int:
    status = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(status, _STATUS_SIZE)
    finally:
        os.close(status)
    start = text.index(_PEAK) + len(_PEAK)
    return int(text[start : text.index(b" kB", start)]) << 10
