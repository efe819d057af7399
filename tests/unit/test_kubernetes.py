"""`deploy/k8s`: what it repeats of the program agrees with it, and a pool's number and size stand in one file."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.support import images

from toolyard.contracts.tools import POOLS

K8S: Final = Path(__file__).parents[2] / "deploy" / "k8s"
OVERLAYS: Final = sorted(path.parent for path in (K8S / "overlays").glob("*/kustomization.yaml"))
FILES: Final[dict[Path, str]] = runpy.run_path(str(K8S / "generate.py"))["files"]()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_written_of_the_program_is_what_the_program_says(path: Path):
    assert path.read_text() == FILES[path], "run deploy/k8s/generate.py"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_an_overlay_asks_for_the_images_that_are_made_of_this_source(overlay: Path):
    asked = yaml.safe_load((overlay / "kustomization.yaml").read_text())["images"]
    assert {each["name"] for each in asked} == {f"toolyard-{one}" for one in images.SERVICES}
    assert {each["newTag"] for each in asked} == {images.project()["project"]["version"]}


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
@pytest.mark.parametrize("pool", POOLS)
def test_each_pool_has_a_file_in_each_overlay_that_is_about_it_alone(overlay: Path, pool: str):
    documents = list(yaml.safe_load_all((overlay / "pools" / f"{pool}.yaml").read_text()))
    assert {document["metadata"]["name"] for document in documents} == {f"worker-{pool}"}
    assert {"requests", "limits"} <= set(mapping_of("resources", documents))


def test_how_many_and_how_large_stands_nowhere_else():
    for path in K8S.rglob("*.yaml"):
        if path.parent.name == "pools" or path.is_relative_to(K8S / "schemas") or path.is_relative_to(K8S / "checks"):
            continue
        documents = [
            each for each in yaml.safe_load_all(path.read_text()) if isinstance(each, dict) and is_of_a_pool(each)
        ]
        said = set(names_in(documents)) & {"replicas", "minReplicaCount", "maxReplicaCount", "resources"}
        said -= {"replicas"} if all(each["kind"] == "ScaledObject" for each in documents) else set()  # of its fallback
        assert not said, f"{path.relative_to(K8S)}: it belongs into pools/"
        assert "TOOLYARD_CONCURRENCY" not in path.read_text(), path


def is_of_a_pool(document: dict[str, Any]) -> bool:
    """Whether it is about workers."""
    return document["kind"] in ("Deployment", "ScaledObject") and document["metadata"]["name"].startswith("worker")


def names_in(value: Any) -> Iterator[str]:
    """The names of all fields, at any depth."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from names_in(inner)


def mapping_of(name: str, value: Any) -> dict[str, Any]:
    """The first mapping under this name, at any depth; empty where there is none."""
    if isinstance(value, dict) and isinstance(value.get(name), dict):
        return dict(value[name])
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for found in (mapping_of(name, each) for each in inside) if found), {})
