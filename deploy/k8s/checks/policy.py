"""The policies of checkov: what it finds is mended, or said in `policies.yaml` with the reason why it stays."""

import fnmatch
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from deploy.k8s.checks.documents import Manifests, Problem
from deploy.k8s.checks.render import TOOLS

#: Check -> where -> why it may stay.
EXPLAINED: Final = Path(__file__).with_name("policies.yaml")
#: Seconds for one run over all overlays.
_WITHIN: Final = 120


class PolicyError(Exception):
    """checkov could not look at the manifests."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One policy that one document does not keep."""

    overlay: str
    resource: str
    check: str
    title: str


def findings(overlays: Mapping[str, Manifests]) -> list[Finding]:
    """What checkov finds in all of them.

    Raises:
        PolicyError: it could not read them, or is not there.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, manifests in overlays.items():
            text = yaml.safe_dump_all(document.tree for document in manifests)
            (Path(folder) / f"{name}.yaml").write_text(text)
        told = json.loads(_checkov(folder))
    summary = told.get("summary", told)
    if summary.get("parsing_errors") or not summary.get("resource_count"):
        raise PolicyError(f"checkov read {summary.get('resource_count', 0)} resources, with {summary} in all")
    return sorted(
        Finding(Path(each["file_path"]).stem, each["resource"], each["check_id"], each["check_name"])
        for each in told["results"]["failed_checks"]
    )


def _checkov(folder: str) -> str:
    command = TOOLS / "bin" / "checkov"
    if not command.exists():
        raise PolicyError(f"there is no {command}: make manifests puts it there")
    options = ("--framework", "kubernetes", "--compact", "--quiet", "--skip-download", "--output", "json")
    done = subprocess.run(  # noqa: S603 - checkov
        [str(command), "--directory", folder, *options], capture_output=True, text=True, timeout=_WITHIN, check=False
    )
    if not done.stdout.strip().startswith("{"):
        raise PolicyError(f"checkov said nothing that can be read: {done.stdout[:500]}{done.stderr[-500:]}")
    return done.stdout


def explained() -> dict[str, dict[str, str]]:
    """Check -> pattern of resources (``Deployment.toolyard.*``) -> why it may stay."""
    return dict(yaml.safe_load(EXPLAINED.read_text()) or {})


def problems(found: list[Finding], reasons: Mapping[str, Mapping[str, str]]) -> Iterator[Problem]:
    """What nobody has explained; and each explanation of something that is not there."""
    used = set()
    for finding in found:
        patterns = [each for each in reasons.get(finding.check, {}) if fnmatch.fnmatchcase(finding.resource, each)]
        used |= {(finding.check, pattern) for pattern in patterns}
        if not patterns:
            what = f"{finding.title}: mend it, or say in {EXPLAINED.name} why it stays"
            yield Problem(f"{finding.overlay}: {finding.resource}", finding.check, what)
    for check, patterns_of in reasons.items():
        for pattern, reason in patterns_of.items():
            if (check, pattern) not in used:
                yield Problem(EXPLAINED.name, check, f"{pattern}: nothing is found there any more: take the line out")
            if not reason or not reason.strip():
                yield Problem(EXPLAINED.name, check, f"{pattern}: has no reason")
