"""`toolyard topology export`: everything in topology.py, in the broker's and in the operator's form."""

import re

import pytest
from tests.unit.cli.conftest import Run

from toolyard.transport import topology

BINDINGS = {(exchange, queue.name, key) for queue in topology.QUEUES for exchange, key in queue.bindings}


def test_definitions_hold_all_exchanges_queues_and_bindings(run: Run):
    found = run("topology", "export", "--vhost", "prod").json()
    assert [exchange["name"] for exchange in found["exchanges"]] == list(topology.EXCHANGES)
    assert {queue["name"]: queue["arguments"] for queue in found["queues"]} == {
        queue.name: queue.arguments for queue in topology.QUEUES
    }
    assert {(b["source"], b["destination"], b["routing_key"]) for b in found["bindings"]} == BINDINGS
    assert {part["vhost"] for kind in found.values() for part in kind} == {"prod"}
    assert all(part["durable"] for kind in ("exchanges", "queues") for part in found[kind])


def test_objects_of_the_operator_hold_the_same(run: Run):
    manifests = run("topology", "export", "--format", "kubernetes", "--cluster", "mq", "--json").json()
    by_kind = {kind: [m["spec"] for m in manifests if m["kind"] == kind] for kind in ("Exchange", "Queue", "Binding")}
    assert [spec["name"] for spec in by_kind["Exchange"]] == list(topology.EXCHANGES)
    assert {spec["name"]: {"x-queue-type": spec["type"], **spec["arguments"]} for spec in by_kind["Queue"]} == {
        queue.name: queue.arguments for queue in topology.QUEUES
    }
    assert {(s["source"], s["destination"], s["routingKey"]) for s in by_kind["Binding"]} == BINDINGS
    assert all(m["spec"]["rabbitmqClusterReference"] == {"name": "mq"} for m in manifests)


def test_objects_have_names_that_kubernetes_takes_each_its_own(run: Run):
    manifests = run("topology", "export", "--format", "kubernetes", "--json").json()
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) for _, name in names)


def test_yaml_says_what_json_says(run: Run):
    text = run("topology", "export", "--format", "kubernetes").out
    documents = [_read(document) for document in text.split("---\n") if document]
    assert documents == run("topology", "export", "--format", "kubernetes", "--json").json()


def test_another_format_is_wrong_usage(run: Run):
    assert run("topology", "export", "--format", "xml").code == 2


def _read(text: str) -> dict[str, object]:
    """As much YAML as we write: nested mappings by indentation, values as JSON."""
    import json

    root: dict[str, object] = {}
    open_mappings = [root]
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, value = line.strip().partition(":")
        del open_mappings[depth + 1 :]
        if value:
            open_mappings[depth][name] = json.loads(value)
        else:
            inner: dict[str, object] = {}
            open_mappings[depth][name] = inner
            open_mappings.append(inner)
    return root


@pytest.mark.parametrize("queue", topology.QUEUES, ids=lambda queue: queue.name)
def test_every_shared_queue_says_its_type_itself(queue: topology.Queue):
    """The default type of a vhost must not decide."""
    lasting, asked = {"quorum", "stream"}, {topology.SCHEDULER, topology.SECRETS}
    assert queue.arguments["x-queue-type"] in ({"classic"} if queue.name in asked else lasting)
