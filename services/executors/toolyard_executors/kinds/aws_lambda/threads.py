"""Threads for calls that block: so many at most, and each with one job until that ends, wanted or not.

A thread that waits for an answer cannot be stopped. A job that nobody waits for any more keeps its thread until it ends
by itself; what it answers is dropped. The threads are daemons: no answer that is outstanding keeps a process alive.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_NAME: Final = "lambda"


class GivenUp(Exception):  # noqa: N818 - no failure: nobody waits any more
    """Raised in the thread of a job that was given up, where it looks for that."""


class Job(Generic[T]):
    """One piece of work, and whether somebody still waits for it.

    Attributes:
        future: of what it answers; belongs to the loop.
    """

    __slots__ = ("_given_up", "_lock", "_work", "answer", "error", "future")

    answer: T

    def __init__(self, work: "Callable[[Job[T]], T]", future: "asyncio.Future[T]") -> None:
        self._work = work
        self._lock = threading.Lock()
        self._given_up = False
        self.future = future
        self.error: BaseException | None = None

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._given_up

    def give_up(self) -> None:
        """Nobody waits any more: what it has not committed to yet will not happen."""
        with self._lock:
            self._given_up = True

    def commit(self, note: Callable[[], None]) -> None:
        """Called in the thread before something that cannot be taken back: notes that it may happen.

        Raises:
            GivenUp: nobody waits any more, and whoever gave it up believes that it does not happen.
        """
        with self._lock:
            if self._given_up:
                raise GivenUp
            note()

    def check(self) -> None:
        """Called in the thread where it may stop.

        Raises:
            GivenUp: nobody waits any more.
        """
        if self._given_up:
            raise GivenUp

    def run(self) -> None:
        """Do it; called in a thread."""
        try:
            self.check()
            self.answer = self._work(self)
        except BaseException as error:  # noqa: BLE001 - it is told where it is waited for
            self.error = error

    def tell(self) -> None:
        """Tell whoever waits; called on the loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)


class Threads:
    """Runs jobs, the first asked for first. All of its methods belong to the loop on which it was made.

    Args:
        most: threads at most; each is started when it is first needed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._ended: deque[Job[Any]] = deque()
        self._called = False
        self._started = self._taken = self._left_behind = 0

    @property
    def most(self) -> int:
        """Threads at most."""
        return self._most

    @property
    def taken(self) -> int:
        """Jobs that have not ended."""
        return self._taken

    @property
    def left_behind(self) -> int:
        """Of these, those that nobody waits for any more."""
        return self._left_behind

    async def run(self, work: Callable[[Job[T]], T]) -> T:
        """What the work answers, or raises, in a thread. Who is cancelled meanwhile gives it up."""
        job: Job[T] = Job(work, self._loop.create_future())
        if self._started < min(self._taken + 1, self._most):
            self._start()
        self._taken += 1
        self._waiting.put(job)
        try:
            return await job.future
        except asyncio.CancelledError:
            job.give_up()
            if job.future.cancelled():  # else it had just ended
                self._left_behind += 1
            raise

    def close(self) -> None:
        """End the threads: those that have a job when that has ended. What is still asked for is not begun."""
        for _ in range(self._started):
            self._waiting.put(None)

    def _start(self) -> None:
        """One thread more. Where the machine gives none, jobs wait for those that there are; the next one tries anew.

        Raises:
            RuntimeError: there is none at all.
        """
        try:
            threading.Thread(target=self._serve, name=f"{_NAME}-{self._started + 1}", daemon=True).start()
        except RuntimeError:  # a container has as many tasks as it may have
            if not self._started:
                raise
        else:
            self._started += 1

    def _serve(self) -> None:
        """The life of a thread."""
        while (job := self._waiting.get()) is not None:
            job.run()
            self._ended.append(job)
            del job
            if not self._called:  # else somebody has, and it was not heard yet
                self._called = True
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                    self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        """Tell what ended, all of it at once."""
        self._called = False
        while self._ended:
            job = self._ended.popleft()
            self._taken -= 1
            if job.given_up:
                self._left_behind -= 1
            job.tell()
