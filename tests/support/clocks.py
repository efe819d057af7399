"""A wall clock that is wrong in one process: the interpreter is started with a customization of its own.

Nothing of ours knows of it. The monotonic clocks stay as they are, as with a machine whose time was set wrongly.
"""

import functools
import tempfile
from pathlib import Path
from typing import Final

from tests.support import leash

#: Run by `site` before anything of the program: whoever asks ``time`` for the wall clock is told the wrong one.
CUSTOMIZATION: Final = """\
import os
import time

seconds = int(os.environ["CLOCK_SHIFT"])
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + seconds
time.time_ns = lambda: real_ns() + seconds * 1_000_000_000
"""


def shifted(seconds: int) -> dict[str, str | None]:
    """The variables of a Python process whose clock is that much ahead (or, below zero, behind)."""
    return {"PYTHONPATH": str(_folder()), "CLOCK_SHIFT": str(seconds)}


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="toolyard-clock-"))
    leash.hold_folder(folder)
    (folder / "sitecustomize.py").write_text(CUSTOMIZATION)
    return folder
