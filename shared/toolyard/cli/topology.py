"""`toolyard topology`: what the broker must have, for those who declare it themselves; and fresh keys for the parts."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from toolyard import settings
from toolyard.cli import broker_users, kubernetes_secrets
from toolyard.cli import topology_followers as followers
from toolyard.cli.naming import Group
from toolyard.cli.output import Output
from toolyard.cli.session import local
from toolyard.contracts.tools import POOLS
from toolyard.security.signing import Keyring, new_keys
from toolyard.transport import topology


class Format(StrEnum):
    """What to write."""

    DEFINITIONS = "definitions"
    KUBERNETES = "kubernetes"


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `topology`."""
    group = typer.Typer(
        cls=Group, help="Print what the broker must have, and what the parts sign with.", no_args_is_help=True
    )
    group.callback()(_group)
    group.command("export")(local(export))
    group.command("passwords")(local(passwords))
    group.command("signing-keys")(local(signing_keys))
    group.command("kubernetes-secrets")(local(secrets_of_kubernetes))
    app.add_typer(group, name="topology", rich_help_panel=panel)


def _group() -> None:
    """Print what the broker must have, and what the parts sign with."""


def export(
    out: Output,
    form: Annotated[
        Format, typer.Option("--format", help="For `rabbitmqctl import_definitions`, or for the topology operator.")
    ] = Format.DEFINITIONS,
    vhost: Annotated[str, typer.Option("--vhost", help="The vhost to put it into; it must be there.")] = "/",
    cluster: Annotated[
        str, typer.Option("--cluster", help="kubernetes: the name of the RabbitmqCluster.")
    ] = "rabbitmq",
    users: Annotated[
        bool,
        typer.Option("--users", help="Also a user for each part, with the rights it needs and no more."),
    ] = False,
    prefix: Annotated[str, typer.Option("--prefix", help="What the names of the users begin with.")] = "toolyard-",
    feed_stream: Annotated[
        list[str] | None, typer.Option("--feed-stream", metavar="ORG", help="An org whose events are kept for replay.")
    ] = None,
    feed_kept: Annotated[
        str, typer.Option("--feed-kept", help="How long they are kept; as TOOLYARD_FEED_KEPT of the schedulers.")
    ] = "7d",
    follower: Annotated[
        list[str] | None,
        typer.Option("--follower", metavar="ORG", help="Also a user that follows the events of this org."),
    ] = None,
) -> None:
    """Print exchanges, queues and bindings: broker definitions as JSON, or YAML for the topology operator.

    With --users the definitions take the passwords from TOOLYARD_BROKER_PASSWORD_GATEWAY and the like, and hold only
    their hashes; the operator takes them from the secrets `<user>-broker`. Users who follow have no password yet.
    """
    queues, following = _queues(feed_stream or (), feed_kept), _orgs(follower or (), "--follower")
    if form is Format.DEFINITIONS:
        also = [_users(vhost, prefix)] if users else []
        out.document(_together(definitions(vhost, queues), *also, followers.definitions(following, vhost)))
        return
    every = list(objects(vhost, cluster, queues, users=prefix if users else None))
    every += [_manifest(*each) for each in followers.manifests(following, vhost, cluster)]
    if out.as_json:
        out.document(every)
    else:
        out.text(_documents(every))


def _documents(every: Iterable[dict[str, Any]]) -> str:
    return "---\n" + "\n---\n".join(yaml(manifest) for manifest in every)


def _users(vhost: str, prefix: str) -> dict[str, Any]:
    try:
        return broker_users.definitions(vhost, prefix, os.environ)
    except ValueError as error:
        raise typer.BadParameter(f"{error}", param_hint="--users") from None


def _queues(orgs: Sequence[str], kept: str) -> list[topology.Queue]:
    try:
        seconds = int(settings.kept(kept))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--feed-kept") from None
    return [*topology.QUEUES, *(topology.feed_stream(org, seconds) for org in _orgs(orgs, "--feed-stream"))]


def _orgs(orgs: Sequence[str], option: str) -> list[str]:
    try:
        return [settings.org(name) for name in orgs]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _together(*parts: dict[str, Any]) -> dict[str, Any]:
    """These definitions as one: what is of the same kind stands together."""
    kinds = dict.fromkeys(kind for part in parts for kind in part)
    return {kind: [each for part in parts for each in part.get(kind, ())] for kind in kinds}


def passwords(out: Output) -> None:
    """Print a fresh password for the broker's user of each part: for `export --users` and for the parts' URLs.

    Nothing is kept: put them where your secrets are.
    """
    made = broker_users.passwords()
    if out.as_json:
        out.document(made)
    else:
        out.text("\n".join(f"{name}={password}" for name, password in made.items()))


