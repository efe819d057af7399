"""What `deploy/k8s` says of the program, in agreement with it."""

import runpy
from pathlib import Path

K8S = Path(__file__).parents[2] / "deploy" / "k8s"


def test_what_is_at_the_broker_is_what_the_program_says():
    written = runpy.run_path(str(K8S / "generate.py"))
    assert written["TOPOLOGY"].read_text() == written["topology"](), "run deploy/k8s/generate.py"
