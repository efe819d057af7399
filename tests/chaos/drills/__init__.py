"""The drills: what is broken, upon which work, and what that explains. Each is one function; a file is a theme."""

# ruff: noqa: F401 - importing a file enters its drills
from tests.chaos.drills import (
    broker,
    cancels,
    clock,
    deliveries,
    everything,
    links,
    log,
    pauses,
    poison,
    pool,
    services,
    store,
    worker,
    workers,
)
from tests.chaos.drills.register import BEYOND, DRILLS, SHORT

__all__ = ["BEYOND", "DRILLS", "SHORT"]
