"""The worker's end of one fork server: start the program, order children, hear of their births and deaths.

It runs on the event loop and starts no thread. What a child says is none of its business: see `conversation`.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

from toolyard.errors import ToolyardError
from toolyard.sandbox.jail import control, usage
from toolyard.sandbox.jail.control import Alive, Barren, Born, Died, Order, Report
from toolyard.sandbox.jail.descriptors import OF_A_CHILD
from toolyard.sandbox.jail.pulse import Pulse

_PROGRAM: Final = "toolyard.sandbox.jail.server"
_SECONDS_TO_START: Final = 60.0
_SECONDS_TO_END: Final = 5.0
#: Nothing of the worker's environment reaches a guest: it may hold secrets.
_ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "MALLOC_ARENA_MAX": "1",  # one heap: address space is what is limited
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class ServerLost(ToolyardError):  # noqa: N818
    """There is no fork server, or it bore no child in time: nothing was run."""

    code = "unavailable"


class NoPlace(ServerLost):
    """All places, or all memory, were taken for as long as it could wait: nothing was run."""


class Child:
    """A locked process, from its birth to the end that the server tells of.

    Attributes:
        base_memory: bytes that it has resident before it is asked anything.
        died: what the server said of its end; None if the server ended first.
    """

    def __init__(self, born: Born, channel: socket.socket, pidfd: int, base_memory: int) -> None:
        self.serial = born.serial
        self.pid = born.pid
        self.channel = channel
        self.base_memory = base_memory
        self._pidfd: int | None = pidfd
        self.died: asyncio.Future[Died | None] = asyncio.get_running_loop().create_future()

    @property
    def held(self) -> bool:
        """Whether its descriptors are not let go yet."""
        return self._pidfd is not None

    def cpu(self) -> float:
        """CPU seconds up to now; 0 if it has ended already."""
        return usage.cpu_so_far(self.pid)

    def used(self) -> tuple[float, int] | None:
        """CPU seconds and the peak of resident bytes up to now; None if it has ended already."""
        found = usage.so_far(self.pid)
        return found if found and self._lives() else None  # in this order: a pid may be another's after the end

    def _lives(self) -> bool:
        if self._pidfd is None:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def kill(self) -> None:
        """Ends it at once."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def discard(self) -> None:
        """Ends it, and lets go of its descriptors. To be called once and for all."""
        self.kill()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self.channel.close()


