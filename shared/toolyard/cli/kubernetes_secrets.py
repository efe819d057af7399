"""The secrets of a first installation on Kubernetes, as `toolyard topology kubernetes-secrets` prints them.

One for each part with what it signs in with, named as deploy/k8s asks for them, and one for each user of the broker, as
the topology operator takes them. Fresh at each call, and kept nowhere.
"""

import re
import secrets
from collections.abc import Iterator
from typing import Any, Final

from toolyard.security.keys import SEALING_KEY_BYTES
from toolyard.security.signing import CORE, new_keys
from toolyard.transport.rights import every_part

_PREFIX: Final = "toolyard-"
#: Who looks at the length of queues, beside the parts.
_KEDA: Final = "keda"
_BYTES: Final = 32
_BROKER: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}/[^\s/?#@]+")


def objects(name: str, namespace: str, broker: str, database: str) -> Iterator[dict[str, Any]]:
    """Secrets of all parts; keys have this name, as ``2026-11``, and the broker is ``host:port/vhost``."""
    passwords = {part: secrets.token_urlsafe(_BYTES) for part in (*_parts(), _KEDA)}
    keys = new_keys(name)
    core = {
        "TOOLYARD_DATABASE_URL": database,
        "TOOLYARD_SIGNING_KEYS": ",".join(keys.values()),
        "TOOLYARD_SECRETS_KEY": f"{name}:{secrets.token_hex(SEALING_KEY_BYTES)}",
    }
    settings = {
        "gateway": core | {"TOOLYARD_API_KEY": secrets.token_urlsafe(_BYTES)},
        "scheduler": core,
        **{f"worker-{pool}": {"TOOLYARD_SIGNING_KEYS": key} for pool, key in keys.items() if pool != CORE},
    }
    for part, own in settings.items():
        url = f"amqp://{_PREFIX}{part}:{passwords[part]}@{broker}"
        yield _secret(f"{_PREFIX}{part}", namespace, {"TOOLYARD_TRANSPORT_URL": url, **own})
    for part, password in passwords.items():
        yield _secret(f"{_PREFIX}{part}-broker", namespace, {"username": _PREFIX + part, "password": password})


def beside(namespace: str) -> str:
    """Where the broker is that deploy/k8s installs in a namespace."""
    return f"rabbitmq.{namespace}.svc:5672/toolyard"


def check(broker: str, database: str) -> None:
    """Refuse what leads nowhere, since these secrets are made once.

    Raises:
        ValueError: it is not the place of a vhost, or a database that pods do not share.
    """
    if database.startswith("sqlite:"):
        raise ValueError("SQLite is for one machine: pods need postgresql://")
    if not _BROKER.fullmatch(broker):
        raise ValueError(f"{broker!r} is not of the form HOST:PORT/VHOST, as in mq.example.com:5672/toolyard")


def _parts() -> list[str]:
    return [rights.part for rights in every_part()]


def _secret(name: str, namespace: str, values: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "toolyard"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
