"""What a process has used is asked of the kernel, not of the process."""

import os
import subprocess
import sys

from toolyard.sandbox.jail import usage

BUSY = """
import sys, time
kept = bytearray(40 << 20)
kept = None
while time.process_time() < 0.2: pass
print("done", flush=True)
sys.stdin.read()
"""


def test_cpu_time_and_the_peak_of_memory_are_those_of_the_process():
    command = [sys.executable, "-I", "-c", BUSY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"

        found = usage.so_far(process.pid)

        process.kill()
        process.wait(20)
    assert found is not None
    cpu, peak = found
    assert 0.2 <= cpu < 20
    assert 40 << 20 <= peak < 200 << 20
    assert usage.so_far(process.pid) is None


def test_a_process_that_has_ended_but_is_not_buried_has_no_usage():
    pid = os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", ""], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    found = usage.so_far(pid)

    os.waitpid(pid, 0)
    assert found is None
