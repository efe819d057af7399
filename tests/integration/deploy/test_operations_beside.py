"""What is applied beside an overlay when it is needed: of its image and settings, and without another change of it."""

import copy
import shutil

import pytest
from deploy.k8s.checks import operations
from deploy.k8s.checks.__main__ import applied_to
from deploy.k8s.checks.documents import Manifests
from deploy.k8s.checks.render import K8S, render

CONTAINER = "spec.template.spec.containers.0"


@pytest.fixture(scope="module")
def applied(rendered):
    """Overlay and operation -> what is applied."""
    return {(name, folder.name): render(folder) for name in rendered for folder in operations.folders(name)}


@pytest.fixture
def replacing(applied):
    return Manifests(copy.deepcopy([each.tree for each in applied["production", "replace"]]))


def job_of(manifests):
    return manifests.find("Job", "rebuild", "toolyard")


def said(rendered, operation):
    return [str(problem) for problem in applied_to(rendered["production"], operation)]


def test_each_overlay_has_both_and_all_are_right(rendered, applied):
    assert set(applied) == {(name, what) for name in ("dev", "production") for what in ("check", "replace")}
    assert [problem for (overlay, _), each in applied.items() for problem in applied_to(rendered[overlay], each)] == []


def test_no_overlay_has_them_by_itself(rendered):
    assert not [str(each) for manifests in rendered.values() for each in manifests if each.name == "rebuild"]


def test_nothing_else_is_applied_than_the_job_and_the_settings_that_are_there(rendered, applied):
    for (overlay, _), operation in applied.items():
        settings, job = sorted(operation, key=str)
        assert (str(job), settings.kind) == ("Job toolyard/rebuild", "ConfigMap")
        assert settings.tree == rendered[overlay].find("ConfigMap", settings.name, "toolyard").tree


def test_the_job_is_of_the_schedulers_image_with_as_much_room(rendered, applied):
    for (overlay, what), operation in applied.items():
        scheduler = rendered[overlay].find("Deployment", "scheduler", "toolyard")
        job = job_of(operation)
        for field in ("image", "resources"):
            assert job.at(f"{CONTAINER}.{field}") == scheduler.at(f"{CONTAINER}.{field}")
        assert job.at(f"{CONTAINER}.args") == ["ledger", "rebuild", f"--{what}"]


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (f"{CONTAINER}.args", ["ledger", "rebuild", "--replac"], "`toolyard ledger rebuild --replac` is none of"),
        (f"{CONTAINER}.args", ["ledger", "position"], "`toolyard ledger position` is none of"),
        (f"{CONTAINER}.image", "toolyard-gateway:0.1.0", "toolyard-gateway cannot do this: toolyard-scheduler can"),
        (f"{CONTAINER}.envFrom", [], "TOOLYARD_SIGNING_KEYS is not set"),
        ("spec.template.spec.serviceAccountName", "ledger", "there is no ServiceAccount ledger"),
        ("spec.template.metadata.labels", {}, "rebuild does not reach rabbitmq at TCP 5672, and has to"),
        ("spec.ttlSecondsAfterFinished", None, "is missing: it would stay for ever"),
        ("kind", "CronJob", "an operation is a Job, which ends, and leaves nothing"),
    ],
)
def test_a_mistake_in_the_job_is_found(rendered, replacing, path, value, what):
    *steps, last = path.split(".")
    place = job_of(replacing).tree
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    found = said(rendered, replacing)
    assert any(what in each for each in found), found


def test_what_would_change_the_overlay_is_found(rendered, replacing):
    next(iter(replacing.of("ConfigMap"))).tree["data"]["TOOLYARD_PROFILE"] = "dev"
    assert any("is another than that of the overlay" in each for each in said(rendered, replacing))


def test_it_runs_for_an_overlay_of_ones_own(tmp_path):
    """As docs/operations/kubernetes.md says: a copy of both folders, and one name in each of two files."""
    shutil.copytree(K8S, tmp_path / "k8s", ignore=shutil.ignore_patterns("checks", "schemas", "*.env"))
    for folder in ("overlays", "operations"):
        shutil.copytree(tmp_path / "k8s" / folder / "production", tmp_path / "k8s" / folder / "mine")
    sizes = tmp_path / "k8s" / "overlays" / "mine" / "scheduler.yaml"
    sizes.write_text(sizes.read_text().replace("768Mi", "1Gi"))
    for path in (tmp_path / "k8s" / "operations" / "mine").glob("*/kustomization.yaml"):
        path.write_text(path.read_text().replace("overlays/production", "overlays/mine"))
    job = job_of(render(tmp_path / "k8s" / "operations" / "mine" / "check"))
    assert job.at(f"{CONTAINER}.resources.limits.memory") == "1Gi"
