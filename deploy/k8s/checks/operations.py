"""What is applied beside an overlay when it is needed: looked at together with it, and it changes nothing of it."""

from collections.abc import Iterator
from pathlib import Path

from deploy.k8s.checks.documents import Manifests, Problem
from deploy.k8s.checks.render import K8S


def folders(overlay: str) -> list[Path]:
    """The folders of all operations on this overlay."""
    return sorted(path.parent for path in (K8S / "operations" / overlay).glob("*/kustomization.yaml"))


def together(overlay: Manifests, operation: Manifests) -> Manifests:
    """What is in the cluster once the operation is applied."""
    applied = {str(each) for each in operation}
    kept = [each.tree for each in overlay if str(each) not in applied]
    return Manifests([*kept, *(each.tree for each in operation)], overlay.outside)


def problems(overlay: Manifests, operation: Manifests) -> Iterator[Problem]:
    """Whatever of the overlay would be another after the operation was applied, and all that stays behind it."""
    there = {str(each): each.tree for each in overlay}
    for document in operation:
        known = there.get(str(document))
        if known is not None and known != document.tree:
            yield document.problem("(the whole)", "is another than that of the overlay, which would be changed by it")
        elif known is None and document.kind != "Job":
            yield document.problem("kind", f"{document.kind}: an operation is a Job, which ends, and leaves nothing")
    for job in operation.of("Job"):
        if job.at("spec.ttlSecondsAfterFinished") is None:
            yield job.problem("spec.ttlSecondsAfterFinished", "is missing: it would stay for ever")
