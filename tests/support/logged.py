"""The logs of this process, set up as a service does it, and afterwards as they were."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from toolyard.telemetry import logs
from toolyard.telemetry.levels import LEVELS


@contextmanager
def logs_kept() -> Iterator[None]:
    """Whatever is set up meanwhile, the logs are afterwards as they were."""
    before, theirs = structlog.get_config(), list(logging.getLogger().handlers)
    lowest = logging.getLogger().level
    try:
        yield
    finally:
        LEVELS.__init__()  # type: ignore[misc]  # those of the process, as they were
        structlog.configure(**before)
        structlog.contextvars.clear_contextvars()
        logging.getLogger().handlers = theirs
        logging.getLogger().setLevel(lowest)


@contextmanager
def logged(**options: Any) -> Iterator[io.StringIO]:
    """All that is logged meanwhile, as JSON lines; ``options`` are those of `logs.configure`."""
    written = io.StringIO()
    with logs_kept():
        logs.configure(form="json", **options)
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(written))
        yield written
