"""Small parts: the system calls by name, Landlock's versions, the messages of the server, the attempts' outcomes."""

import errno
import os
import platform
from collections.abc import Callable

import pytest

from toolyard.sandbox.jail import attempts, control, landlock, syscalls
from toolyard.sandbox.jail.attempts import Attempt
from toolyard.sandbox.jail.control import Barren, Born, Died, Order, Report


def test_a_system_call_by_name_is_the_one_that_it_says():
    assert syscalls.call("getpid") == os.getpid()


def test_a_system_call_by_number_is_made_as_it_is():
    number = syscalls.this_machine().number("getppid")
    assert number is not None

    assert syscalls.call(number) == os.getppid()


def test_a_refused_system_call_says_which_and_why():
    with pytest.raises(OSError, match="read: Bad file descriptor") as caught:
        syscalls.call("read", -1, None, 0)

    assert caught.value.errno == errno.EBADF


def test_a_machine_without_a_table_is_named(monkeypatch: pytest.MonkeyPatch):
    syscalls.this_machine.cache_clear()
    monkeypatch.setattr(platform, "machine", lambda: "sparc")

    with pytest.raises(OSError, match="no table of system calls for the machine 'sparc'"):
        syscalls.this_machine()


def test_a_call_that_this_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(syscalls, "this_machine", lambda: syscalls.AARCH64)

    with pytest.raises(OSError, match="no system call fork"):
        syscalls.call("fork")


@pytest.mark.parametrize(
    ("abi", "expected"),
    [
        (1, [0x1FFF]),
        (2, [0x3FFF]),
        (3, [0x7FFF]),
        (4, [0x7FFF, 3]),
        (5, [0xFFFF, 3]),
        (6, [0xFFFF, 3, 3]),
        (7, [0xFFFF, 3, 3]),
        (99, [0xFFFF, 3, 3]),
    ],
)
def test_landlock_is_asked_for_all_that_its_version_has(abi: int, expected: list[int]):
    assert landlock.handled(abi) == b"".join(each.to_bytes(8, "little") for each in expected)


@pytest.mark.parametrize(
    "message",
    [
        Report(missing={"landlock": "old"}, attempts={"fork": "EPERM"}, landlock=3, base_memory=9, failure=""),
        Order(7),
        Born(2**40, 4_000_000),
        Died(1, 139, 1.25, 2**33),
        Barren(errno.EAGAIN),
    ],
)
def test_a_message_of_the_server_comes_out_as_it_went_in(message: control.Message):
    assert control.unpack(control.pack(message)) == message


def test_what_is_no_message_is_refused():
    with pytest.raises(ValueError, match="no message begins with b'x'"):
        control.unpack(b"xyz")


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("run", "outcome", "proves"),
    [
        (lambda: None, "succeeded", False),
        (lambda: _raise(PermissionError(errno.EPERM, "no")), "EPERM", True),
        (lambda: _raise(OSError("no number")), "OSError", False),
        (lambda: _raise(MemoryError()), "MemoryError", False),
    ],
)
def test_an_attempt_proves_a_wall_only_if_it_ends_as_expected(run: Callable[[], None], outcome: str, proves: bool):
    attempt = Attempt("try", run, ("EPERM",))

    assert attempts.outcome(attempt) == outcome
    assert attempts.refused(attempt, outcome) == proves
    assert attempts.refused(attempt._replace(expected=()), outcome) == (outcome != "succeeded")


def test_a_child_that_says_nothing_proves_nothing():
    assert not attempts.refused(Attempt("try", lambda: None), "nothing")
