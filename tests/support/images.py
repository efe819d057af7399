"""The images as tests know them: what each Dockerfile says and copies, what its lock names, what is installed then."""

import re
import shutil
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.packages import entries, pip, run

ROOT: Final = Path(__file__).parents[2]
#: Folder of a service, name of its extra, and name of its image behind "toolyard-".
SERVICES: Final = ("gateway", "executors", "scheduler")


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


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


# ---- what an image has, without an engine -------------------------------------------------------


def environment(service: str) -> dict[str, str]:
    """The variables of ours that a Dockerfile sets."""
    (said,) = [step.text for step in steps(service) if step.word == "ENV" and "TOOLYARD_" in step.text]
    return dict(re.findall(r"(TOOLYARD_\w+)=(\S+)", said))


def installed(service: str, folder: Path) -> Path:
    """What its image has installed, as an environment of its own; the `toolyard` in it.

    It is built of the files that the Dockerfile copies. Packages are this environment's, and those of the lock alone.
    """
    made, tree, wheels = folder / "installed", folder / "tree", folder / "wheels"
    run(sys.executable, "-m", "venv", "--without-pip", made)
    (site,) = made.glob("lib/python*/site-packages")
    for file in _files_of(entries(ROOT / "services" / service / "requirements.lock")):
        (site / file.name).symlink_to(file)
    for source in copied(service):
        _copy(ROOT / source, tree / source)
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, tree)
    pip("--python", made / "bin" / "python", "install", "--no-index", "--no-deps", *wheels.glob("*.whl"))
    return made / "bin" / "toolyard"


def _files_of(packages: Iterable[str]) -> set[Path]:
    """Files and folders at the top of this environment that belong to these packages."""
    found = set()
    for name in packages:
        try:
            package = distribution(name)
        except PackageNotFoundError:  # it is for another platform
            continue
        top = {Path(file).parts[0] for file in package.files or ()} - {"..", "__pycache__"}
        found |= {Path(str(package.locate_file(name))) for name in top}
    return found


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)
