"""The fork server: a program of its own, with one thread, that brings locked children into the world and counts them.

Started by `forkserver` as ``python -I -m toolyard.sandbox.jail.server <descriptor> <guest> [folder …]``. It hears how
many children are wanted, hands each to the worker (its socket and its pidfd), and tells when one has died. It ends when
the worker closes the control socket, and its children end with it.
"""

import array
import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from typing import Final, NamedTuple, NoReturn

from toolyard.sandbox.jail import allowed, control, landlock, namespaces, privileges, rlimits
from toolyard.sandbox.jail.child import Birth, Guest, Walls, hide_standard_streams, live
from toolyard.sandbox.jail.control import Alive, Barren, Born, Died, Order, Report
from toolyard.sandbox.jail.seccomp import Filter, program
from toolyard.sandbox.jail.selftest import Proof
from toolyard.sandbox.jail.syscalls import this_machine

_DIES_FIRST: Final = "1000"
_RESERVE: Final = 1 << 20
#: The control socket's place: the number that a child's own socket takes over, so that nothing else can stand there.
_CONTROL: Final = allowed.CHANNEL


class _Alive(NamedTuple):
    """A child that has not ended: its pid, its number, and the descriptor that tells of its end."""

    pid: int
    serial: int
    pidfd: int


class Server:
    """Forks children on order, and buries them."""

    def __init__(self, worker: socket.socket, walls: Walls, birth: Birth, guest: Guest) -> None:
        self._worker = worker
        self._walls = walls
        self._birth = birth
        self._guest = guest
        self._serial = 0
        self._alive: dict[int, _Alive] = {}
        self._poll = select.poll()
        self._poll.register(worker, select.POLLIN)

    def run(self) -> None:
        """Serves until the worker has gone."""
        while True:
            for descriptor, _ in self._poll.poll():
                if child := self._alive.get(descriptor):
                    self._bury(child)
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        """Takes one order; False if none will come any more."""
        data = self._worker.recv(control.LONGEST)
        if not data:
            return False
        match control.unpack(data):
            case Order(children):
                for _ in range(children):
                    self._bear_or_tell()
            case Alive():
                self._worker.send(control.pack(Alive()))
        return True

    def _bear_or_tell(self) -> None:
        try:
            self._bear()
        except (BrokenPipeError, ConnectionResetError):
            raise
        except OSError as error:  # no process or no descriptor is left
            self._worker.send(control.pack(Barren(error.errno or 0)))

    def _bear(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            pid = os.fork()
            if pid == 0:
                live(theirs.fileno(), self._walls, self._birth, self._guest)
            try:
                pidfd = self._give(pid, ours.fileno())
            except OSError:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise
        self._serial += 1
        self._alive[pidfd] = _Alive(pid, self._serial, pidfd)
        self._poll.register(pidfd, select.POLLIN)

    def _give(self, pid: int, channel: int) -> int:
        """Hands a child to the worker; returns the descriptor that tells of its end."""
        pidfd = os.pidfd_open(pid)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [channel, pidfd]))
        try:
            self._worker.sendmsg([control.pack(Born(self._serial + 1, pid))], [rights])
        except OSError:
            os.close(pidfd)
            raise
        return pidfd

    def _bury(self, child: _Alive) -> None:
        _, status, usage = os.wait4(child.pid, 0)
        self._poll.unregister(child.pidfd)
        os.close(child.pidfd)
        del self._alive[child.pidfd]
        died = Died(child.serial, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10)
        self._worker.send(control.pack(died))


def main() -> NoReturn:
    """The program."""
    descriptor, name, *folders = sys.argv[1:]
    os.dup2(int(descriptor), _CONTROL, inheritable=False)
    if int(descriptor) != _CONTROL:
        os.close(int(descriptor))
    sys.path.extend(folders)
    with socket.socket(fileno=_CONTROL) as worker:
        try:
            server, report = _prepare(worker, name)
        except Exception as error:  # noqa: BLE001 - the worker says it to whoever starts it
            worker.send(control.pack(Report(failure=f"{type(error).__name__}: {error}")))
            sys.exit(1)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the worker has gone: nobody is left to serve
            worker.send(control.pack(report))
            server.run()
    os._exit(0)


def _prepare(worker: socket.socket, name: str) -> tuple[Server, Report]:
    """Everything that is done once: what is expensive, and what makes the walls."""
    _die_before_the_worker()
    guest = _load(name)
    missing: dict[str, str] = {}
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    _drop_everything(missing)
    walls = _walls(missing)
    birth = Birth(rlimits.measure(statm), bytearray(_RESERVE))
    gc.collect()
    gc.freeze()
    birth.base = rlimits.measure(statm)
    proof = Proof(walls, birth.base)
    if "namespaces" not in missing:
        namespaces.keep()
    proof.gather(this_machine(), namespaces="namespaces" not in missing)
    birth.base = rlimits.measure(statm)
    report = Report(
        missing={**proof.missing, **missing},
        attempts=proof.attempts,
        landlock=landlock.version(),
        base_memory=proof.base_memory(),
    )
    return Server(worker, walls, birth, guest), report


def _die_before_the_worker() -> None:
    """When memory is short the kernel ends a child first; a child inherits this from us."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(_DIES_FIRST)


def _load(name: str) -> Guest:
    guest: Guest = importlib.import_module(name)
    guest.preload()
    time.tzset()
    return guest


def _drop_everything(missing: dict[str, str]) -> None:
    """From here on: no file but what is loaded, no right but to compute, to fork, and to speak with the worker."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        privileges.leave_root()
    except OSError as error:
        missing["privileges"] = f"root may not become another user ({error}): run as a user that is not root"
    try:
        namespaces.enter()
    except OSError as error:
        missing["namespaces"] = str(error)
    privileges.give_up()
    rlimits.forgo()
    hide_standard_streams()


def _walls(missing: dict[str, str]) -> Walls:
    try:
        ruleset = landlock.deny_all()
    except OSError as error:
        missing["landlock"], ruleset = str(error), None
    return Walls(Filter(program(allowed.POLICY, this_machine())), ruleset, os.getpid())


if __name__ == "__main__":
    main()
