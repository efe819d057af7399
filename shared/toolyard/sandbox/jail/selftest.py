"""Proof that the walls stand: children of the server try what must not be possible, before any request is taken.

A wall that is there by name and does not hold counts as missing. Used by the server, once.
"""

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, NoReturn

from toolyard.sandbox.jail import attempts, landlock, rlimits
from toolyard.sandbox.jail.allowed import CHANNEL
from toolyard.sandbox.jail.attempts import Attempt
from toolyard.sandbox.jail.child import Walls, arrive, close_all_but_the_channel, confine
from toolyard.sandbox.jail.syscalls import Machine

_SECONDS: Final = 10.0  # for each child; a busy machine is slow
_CPU: Final = 5
#: What stands for the name of an attempt when it did not come so far.
_PREPARING: Final = ""
_KILLED: Final = "SIGSYS"

Prepare = Callable[[], object]


class _Trial(NamedTuple):
    """Attempts of one child: the wall that they prove, and what the child does before."""

    wall: str
    attempts: Sequence[Attempt]
    prepare: Prepare
    deadly: bool = False


class Proof:
    """What was tried, how it ended, and which walls did not hold."""

    def __init__(self, walls: Walls, base: rlimits.Base) -> None:
        self._walls = walls
        self._base = base
        self.attempts: dict[str, str] = {}
        self.missing: dict[str, str] = {}

    def gather(self, machine: Machine, *, namespaces: bool) -> None:
        """Tries everything."""
        trials = [
            _Trial("privileges", attempts.UNPRIVILEGED, close_all_but_the_channel),
            _Trial("seccomp", attempts.LOCKED, lambda: confine(self._walls)),
            _Trial("limits", attempts.LIMITED, self._limited),
            *(_Trial("seccomp", [each], lambda: confine(self._walls), True) for each in attempts.deadly(machine)),
        ]
        if (ruleset := self._walls.ruleset) is not None:
            trials.append(_Trial("landlock", attempts.LANDLOCKED, lambda: landlock.restrict(ruleset)))
        if namespaces:
            trials.append(_Trial("namespaces", attempts.ELSEWHERE, close_all_but_the_channel))
        for trial in trials:
            self._run(trial)

    def base_memory(self) -> int:
        """The bytes that a locked child has resident before it is asked anything."""
        return in_child(self._walls, lambda: confine(self._walls), ()).peak

    def _limited(self) -> None:
        confine(self._walls)
        rlimits.grant(self._base, attempts.MEMORY, _CPU)

    def _run(self, trial: _Trial) -> None:
        end = in_child(self._walls, trial.prepare, trial.attempts)
        if refusal := end.outcomes.get(_PREPARING):
            self.missing.setdefault(trial.wall, refusal)
            return
        for attempt in trial.attempts:
            how = end.outcomes.get(attempt.name, end.silence)
            held = how == _KILLED if trial.deadly else attempts.refused(attempt, how)
            self.attempts[attempt.name] = how
            if not held:
                self.missing.setdefault(trial.wall, f"the attempt to {attempt.name} ended with: {how}")


class End(NamedTuple):
    """How a child that tried things ended."""

    outcomes: dict[str, str]
    status: int
    peak: int

    @property
    def silence(self) -> str:
        """The outcome of an attempt that the child did not live to tell."""
        return signal.Signals(os.WTERMSIG(self.status)).name if os.WIFSIGNALED(self.status) else "nothing"


def in_child(walls: Walls, prepare: Prepare, tried: Sequence[Attempt]) -> End:
    """Lets a child prepare itself and try one thing after the other."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _try(theirs.fileno(), walls, prepare, tried)
    theirs.close()
    with ours:
        text = _all_that_is_said(ours, pid)
    _, status, usage = os.wait4(pid, 0)
    outcomes = dict(json.loads(line) for line in text.splitlines())
    return End(outcomes, status, usage.ru_maxrss << 10)


def _try(channel: int, walls: Walls, prepare: Prepare, tried: Sequence[Attempt]) -> NoReturn:
    try:
        arrive(channel, walls)
        try:
            prepare()
        except OSError as error:
            _say(_PREPARING, str(error))
        else:
            for attempt in tried:
                _say(attempt.name, attempts.outcome(attempt))
    finally:
        os._exit(0)


def _say(name: str, how: str) -> None:
    os.write(CHANNEL, json.dumps([name, how]).encode() + b"\n")


def _all_that_is_said(ours: socket.socket, pid: int) -> bytes:
    """What the child writes until it ends; it is ended when its time is over."""
    until = time.monotonic() + _SECONDS
    said = b""
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    while poll.poll(max(0.0, until - time.monotonic()) * 1000):
        piece = ours.recv(1 << 16)
        if not piece:
            return said
        said += piece
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return said
