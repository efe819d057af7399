"""The faults themselves: a clock that is wrong, and deliveries in another order."""

import os
import random
import struct
import subprocess
import sys
import time

from tests.chaos.frames import BODY, HEADER, METHOD, Frame
from tests.chaos.order import shuffled
from tests.support.clocks import shifted


def test_a_shifted_clock_is_the_wall_clock_alone() -> None:
    env = {**os.environ, **{name: value for name, value in shifted(300).items() if value is not None}}
    program = "import time; print(time.time(), time.monotonic(), time.time_ns() / 1e9)"
    told = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    wall, monotonic, exact = (float(word) for word in told.stdout.split())
    assert abs(wall - time.time() - 300) < 10
    assert abs(exact - time.time() - 300) < 10
    assert abs(monotonic - time.monotonic()) < 10


def _frame(kind: int, payload: bytes) -> Frame:
    return Frame(kind, 1, payload, payload)


def _delivery(tag: int, *, key: str = "call.accepted") -> list[Frame | bytes]:
    text = key.encode()
    method = struct.pack(">HH", 60, 60) + b"\x01c" + struct.pack(">QB", tag, 0) + b"\x01x" + bytes([len(text)]) + text
    body = f"body {tag}".encode()
    header = struct.pack(">HHQ", 60, 0, len(body))
    return [_frame(METHOD, method), _frame(HEADER, header), _frame(BODY, body)]


def test_a_delivery_tells_its_tag_and_key() -> None:
    frame = _delivery(7)[0]
    assert isinstance(frame, Frame)
    assert (frame.delivers(), frame.routing_key()) == (7, "call.accepted")


def test_whole_deliveries_change_places_and_nothing_else_does() -> None:
    confirm, torn = _frame(METHOD, struct.pack(">HHQB", 60, 80, 1, 0)), _delivery(9)[:2]
    frames = [*_delivery(1), *_delivery(2), *_delivery(3), confirm, *_delivery(4), *torn]
    mixed, moved = shuffled(frames, random.Random(1))
    assert moved >= 2
    assert sorted(mixed[:9], key=repr) == sorted(frames[:9], key=repr)
    assert mixed[9:] == frames[9:]
    whole = [frames[0:3], frames[3:6], frames[6:9]]
    assert all(mixed[at : at + 3] in whole for at in (0, 3, 6))
