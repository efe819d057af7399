"""What was rendered: documents, the pods that they make, and what is said of one that is not right."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

Tree = dict[str, Any]

#: Where the template of a pod stands in the kinds that make pods.
_TEMPLATES: Final[dict[str, str]] = {
    "Deployment": "spec.template",
    "StatefulSet": "spec.template",
    "DaemonSet": "spec.template",
    "Job": "spec.template",
    "CronJob": "spec.jobTemplate.spec.template",
}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong: which document, which field, and what would be right."""

    document: str
    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.document}: {self.field}: {self.what}"


@dataclass(frozen=True, slots=True)
class Document:
    """One rendered document."""

    tree: Tree

    @property
    def api(self) -> str:
        """Group and version: ``apps/v1``."""
        return str(self.tree.get("apiVersion", ""))

    @property
    def kind(self) -> str:
        """The kind: ``Deployment``."""
        return str(self.tree.get("kind", ""))

    @property
    def name(self) -> str:
        """The name in its namespace."""
        return str(self.at("metadata.name", ""))

    @property
    def namespace(self) -> str:
        """The namespace; empty for what belongs to the whole cluster."""
        return str(self.at("metadata.namespace", ""))

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the document itself, not of the pods that it makes."""
        return dict(self.at("metadata.labels", {}))

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"

    def at(self, path: str, otherwise: Any = None) -> Any:
        """What stands at a path like ``spec.template.spec``; numbers count in lists."""
        found: Any = self.tree
        for step in path.split("."):
            if isinstance(found, dict) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            else:
                return otherwise
        return otherwise if found is None else found

    def problem(self, field: str, what: str) -> Problem:
        """A problem of this document."""
        return Problem(str(self), field, what)


@dataclass(frozen=True, slots=True)
class Pod:
    """The pods that a document makes: all of them are alike."""

    owner: Document
    path: str

    @property
    def template(self) -> Tree:
        """Metadata and spec."""
        return dict(self.owner.at(self.path, {}))

    @property
    def namespace(self) -> str:
        """Where they run."""
        return self.owner.namespace

    @property
    def labels(self) -> dict[str, str]:
        """What selectors look at."""
        return dict(self.template.get("metadata", {}).get("labels") or {})

    @property
    def spec(self) -> Tree:
        """The pod's spec."""
        return dict(self.template.get("spec") or {})

    def containers(self) -> Iterator[tuple[str, Tree]]:
        """Each container, those that begin before it too, and the field where it stands."""
        for field in ("initContainers", "containers"):
            for number, container in enumerate(self.spec.get(field) or []):
                yield f"{self.path}.spec.{field}.{number}", container

    def problem(self, field: str, what: str) -> Problem:
        """A problem of the template; the field is told from its spec on."""
        return self.owner.problem(f"{self.path}.spec.{field}", what)


class Manifests:
    """All documents of one overlay."""

    def __init__(self, trees: Iterable[Tree], outside: dict[str, dict[str, str]] | None = None) -> None:
        self.documents: Final = [Document(tree) for tree in trees]
        #: Secrets that have to be there beside them: name -> key -> an example of its value.
        self.outside: Final = outside or {}

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)

    def of(self, *kinds: str) -> list[Document]:
        """All documents of some kinds."""
        return [document for document in self if document.kind in kinds]

    def find(self, kind: str, name: str, namespace: str) -> Document | None:
        """One document, if it is there."""
        return next((found for found in self.of(kind) if (found.name, found.namespace) == (name, namespace)), None)

    def pods(self) -> list[Pod]:
        """The pods of all documents that make some."""
        return [Pod(document, _TEMPLATES[document.kind]) for document in self if document.kind in _TEMPLATES]

    def selected(self, namespace: str, selector: Tree) -> list[Pod]:
        """The pods of a namespace that a label selector takes."""
        return [pod for pod in self.pods() if pod.namespace == namespace and selects(selector, pod.labels)]


def selects(selector: Tree, labels: dict[str, str]) -> bool:
    """Whether a selector (``matchLabels``, ``matchExpressions``) takes what bears these labels; an empty one: all."""
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions") or []
    )


def _holds(expression: Tree, labels: dict[str, str]) -> bool:
    has, value = expression["key"] in labels, labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return has
        case "DoesNotExist":
            return not has
    raise ValueError(f"{expression['operator']!r} is no operator of a selector")
