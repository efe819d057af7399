"""What the images are made of: pinned, of their own service alone, and run by nobody in particular."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.support import images
from tests.support.packages import pins

every_service = pytest.mark.parametrize("service", images.SERVICES)
LOCKS = [Path("services", service, "requirements.lock") for service in images.SERVICES] + [Path("services/build.lock")]


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_a_lock_has_what_the_root_has_of_it_and_no_address(lock: Path):
    root, own = pins(images.ROOT / "requirements.lock"), pins(images.ROOT / lock)
    assert {name: root.get(name) for name in own} == own, "write them anew: make lock"
    assert all(digests for _, digests in own.values())
    assert "://" not in (images.ROOT / lock).read_text()


@every_service
def test_a_lock_has_all_that_its_service_asks_for(service: str):
    project = images.project()["project"]
    asked = [Requirement(each) for each in project["dependencies"] + project["optional-dependencies"][service]]
    own = pins(images.ROOT / "services" / service / "requirements.lock")
    for each in asked:
        version, _ = own[canonicalize_name(each.name)]
        assert each.specifier.contains(version), f"{each}, and the lock has {version}: make lock"


def test_the_lock_of_the_build_has_what_builds():
    own = pins(images.ROOT / "services" / "build.lock")
    for each in map(Requirement, images.project()["build-system"]["requires"]):
        assert each.specifier.contains(own[canonicalize_name(each.name)][0])


@every_service
def test_an_image_has_the_code_of_its_own_service_alone(service: str):
    own = f"services/{service}"
    assert {str(path) for path in images.copied(service)} == {
        "services/build.lock",
        f"{own}/requirements.lock",
        f"{own}/toolyard_{service}",
        "shared",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    }


@every_service
def test_what_is_copied_is_there_and_not_kept_out_of_the_build(service: str):
    ignored = (images.ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    for path in images.copied(service):
        assert (images.ROOT / path).exists(), path
        assert path.parts[0] in allowed, path


def test_every_image_stands_on_the_same_pinned_python():
    bases = {step.text for service in images.SERVICES for step in images.steps(service) if step.word == "ARG"}
    (base,) = {text.removeprefix("PYTHON=") for text in bases if text.startswith("PYTHON=")}
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base)
    for service in images.SERVICES:
        stages = [step.text.split()[0] for step in images.steps(service) if step.word == "FROM"]
        assert stages == ["${PYTHON}", "${PYTHON}"]


@every_service
def test_an_image_runs_as_a_user_of_no_rights_in_exec_form_and_says_whether_it_works(service: str):
    said = {step.word: step.text for step in images.steps(service)}
    assert said["USER"] == "10001:10001"
    assert json.loads(said["ENTRYPOINT"])[-1] == "toolyard"
    assert json.loads(said["CMD"])[0] == {"executors": "worker"}.get(service, service)
    assert json.loads(said["HEALTHCHECK"].partition("CMD ")[2]) == ["python", "-I", "-m", "toolyard.healthcheck"]
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert said["EXPOSE"] == re.findall(r"TOOLYARD_PORT=(\d+)", said["ENV"])[0]


@pytest.mark.parametrize("target", ["images", "up", "down"])
def test_where_nothing_runs_containers_it_is_said_in_one_line(target: str):
    command = ["make", "--no-print-directory", target, "ENGINE=false"]
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, cwd=images.ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    said, *made = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert said.startswith("There is no container engine: `false info` does not answer.")
    assert all(line.startswith("make: ***") for line in made)
