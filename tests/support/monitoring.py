"""Checks the rules and dashboards of `deploy/monitoring` with promtool, on a system that runs: `make monitoring`.

promtool is found on the PATH, or fetched once, as Debian's package, into `build/`: nothing is installed or started.
Where neither goes, one line says what was not checked.
"""

import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from tests.support.embedded import Dev

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
CACHE = ROOT / "build" / "promtool"
#: What is fetched.
PACKAGE, VERSION = "prometheus", "2.42.0+ds-5+deb12u1"
#: Seconds for apt to fetch it, and for one run of promtool.
FETCH_WITHIN, RUN_WITHIN = 120, 60
#: What stands for Grafana's variables where an expression is only read.
_VARIABLES = {"$__rate_interval": "5m", "$pool": ".*"}


def find() -> tuple[Path | None, str]:
    """Where promtool is; or why there is none."""
    if found := shutil.which("promtool"):
        return Path(found), ""
    kept = CACHE / VERSION / "usr" / "bin" / "promtool"
    return (kept, "") if kept.exists() else _fetched(kept)


def _fetched(kept: Path) -> tuple[Path | None, str]:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None, f"promtool is not on the PATH, and {platform.system()} has no apt-get to fetch it with"
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        try:
            _run("apt-get", "-q", "download", f"{PACKAGE}={VERSION}", cwd=folder, within=FETCH_WITHIN)
            (package,) = Path(folder).glob("*.deb")
            _run("dpkg-deb", "-x", str(package), "files", cwd=folder, within=FETCH_WITHIN)
        except (subprocess.SubprocessError, ValueError) as error:
            told = getattr(error, "stderr", "") or str(error)
            return None, f"apt-get could not fetch {PACKAGE}={VERSION}: {told.strip().splitlines()[-1]}"
        kept.parents[2].mkdir(parents=True, exist_ok=True)
        shutil.copytree(Path(folder) / "files" / "usr" / "bin", kept.parent, dirs_exist_ok=True)
    return kept, ""


def _run(*command: str, cwd: str | Path = ROOT, said: str = "", within: float = RUN_WITHIN) -> str:
    done = subprocess.run(command, cwd=cwd, input=said, capture_output=True, text=True, timeout=within, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stdout + done.stderr)
    return done.stdout


# ---- what is asked for --------------------------------------------------------------------------
def rules() -> list[dict[str, Any]]:
    """All rules."""
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboards() -> dict[str, dict[str, Any]]:
    """File -> dashboard."""
    return {path.name: json.loads(path.read_text()) for path in sorted((MONITORING / "dashboards").glob("*.json"))}


def asked() -> list[str]:
    """What dashboards ask Prometheus for, with something in the place of Grafana's variables."""
    found = [
        target["expr"] for each in dashboards().values() for panel in each["panels"] for target in panel["targets"]
    ]
    for name, instead in _VARIABLES.items():
        found = [expression.replace(name, instead) for expression in found]
    return found


def selectors(expression: str) -> list[tuple[str, list[str]]]:
    """The metrics in an expression, each with the labels by which it is narrowed down."""
    found = re.finditer(r"\b((?:toolyard|tool|process)_[a-z_]+)\b(\{[^}]*\})?", expression)
    return [(match[1], re.findall(r"([a-z_]+)\s*[!=]", match[2] or "")) for match in found]


# ---- the check ----------------------------------------------------------------------------------
def main() -> int:
    """Check; returns the exit code."""
    promtool, why = find()
    if promtool is None:
        print(f"not checked by promtool: rules, their tests, the queries of dashboards, /metrics ({why})")
        return 0
    try:
        for line in _checks(str(promtool)):
            print(line)
    except subprocess.CalledProcessError as error:
        print(error.stderr, file=sys.stderr)
        return 1
    print("not checked: how the dashboards look in Grafana itself; a test checks their form and what they ask for")
    return 0


def _checks(promtool: str) -> list[str]:
    _run(promtool, "check", "rules", str(MONITORING / "rules.yaml"))
    _run(promtool, "test", "rules", str(MONITORING / "rules_test.yaml"))
    queries = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(asked())]
    with tempfile.TemporaryDirectory() as folder:
        read = Path(folder) / "queries.yaml"
        read.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": queries}]}))
        _run(promtool, "check", "rules", str(read))
        with Dev(Path(folder)) as dev:
            dev.call("weather", {"city": "Lisbon"}, wait=30)
            shown = dev.client.get("/metrics").text
    _run(promtool, "check", "metrics", said=shown)
    return [f"promtool: {len(rules())} rules and their tests, {len(queries)} queries, {shown.count('# TYPE')} metrics"]


if __name__ == "__main__":
    sys.exit(main())
