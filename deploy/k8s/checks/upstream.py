"""Shows that what `deploy/k8s/schemas` allows, the operators' own definitions (CRDs) allow too; notes their version.

    python -m deploy.k8s.checks.upstream kedacore/keda v2.20.2 FOLDER

Run it after a change of a schema, or for another version, on a folder with the project's source. `make manifests` has
no such folder: it looks whether each schema is still the one that was shown to fit (`upstream.json`).
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from deploy.k8s.checks import keda
from deploy.k8s.checks.documents import Problem, Tree
from deploy.k8s.checks.schemas import SCHEMAS, custom, spec

#: What of ours -> its digest, and the definitions that it fits: project, version, file and its digest.
SHOWN: Final = SCHEMAS / "upstream.json"
#: Where projects keep their definitions.
_DEFINITIONS: Final = (Path("config", "crd", "bases"), Path("example", "prometheus-operator-crd"))
#: What the fields of KEDA's scaler for RabbitMQ are called in the list.
_SCALER: Final = "(the scaler for RabbitMQ)"
#: Bounds, and which of two is the tighter one.
_LEAST: Final = ("minimum", "minLength", "minItems")
_MOST: Final = ("maximum", "maxLength", "maxItems")
_HELP: Final = "show that it fits: python -m deploy.k8s.checks.upstream PROJECT VERSION FOLDER"


def problems() -> Iterator[Problem]:
    """Each schema that has changed since it was held against its definition, or never was."""
    shown = json.loads(SHOWN.read_text())
    for name, digest in _ours().items():
        if shown.get(name, {}).get("ours") != digest:
            yield Problem("deploy/k8s/schemas", name, f"is not the one that {SHOWN.name} tells of: {_HELP}")


def _ours() -> dict[str, str]:
    """What of ours is held against the projects' own, each with its digest."""
    scaler = [*keda.METADATA, *keda.PARAMETERS, *keda.MODES]
    return {kind: _digest_of(spec(told)) for kind, told in custom().items()} | {_SCALER: _digest_of(scaler)}


def misfits(ours: Any, theirs: Tree, path: str = "spec") -> Iterator[str]:
    """Where our schema allows what theirs forbids; nothing if whatever fits ours fits theirs."""
    if "core" in ours or theirs.get("x-kubernetes-preserve-unknown-fields"):
        return
    yield from _type(ours, theirs, path)
    yield from _bounds(ours, theirs, path)
    if "items" in ours:
        yield from misfits(ours["items"], theirs.get("items", {}), f"{path}[]")
    if isinstance(ours.get("additionalProperties"), dict) and "additionalProperties" in theirs:
        yield from misfits(ours["additionalProperties"], theirs["additionalProperties"], f"{path}.*")
    if "properties" in ours:
        yield from _fields(ours, theirs, path)


def _fields(ours: Tree, theirs: Tree, path: str) -> Iterator[str]:
    known: Tree = theirs.get("properties", {})
    for name, each in ours["properties"].items():
        if name in known:
            yield from misfits(each, known[name], f"{path}.{name}")
        else:
            yield f"{path}.{name} is not among its fields"
    for name in theirs.get("required", []):
        if name not in ours.get("required", []) and "default" not in known.get(name, {}):
            yield f"{path}.{name} is required there"


def _type(ours: Tree, theirs: Tree, path: str) -> Iterator[str]:
    mine = _types(ours)
    its = {"integer", "string"} if theirs.get("x-kubernetes-int-or-string") else {theirs.get("type")}
    if not mine <= its:
        yield f"{path} is {' or '.join(sorted(map(str, its)))} there, not {' or '.join(sorted(mine))}"


def _types(ours: Tree) -> set[str]:
    if "properties" in ours:
        return {"object"}
    if "enum" in ours:
        return {{str: "string", int: "integer", bool: "boolean"}[type(each)] for each in ours["enum"]}
    return {ours["type"]} if isinstance(ours["type"], str) else set(ours["type"])


