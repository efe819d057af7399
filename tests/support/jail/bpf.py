"""An interpreter of classic BPF, as far as seccomp filters use it: what a filter says to a call, without the kernel."""

import struct
from collections.abc import Sequence

LOAD, AND, IF_EQUAL, IF_AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06


def verdict(program: bytes, machine: int, number: int, arguments: Sequence[int] = ()) -> int:
    """What the filter returns for a call."""
    words = [each & (2**64 - 1) for each in arguments]
    data = struct.pack("<IIQ6Q", number & 0xFFFF_FFFF, machine, 0x7F00_0000_0000, *words, *[0] * (6 - len(words)))
    instructions = list(struct.iter_unpack("<HBBI", program))
    held, at = 0, 0
    while True:
        code, if_true, if_false, operand = instructions[at]
        at += 1
        if code == LOAD:
            (held,) = struct.unpack_from("<I", data, operand)
        elif code == AND:
            held &= operand
        elif code == IF_EQUAL:
            at += if_true if held == operand else if_false
        elif code == IF_AT_LEAST:
            at += if_true if held >= operand else if_false
        elif code == RETURN:
            return int(operand)
        else:
            raise AssertionError(f"no instruction {code:#x}")
