"""Writes `components/rabbitmq/topology.yaml`: what Toolyard has at the broker, and who may do what there.

It is what `toolyard topology export --users --format kubernetes --vhost toolyard` prints: made of `topology.py` and
`rights.py`. Run it after a change there; a test compares.
"""  # noqa: INP001 - a folder of files for operators, not a package

from pathlib import Path
from typing import Final

from toolyard.cli.topology import objects, yaml

TOPOLOGY: Final = Path(__file__).parent / "components" / "rabbitmq" / "topology.yaml"
_FIRST: Final = "# Written by deploy/k8s/generate.py of the program's own tables: change those, and run it.\n"
#: As components/rabbitmq calls them.
_VHOST, _CLUSTER, _USERS = "toolyard", "rabbitmq", "toolyard-"


def topology() -> str:
    """The file, as it must be."""
    return _FIRST + "".join(f"---\n{yaml(each)}\n" for each in objects(_VHOST, _CLUSTER, users=_USERS))


if __name__ == "__main__":
    TOPOLOGY.write_text(topology())
    print(f"{TOPOLOGY.name}: {topology().count('kind:')} objects")
