"""The overlays as they are, rendered once; tests change a copy and look at what is said of it."""

import copy
from typing import Any

import pytest
from deploy.k8s.checks.documents import Document, Manifests
from deploy.k8s.checks.render import K8S, render


class Changed:
    """An overlay in which one thing is different."""

    def __init__(self, manifests: Manifests) -> None:
        self.manifests = Manifests(copy.deepcopy([each.tree for each in manifests]), dict(manifests.outside))

    def put(self, document: str, path: str, value: Any) -> "Changed":
        """Something else at a path of a document, which is told as in messages; None takes it away."""
        found = next(each for each in self.manifests if str(each) == document)
        *steps, last = path.split(".")
        place: Any = found.tree
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if value is None:
            del place[int(last) if isinstance(place, list) else last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
        return self

    def add(self, tree: dict[str, Any]) -> "Changed":
        """One more document."""
        self.manifests.documents.append(Document(tree))
        return self

    def drop(self, document: str) -> "Changed":
        """One document fewer."""
        self.manifests.documents.remove(next(each for each in self.manifests if str(each) == document))
        return self


@pytest.fixture(scope="session")
def rendered():
    return {name: render(K8S / "overlays" / name) for name in ("dev", "production")}


@pytest.fixture
def production(rendered):
    return Changed(rendered["production"])


@pytest.fixture
def dev(rendered):
    return Changed(rendered["dev"])
