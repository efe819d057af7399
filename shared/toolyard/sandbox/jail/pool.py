"""Locked children that wait, and the fork server that bears them: there is always another of both.

Used by `jail`. It keeps as many children alive as it was told, outlives its fork server, renews it before it gets old,
and knows nothing of what the children are asked.
"""

import asyncio
import contextlib
import resource
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from toolyard.errors import SettingsError
from toolyard.sandbox.jail.conversation import Channel, is_ready, readiness
from toolyard.sandbox.jail.forkserver import Child, ForkServer, ServerLost
from toolyard.sandbox.jail.levels import Isolation, Level, isolation, refusal

#: Children that may die before they are ready, one after the other, until whoever waits is told.
TRIES: Final = 20
#: Fork servers that may fail to start, one after the other, until whoever waits is told.
_PATIENCE: Final = 3
#: Children in a row that could not be born, until another fork server is tried.
_TOO_BARREN: Final = 3
_SILENT: Final = "the fork server is there and says nothing"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
#: Seconds that a child may take to lock itself, from the moment when somebody waits for it.
_SECONDS_TO_LOCK: Final = 5.0
#: Seconds that it may take to replace a fork server without a word.
_A_MOMENT: Final = 5.0


class Pool:
    """Children that are ready, one after the other.

    Args:
        guest: the module that runs in them.
        folders: where that module is, if not where Python looks anyway.
        alive: how many children there are at a time, those that run and those that wait.
        minimum: the worst level at which a server may work.
        renew_after: children of one fork server, until another takes its place.

    Attributes:
        isolation: what the newest server has proved; None before the first, and after the last.
        servers: how many have been started.
    """

    def __init__(self, guest: str, folders: Sequence[str], *, alive: int, minimum: Level, renew_after: int) -> None:
        self._guest = guest
        self._folders = folders
        self._wanted = alive
        self._minimum = minimum
        self._renew_after = renew_after
        self._server: ForkServer | None = None
        self._retired: set[ForkServer] = set()
        self._ready: deque[Child] = deque()
        self._waiting: deque[asyncio.Future[Child]] = deque()
        self._failures = 0
        self._why = ""
        self._since = 0.0
        self.isolation: Isolation | None = None
        self.servers = 0
        self._change_due = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._endings: set[asyncio.Task[None]] = set()

    async def start(self) -> Isolation:
        """Starts the first fork server.

        Raises:
            SettingsError: it does not reach the minimum; the message says what is missing, and what to do.
            ServerLost: it did not come up.
        """
        server, found = await self._new_server()
        self._adopt(server)
        self._keeper = asyncio.create_task(self._keep())
        return found

    async def stop(self) -> None:
        """Ends all servers, and with them all children; whoever waits gets `ServerLost`."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None
        self.isolation = None
        server, self._server = self._server, None
        self._disappoint(ServerLost("the sandbox was stopped"))
        self._drop_ready()
        for each in {*self._retired, *([server] if server else [])}:
            await each.stop()
        if self._endings:
            await asyncio.wait(self._endings)

    @property
    def trouble(self) -> str:
        """Why no child can be had, and not for a moment only; empty where all is well."""
        if self._keeper is None:
            return "the sandbox does not run"
        if self._server is None:
            away = time.monotonic() - self._since
            return self._why or (f"no fork server has come up for {away:.0f} s" if away > _A_MOMENT else "")
        if self._server.pulse.weak:
            return _SILENT
        if self._server.short:
            most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            return f"this process has none of its {most} descriptors left for the sandbox: raise the limit (ulimit -n)"
        return "no process can be forked for the sandbox" if self._server.barren else ""

    def at_hand(self) -> tuple[Child, Channel] | None:
        """A child that waits, if it is known to be locked; whoever takes it discards it."""
        if not self._ready:
            return None
        child = self._ready.popleft()
        channel = Channel(child.channel)
        try:
            if is_ready(channel):
                return child, channel
        except BaseException:
            child.discard()
            raise
        self._ready.appendleft(child)
        return None

    async def take(self) -> tuple[Child, Channel]:
        """A child that is locked and waits; whoever takes it discards it.

        Raises:
            ServerLost: there is no fork server, and none could be started; or its children die young.
        """
        for _ in range(TRIES):
            child = self._ready.popleft() if self._ready else await self._next_born()
            channel = Channel(child.channel)
            try:
                if await _locked(channel):
                    return child, channel
            except BaseException:
                child.discard()
                raise
            child.discard()
        raise ServerLost(f"{TRIES} processes of the sandbox died before they were locked")

    async def _next_born(self) -> Child:
        if self._keeper is None:
            raise ServerLost("the sandbox does not run")
        waiting: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._offer(waiting.result())
            raise

    # ---- children come and go --------------------------------------------------------------------

    def _born(self, server: ForkServer, child: Child) -> None:
        if server is not self._server:
            child.discard()
            return
        self._failures = 0
        self._offer(child)
        if self._worn(server):
            self._change_due.set()

    def _worn(self, server: ForkServer) -> bool:
        """Whether it is to be replaced, after its last run: it has borne many children, or can bear no more."""
        return server.born >= self._renew_after or server.barren >= _TOO_BARREN

    def _offer(self, child: Child) -> None:
        if child.died.done():
            child.discard()
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(child)
                return
        self._ready.append(child)

    def _changed(self, server: ForkServer) -> None:
        """A child has died, or could not be born or held."""
        if server is not self._server:
            self._end_if_alone(server)
            self._top_up()
            return
        for child in [each for each in self._ready if each.died.done()]:
            self._ready.remove(child)
            child.discard()
        if self._worn(server):
            self._change_due.set()
        if hindered := max(server.barren, server.short):
            asyncio.get_running_loop().call_later(_pause(hindered), self._top_up)
        else:
            self._top_up()

    def _top_up(self) -> None:
        """Orders what is missing; what still runs at retired servers is there, too, and so are its descriptors."""
        if self._server is not None:
            elsewhere = sum(each.held for each in self._retired)
            self._server.order(self._wanted - elsewhere - self._server.expected)

    def _drop_ready(self) -> None:
        while self._ready:
            self._ready.popleft().discard()

    # ---- servers come and go ---------------------------------------------------------------------

    async def _keep(self) -> None:
        """Sees to it that there is a server, and none that is worn out."""
        while True:
            await self._change_due.wait()
            self._change_due.clear()
            if self._server is not None and not self._worn(self._server):
                continue
            if self._failures > 1:
                await asyncio.sleep(_pause(self._failures))
            try:
                server, _ = await self._new_server()
            except (ServerLost, SettingsError, OSError) as error:
                self._failed(error)
                await asyncio.sleep(_FIRST_PAUSE)
            else:
                self._adopt(server)

    async def _new_server(self) -> tuple[ForkServer, Isolation]:
        server = ForkServer(self._guest, self._folders, on_born=self._born, on_change=self._changed, on_lost=self._lost)
        report = await server.start()
        found = isolation(report.missing, report.attempts, report.landlock)
        if reason := refusal(found, self._minimum):
            await server.stop()
            raise SettingsError(reason)
        self.isolation, self.servers, self._why = found, self.servers + 1, ""
        return server, found

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._change_due.set()
        self._why = f"no fork server could be started: {error}"
        if self._server is None and self._failures >= _PATIENCE:
            self._disappoint(ServerLost(self._why))

    def _adopt(self, server: ForkServer) -> None:
        """The new server gets all work from now on; the old one ends with its last run."""
        old, self._server = self._server, server
        self._drop_ready()
        if server.pid is None:
            self._lost(server)
        if old is not None:
            self._retired.add(old)
            self._end_if_alone(old)
        self._top_up()

    def _lost(self, server: ForkServer) -> None:
        if server is self._server:
            self._server = None
            self._since = time.monotonic()
            self._why = _SILENT if server.pulse.weak else ""
            self._drop_ready()
            self._failures += 1
            self._change_due.set()
            self._retired.add(server)  # its process is still to be waited for
        self._end_if_alone(server)

    def _end_if_alone(self, server: ForkServer) -> None:
        if server in self._retired and server.expected == 0:
            self._retired.discard(server)
            ending = asyncio.get_running_loop().create_task(server.stop())
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    def _disappoint(self, error: ServerLost) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(error)


async def _locked(channel: Channel) -> bool:
    """Waits until the child at the other end is; False where it has gone, or nothing comes of it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS_TO_LOCK):
            return await readiness(channel)
    return False


def _pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**failures)
