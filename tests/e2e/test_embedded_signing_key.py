"""The signing key of `toolyard dev` is lost with its process: the next one says so, and no accepted call is lost."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.embedded import Dev, clean_environment
from tests.support.processes import Process, console_script, free_port
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("uncounted")]


def refusal(folder: Path) -> str:
    command = console_script("toolyard", "dev", "--port", str(free_port()))
    with Process(command, cwd=folder, env=clean_environment()) as process:
        assert process.wait(within=60) == 1
        return process.output()


@pytest.mark.parametrize(("options", "restored"), [((), True), (("--accept-lost-key",), False)], ids=["back", "anew"])
def test_a_call_that_waits_outlives_its_signing_key(
    tmp_path: Path, upstream: Upstream, options: Sequence[str], restored: bool
):
    def start(*options: str) -> Dev:
        return Dev(tmp_path, "--no-upstream", *options, env={"TOOLYARD_EGRESS_ALLOW": f"127.0.0.1:{upstream.port}"})

    key = tmp_path / ".toolyard" / "signing"
    with start() as dev:
        dev.create_tool("look", {"type": "http", "method": "GET", "url": f"{upstream.url}/text"})
        assert dev.client.post("/v1/pools/http/pause").status_code == 200
        call_id = dev.call("look")["call_id"]
        queued = "/v1/calls?state=queued"
        wait_until(lambda: dev.client.get(queued).json()["items"], within=60, what="the ledger to know of the call")
        dev.process.kill()
    text = key.read_text()
    key.unlink()

    for _ in range(2):
        told = refusal(tmp_path)
        assert "1 calls that have not ended" in told
        assert "--accept-lost-key" in told
        assert "Traceback" not in told
    if restored:
        key.write_text(text)

    with start(*options) as dev:
        assert dev.client.post("/v1/pools/http/resume").status_code == 200
        assert dev.end_of(call_id)["state"] == "succeeded"
