"""The filter, call by call: a BPF interpreter asks it what it would say."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.jail.bpf import verdict
from tests.support.jail.profiles import CONTAINER

from toolyard.sandbox.jail.allowed import CHANNEL, POLICY
from toolyard.sandbox.jail.numbers import NUMBERS
from toolyard.sandbox.jail.seccomp import ALLOW, KILL_PROCESS, Argument, Policy, Rule, program, refuse
from toolyard.sandbox.jail.syscalls import AARCH64, MACHINES, X86_64, Machine

EPERM = refuse(errno.EPERM)
HIGH = 1 << 32
#: Calls that a locked child may make, each with arguments that are right; and arguments that are not.
GOOD: dict[str, tuple[int, ...]] = {
    "read": (CHANNEL,),
    "write": (CHANNEL,),
    "mmap": (0, 4096, 3, 0x22),
    "munmap": (),
    "brk": (),
    "mprotect": (0, 4096, 3),
    "mremap": (0, 4096, 8192, 1),
    "madvise": (0, 4096, 4),
    "futex": (0, 0 | 128),
    "clock_gettime": (),
    "clock_getres": (),
    "gettimeofday": (),
    "time": (),
    "clock_nanosleep": (),
    "nanosleep": (),
    "restart_syscall": (),
    "sched_yield": (),
    "getrandom": (),
    "getrusage": (),
    "getpid": (),
    "gettid": (),
    "prlimit64": (0,),
    "exit_group": (),
    "exit": (),
}
ALSO_GOOD = [
    ("mmap", (0, 4096, 0, 0x22)),
    ("mmap", (0, 4096, 1, 0x4022)),
    ("mmap", (0, 4096, 3, 0x32)),
    ("mmap", (0, 4096, 3, 0x2_0022)),
    ("mprotect", (0, 4096, 0)),
    ("mremap", (0, 4096, 8192, 0)),
    ("madvise", (0, 4096, 8)),
    ("futex", (0, 1)),
    ("futex", (0, 9 | 128 | 256)),
    ("futex", (0, 10 | 128)),
]
BAD = [
    *(("read", (each,)) for each in (0, 1, 2, 4, -1, CHANNEL | HIGH, CHANNEL << 32)),
    *(("write", (each,)) for each in (0, 1, 2, 4, -1, CHANNEL | HIGH)),
    *(("mmap", (0, 4096, each, 0x22)) for each in (4, 5, 7, 8, HIGH | 4, HIGH | 3, 0x0100_0003)),
    *(("mmap", (0, 4096, 3, each)) for each in (0x21, 0x02, 0x01, 0x03, 0x20, 0x4_0022, 0x2022, 0x8022, HIGH | 0x22)),
    *(("mprotect", (0, 4096, each)) for each in (4, 5, 7, HIGH | 7, HIGH | 1)),
    *(("mremap", (0, 4096, 8192, each)) for each in (2, 3, 4, HIGH)),
    *(("madvise", (0, 4096, each)) for each in (0, 3, 9, 12, 14, 100, 101, HIGH | 4)),
    *(("futex", (0, each)) for each in (3, 4, 6, 7, 8, 11, 12, 13, 4 | 128, HIGH)),
    *(("prlimit64", (each,)) for each in (1, -1, HIGH)),
]
DEADLY = set(POLICY.rules[-1].calls)


def said(policy: Policy, machine: Machine, call: str, arguments: tuple[int, ...] = ()) -> int:
    number = machine.number(call)
    assert number is not None
    return verdict(program(policy, machine), machine.audit, number, arguments)


def having(call: str) -> list[Machine]:
    return [machine for machine in MACHINES.values() if machine.number(call) is not None]


@pytest.mark.parametrize("machine", MACHINES.values(), ids=lambda each: each.name)
@pytest.mark.parametrize("call", sorted(NUMBERS))
def test_every_call_of_the_table_is_allowed_refused_or_deadly_as_it_should_be(machine: Machine, call: str):
    if machine.number(call) is None:
        assert machine is AARCH64
        return

    expected = ALLOW if call in GOOD else KILL_PROCESS if call in DEADLY else EPERM

    assert said(POLICY, machine, call, GOOD.get(call, ())) == expected


@pytest.mark.parametrize(("call", "arguments"), ALSO_GOOD)
def test_what_libraries_do_is_allowed(call: str, arguments: tuple[int, ...]):
    assert {said(POLICY, machine, call, arguments) for machine in having(call)} == {ALLOW}


@pytest.mark.parametrize(("call", "arguments"), BAD)
def test_the_wrong_arguments_are_refused_in_either_half(call: str, arguments: tuple[int, ...]):
    assert {said(POLICY, machine, call, arguments) for machine in having(call)} == {EPERM}


@pytest.mark.parametrize("number", range(512))
def test_on_x86_64_only_the_calls_of_the_list_get_through(number: int):
    numbers = {X86_64.number(call) for call in GOOD}

    allowed = verdict(program(POLICY, X86_64), X86_64.audit, number, (CHANNEL, 0, 0, 0x22)) == ALLOW

    assert not allowed or number in numbers


@pytest.mark.parametrize("number", [0x4000_0000, 0x4000_0001, 0x4000_0027, 0x4000_0208, 0x8000_0000, 0xFFFF_FFFF])
def test_x32_numbers_and_negative_ones_kill(number: int):
    assert verdict(program(POLICY, X86_64), X86_64.audit, number, (CHANNEL,)) == KILL_PROCESS


@pytest.mark.parametrize("machine", MACHINES.values(), ids=lambda each: each.name)
@pytest.mark.parametrize("foreign", [0x4000_0003, 0, 0xC000_00F3, X86_64.audit, AARCH64.audit])
def test_the_calls_of_another_machine_kill_whatever_they_are(machine: Machine, foreign: int):
    if foreign == machine.audit:
        return
    code = program(POLICY, machine)

    assert {verdict(code, foreign, number, (CHANNEL,)) for number in range(512)} == {KILL_PROCESS}


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6))
def test_a_call_of_any_number_with_any_arguments_ends_in_one_of_three_ways(number: int, arguments: list[int]):
    found = verdict(program(POLICY, X86_64), X86_64.audit, number, arguments)

    assert found in (ALLOW, EPERM, KILL_PROCESS)
    if number not in {X86_64.number(call) for call in GOOD}:
        assert found != ALLOW


@given(st.sampled_from(["read", "write", "mmap", "mprotect", "mremap", "madvise", "futex", "prlimit64"]), st.data())
def test_one_wrong_bit_in_a_checked_argument_is_seen(call: str, data: st.DataObject):
    arguments = list(GOOD[call])
    checked = {"read": 0, "write": 0, "prlimit64": 0, "mmap": 2, "mprotect": 2, "mremap": 3, "madvise": 2, "futex": 1}
    index = checked[call]
    arguments[index] ^= 1 << data.draw(st.integers(32, 63))

    assert said(POLICY, X86_64, call, tuple(arguments)) == EPERM


def test_alternatives_are_tried_in_turn_and_each_needs_all_its_conditions():
    both = (Argument(0, 1), Argument(1, 2))
    policy = Policy((Rule(("read",), ALLOW, where=(both, (Argument(2, 3),)), otherwise=refuse(5)),), default=refuse(7))

    found = [said(policy, X86_64, "read", each) for each in ((1, 2, 0), (1, 0, 0), (0, 2, 0), (0, 0, 3), (1, 2, 3))]

    assert found == [ALLOW, refuse(5), refuse(5), ALLOW, ALLOW]
    assert said(policy, X86_64, "write") == refuse(7)


def test_two_rules_for_one_call_are_a_mistake():
    with pytest.raises(ValueError, match="two rules for"):
        program(Policy((Rule(("read",), ALLOW), Rule(("read", "write"), EPERM)), default=EPERM), X86_64)


def test_a_rule_beyond_the_length_of_a_jump_is_a_mistake():
    long = Rule(("read",), ALLOW, where=tuple((Argument(0, each),) for each in range(60)))

    with pytest.raises(ValueError, match="too long"):
        program(Policy((long,), default=EPERM), X86_64)


def test_the_profile_of_containers_refuses_new_namespaces_and_lets_processes_be_made():
    calls = [("unshare", ()), ("clone", (0x1000_0000 | 17,)), ("clone", (17,)), ("openat", ()), ("seccomp", ())]

    found = [said(CONTAINER, X86_64, call, arguments) for call, arguments in calls]

    assert found == [EPERM, EPERM, ALLOW, ALLOW, ALLOW]
    assert said(CONTAINER, X86_64, "clone3") == refuse(errno.ENOSYS)
