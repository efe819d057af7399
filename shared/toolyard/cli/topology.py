"""`toolyard topology`: what the broker must have, for those who declare it themselves."""

import hashlib
import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from toolyard.cli.naming import Group
from toolyard.cli.output import Output
from toolyard.cli.session import local
from toolyard.transport import topology


class Format(StrEnum):
    """What to write."""

    DEFINITIONS = "definitions"
    KUBERNETES = "kubernetes"


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `topology`."""
    group = typer.Typer(cls=Group, help="Print what the broker must have.", no_args_is_help=True)
    group.callback()(_group)
    group.command("export")(local(export))
    app.add_typer(group, name="topology", rich_help_panel=panel)


def _group() -> None:
    """Print what the broker must have."""


def export(
    out: Output,
    form: Annotated[
        Format, typer.Option("--format", help="For `rabbitmqctl import_definitions`, or for the topology operator.")
    ] = Format.DEFINITIONS,
    vhost: Annotated[str, typer.Option("--vhost", help="The vhost to put it into; it must be there.")] = "/",
    cluster: Annotated[
        str, typer.Option("--cluster", help="kubernetes: the name of the RabbitmqCluster.")
    ] = "rabbitmq",
) -> None:
    """Print exchanges, queues and bindings: broker definitions as JSON, or YAML for the topology operator."""
    if form is Format.DEFINITIONS:
        out.document(definitions(vhost))
    elif out.as_json:
        out.document(list(manifests(vhost, cluster)))
    else:
        out.text("---\n" + "\n---\n".join(yaml(manifest) for manifest in manifests(vhost, cluster)))


# ---- broker definitions -------------------------------------------------------------------------


def definitions(vhost: str) -> dict[str, Any]:
    """The shared part of the topology, as the broker imports it; processes declare their own queues themselves."""
    return {
        "exchanges": [
            {"name": name, "vhost": vhost, "type": "topic", "durable": True, "auto_delete": False, "internal": False}
            | {"arguments": {}}
            for name in topology.EXCHANGES
        ],
        "queues": [
            {"name": queue.name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": queue.arguments}
            for queue in topology.QUEUES
        ],
        "bindings": [
            {"source": exchange, "vhost": vhost, "destination": queue.name, "destination_type": "queue"}
            | {"routing_key": pattern, "arguments": {}}
            for queue in topology.QUEUES
            for exchange, pattern in queue.bindings
        ],
    }


# ---- the topology operator ----------------------------------------------------------------------


def manifests(vhost: str, cluster: str) -> Iterator[dict[str, Any]]:
    """The same as objects of the messaging topology operator (rabbitmq.com/v1beta1)."""
    common = {"vhost": vhost, "rabbitmqClusterReference": {"name": cluster}}
    for name in topology.EXCHANGES:
        yield _manifest("Exchange", name, {"name": name, "type": "topic", "durable": True, **common})
    for queue in topology.QUEUES:
        kind = queue.arguments["x-queue-type"]
        arguments = {name: value for name, value in queue.arguments.items() if name != "x-queue-type"}
        spec = {"name": queue.name, "type": kind, "durable": True, "arguments": arguments, **common}
        yield _manifest("Queue", queue.name, spec)
    for queue in topology.QUEUES:
        for exchange, pattern in queue.bindings:
            spec = {"source": exchange, "destination": queue.name, "destinationType": "queue", "routingKey": pattern}
            mark = hashlib.sha256(f"{exchange} {pattern}".encode()).hexdigest()[:8]
            yield _manifest("Binding", f"{queue.name}-{mark}", {**spec, **common})


def _manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name.replace(".", "-")}
    return {"apiVersion": "rabbitmq.com/v1beta1", "kind": kind, "metadata": metadata, "spec": spec}


def yaml(value: dict[str, Any], indent: str = "") -> str:
    """Nested mappings of plain values as YAML; texts are quoted as JSON, which YAML reads the same."""
    lines = []
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            lines.append(f"{indent}{name}:\n{yaml(inner, indent + '  ')}")
        else:
            lines.append(f"{indent}{name}: {json.dumps(inner)}")
    return "\n".join(lines)
