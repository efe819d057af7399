"""The broker's users, one for each part, as `toolyard topology export --users` prints them; and what they sign in with.

What each may do is `toolyard.transport.rights`. Passwords come from the environment and leave it only as hashes.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final

from toolyard.settings import BROKER_PASSWORD
from toolyard.transport.rights import Rights, every_part

#: Characters below which a password could be guessed.
_SHORTEST: Final = 16


def variable(part: str) -> str:
    """The variable with the password of a part's user."""
    return BROKER_PASSWORD + part.upper().replace("-", "_")


def passwords() -> dict[str, str]:
    """A fresh password for each part, by its variable."""
    return {variable(rights.part): secrets.token_urlsafe(32) for rights in every_part()}


def definitions(vhost: str, prefix: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Users and their rights, as the broker imports them.

    Raises:
        ValueError: names each password that is missing or too short.
    """
    parts = every_part()
    hashes = _hashes([rights.part for rights in parts], env)
    return {
        "users": [
            {"name": prefix + part, "password_hash": hashed, "hashing_algorithm": "rabbit_password_hashing_sha256"}
            | {"tags": "", "limits": {}}
            for part, hashed in hashes.items()
        ],
        "permissions": [{"user": prefix + rights.part, "vhost": vhost, **_rights(rights)} for rights in parts],
        "topic_permissions": [
            {"user": prefix + rights.part, "vhost": vhost, "exchange": topic.exchange}
            | {"write": topic.write, "read": topic.read}
            for rights in parts
            for topic in rights.topics
        ],
    }


def manifests(vhost: str, cluster: str, prefix: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The same for the topology operator: kind, name and what is specified of each object.

    A user signs in with what stands in the secret ``<user>-broker`` (``username`` and ``password``).
    """
    of = {"rabbitmqClusterReference": {"name": cluster}}
    for rights in every_part():
        user = prefix + rights.part
        yield "User", user, {"tags": [], "importCredentialsSecret": {"name": f"{user}-broker"}, **of}
        whose = {"vhost": vhost, "userReference": {"name": user}}
        yield "Permission", user, {**whose, "permissions": _rights(rights), **of}
        for topic in rights.topics:
            allowed = {"exchange": topic.exchange, "write": topic.write, "read": topic.read}
            yield "TopicPermission", f"{user}-{topic.exchange}", {**whose, "permissions": allowed, **of}


def hashed(password: str, salt: bytes) -> str:
    """A password as the broker keeps it: four bytes of salt, and SHA-256 over them and the password."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _rights(rights: Rights) -> dict[str, str]:
    return {"configure": rights.configure, "write": rights.write, "read": rights.read}


def _hashes(parts: list[str], env: Mapping[str, str]) -> dict[str, str]:
    found = {part: env.get(variable(part), "") for part in parts}
    wrong = [variable(part) for part, password in found.items() if len(password) < _SHORTEST]
    if wrong:
        raise ValueError(
            f"{', '.join(wrong)}: each needs a password of at least {_SHORTEST} characters; "
            "`toolyard topology passwords` makes a set of them"
        )
    return {part: hashed(password, secrets.token_bytes(4)) for part, password in found.items()}
