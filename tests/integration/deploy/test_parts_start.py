"""The parts start with what the overlay production gives them, and serve a call: a cluster without Kubernetes.

Commands and variables are those of the containers, secrets those that `toolyard topology kubernetes-secrets` prints,
and the broker has the users of its own definitions. What is not shown is what Kubernetes does: pods, networks, mounts.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from deploy.k8s.checks import operations
from deploy.k8s.checks.documents import Manifests
from deploy.k8s.checks.parts import environment
from deploy.k8s.checks.render import render
from tests.integration.deploy.conftest import Changed
from tests.support.processes import Process, console_script, free_port
from tests.support.rabbit import RabbitNode

from toolyard.cli import broker_users, kubernetes_secrets, topology

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.proof]

VHOST = "kubernetes"
WORKERS = ("worker-http", "worker-sandbox", "worker-lambda", "worker-arcade")
TOOL = {
    "name": "add",
    "description": "Adds one.",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
    "binding": {"type": "sandbox", "code": "def execute_tool(parameters, context):\n    return parameters['a'] + 1\n"},
}


class Cluster:
    """Pods of an overlay as processes of this machine, each on a port of its own."""

    def __init__(self, folder: Path, manifests: Manifests, secrets: dict[str, dict[str, str]]) -> None:
        self.secrets = secrets
        self._folder = folder
        self._manifests = Manifests([each.tree for each in manifests], secrets)
        self._pods = {pod.owner.name: pod for pod in self._manifests.pods()}
        self._processes: list[Process] = []

    def start(self, name: str) -> tuple[Process, str]:
        """The process of a pod, and where it listens."""
        pod, port = self._pods[name], free_port()
        ((_, container),) = pod.containers()
        given = environment(container, self._manifests, pod.namespace)
        ours = {"PATH": os.environ["PATH"], "TOOLYARD_HOST": "127.0.0.1", "TOOLYARD_PORT": str(port)}
        line = console_script("toolyard", *container["args"])
        self._processes.append(Process(line, env=given | ours, inherit=False, cwd=self._folder))
        return self._processes[-1], f"http://127.0.0.1:{port}"

    def applied(self, operation: str) -> Process:
        """The process of the Job of an operation."""
        (folder,) = (each for each in operations.folders("production") if each.name == operation)
        both = operations.together(self._manifests, render(folder))
        beside = Cluster(self._folder, both, self.secrets)
        process, _ = beside.start("rebuild")
        self._processes.append(process)
        return process

    def kill(self) -> None:
        """End what still runs."""
        for process in self._processes:
            process.kill()


@pytest.fixture
def cluster(production: Changed, private_broker: RabbitNode, postgres_url: str, tmp_path: Path) -> Iterator[Cluster]:
    private_broker.add_vhost(VHOST)
    where = f"127.0.0.1:{private_broker.port}/{VHOST}"
    made = kubernetes_secrets.objects("2026-11", "toolyard", where, postgres_url)
    secrets: dict[str, dict[str, str]] = {each["metadata"]["name"]: each["stringData"] for each in made}
    users = {name.removesuffix("-broker"): each["password"] for name, each in secrets.items() if "password" in each}
    passwords = {broker_users.variable(name.removeprefix("toolyard-")): each for name, each in users.items()}
    definitions = topology.definitions(VHOST) | broker_users.definitions(VHOST, "toolyard-", passwords)
    (tmp_path / "definitions.json").write_text(json.dumps(definitions))
    private_broker.ctl("import_definitions", str(tmp_path / "definitions.json"))
    running = Cluster(tmp_path, production.manifests, secrets)
    yield running
    running.kill()
    private_broker.delete_vhost(VHOST)
    for name in set(users) - {"toolyard-keda"}:
        private_broker.ctl("delete_user", name)


def test_all_parts_start_in_any_order_and_serve_a_call(cluster: Cluster):
    early, _ = cluster.start("scheduler")
    assert early.wait() == 1
    assert "toolyard scheduler --migrate" in early.output()
    migrated, _ = cluster.start("migrate")
    assert migrated.wait() == 0

    parts = {name: cluster.start(name) for name in (*WORKERS, "gateway", "scheduler")}
    for process, url in parts.values():
        process.wait_for_http(f"{url}/readyz", status=200)
    assert (
        called(parts["gateway"][1], cluster.secrets["toolyard-gateway"]["TOOLYARD_API_KEY"])["result"]["content"]
        == "42"
    )
    assert {name: process.terminate() for name, (process, _) in parts.items()} == dict.fromkeys(parts, 0)


def test_the_ledger_is_compared_and_made_anew_as_the_operations_say(cluster: Cluster):
    assert cluster.start("migrate")[0].wait() == 0
    parts = {name: cluster.start(name) for name in ("worker-sandbox", "gateway", "scheduler")}
    for process, url in parts.values():
        process.wait_for_http(f"{url}/readyz", status=200)
    called(parts["gateway"][1], cluster.secrets["toolyard-gateway"]["TOOLYARD_API_KEY"])

    compared = cluster.applied("check")
    assert compared.wait() == 0, compared.output()
    assert "equal: True" in compared.output()
    refused = cluster.applied("replace")
    assert refused.wait() == 1
    assert "conflict: A scheduler leads" in refused.output()

    assert parts["scheduler"][0].terminate() == 0
    anew = cluster.applied("replace")
    assert anew.wait() == 0, anew.output()
    assert "written: True" in anew.output()

    # A key that was removed stands behind the others in a secret of its own, for the Job alone.
    theirs = cluster.secrets["toolyard-scheduler"]
    theirs["TOOLYARD_SIGNING_KEYS"], old = "other:" + "07" * 32, theirs["TOOLYARD_SIGNING_KEYS"]
    unknown = cluster.applied("replace")
    assert unknown.wait() == 1
    assert "the log was signed with keys" in unknown.output()
    cluster.secrets["toolyard-rebuild"] = {"TOOLYARD_SIGNING_KEYS": f"{theirs['TOOLYARD_SIGNING_KEYS']},{old}"}
    known = cluster.applied("replace")
    assert known.wait() == 0, known.output()


def called(gateway: str, key: str) -> dict[str, Any]:
    """A call of a new tool, ended."""
    with httpx.Client(
        base_url=gateway, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60
    ) as client:
        client.post("/v1/tools", json=TOOL).raise_for_status()
        answer = client.post("/v1/calls", json={"tool": "add", "arguments": {"a": 41}})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())