def signing_keys(
    out: Output,
    name: Annotated[str, typer.Option("--name", help="The name of the keys, like the month they are made in.")],
) -> None:
    """Print a fresh set of signing keys: TOOLYARD_SIGNING_KEYS of each part, ready for its secret.

    Gateways and schedulers get a key of their own and those of all pools, the workers of a pool its key alone. Nothing
    is kept.
    """
    try:
        made = new_keys(name)
        Keyring.parse(",".join(made.values()))
    except ValueError as error:
        raise typer.BadParameter(f"{error}", param_hint="--name") from None
    core = ",".join(made.values())
    parts = {"gateway": core, "scheduler": core} | {f"worker-{pool}": made[pool] for pool in POOLS}
    if out.as_json:
        out.document(parts)
    else:
        out.text("\n".join(f"# {part}\nTOOLYARD_SIGNING_KEYS={keys}" for part, keys in parts.items()))


def secrets_of_kubernetes(
    out: Output,
    name: Annotated[str, typer.Option("--name", help="The name of the keys, like the month they are made in.")],
    broker: Annotated[
        str | None,
        typer.Option(
            "--broker",
            help="Where the broker is; where nothing is said, the one that is installed beside Toolyard.",
            metavar="HOST:PORT/VHOST",
        ),
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", help="Where Toolyard is installed.")] = "toolyard",
) -> None:
    """Print fresh secrets of all parts for a first installation: pipe them into `kubectl create -f -`.

    Passwords of the broker's users, signing keys, the key of secrets at rest and the admin's key, each for the parts
    that need it. The database is the one of TOOLYARD_DATABASE_URL. Nothing is kept; and `create` refuses to replace
    what is there, as it must: with another key, secrets at rest cannot be opened any more.
    """
    try:
        database = settings.database_url(os.environ.get("TOOLYARD_DATABASE_URL", ""))
        place = broker or kubernetes_secrets.beside(namespace)
        kubernetes_secrets.check(place, database)
        every = list(kubernetes_secrets.objects(name, namespace, place, database))
        Keyring.parse(every[0]["stringData"]["TOOLYARD_SIGNING_KEYS"])
    except ValueError as error:
        raise typer.BadParameter(f"{error}", param_hint="TOOLYARD_DATABASE_URL, --broker or --name") from None
    if out.as_json:
        out.document(every)
    else:
        out.text(_documents(every))


# ---- broker definitions -------------------------------------------------------------------------


def definitions(vhost: str, queues: Sequence[topology.Queue] = topology.QUEUES) -> dict[str, Any]:
    """The shared part of the topology, as the broker imports it; processes declare their own queues themselves."""
    return {
        "exchanges": [
            {"name": name, "vhost": vhost, "type": "topic", "durable": True, "auto_delete": False, "internal": False}
            | {"arguments": {}}
            for name in topology.EXCHANGES
        ],
        "queues": [
            {"name": queue.name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": queue.arguments}
            for queue in queues
        ],
        "bindings": [
            {"source": exchange, "vhost": vhost, "destination": queue.name, "destination_type": "queue"}
            | {"routing_key": pattern, "arguments": {}}
            for queue in queues
            for exchange, pattern in queue.bindings
        ],
    }


# ---- the topology operator ----------------------------------------------------------------------


def objects(
    vhost: str, cluster: str, queues: Sequence[topology.Queue] = topology.QUEUES, *, users: str | None = None
) -> Iterator[dict[str, Any]]:
    """All of it as objects of the operator; with users whose names begin with ``users``, where that is said."""
    yield from manifests(vhost, cluster, queues)
    if users is not None:
        yield from (_manifest(*each) for each in broker_users.manifests(vhost, cluster, users))


def manifests(vhost: str, cluster: str, queues: Sequence[topology.Queue] = topology.QUEUES) -> Iterator[dict[str, Any]]:
    """The same as objects of the messaging topology operator (rabbitmq.com/v1beta1)."""
    common = {"vhost": vhost, "rabbitmqClusterReference": {"name": cluster}}
    for name in topology.EXCHANGES:
        yield _manifest("Exchange", name, {"name": name, "type": "topic", "durable": True, **common})
    for queue in queues:
        kind = queue.arguments["x-queue-type"]
        arguments = {name: value for name, value in queue.arguments.items() if name != "x-queue-type"}
        spec = {"name": queue.name, "type": kind, "durable": True, "arguments": arguments, **common}
        yield _manifest("Queue", queue.name, {**spec, "deletionPolicy": "retain"})  # what waits outlives the object
    for queue in queues:
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
