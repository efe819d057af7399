"""Seccomp filters: a policy as data becomes a BPF program, and the program becomes the law of this process.

The compiler knows nothing of what is wise to allow: see `allowed`. A filter can be installed by any process that has
given up new privileges, and never taken off again.
"""

import ctypes
import struct
from dataclasses import dataclass
from typing import Final

from toolyard.sandbox.jail.syscalls import Machine, call

ALLOW: Final = 0x7FFF_0000
KILL_PROCESS: Final = 0x8000_0000


def refuse(error: int) -> int:
    """The action that answers a call with this `errno`, without doing it."""
    return 0x0005_0000 | error


# Instructions of classic BPF, as many as are needed here.
LOAD: Final = 0x20  # the word at an offset of the call's description
AND: Final = 0x54
IF_EQUAL: Final = 0x15
IF_AT_LEAST: Final = 0x35
RETURN: Final = 0x06

# Where the description of a call has what (`struct seccomp_data`).
_NUMBER: Final = 0
_MACHINE: Final = 4
_ARGUMENTS: Final = 16

_WORD: Final = 0xFFFF_FFFF
_ALL: Final = 0xFFFF_FFFF_FFFF_FFFF
_SET_MODE_FILTER: Final = 1

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Argument:
    """A condition on one argument: ``argument & mask == value``, over all 64 bits.

    The upper half counts also where the kernel looks at the lower one only: what is odd is refused.
    """

    index: int
    value: int
    mask: int = _ALL


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of some calls.

    Attributes:
        calls: names of the table; one that this machine lacks is passed over.
        action: what happens to them.
        where: alternatives, each a group of conditions that hold together; none means always.
        otherwise: what happens where no alternative holds.
    """

    calls: tuple[str, ...]
    action: int
    where: tuple[tuple[Argument, ...], ...] = ()
    otherwise: int = KILL_PROCESS


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in the order in which they are looked at (the frequent ones first), and what becomes of all other calls."""

    rules: tuple[Rule, ...]
    default: int


def program(policy: Policy, machine: Machine) -> bytes:
    """The BPF program of a policy for a machine; a call of any other machine's convention kills.

    Raises:
        ValueError: a call has two rules, or a rule is too long for one jump.
    """
    code: list[Instruction] = [
        (LOAD, 0, 0, _MACHINE),
        (IF_EQUAL, 1, 0, machine.audit),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, _NUMBER),
    ]
    if machine.foreign:
        code += [(IF_AT_LEAST, 0, 1, machine.foreign), (RETURN, 0, 0, KILL_PROCESS)]
    seen: set[str] = set()
    for rule in policy.rules:
        if again := seen.intersection(rule.calls):
            raise ValueError(f"two rules for {sorted(again)}")
        seen.update(rule.calls)
        code += _rule(rule, machine)
    code.append((RETURN, 0, 0, policy.default))
    return b"".join(struct.pack("=HBBI", *each) for each in code)


def _rule(rule: Rule, machine: Machine) -> list[Instruction]:
    """One block per call: skipped if it is another call, and ended by a return, so that blocks do not mix."""
    block = _block(rule)
    if len(block) > 255:
        raise ValueError(f"the rule for {rule.calls} is too long: {len(block)} instructions")
    numbers = [machine.number(name) for name in rule.calls]
    return [each for n in numbers if n is not None for each in ((IF_EQUAL, 0, len(block), n), *block)]


def _block(rule: Rule) -> list[Instruction]:
    if not rule.where:
        return [(RETURN, 0, 0, rule.action)]
    block: list[Instruction] = []
    for alternative in rule.where:
        block += _alternative(alternative, rule.action)
    return [*block, (RETURN, 0, 0, rule.otherwise)]


def _alternative(conditions: tuple[Argument, ...], action: int) -> list[Instruction]:
    """The action if all conditions hold; else a jump to just behind it."""
    code: list[Instruction] = [(RETURN, 0, 0, action)]
    for condition in reversed(conditions):
        for half in (0, 4):
            code = _half(condition, half, len(code)) + code
    return code


def _half(condition: Argument, half: int, skip: int) -> list[Instruction]:
    """One half of an argument compared; `skip` instructions are jumped over where it differs.

    Both machines are little-endian: the lower half comes first.
    """
    shift = 8 * half
    mask, value = (condition.mask >> shift) & _WORD, (condition.value >> shift) & _WORD
    load: list[Instruction] = [(LOAD, 0, 0, _ARGUMENTS + 8 * condition.index + half)]
    if mask != _WORD:
        load.append((AND, 0, 0, mask))
    return [*load, (IF_EQUAL, 0, skip, value)]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


class Filter:
    """A program in the form in which the kernel takes it: made once, installed by every child."""

    def __init__(self, code: bytes) -> None:
        self._program = _Program(len(code) // 8, code)

    def install(self) -> None:
        """Puts this process under the filter, for good.

        Raises:
            OSError: the kernel refused it.
        """
        call("seccomp", _SET_MODE_FILTER, 0, ctypes.addressof(self._program))
