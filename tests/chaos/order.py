"""Deliveries in another order: whole ones change places, and every other frame stays where it was."""

import random
from collections.abc import Sequence

from tests.chaos.frames import BODY, HEADER, METHOD, Frame


def shuffled(frames: Sequence[Frame | bytes], chance: random.Random) -> tuple[list[Frame | bytes], int]:
    """The frames with their whole deliveries in another order, and how many deliveries are not where they were.

    Frames between two deliveries (a confirm, a heartbeat) part them: deliveries are shuffled between such frames only.
    """
    done: list[Frame | bytes] = []
    run: list[list[Frame]] = []
    moved = at = 0
    while at < len(frames):
        size = _delivery(frames, at)
        if size:
            run.append([frame for frame in frames[at : at + size] if isinstance(frame, Frame)])
            at += size
            continue
        moved += _release(run, done, chance)
        done.append(frames[at])
        at += 1
    moved += _release(run, done, chance)
    return done, moved


def _release(run: list[list[Frame]], done: list[Frame | bytes], chance: random.Random) -> int:
    mixed = chance.sample(run, len(run))
    moved = sum(mine is not theirs for mine, theirs in zip(run, mixed, strict=True))
    for group in mixed:
        done += group
    run.clear()
    return moved


def _delivery(frames: Sequence[Frame | bytes], at: int) -> int:
    """How many frames the delivery takes that begins here and is whole; 0 where none does."""
    first, head = frames[at], frames[at + 1] if at + 1 < len(frames) else None
    if not (isinstance(first, Frame) and first.kind == METHOD and first.name == "basic.deliver"):
        return 0
    if not (isinstance(head, Frame) and head.kind == HEADER and head.channel == first.channel):
        return 0
    left, end = head.body_size(), at + 2
    while left > 0:
        body = frames[end] if end < len(frames) else None
        if not (isinstance(body, Frame) and body.kind == BODY and body.channel == first.channel):
            return 0
        left -= len(body.payload)
        end += 1
    return end - at
