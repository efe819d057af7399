"""Writes what `components` repeat of the program, so that neither is written twice by hand; a test compares.

`rabbitmq/topology.yaml` is what Toolyard has at the broker, and who may do what there: `topology.py` and `rights.py`,
as `toolyard topology export --users --format kubernetes --vhost toolyard` prints them. `monitoring/rules.yaml` are the
alerts of `deploy/monitoring`. Run it after a change there.
"""  # noqa: INP001 - a folder of files for operators, not a package

from pathlib import Path
from typing import Final

from toolyard.cli.topology import objects, yaml

HERE: Final = Path(__file__).parent
_RULES: Final = HERE.parent / "monitoring" / "rules.yaml"
#: As components/rabbitmq calls them.
_VHOST, _CLUSTER, _USERS = "toolyard", "rabbitmq", "toolyard-"
_ALERTS: Final = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: toolyard
spec:
"""


def files() -> dict[Path, str]:
    """Each file that is written, as it must be."""
    made = {"rabbitmq/topology.yaml": _topology(), "monitoring/rules.yaml": _alerts()}
    first = "# Written by deploy/k8s/generate.py: change what it is made of, and run it.\n"
    return {HERE / "components" / name: first + text for name, text in made.items()}


def _topology() -> str:
    return "".join(f"---\n{yaml(each)}\n" for each in objects(_VHOST, _CLUSTER, users=_USERS))


def _alerts() -> str:
    lines = _RULES.read_text().splitlines(keepends=True)
    return _ALERTS + "".join(f"  {line}" if line.strip() else line for line in lines if not line.startswith("#"))


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
        print(path.relative_to(HERE))
