"""The images as tests read them: what each Dockerfile says and copies, and what its lock names."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
#: Folder of a service, name of its extra, and name of its image behind "toolyard-".
SERVICES: Final = ("gateway", "executors", "scheduler")
#: What is pinned: a version, and the digests of its files.
Pin = tuple[str, frozenset[str]]


class Step(NamedTuple):
    """One instruction of a Dockerfile: its word, and what stands behind it on one line."""

    word: str
    text: str


def dockerfile(service: str) -> Path:
    """Where the image of a service is described."""
    return ROOT / "services" / service / "Dockerfile"


def steps(service: str) -> list[Step]:
    """The instructions of a Dockerfile, in order, without comments."""
    lines = [line for line in dockerfile(service).read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r" *\\\n *", " ", "\n".join(lines))
    return [Step(*line.split(" ", 1)) for line in joined.splitlines() if line]


def copied(service: str) -> list[Path]:
    """Files and folders of the repository that are copied into the build, relative to its root."""
    sources = [step.text.split()[:-1] for step in steps(service) if step.word == "COPY"]
    return [Path(source) for line in sources for source in line if not line[0].startswith("--from")]


def pins(lock: Path) -> dict[str, Pin]:
    """What a lock names: package -> version and digests."""
    found = {}
    for entry in re.split(r"\n(?=\S)", lock.read_text()):
        name, version = re.match(r"([\w.-]+)==(\S+)", entry).groups()  # type: ignore[union-attr] # else no lock
        found[name] = (version, frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", entry)))
    return found


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
