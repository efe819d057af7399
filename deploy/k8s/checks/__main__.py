"""Renders every overlay and looks at all of it; prints what is wrong, and ends with 1 if anything is."""

import sys
from collections.abc import Callable, Iterable
from typing import Final

from deploy.k8s.checks import keda, network, parts, pods, policy, references, schemas, upstream
from deploy.k8s.checks.documents import Manifests, Problem
from deploy.k8s.checks.render import RenderError, overlays, render

#: What looks at the documents of one overlay, once their form is right.
LOOKS: Final[tuple[Callable[[Manifests], Iterable[Problem]], ...]] = (
    pods.problems,
    references.problems,
    parts.problems,
    keda.problems,
    network.problems,
)


def main() -> int:
    """Check all overlays; returns the exit code."""
    try:
        rendered = {folder.name: render(folder) for folder in overlays()}
        found = policy.findings(rendered)
    except (RenderError, policy.PolicyError, schemas.SchemasMissingError) as error:
        print(error, file=sys.stderr)
        return 1
    wrong = [f"{name}: {problem}" for name, manifests in rendered.items() for problem in looked_at(manifests)]
    wrong += [str(problem) for problem in (*upstream.problems(), *policy.problems(found, policy.explained()))]
    for line in wrong:
        print(line, file=sys.stderr)
    counted = ", ".join(f"{name} {len(manifests.documents)} documents" for name, manifests in rendered.items())
    versions = " and ".join(schemas.VERSIONS)
    print(
        f"manifests: {counted}; Kubernetes {versions}: {len(wrong)} wrong; "
        f"{len(found)} findings of policies, explained or above"
    )
    return int(bool(wrong))


def looked_at(manifests: Manifests) -> list[Problem]:
    """Everything that is wrong in one overlay. What a schema refuses is mended first: the others rely on its form."""
    return list(schemas.problems(manifests)) or [problem for look in LOOKS for problem in look(manifests)]


if __name__ == "__main__":
    sys.exit(main())
