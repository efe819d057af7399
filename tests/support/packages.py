"""Packages as tests know them: what a lock pins, and how something is installed without asking for newer ones."""

import re
import subprocess
import sys
from pathlib import Path

#: What is pinned: a version, and the digests of its files.
Pin = tuple[str, frozenset[str]]


def entries(lock: Path) -> dict[str, str]:
    """What a lock names: package -> all that it says of it, which is a line for pip."""
    found = {}
    for entry in re.split(r"\n(?=\S)", lock.read_text().strip()):
        found[re.match(r"[\w.-]+(?===)", entry).group()] = entry  # type: ignore[union-attr] # else no lock
    return found


def pins(lock: Path) -> dict[str, Pin]:
    """What a lock names: package -> version and digests."""
    return {name: _pin(entry) for name, entry in entries(lock).items()}


def _pin(entry: str) -> Pin:
    (version,) = re.findall(r"^[\w.-]+==(\S+)", entry)
    return version, frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", entry))


def pip(*words: str | Path) -> None:
    """Run pip of this environment."""
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words)


def run(*command: str | Path) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
