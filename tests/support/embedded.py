"""The whole system in one process, started as its user starts it: `toolyard dev` in a folder. For end-to-end tests."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
from tests.support.processes import Process, console_script, free_port
from tests.support.waiting import wait_until

START_WITHIN = 120.0


def clean_environment() -> dict[str, str | None]:
    """Takes the settings of whoever runs the tests away, and all that would send requests elsewhere."""
    import os

    names = [name for name in os.environ if name.startswith(("TOOLYARD_", "AWS_")) or name.lower().endswith("_proxy")]
    return dict.fromkeys(names)


class Dev:
    """One `toolyard dev` and a client for it.

    Args:
        folder: Where it is started; its data is in `.toolyard/` there.
        port: The port; `None` leaves the choice to the command.
        around: A command line that starts the one that is appended to it.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        port: int | None = 0,
        env: Mapping[str, str | None] | None = None,
        around: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        chosen = [] if port is None else ["--port", str(port or free_port())]
        command = console_script("toolyard", "dev", "--json", *chosen, *options)
        self.process = Process([*around, *command], cwd=folder, env={**clean_environment(), **(env or {})})

    def wait_until_ready(self) -> Self:
        """Returns once it says that it is ready."""
        line = self.process.wait_for_line(r'^\{"address".*\}$', within=START_WITHIN)[0]
        self.told: dict[str, Any] = json.loads(line)
        self.client = httpx.Client(
            base_url=self.told["address"],
            headers={"Authorization": f"Bearer {self.told['api_key']}"},
            timeout=90,
            trust_env=False,
        )
        return self

    # -- its use ----------------------------------------------------------------------------------

    def create_tool(self, name: str, binding: dict[str, Any], **more: Any) -> None:
        """Makes a tool that takes any arguments."""
        spec = {"name": name, "description": name, "parameters": {"type": "object"}, "binding": binding, **more}
        answer = self.client.post("/v1/tools", json=spec)
        assert answer.status_code == 201, answer.text

    def call(self, tool: str, arguments: dict[str, Any] | None = None, *, wait: float = 0, **more: Any) -> Any:
        """Makes a call; returns it as it then stands."""
        body = {"tool": tool, "arguments": arguments or {}, **more}
        answer = self.client.post("/v1/calls", json=body, headers={"Prefer": f"wait={wait:g}"})
        assert answer.status_code in {200, 202}, answer.text
        return answer.json()

    def call_many(self, tools: Sequence[str]) -> list[Any]:
        """Makes a call of each, in one request that waits for none; all must be accepted."""
        body = {"calls": [{"tool": tool, "arguments": {}} for tool in tools]}
        answer = self.client.post("/v1/calls/batch", json=body, headers={"Prefer": "wait=0"})
        assert answer.status_code == 200, answer.text
        calls: list[Any] = answer.json()["calls"]
        assert all("call_id" in call for call in calls), calls
        return calls

    def end_of(self, call_id: str, *, within: float = 180) -> Any:
        """Waits for the end of a call and returns the call."""
        until = time.monotonic() + within
        while True:
            answer = self.client.get(f"/v1/calls/{call_id}", params={"wait": 60})
            assert answer.status_code == 200, answer.text
            if answer.json()["finished_at"] is not None or time.monotonic() > until:
                return answer.json()

    # -- its life ---------------------------------------------------------------------------------

    def wait_for_state(self, call_id: str, state: str, *, within: float = 60) -> None:
        """Waits until a call is in this state."""

        def is_there() -> bool:
            return bool(self.client.get(f"/v1/calls/{call_id}").json()["state"] == state)

        wait_until(is_there, within=within, what=f"{call_id} to be {state}")

    def __enter__(self) -> Self:
        try:
            return self.wait_until_ready()
        except BaseException:
            self.process.kill()
            raise

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.client.close()
        self.process.__exit__(kind, error, trace)


def first_call(output: str) -> str:
    """The line of the output that is to be pasted into a shell."""
    found = re.search(r"^curl .*$", output, re.MULTILINE)
    assert found, output
    return found[0]
