"""What a worker counts: by pool and tool, never by user. Written to by `runtime` and its parts."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from toolyard.contracts.calls import Call
from toolyard.contracts.events import End, end_state
from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import OTHERS, Board, Reading, Told

#: Tools that are told apart; further ones are counted together, so that a worker's memory is bounded.
TOOLS_TOLD: Final = 500
#: Circuits whose breakers are not closed that are told apart, and what their states are as numbers.
CIRCUITS_TOLD: Final = 100
_STATES: Final = {"half_open": 1, "open": 2}


class Metrics:
    """The numbers of one worker process, in a board of its own where none is given."""

    def __init__(self, board: Board | None = None) -> None:
        self.board = board = board or Board()
        self._ended = board.counter(catalogue.EXECUTIONS)
        self._failed = board.counter(catalogue.FAILURES)
        self._quarantined = board.counter(catalogue.WORKER_QUARANTINED)
        self._took = board.histogram(catalogue.RUN_SECONDS)
        self._waited = board.histogram(catalogue.QUEUE_SECONDS)
        self._answers = board.counter(catalogue.CLAIMS)
        self._asked = board.histogram(catalogue.CLAIM_SECONDS)
        self._moved = board.counter(catalogue.BREAKER_MOVES)
        self._turned_away = board.counter(catalogue.CIRCUIT_OPEN)
        self._untold = board.counter(catalogue.BREAKER_UNTOLD)
        self._tools = Told(TOOLS_TOLD)

    def quarantined(self, pool: str) -> None:
        """A message was none of ours."""
        self._quarantined.add(pool)

    def answered(self, pool: str, answer: str, seconds: float) -> None:
        """A claim was answered, or given up without an answer, after so many seconds."""
        self._answers.add(pool, answer)
        self._asked.observe(seconds, pool)

    def breaker_moved(self, pool: str, to: str) -> None:
        """A breaker changed its state, by itself or because another worker told so."""
        self._moved.add(pool, to)

    def breaker_untold(self, pool: str) -> None:
        """How a breaker stands could not be told."""
        self._untold.add(pool)

    def circuit_open(self, pool: str) -> None:
        """An attempt was not run, because its breaker let nothing through."""
        self._turned_away.add(pool)

    def ended(self, call: Call, end: End) -> None:
        """An attempt ended, or a call did without one."""
        pool, tool = call.pool, self._tools.name(call.tool)
        self._ended.add(pool, tool, end_state(end))
        if end.error is not None:
            self._failed.add(pool, tool, end.error.code)
        if end.started_at is not None:
            self._took.observe(max(0.0, end.finished_at - end.started_at), pool, tool)
            self._waited.observe(max(0.0, end.started_at - call.accepted_at), pool, tool)

    def breakers(self, standing: Callable[[], Iterable[tuple[str, str, str]]]) -> None:
        """Show pool, circuit and state of the breakers that are not closed."""
        self.board.watch(lambda: _worst(standing()), catalogue.BREAKER_STATE)


def _worst(breakers: Iterable[tuple[str, str, str]]) -> Iterator[Reading]:
    """How each pool's circuits stand, whichever org they are of; as many as are told apart."""
    found: dict[tuple[str, ...], int] = {}
    for pool, circuit, state in breakers:
        key = pool, circuit if (pool, circuit) in found or len(found) < CIRCUITS_TOLD else OTHERS
        found[key] = max(_STATES.get(state, 0), found.get(key, 0))
    return (Reading(catalogue.BREAKER_STATE, values, state) for values, state in found.items())
