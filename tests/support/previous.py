"""The version before this one, of this repository's history, in an environment of its own: for tests of upgrades.

Its own code, its own metadata, and the packages that its lock pins otherwise than the present one, over what is
installed here. Nothing of the present code is in reach.
"""

import io
import subprocess
import sysconfig
import tarfile
import tomllib
import venv
from pathlib import Path
from typing import Any, Final

from tests.support.packages import entries, pip

ROOT: Final = Path(__file__).resolve().parents[2]
#: The version that people upgrade from. Whoever releases a version sets it to the one released before
#: (docs/decisions/0035): a tag, or a commit as long as nothing is tagged.
REVISION: Final = "dfa65d88da072e47c44ae636f43fd171e8c23cbe"

_LOCK: Final = "requirements.lock"


class NoHistoryError(AssertionError):
    """The older version cannot be had from this clone."""


def program(folder: Path, revision: str = REVISION) -> list[str]:
    """The command line that is `toolyard` of this revision; its files are put into a new folder.

    Raises:
        NoHistoryError: this clone does not have it.
    """
    source = folder / "source"
    with tarfile.open(fileobj=io.BytesIO(_archive(revision))) as files:
        files.extractall(source, filter="data")
    command = environment(folder / "environment", source)
    _install(_site(folder / "environment"), source / _LOCK)
    return command


def environment(folder: Path, source: Path) -> list[str]:
    """The command line that is `toolyard` of the code in `source`, with the packages that are installed here."""
    venv.create(folder, with_pip=False)
    own = _site(folder)
    project = tomllib.loads((source / "pyproject.toml").read_text())
    packages = [source / Path(each).parent for each in _packages(project)]
    # Only as a plain folder: the links to the present code, which are in files of it, are then not followed.
    (own / "code.pth").write_text("\n".join(map(str, [*packages, sysconfig.get_path("purelib")])) + "\n")
    _write_metadata(own, project["project"])
    return [str(folder / "bin" / "python"), "-c", "import sys; from toolyard.cli import main; sys.exit(main())"]


def _site(environment: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", vars={"base": str(environment)}))


def _install(site: Path, lock: Path) -> None:
    """What this lock pins and the present one does not is put where it is found before what is installed here."""
    present = entries(ROOT / _LOCK)
    wanted = [entry for name, entry in entries(lock).items() if present.get(name) != entry]
    if wanted:
        listed = site / _LOCK
        listed.write_text("\n".join(wanted) + "\n")
        pip("install", "--no-deps", "--require-hashes", "--target", site, "-r", listed)


def _archive(revision: str) -> bytes:
    found = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "--format=tar", revision, "pyproject.toml", _LOCK, "shared", "services"],
        capture_output=True,
        check=False,
    )
    if found.returncode != 0:
        raise NoHistoryError(
            f"this clone lacks {revision[:12]}, the version to upgrade from; get it with `git fetch --unshallow --tags`"
            f" ({found.stderr.decode().strip()})"
        )
    return found.stdout


def _packages(project: dict[str, Any]) -> list[str]:
    packages: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return packages


def _write_metadata(folder: Path, project: dict[str, Any]) -> None:
    """What an installer would write: `toolyard` finds its services by their entry points."""
    about = folder / "toolyard-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toolyard\nVersion: 0\n")
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
