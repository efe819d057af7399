"""How many workers a pool has and how large each is, is changed in one file, and changes nothing else."""

import shutil

import pytest
import yaml
from deploy.k8s.checks.render import K8S, render

from toolyard.contracts.tools import POOLS


@pytest.fixture
def overlay(tmp_path):
    """The production overlay of a copy."""
    shutil.copytree(K8S, tmp_path / "k8s", ignore=shutil.ignore_patterns("checks", "schemas", "*.env"))
    return tmp_path / "k8s" / "overlays" / "production"


def larger(path, pool):
    """Twice as many workers of twice the size."""
    documents = list(yaml.safe_load_all(path.read_text()))
    scaled = next(each for each in documents if each["kind"] == "ScaledObject")
    scaled["spec"]["maxReplicaCount"] *= 2
    container = next(each for each in documents if each["kind"] == "Deployment")["spec"]["template"]["spec"][
        "containers"
    ][0]
    container["resources"]["requests"]["cpu"] = "4"
    container["resources"]["limits"]["memory"] = container["resources"]["requests"]["memory"] = "4Gi"
    path.write_text(yaml.safe_dump_all(documents))


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_is_one_file(overlay, rendered, pool):
    larger(overlay / "pools" / f"{pool}.yaml", pool)
    before = {str(each): each.tree for each in rendered["production"]}
    after = {str(each): each.tree for each in render(overlay)}
    assert set(after) == set(before)
    changed = {name for name, tree in after.items() if tree != before[name]}
    assert changed == {f"Deployment toolyard/worker-{pool}", f"ScaledObject toolyard/worker-{pool}"}


def test_in_the_overlay_dev_a_pool_is_one_file_too(tmp_path, rendered):
    shutil.copytree(K8S, tmp_path / "k8s", ignore=shutil.ignore_patterns("checks", "schemas", "*.env"))
    path = tmp_path / "k8s" / "overlays" / "dev" / "pools" / "sandbox.yaml"
    path.write_text(path.read_text().replace("replicas: 1", "replicas: 3"))
    before = {str(each): each.tree for each in rendered["dev"]}
    changed = [str(each) for each in render(tmp_path / "k8s" / "overlays" / "dev") if each.tree != before[str(each)]]
    assert changed == ["Deployment toolyard/worker-sandbox"]
