"""A child's life: born from the server, locked and warmed before anything is asked of it, one request, and the end.

Up to `BEGUN` all that runs here is ours. From then on the guest may be anything: nothing that happens here is trusted
any more.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from toolyard.sandbox.jail import frames, landlock, privileges, rlimits, wire
from toolyard.sandbox.jail.allowed import CHANNEL
from toolyard.sandbox.jail.frames import Kind
from toolyard.sandbox.jail.seccomp import Filter
from toolyard.sandbox.jail.syscalls import LAST_DESCRIPTOR, call

#: How a child ends that could not be locked, or broke before its request: with its socket closed and nothing said.
BROKEN: Final = 70

_OUT_OF_MEMORY: Final = frames.frame(Kind.OUT_OF_MEMORY)
_LONGEST_REASON: Final = 500


class Guest(Protocol):
    """What a guest module offers."""

    def preload(self) -> None:
        """Called once, in the server: import all that could be imported later, when no file can be opened any more."""

    def warm(self) -> None:
        """Called once in each child, which is locked by then: do beforehand what would be done at each request."""

    def serve(
        self, operation: str, payload: bytes, ask: Callable[[bytes], bytes], tell: Callable[[bytes], None]
    ) -> bytes:
        """Called once, in a locked child: do what is asked, and return the answer; what it tells nobody answers."""


@dataclass(frozen=True, slots=True)
class Walls:
    """What every child is locked with, made once by the server.

    Attributes:
        filter: the seccomp filter.
        ruleset: the descriptor of the Landlock ruleset; None where there is no Landlock.
        server: the pid of the server.
    """

    filter: Filter
    ruleset: int | None
    server: int


@dataclass(slots=True)
class Birth:
    """What a child is born with: `base` is what it uses before its request, `reserve` is let go to report its end."""

    base: rlimits.Base
    reserve: bytearray


def live(channel: int, walls: Walls, birth: Birth, guest: Guest) -> NoReturn:
    """All of a child's life. `channel` is the descriptor of its socket."""
    try:
        arrive(channel, walls)
        confine(walls)
        guest.warm()
        wire.send(Kind.READY)
        _serve(birth, guest)
    except wire.Ended:
        os._exit(0)
    except BaseException:  # noqa: BLE001 - there is nobody to tell, and nothing of the server's may run on here
        os._exit(BROKEN)
    os._exit(0)


def arrive(channel: int, walls: Walls) -> None:
    """Ties this process to the server's life, and puts its socket where it belongs."""
    privileges.die_with_parent(signal.SIGKILL)
    if os.getppid() not in (walls.server, 0):  # 0: a parent outside of our process namespace
        os._exit(BROKEN)
    os.dup2(channel, CHANNEL)


def confine(walls: Walls) -> None:
    """Locks this process: afterwards it can compute, and speak through `CHANNEL`.

    Raises:
        OSError: a wall could not be put up; the process must end.
    """
    rlimits.seal()
    if walls.ruleset is not None:
        landlock.restrict(walls.ruleset)
    close_all_but_the_channel()
    walls.filter.install()


def close_all_but_the_channel() -> None:
    """Closes whatever was inherited."""
    call("close_range", 0, CHANNEL - 1, 0)
    call("close_range", CHANNEL + 1, LAST_DESCRIPTOR, 0)


def _serve(birth: Birth, guest: Guest) -> None:
    request = frames.read_request(wire.receive().body)
    rlimits.grant(birth.base, request.memory, request.cpu)
    wire.send(Kind.BEGUN)
    try:
        body = guest.serve(request.operation, request.payload, _ask, _tell)
        last = frames.frame(Kind.RESULT, body)
    except MemoryError:
        birth.reserve.clear()
        last = _OUT_OF_MEMORY
    except BaseException as error:  # noqa: BLE001 - whatever it was, the worker hears of it
        last = frames.frame(Kind.FAILED, _reason(error))
    wire.write(last)
    wire.receive()  # nothing comes: the worker counts what was used, and then ends this process


def _ask(question: bytes) -> bytes:
    wire.send(Kind.ASK, question)
    return wire.receive().body


def _tell(word: bytes) -> None:
    wire.send(Kind.TELL, word)


def _reason(error: BaseException) -> bytes:
    try:
        text = f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - its __str__ is the guest's
        text = "an exception that cannot be shown"
    return text[:_LONGEST_REASON].encode(errors="backslashreplace")


def hide_standard_streams() -> None:
    """In the server, before any fork: what is printed goes nowhere, instead of failing on a closed descriptor."""
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, None)
        setattr(sys, f"__{name}__", None)
