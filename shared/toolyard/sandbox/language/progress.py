"""`progress`: what a tool says of how far it has come goes to the worker, which tells those who follow its call."""

import json
import math
import time
from collections.abc import Callable
from typing import Final

from toolyard.sandbox.language.redacting import Redactor

#: Seconds between two words to the worker; what is said meanwhile waits, and the newest goes.
_PAUSE: Final = 0.1
#: Characters of a message.
_LONGEST: Final = 300
_MOST: Final = 2**53


class Steps:
    """Tells the worker how far the tool has come.

    Args:
        tell: sends a word that nobody answers.
        redactor: what it takes out of messages before it cuts them.
    """

    def __init__(self, tell: Callable[[bytes], None], redactor: Redactor) -> None:
        self._tell = tell
        self._redactor = redactor
        self._untold: dict[str, object] | None = None
        self._told_at = -math.inf

    def __deepcopy__(self, memo: object) -> "Steps":
        return self

    def say(self, done: object, total: object = None, message: object = None) -> None:
        """So much is done.

        Raises:
            TypeError: no number, or no text.
            ValueError: not a number that there can be so much of.
        """
        if message is not None and not isinstance(message, str):
            raise TypeError("the message of progress is a text")
        text = None if message is None else self._redactor.text(str.__str__(message))[:_LONGEST]
        whole = None if total is None else _amount(total, "total")
        self._untold = {"done": _amount(done, "done"), "total": whole, "message": text}
        if time.monotonic() - self._told_at >= _PAUSE:
            self.flush()

    def flush(self) -> None:
        """Tell what was said last, if that is not told yet."""
        if self._untold is not None:
            said, self._untold = self._untold, None
            self._told_at = time.monotonic()
            self._tell(json.dumps(said).encode())


def _amount(value: object, name: str) -> float:
    if type(value) is not int and type(value) is not float:
        raise TypeError(f"{name} is a number")
    if not 0 <= value <= _MOST:
        raise ValueError(f"{name} is a number from 0 to 2**53")
    return float(value)


def progress_of(steps: Steps) -> Callable[..., None]:
    """The built-in `progress` of one run."""

    def progress(done: object, total: object = None, message: object = None) -> None:
        steps.say(done, total, message)

    progress.__qualname__ = "progress"
    return progress
