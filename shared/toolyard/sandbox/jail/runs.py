"""What a run in the jail may use, and how it ended: plain data, for whoever runs something."""

from typing import Final, Literal

from msgspec import Struct, structs

#: How a run ended.
How = Literal["answered", "timed_out", "out_of_memory", "too_much_output", "crashed", "lost", "broke_protocol"]

_MIB: Final = 1 << 20


class Limits(Struct, frozen=True, kw_only=True):
    """The bounds of one run.

    Attributes:
        wall: seconds from the moment when a child gets the request, whatever it waits for.
        total: seconds from the moment when it is asked for, in which it may first wait for a place; None for any time.
        cpu: seconds of CPU time; the kernel counts them in whole ones, so a part of one counts as one.
        memory: bytes beyond what a child has before it does anything.
        output: bytes of the answer.
        requests: how many times it may ask the worker for something.
        question: bytes of one such request.
    """

    wall: float = 10.0
    total: float | None = None
    cpu: float = 10.0
    memory: int = 128 * _MIB
    output: int = _MIB
    requests: int = 20
    question: int = _MIB

    def after(self, waited: float) -> "Limits":
        """What is left when it has waited so many seconds for its place."""
        if self.total is None:
            return self
        return structs.replace(self, wall=max(0.0, min(self.wall, self.total - waited)))


class Usage(Struct, frozen=True, kw_only=True):
    """What a run used, as the kernel counted it. All zero in a run whose fork server died with it.

    Attributes:
        cpu: seconds since it was asked; being born, locked and warmed is not counted.
        peak: bytes resident at most, beyond what a child has before it does anything.
        output: bytes of the answer.
        requests: how many of its requests were answered.
    """

    cpu: float = 0.0
    peak: int = 0
    output: int = 0
    requests: int = 0


class Verdict(Struct, frozen=True, kw_only=True):
    """How a run ended.

    ``answered``: the guest returned `body`, which nobody has looked into. ``timed_out``: over its wall clock or its CPU
    time. ``out_of_memory``: the guest met its memory limit. ``too_much_output``: its answer was longer than allowed.
    ``crashed``: it raised an exception, ended itself, or was ended by `signal` (9 from outside: by the kernel when the
    machine is short of memory, or by a person). ``lost``: its fork server ended, and it with it. ``broke_protocol``: it
    sent what no guest sends.

    Attributes:
        body: the answer's bytes; empty unless answered.
        signal: the signal that ended the child, if that was not the worker's own.
        reason: for logs and people, what happened; empty if answered. It can contain text of the guest's.
    """

    how: How
    body: bytes = b""
    signal: int | None = None
    reason: str = ""
    usage: Usage = Usage()
