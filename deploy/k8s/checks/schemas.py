"""Looks at each document by the schema of its kind: Kubernetes' own, and ours of what operators add.

An object with a field that its kind does not have is wrong, and so is a kind that nobody knows: both would be found out
late, by a cluster that ignores the one and refuses the other.
"""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import yaml
from deploy.k8s.checks.documents import Document, Manifests, Problem, Tree
from deploy.k8s.checks.render import K8S, TOOLS

#: Versions of Kubernetes that the manifests are for: the oldest and the newest are looked at.
VERSIONS: Final = ("1.31", "1.34")
SCHEMAS: Final = K8S / "schemas"
#: How Kubernetes' schemas refer to their definitions.
_DEFINITIONS: Final = "/api/_definitions.json"
_BASE: Final = "https://kubernetes.invalid"
_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class SchemasMissingError(Exception):
    """The environment of the tools is not there."""


def problems(manifests: Manifests) -> Iterator[Problem]:
    """Everything that a schema forbids, in the oldest or in the newest version."""
    for document in manifests:
        found: dict[Problem, list[str]] = {}
        for version in VERSIONS:
            for problem in _looked_at(document, version):
                found.setdefault(problem, []).append(version)
        for problem, versions in found.items():
            only = "" if len(versions) == len(VERSIONS) else f" (in Kubernetes {', '.join(versions)})"
            yield Problem(problem.document, problem.field, problem.what + only)


def _looked_at(document: Document, version: str) -> Iterator[Problem]:
    validator = _validator(document.api, document.kind, version)
    if validator is None:
        yield document.problem(
            "kind",
            f"{document.api} {document.kind} is no kind of Kubernetes {version}, nor in {SCHEMAS.relative_to(K8S)}; "
            "if an operator knows it, write down there which of its fields are used",
        )
        return
    for error in validator.iter_errors(document.tree):
        field = ".".join(str(step) for step in error.instance_path)
        yield document.problem(field or "(the whole)", error.message)


@functools.cache
def _validator(api: str, kind: str, version: str) -> jsonschema_rs.Draft202012Validator | None:
    schema = _custom(api, kind) or _core(api, kind, version)
    if schema is None:
        return None
    return jsonschema_rs.Draft202012Validator(
        {**schema, "$id": f"{_BASE}/api/{kind}"}, registry=_registry(version), validate_formats=False, offline=True
    )


# ---- Kubernetes' own ----------------------------------------------------------------------------
def core_folder(version: str) -> Path:
    """Where the schemas of this version are.

    Raises:
        SchemasMissingError: the environment has not been made.
    """
    pattern = f"lib/python3*/site-packages/kubernetes_validate/kubernetes-json-schema/v{version}.*-local-strict"
    found = sorted(TOOLS.glob(pattern))
    if not found:
        raise SchemasMissingError(f"no schemas of Kubernetes {version} in {TOOLS}: make manifests puts them there")
    return found[-1]


def _core(api: str, kind: str, version: str) -> Tree | None:
    group, _, number = api.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.split(".")[0], number) if part)
    path = core_folder(version) / f"{name}.json"
    known = re.fullmatch(r"[a-z0-9-]+", name) and path.exists()
    return dict(json.loads(path.read_text())) if known else None


@functools.cache
def _registry(version: str) -> jsonschema_rs.Registry:
    definitions = json.loads((core_folder(version) / "_definitions.json").read_text())
    definitions.pop("$id", None)
    return jsonschema_rs.Registry([(_BASE + _DEFINITIONS, definitions)])


# ---- what operators add -------------------------------------------------------------------------
@functools.cache
def custom() -> dict[str, Tree]:
    """Kind -> what `deploy/k8s/schemas` says of it: its api, the file of its definition, and the schema of its spec."""
    read = (yaml.safe_load(path.read_text()) for path in sorted(SCHEMAS.glob("*.yaml")))
    return {kind: dict(told) for kinds in read for kind, told in kinds.items()}


def _custom(api: str, kind: str) -> Tree | None:
    told = custom().get(kind)
    if told is None or told["api"] != api:
        return None
    fields = {
        "apiVersion": {"const": api},
        "kind": {"const": kind},
        "metadata": {"core": _METADATA},
        "spec": spec(told),
    }
    return dict(closed({"properties": fields, "required": list(fields)}))


def spec(told: Tree) -> Tree:
    """The schema of a kind's spec, as it was written down."""
    return {key: value for key, value in told.items() if key in ("required", "properties")}


def closed(schema: Any) -> Any:
    """As JSON Schema: what has properties is an object that has no others, and `core` refers to Kubernetes."""
    if not isinstance(schema, dict):
        return schema
    if name := schema.get("core"):
        return {"$ref": f"{_DEFINITIONS}#/$defs/{name}"}
    made = {key: closed(value) for key, value in schema.items() if key != "properties"}
    if "properties" in schema:
        made["properties"] = {name: closed(each) for name, each in schema["properties"].items()}
        made |= {"type": "object", "additionalProperties": False}
    return made
