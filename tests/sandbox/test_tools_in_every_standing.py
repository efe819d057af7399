"""Every tool of the suites, hostile and ordinary, once more as each other user and profile that a worker can have.

The suites run as a process of their own, because a standing is for good.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.sandbox.language.test_hostile_tools import REFUSED, STOPPED
from tests.sandbox.language.test_ordinary_tools import ORDINARY
from tests.support.jail.yard import STANDINGS, in_standing

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_SUITES: Final = tuple(f"tests/sandbox/language/test_{kind}_tools.py" for kind in ("hostile", "ordinary"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("standing", [each for each in STANDINGS if each != "as_we_are"])
def test_none_breaks_out_and_all_ordinary_ones_work(standing: str):
    # nothing is written where this user may not: no bytecode and no cache
    quiet = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    suites = [sys.executable, "-m", "pytest", *quiet, *_SUITES]
    ran = subprocess.run(
        in_standing(standing, suites),
        cwd=_REPOSITORY,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed, ran.stdout[-400:]
    assert int(passed[1]) >= len(REFUSED) + len(STOPPED) + len(ORDINARY)
    assert "skipped" not in ran.stdout
