"""Whether a fork server still speaks: it is asked again and again, and whatever it says is a sign of life.

Counted in questions and not by the clock: a worker that was held up itself must not take its server for dead.
"""

import asyncio
from collections.abc import Callable
from typing import Final

#: Seconds between two questions.
EVERY: Final = 1.0
#: Questions in a row without an answer until it counts as in trouble, and until it is given up.
WORRYING: Final = 3
HOPELESS: Final = 8


class Pulse:
    """Asks, and counts what stays unanswered.

    Args:
        ask: sends a question; must not block.
        on_silence: called once, when it is hopeless.

    Attributes:
        missed: questions in a row that were not answered.
    """

    def __init__(self, ask: Callable[[], None], on_silence: Callable[[], None]) -> None:
        self._ask = ask
        self._on_silence = on_silence
        self._next: asyncio.TimerHandle | None = None
        self.missed = 0

    @property
    def weak(self) -> bool:
        """Whether it has been silent for longer than a busy machine explains."""
        return self.missed >= WORRYING

    def start(self) -> None:
        """From now on something is expected."""
        self._next = asyncio.get_running_loop().call_later(EVERY, self._beat)

    def heard(self) -> None:
        """It has said something."""
        self.missed = 0

    def stop(self) -> None:
        """Ask no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _beat(self) -> None:
        if self.missed >= HOPELESS:
            self._next = None
            self._on_silence()
            return
        self.start()
        self._ask()
        self.missed += 1