def _bounds(ours: Tree, theirs: Tree, path: str) -> Iterator[str]:
    if "enum" in theirs and not (set(ours.get("enum", [None])) <= set(theirs["enum"])):
        yield f"{path} is one of {', '.join(theirs['enum'])} there"
    if "enum" in ours:
        return
    for bounds, tighter in ((_LEAST, max), (_MOST, min)):
        for bound in bounds:
            if bound in theirs and (bound not in ours or tighter(ours[bound], theirs[bound]) != ours[bound]):
                yield f"{path} has the {bound} {theirs[bound]} there"
    if "pattern" in theirs and not ({"pattern", "enum"} & set(ours)):
        yield f"{path} has the pattern {theirs['pattern']} there"


def beyond(theirs: Tree, ours: Any, path: str = "spec") -> Iterator[str]:
    """What a reader has to look at: rules of the API server alone, patterns of both, types taken as Kubernetes'."""
    for rule in theirs.get("x-kubernetes-validations", []):
        yield f"{path}: the API server also applies {' '.join(rule['rule'].split())}"
    if "pattern" in ours and "pattern" in theirs and ours["pattern"] != theirs["pattern"]:
        yield f"{path}: the pattern {ours['pattern']} is taken to be within {theirs['pattern']}"
    if "core" in ours:
        yield f"{path}: is taken to be {ours['core']}"
    if "items" in ours:
        yield from beyond(theirs.get("items", {}), ours["items"], f"{path}[]")
    for name, each in ours.get("properties", {}).items():
        yield from beyond(theirs.get("properties", {}).get(name, {}), each, f"{path}.{name}")


def definition(text: str, api: str) -> Tree | None:
    """The schema of the spec in a definition, for one version of the api."""
    crd = yaml.safe_load(text)
    group, _, version = api.partition("/")
    found = (each for each in crd["spec"]["versions"] if crd["spec"]["group"] == group and each["name"] == version)
    return next((dict(each["schema"]["openAPIV3Schema"]["properties"]["spec"]) for each in found), None)


def _digest_of(ours: Any) -> str:
    return hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()


def _held(folder: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """What of ours has its definition in the folder: its name, the file, and where it does not fit."""
    for kind, told in custom().items():
        path = next(
            (folder / place / told["crd"] for place in _DEFINITIONS if (folder / place / told["crd"]).exists()), None
        )
        if path is None:
            continue
        theirs = definition(path.read_text(), told["api"])
        if theirs is None:
            yield kind, path, [f"{told['api']} is not in {told['crd']}"]
            continue
        for each in beyond(theirs, spec(told)):
            print(f"{kind}: {each}")
        yield kind, path, list(misfits(spec(told), theirs))
    if (folder / keda.SCALER).exists():
        yield _SCALER, folder / keda.SCALER, list(keda.misfits((folder / keda.SCALER).read_text()))


def main(project: str, version: str, folder: str) -> int:
    """Hold everything whose definition is in the folder against it; returns the exit code."""
    shown = json.loads(SHOWN.read_text()) if SHOWN.exists() else {}
    ours, wrong, looked_at = _ours(), 0, 0
    for name, path, found in _held(Path(folder)):
        for each in found:
            print(f"{name}: {each}", file=sys.stderr)
        wrong, looked_at = wrong + len(found), looked_at + 1
        before = shown.get(name, {})
        kept = before.get("fits", {}) if before.get("ours") == ours[name] else {}
        file = str(path.relative_to(folder))
        kept[f"{project} {version}"] = {"file": file, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        shown[name] = {"ours": ours[name], "fits": dict(sorted(kept.items()))}
    print(f"{project} {version}: {looked_at} looked at, {wrong} misfits")
    if looked_at and not wrong:
        SHOWN.write_text(json.dumps(dict(sorted(shown.items())), indent=2) + "\n")
    return int(bool(wrong) or not looked_at)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
