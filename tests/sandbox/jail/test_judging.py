"""Verdicts: what the frames said goes first; where they are silent the kernel's count decides."""

import signal

import pytest

from toolyard.sandbox.jail.control import Died
from toolyard.sandbox.jail.conversation import Ending
from toolyard.sandbox.jail.judging import judge
from toolyard.sandbox.jail.runs import Limits, Usage

LIMITS = Limits(cpu=2.0)
BASE = 1000
SILENT = Ending(None)


def died(status: int, *, cpu: float = 0.5, peak: int = 5000) -> Died:
    return Died(1, status, cpu, peak)


def test_an_answer_is_one_whatever_became_of_the_child():
    found = judge(Ending("answered", b"42", requests=3), died(signal.SIGKILL), LIMITS, BASE)

    assert (found.how, found.body, found.signal, found.reason) == ("answered", b"42", None, "")
    assert found.usage == Usage(cpu=0.5, peak=4000, output=2, requests=3)


@pytest.mark.parametrize(("before", "counted"), [(0.2, 0.3), (0.0, 0.5), (0.6, 0.0)])
def test_what_a_child_used_before_it_was_asked_is_not_counted(before: float, counted: float):
    found = judge(Ending("answered"), died(0), LIMITS, BASE, before)
    assert found.usage.cpu == pytest.approx(counted)


@pytest.mark.parametrize(
    ("status", "cpu", "how", "number", "says"),
    [
        (signal.SIGSEGV, 0.1, "crashed", 11, "ended by signal 11 (Segmentation fault)"),
        (signal.SIGSYS, 0.1, "crashed", 31, "ended by signal 31 (Bad system call)"),
        (signal.SIGKILL, 0.1, "crashed", 9, "ended by signal 9 (Killed)"),
        (signal.SIGKILL, 1.95, "timed_out", 9, "used 1.9 s of CPU time; 2 are allowed"),
        (signal.SIGXCPU, 2.0, "timed_out", 24, "used 2.0 s of CPU time; 2 are allowed"),
        (signal.SIGSEGV | 0x80, 0.1, "crashed", 11, "ended by signal 11 (Segmentation fault)"),
        (0, 0.1, "crashed", None, "it ended itself with status 0"),
        (7 << 8, 0.1, "crashed", None, "it ended itself with status 7"),
    ],
)
def test_a_silent_end_is_told_by_the_kernel(status: int, cpu: float, how: str, number: int | None, says: str):
    found = judge(SILENT, died(status, cpu=cpu), LIMITS, BASE)

    assert (found.how, found.signal, found.reason) == (how, number, says)


def test_without_the_fork_server_nothing_is_known_of_the_end():
    found = judge(SILENT, None, LIMITS, BASE)

    assert (found.how, found.signal, found.usage) == ("lost", None, Usage())
    assert found.reason == "its fork server ended, and it with it"


def test_a_real_time_signal_has_no_name_and_is_told_all_the_same():
    assert judge(SILENT, died(40), LIMITS, BASE).reason.startswith("ended by signal 40 (")


def test_memory_below_the_base_counts_as_none():
    assert judge(SILENT, died(0, peak=10), LIMITS, BASE).usage.peak == 0