class ForkServer:
    """One server process and its children.

    Args:
        guest: the module that its children run.
        folders: where that module is, beside where Python looks anyway.
        on_born: hears of every child. on_change: hears that a child has died, or could not be born. on_lost: hears,
            once, that the server has ended; all its children are dead then.

    Attributes:
        pulse: whether it still speaks. It is killed when that is hopeless.
        barren: children in a row that could not be born.
        short: children in a row that were lost because this process has no descriptor left for them.
    """

    def __init__(
        self,
        guest: str,
        folders: Sequence[str],
        *,
        on_born: Callable[["ForkServer", Child], None],
        on_change: Callable[["ForkServer"], None],
        on_lost: Callable[["ForkServer"], None],
    ) -> None:
        self._command = [sys.executable, "-I", "-B", "-X", "utf8", "-m", _PROGRAM]
        self._arguments = [guest, *folders]
        self._on_born, self._on_change, self._on_lost = on_born, on_change, on_lost
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self.children: dict[int, Child] = {}
        self.pulse = Pulse(self._ask, self._kill)
        self.ordered = 0
        self.barren = 0
        self.short = 0
        self.born = 0
        self.base_memory = 0

    @property
    def pid(self) -> int | None:
        """The server's process; None before the start and after the end."""
        return self._process.pid if self._process and self._control else None

    @property
    def expected(self) -> int:
        """Children that live or were ordered."""
        return len(self.children) + self.ordered

    @property
    def held(self) -> int:
        """Children whose descriptors are not let go yet."""
        return sum(child.held for child in self.children.values())

    async def start(self) -> Report:
        """Starts the program, and waits until it has proved its walls.

        Raises:
            ServerLost: it ended, or did not answer in time.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            self._control = ours
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program, and quick (vfork)
                [*self._command, str(theirs.fileno()), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a terminal's Ctrl-C is the worker's to handle
            )
        try:
            return await self._first_word(ours)
        except BaseException:
            await self.stop()
            raise

    async def _first_word(self, ours: socket.socket) -> Report:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_SECONDS_TO_START):
                data = await loop.sock_recv(ours, control.LONGEST)
        except TimeoutError:
            raise ServerLost(f"the fork server said nothing for {_SECONDS_TO_START:g} s") from None
        except ConnectionError:
            data = b""
        report = control.unpack(data) if data else Report(failure="it ended before it said anything")
        assert isinstance(report, Report)  # noqa: S101 - its first message is no other
        if report.failure:
            raise ServerLost(f"the fork server could not start: {report.failure}")
        self.base_memory = report.base_memory
        loop.add_reader(ours, self._hear)
        self.pulse.start()
        return report

    def order(self, children: int) -> None:
        """Asks for more children; they come when they come."""
        if children > 0 and self._say(Order(children)):
            self.ordered += children

    def _ask(self) -> None:
        self._say(Alive())

    def _say(self, message: control.Message) -> bool:
        """Whether it was sent."""
        if self._control is None:
            return False
        try:
            self._control.send(control.pack(message))
        except BlockingIOError:  # it is far behind with orders; whoever hears of the next change orders again
            return False
        except OSError:
            self.give_up()
            return False
        return True

    def _hear(self) -> None:
        while self._control is not None:
            try:
                data, rights, _, _ = socket.recv_fds(
                    self._control, control.LONGEST, OF_A_CHILD, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                data, rights = b"", []
            if not data:
                self.give_up()
                return
            self.pulse.heard()
            self._take(control.unpack(data), rights)

    def _take(self, message: control.Message, rights: list[int]) -> None:
        match message:
            case Born():
                self.ordered -= 1
                if len(rights) == OF_A_CHILD:
                    self._welcome(message, rights)
                else:
                    self._miss(rights)
            case Died(serial) if serial in self.children:
                self.children.pop(serial).died.set_result(message)
                self._on_change(self)
            case Died() | Alive():  # the former of a child that never got here
                return
            case Barren():
                self.ordered -= 1
                self.barren += 1
                self._on_change(self)
            case _:
                raise AssertionError(f"a fork server does not say {message}")

    def _welcome(self, born: Born, rights: list[int]) -> None:
        channel, pidfd = rights
        held = socket.socket(fileno=channel)
        held.setblocking(False)
        child = Child(born, held, pidfd, self.base_memory)
        self.children[born.serial] = child
        self.barren = self.short = 0
        self.born += 1
        self._on_born(self, child)

    def _miss(self, rights: list[int]) -> None:
        """A child came without its descriptors. Nobody holds its socket then, and it ends by itself."""
        for each in rights:
            os.close(each)
        self.short += 1
        self._on_change(self)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        self.give_up()

    def give_up(self) -> None:
        """Lets go of the server, which ends soon after and all its children with it; they count as dead at once."""
        if self._control is None:
            return
        self.pulse.stop()
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        self._control = None
        children, self.children, self.ordered = list(self.children.values()), {}, 0
        for child in children:
            child.kill()
            child.died.set_result(None)
        self._on_lost(self)

    async def stop(self) -> None:
        """Ends the server and all its children, and waits for it."""
        self.give_up()
        if self._process is None:
            return
        process, self._process = self._process, None
        pidfd = os.pidfd_open(process.pid)
        try:
            await _ended(pidfd, _SECONDS_TO_END)
        except TimeoutError:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await _ended(pidfd, _SECONDS_TO_END)
        finally:
            os.close(pidfd)
            process.wait(_SECONDS_TO_END)


async def _ended(pidfd: int, seconds: float) -> None:
    """Returns when the process has ended.

    Raises:
        TimeoutError: it has not, in that time.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    finally:
        loop.remove_reader(pidfd)
