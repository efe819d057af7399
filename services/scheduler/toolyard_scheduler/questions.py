"""The questions of gateways that wait for an answer: a bounded number, each with the time of its patience.

Used by the relay alone. Nothing here is kept: a gateway whose question is lost asks again.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from toolyard.contracts.feed import BEGINNING, Cursor, FeedAsked

#: Seconds that a question may wait, at the longest.
LONGEST: Final = 30.0
#: Seconds after which whoever asked has asked again.
_ASKED_AGAIN: Final = 20.0


@dataclass(slots=True, eq=False)
class Question:
    """One that is open.

    Attributes:
        cursor: the place up to which nothing was found for it.
        until: on the loop's clock: when its patience is over.
        over: it is; a timer may be a moment early.
        lost: something behind the place it asked for is not kept any more.
        waits: for something to come into the tail of its org.
    """

    asked: FeedAsked
    cursor: Cursor
    until: float
    over: bool = False
    lost: bool = False
    waits: asyncio.TimerHandle | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What tells it apart."""
        return self.asked.gateway, self.asked.number


class Questions:
    """All that are open, oldest first.

    Args:
        most: how many may be open.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._open: dict[tuple[str, int], Question] = {}
        self._waiting: dict[str, dict[Question, None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, question: object) -> bool:
        return isinstance(question, Question) and self._open.get(question.key) is question

    def add(self, asked: FeedAsked) -> Question:
        """Note a question; the same one, come once more, takes the place of the first."""
        cursor = BEGINNING if asked.offset is None else max(Cursor(asked.offset, asked.n), BEGINNING)
        question = Question(asked, cursor, self._loop.time() + min(asked.patience, LONGEST))
        if question.key in self._open:
            self.close(self._open[question.key])
        self._open[question.key] = question
        return question

    def one_too_many(self) -> Question | None:
        """The oldest, where there are too many."""
        return next(iter(self._open.values())) if len(self._open) > self._most else None

    def close(self, question: Question) -> None:
        """It is answered, or given up."""
        if question not in self:
            return
        del self._open[question.key]
        if question.waits is not None:
            question.waits.cancel()
            of_its_org = self._waiting[question.asked.org]
            del of_its_org[question]
            if not of_its_org:
                del self._waiting[question.asked.org]

    def wait(self, question: Question, then: Callable[[Question], None]) -> None:
        """It waits for something to tell; ``then`` is called when its patience is over."""
        if question.waits is None:
            question.waits = self._loop.call_at(question.until, self._over, question, then)
            self._waiting.setdefault(question.asked.org, {})[question] = None

    def go_on(self, question: Question) -> None:
        """It does not wait any more, but is open."""
        self.close(question)
        question.waits = None
        self._open[question.key] = question

    def impatient(self, question: Question) -> bool:
        """Whether its patience is over."""
        return question.over or self._loop.time() >= question.until

    def stale(self, question: Question) -> bool:
        """Whether whoever asked has asked again by now."""
        return self._loop.time() >= question.until + _ASKED_AGAIN

    def waiting(self, org: str) -> list[Question]:
        """Those that wait for this org."""
        return list(self._waiting.get(org, ()))

    def orgs(self) -> Iterator[str]:
        """The orgs for which somebody waits."""
        return iter(self._waiting)

    def clear(self) -> None:
        """Give all up."""
        for question in list(self._open.values()):
            self.close(question)

    @staticmethod
    def _over(question: Question, then: Callable[[Question], None]) -> None:
        question.over = True
        then(question)
