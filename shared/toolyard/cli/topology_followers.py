"""What the broker must have for those who follow the feed: a user for each org that can do that, and nothing else.

Used by `toolyard.cli.topology`. The users have no password: whoever runs the broker gives them one.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from toolyard.transport import rights, topology

#: What the broker enforces for each queue of a follower, whatever its own arguments say: the oldest events go first,
#: and a queue that nobody reads goes as a whole.
_BOUNDS: Final = {"max-length": 100_000, "max-length-bytes": 1 << 30, "expires": 7 * 86_400_000}
_POLICY: Final = "toolyard-followers"
_QUEUES: Final = r"^follow\."


def user(org: str) -> str:
    """The user with which an org follows its part of the feed."""
    return f"follower-{org}"


def permissions(org: str) -> dict[str, str]:
    """It declares, binds and reads its own queues, binds to the feed, and reads its stream; it publishes nowhere."""
    own = rf"follow\.{re.escape(org)}\..+"
    feed = re.escape(topology.FEED)
    return {"configure": f"^{own}$", "write": f"^{own}$", "read": rf"^({own}|{feed}(\.{re.escape(org)})?)$"}


def keys(org: str) -> dict[str, str]:
    """The keys of the feed that it may bind, and those under which it may publish."""
    return {"exchange": topology.FEED, "write": rights.NOTHING, "read": rf"^{re.escape(org)}\."}


def definitions(orgs: Sequence[str], vhost: str) -> dict[str, list[dict[str, Any]]]:
    """Users, permissions and bounds, as the broker imports them."""
    if not orgs:
        return {}
    where = {"vhost": vhost}
    bounds = {"pattern": _QUEUES, "definition": _BOUNDS, "apply-to": "queues", "priority": 0}
    return {
        "users": [{"name": user(org), "password_hash": "", "tags": "", "limits": {}} for org in orgs],
        "permissions": [{"user": user(org), **where, **permissions(org)} for org in orgs],
        "topic_permissions": [{"user": user(org), **where, **keys(org)} for org in orgs],
        "parameters": [{"component": "operator_policy", "name": _POLICY, **where, "value": bounds}],
    }


def manifests(orgs: Sequence[str], vhost: str, cluster: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The same for the topology operator, which makes the passwords: kind, name and spec of each object."""
    of = {"rabbitmqClusterReference": {"name": cluster}}
    for org in orgs:
        name = user(org)
        whose = {"vhost": vhost, "userReference": {"name": name}}
        yield "User", name, {"tags": [], **of}
        yield "Permission", name, {**whose, "permissions": permissions(org), **of}
        yield "TopicPermission", name, {**whose, "permissions": keys(org), **of}
    if orgs:
        bounds = {"name": _POLICY, "vhost": vhost, "pattern": _QUEUES, "applyTo": "queues", "definition": _BOUNDS}
        yield "OperatorPolicy", _POLICY, {**bounds, **of}
