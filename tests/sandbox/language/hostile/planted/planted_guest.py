"""The guest of the language, with a mark in the places that only escaped code reaches."""

import builtins
import os
import sys
from collections.abc import Callable

from toolyard.sandbox.language import guest

MARK = "this-was-" + "planted-0815"


def preload() -> None:
    """As the guest does; the mark stands where real modules and real built-ins are."""
    guest.preload()
    for place in (builtins, os, sys):
        place.__dict__["PLANTED"] = MARK


def warm() -> None:
    """As the guest does."""
    guest.warm()


def serve(operation: str, payload: bytes, ask: Callable[[bytes], bytes], tell: Callable[[bytes], None]) -> bytes:
    """As the guest does."""
    return guest.serve(operation, payload, ask, tell)
