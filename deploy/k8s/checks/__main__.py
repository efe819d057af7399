"""Renders every overlay and every operation, and looks at all; prints what is wrong, and ends with 1 if anything is."""

import sys
from collections.abc import Callable, Iterable
from typing import Final

from deploy.k8s.checks import keda, network, operations, parts, pods, policy, references, schemas, upstream
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
        applied = {
            f"{name}-{folder.name}": (rendered[name], render(folder))
            for name in rendered
            for folder in operations.folders(name)
        }
        found = policy.findings(rendered | {name: operation for name, (_, operation) in applied.items()})
    except (RenderError, policy.PolicyError, schemas.SchemasMissingError) as error:
        print(error, file=sys.stderr)
        return 1
    wrong = [f"{name}: {problem}" for name, manifests in rendered.items() for problem in looked_at(manifests)]
    wrong += [f"{name}: {problem}" for name, both in applied.items() for problem in applied_to(*both)]
    wrong += [str(problem) for problem in (*upstream.problems(), *policy.problems(found, policy.explained()))]
    for line in wrong:
        print(line, file=sys.stderr)
    counted = ", ".join(f"{name} {len(manifests.documents)} documents" for name, manifests in rendered.items())
    counted += f", {len(applied)} operations"
    versions = " and ".join(schemas.VERSIONS)
    print(
        f"manifests: {counted}; Kubernetes {versions}: {len(wrong)} wrong; "
        f"{len(found)} findings of policies, explained or above"
    )
    return int(bool(wrong))


def looked_at(manifests: Manifests) -> list[Problem]:
    """Everything that is wrong in one overlay. What a schema refuses is mended first: the others rely on its form."""
    return list(schemas.problems(manifests)) or [problem for look in LOOKS for problem in look(manifests)]


def applied_to(overlay: Manifests, operation: Manifests) -> list[Problem]:
    """Everything that is wrong once an operation is applied, and was not before."""
    before = looked_at(overlay)
    after = looked_at(operations.together(overlay, operation))
    return [*operations.problems(overlay, operation), *(problem for problem in after if problem not in before)]


if __name__ == "__main__":
    sys.exit(main())
