"""Structured logs: one line a fact, as JSON for machines or text for a terminal. Secrets never reach them."""

import logging
import sys
from typing import Any

import structlog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(*, service: str, level: str = "info", form: str = "") -> None:
    """Set up logging for this process, once; ``form`` is ``json``, ``text`` or empty (text on a terminal)."""
    as_text = form == "text" or (not form and sys.stderr.isatty())
    last: Any = structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def logger(name: str) -> Any:
    """A logger whose lines carry the name of the part that writes them."""
    return structlog.get_logger(part=name)
