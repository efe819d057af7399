"""What our schemas of operators' resources allow, the operators allow too; and the page says for which versions."""

import json
import re
from typing import Any

import pytest
from deploy.k8s.checks import keda, upstream
from deploy.k8s.checks.render import ROOT
from deploy.k8s.checks.schemas import VERSIONS, custom

PAGE = (ROOT / "docs" / "operations" / "kubernetes.md").read_text()


def test_every_schema_was_shown_to_fit():
    assert list(upstream.problems()) == []


def test_a_schema_that_changed_since_is_found(monkeypatch):
    changed = custom() | {"Queue": custom()["Queue"] | {"properties": {}}}
    monkeypatch.setattr(upstream, "custom", lambda: changed)
    (found,) = upstream.problems()
    assert str(found).startswith(
        "deploy/k8s/schemas: Queue: is not the one that upstream.json tells of: show that it fits"
    )


THEIRS: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "count": {"type": "integer", "maximum": 9},
        "size": {"x-kubernetes-int-or-string": True, "pattern": "^[0-9]+$"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "items": {"type": "array", "minItems": 1, "items": {"type": "string"}},
    },
}
NAME = {"name": {"type": "string", "minLength": 2}}


@pytest.mark.parametrize(
    ("properties", "what"),
    [
        ({}, []),
        ({"kind": {"enum": ["a"]}, "count": {"type": "integer", "maximum": 5}, "free": {"type": "object"}}, []),
        ({"size": {"type": "string", "pattern": "^[1-9]$"}, "labels": THEIRS["properties"]["labels"]}, []),
        ({"color": {"type": "string"}}, ["spec.color is not among its fields"]),
        ({"kind": {"enum": ["a", "c"]}}, ["spec.kind is one of a, b there"]),
        ({"kind": {"type": "string"}}, ["spec.kind is one of a, b there"]),
        ({"count": {"type": "string", "maximum": 9}}, ["spec.count is integer there, not string"]),
        ({"count": {"type": "integer"}}, ["spec.count has the maximum 9 there"]),
        ({"count": {"type": "integer", "maximum": 10}}, ["spec.count has the maximum 9 there"]),
        ({"size": {"type": "string"}}, ["spec.size has the pattern ^[0-9]+$ there"]),
        (
            {"labels": {"type": "object", "additionalProperties": {"type": "integer"}}},
            ["spec.labels.* is string there, not integer"],
        ),
        (
            {"items": {"type": "array", "minItems": 1, "items": {"type": "integer"}}},
            ["spec.items[] is string there, not integer"],
        ),
    ],
)
def test_what_allows_more_than_the_operator_does_is_found(properties, what):
    assert list(upstream.misfits({"required": ["name"], "properties": NAME | properties}, THEIRS)) == what


def test_what_the_operator_requires_we_require():
    assert list(upstream.misfits({"properties": NAME}, THEIRS)) == ["spec.name is required there"]


def test_a_folder_is_looked_at_and_noted(tmp_path, monkeypatch, capsys):
    """A definition as an operator has it: what fits is noted with its version, what does not is told."""
    monkeypatch.setattr(upstream, "SHOWN", tmp_path / "upstream.json")
    monkeypatch.setattr(
        upstream, "custom", lambda: {"Thing": {"api": "x.io/v1", "crd": "things.yaml", "properties": NAME}}
    )
    bases = tmp_path / "config" / "crd" / "bases"
    bases.mkdir(parents=True)
    schema: dict[str, Any] = {
        "openAPIV3Schema": {"properties": {"spec": {"type": "object", "properties": {"name": {"type": "string"}}}}}
    }
    crd = {"spec": {"group": "x.io", "versions": [{"name": "v1", "schema": schema}]}}
    (bases / "things.yaml").write_text(json.dumps(crd))
    assert upstream.main("x/things", "v1.0", str(tmp_path)) == 0
    assert list(json.loads((tmp_path / "upstream.json").read_text())["Thing"]["fits"]) == ["x/things v1.0"]
    schema["openAPIV3Schema"]["properties"]["spec"]["properties"]["name"]["type"] = "integer"
    (bases / "things.yaml").write_text(json.dumps(crd))
    assert upstream.main("x/things", "v2.0", str(tmp_path)) == 1
    assert "Thing: spec.name is integer there, not string" in capsys.readouterr().err
    assert list(json.loads((tmp_path / "upstream.json").read_text())["Thing"]["fits"]) == ["x/things v1.0"]


def test_a_field_that_the_scaler_does_not_read_is_found():
    tags = [f'x string `keda:"name={name},  order=triggerMetadata;authParams;resolvedEnv"`' for name in FIELDS]
    source = "\n".join([*tags, *(f'"{mode}"' for mode in keda.MODES)])
    assert list(keda.misfits(source)) == []
    assert list(keda.misfits(source.replace("name=queueName", "name=queue"))) == [
        "queueName is no field of a trigger's metadata"
    ]
    assert list(keda.misfits(source.replace('"MessageRate"', '"Rate"'))) == ["MessageRate is no mode"]


FIELDS = {name.removesuffix("FromEnv") for name in keda.METADATA} | set(keda.PARAMETERS)


@pytest.mark.parametrize(
    ("project", "claim"),
    [
        ("kedacore/keda", r"\[KEDA\]\(\S+\) \((\d+\.\d+) or newer\)"),
        ("rabbitmq/cluster-operator", r"\[cluster operator\]\(\S+\) \((\d+\.\d+)\)"),
        ("rabbitmq/messaging-topology-operator", r"messaging topology operator \((\d+\.\d+)\)"),
    ],
)
def test_the_page_asks_for_versions_that_were_looked_at(project, claim):
    (version,) = re.findall(claim, PAGE)
    shown = {each for told in json.loads(upstream.SHOWN.read_text()).values() for each in told["fits"]}
    assert [each for each in shown if each.startswith(f"{project} v{version}.")], shown


def test_the_oldest_kubernetes_of_the_page_is_looked_at():
    assert re.findall(r"needs Kubernetes and kubectl (\d+\.\d+) or newer", PAGE) == [VERSIONS[0]]
