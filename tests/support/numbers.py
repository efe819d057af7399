"""Metrics as tests look at them: in the lines that Prometheus reads."""

from collections.abc import Iterable
from itertools import chain

from toolyard.telemetry.exposition import prometheus
from toolyard.telemetry.metrics import Board, Reading


def text(board: Board) -> str:
    """All that a board shows."""
    return prometheus(board)


def lines(*readings: Iterable[Reading]) -> list[str]:
    """What these say."""
    board = Board()
    board.watch(lambda: chain(*readings))
    return prometheus(board).splitlines()
