"""The environment of the libraries that we stand beside, made from benchmarks/requirements.lock once.

Used by the benchmarks and by the peers' drills, so that the project's own environment stays clean.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
#: Where the programs of the peers are.
BIN: Final = ROOT / ".benchenv" / "bin"


def make_environment() -> None:
    """Make it, if it is not there: about a minute."""
    if (BIN / "celery").exists():
        return
    print("Making the peers' environment in .benchenv (once)", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(BIN.parent)], check=True)
    install = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "-r"]
    subprocess.run([*install, str(ROOT / "benchmarks" / "requirements.lock")], check=True)
