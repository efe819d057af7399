"""What this gateway counts. Written to by the edge, read by `/metrics`."""

from typing import Final

from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import Board

#: Classes of statuses, by their first digit.
_CLASSES: Final = {digit: f"{digit}xx" for digit in range(1, 6)}


class Metrics:
    """The numbers of one gateway, in a board of its own where none is given."""

    def __init__(self, board: Board | None = None) -> None:
        self.board = board or Board()
        self._accepted = self.board.counter(catalogue.ACCEPTED)
        self._refused = self.board.counter(catalogue.REFUSED)
        self._callbacks = self.board.counter(catalogue.CALLBACKS)
        self._queued = self.board.counter(catalogue.QUEUE_REQUESTS)
        self._undeliverable = self.board.counter(catalogue.UNDELIVERABLE)
        self._cut_off = self.board.counter(catalogue.CUT_OFF)
        self._requests = self.board.histogram(catalogue.REQUEST_SECONDS)

    def accepted(self) -> None:
        """A call was accepted."""
        self._accepted.add()

    def refused(self, code: str) -> None:
        """A request was refused."""
        self._refused.add(code)

    def request(self, kind: str, result: str) -> None:
        """A request from the queue came to its end."""
        self._queued.add(kind, result)

    def undeliverable(self) -> None:
        """An answer had no queue to go to."""
        self._undeliverable.add()

    def callback(self, provider: str, result: str) -> None:
        """A provider of consent sent a webhook, or somebody in its name."""
        self._callbacks.add(provider, result)

    def cut_off(self, followers: int) -> None:
        """Followers of live events were too slow."""
        self._cut_off.add(by=followers)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; ``route`` is one of the gateway's own, as it is written there."""
        self._requests.observe(seconds, route, _CLASSES.get(status // 100, "5xx"))
