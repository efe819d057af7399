"""The environment of Arcade's worker: made from requirements.lock once, in a cache folder, for all runs after it.

Its libraries want other versions of what the project itself uses, so they have an environment of their own.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.processes import ServerMissingError

HERE: Final = Path(__file__).resolve().parent
LOCK: Final = HERE / "requirements.lock"


def python() -> Path:
    """The interpreter of the environment, which is made if it is not there: about half a minute.

    Raises:
        ServerMissingError: it cannot be made; says why in one line.
    """
    folder = _folder()
    interpreter, done = folder / "bin" / "python", folder / "complete"
    if done.exists():
        return interpreter
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # of several processes of one run, the first makes it
        if not done.exists():
            _make(folder, interpreter)
            done.touch()
    return interpreter


def _folder() -> Path:
    """It has the name of what is in it: another lock, or another Python, makes another one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"{sys.implementation.cache_tag}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    return cache / "toolyard" / f"arcade-worker-{version}"


def _make(folder: Path, interpreter: Path) -> None:
    print(f"Making the environment of Arcade's worker in {folder} (once)", file=sys.stderr)
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], [*pip, "-r", str(LOCK)]):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            said = (ran.stderr or ran.stdout).strip().splitlines()
            last = said[-1] if said else f"exit code {ran.returncode}"
            raise ServerMissingError(f"Arcade's worker (arcade-serve) cannot be installed from {LOCK.name}: {last}")


if __name__ == "__main__":  # before a run of tests, whose time does not wait for it
    try:
        python()
    except ServerMissingError as missing:
        print(f"{missing}; the tests that need it will fail", file=sys.stderr)
