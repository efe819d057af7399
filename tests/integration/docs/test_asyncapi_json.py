"""The description of the queue protocol is AsyncAPI 3.0: the official JSON Schema of it says so."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import jsonschema_rs
import pytest

from toolyard_gateway.api import asyncapi

#: Pins the package with the schemas.
PACKAGE = Path(__file__).parents[2] / "support" / "asyncapi"


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> jsonschema_rs.Draft7Validator | None:
    """The schema; none where there is no Node to get it with."""
    npm = shutil.which("npm")
    if npm is None:
        print("not checked against AsyncAPI's own schema: npm is not found")
        return None
    folder = tmp_path_factory.mktemp("asyncapi")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGE / name, folder)
    subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, env=os.environ, check=True, timeout=100
    )
    schema = folder / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    return jsonschema_rs.Draft7Validator(json.loads(schema.read_text()))


def test_it_is_asyncapi(official: jsonschema_rs.Draft7Validator | None):
    document = asyncapi.document("1.0.0")

    if official is not None:
        assert [f"{each.instance_path}: {each.message}" for each in official.iter_errors(document)] == []
        assert not official.is_valid({**document, "operations": {"call": {"action": "run"}}})
    assert document["asyncapi"] == "3.0.0"


def test_the_lock_names_no_place():
    assert "://" not in (PACKAGE / "package-lock.json").read_text()
