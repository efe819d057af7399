"""compose.yaml as tests read it: its services, their variables, and what they sign in with."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml
from tests.support.images import ROOT

FOLDER: Final = ROOT / "deploy" / "compose"
_OURS: Final = "toolyard-"


def document() -> dict[str, Any]:
    """The whole file, with its anchors resolved."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def services() -> dict[str, dict[str, Any]]:
    """All services, by name."""
    found: dict[str, dict[str, Any]] = document()["services"]
    return found


def image(service: dict[str, Any]) -> str | None:
    """Which of our images it runs: a name of `images.SERVICES`, or None for one of somebody else."""
    name = str(service["image"]).partition(":")[0]
    return name.removeprefix(_OURS) if name.startswith(_OURS) else None


def environment(service: dict[str, Any]) -> dict[str, str]:
    """What the file itself sets, where the shell sets nothing."""
    values = {name: str(value) for name, value in service.get("environment", {}).items()}
    return {name: re.sub(r"\$\{\w+(?::-(.*?))?\}", r"\1", value) for name, value in values.items()}


def prepared(folder: Path) -> Path:
    """Passwords and keys as `make up` makes them, in a folder."""
    made = folder / "secrets"
    subprocess.run([sys.executable, FOLDER / "prepare.py", made], check=True, capture_output=True, timeout=60)
    return made


def variables(file: Path) -> dict[str, str]:
    """A file of variables."""
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def secrets_of(service: dict[str, Any], folder: Path) -> dict[str, str]:
    """The variables that a service gets from its file of secrets."""
    return variables(folder / Path(service["env_file"]).name)


def settings_of_the_broker() -> dict[str, str]:
    """The lines of its configuration."""
    lines = [line for line in (FOLDER / "rabbitmq.conf").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" = ", 1) for line in lines)
