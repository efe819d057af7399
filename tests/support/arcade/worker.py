"""A worker of Arcade: the real `arcade-serve` with the tools of `toolkit`, in a process and an environment of its own.

The fake engine asks it as Arcade's own engine does: signed with their common secret (a JWT, HS256).
"""

import base64
import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
from tests.support.arcade.environment import HERE, python
from tests.support.processes import Process, free_port

_SECRET = "the-secret-of-engine-and-worker"
_APP = HERE / "toolkit" / "app.py"


@dataclass(frozen=True)
class Invoked:
    """What the worker answered."""

    status: int
    body: Any


class ArcadeWorker:
    """The process, as a context manager.

    Args:
        log: what it prints goes there.

    Raises:
        ServerMissingError: it cannot be installed here.
    """

    def __init__(self, log: Path | None = None) -> None:
        self._python = python()
        self._log = log
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        command = [str(self._python), "-I", str(_APP), str(self.port)]
        env = {"ARCADE_WORKER_SECRET": _SECRET, "DO_NOT_TRACK": "1", "ARCADE_ENVIRONMENT": "test"}
        self._process = Process(command, env={**env, "PYTHONPATH": None}, log=self._log)
        self._process.wait_for_http(f"{self.url}/worker/health", status=200, within=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()

    async def tools(self, client: httpx.AsyncClient) -> list[dict[str, Any]]:
        """Its catalogue."""
        answer = await client.get(f"{self.url}/worker/tools", headers=_headers())
        answer.raise_for_status()
        tools: list[dict[str, Any]] = answer.json()
        return tools

    async def invoke(self, client: httpx.AsyncClient, tool: dict[str, Any], asked: dict[str, Any]) -> Invoked:
        """Run a tool of its catalogue once.

        Args:
            client: to ask with.
            tool: its definition.
            asked: ``inputs``, ``user`` and, where it needs one, the ``token`` of that user.
        """
        context: dict[str, Any] = {"user_id": asked["user"], "secrets": [], "metadata": []}
        if asked.get("token"):
            context["authorization"] = {"token": asked["token"], "user_info": {}}
        body = {
            "run_id": uuid.uuid4().hex,
            "execution_id": f"te_{uuid.uuid4().hex}",
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "tool": {name: tool[name] if name == "name" else tool["toolkit"]["name"] for name in ("name", "toolkit")},
            "inputs": asked["inputs"],
            "context": context,
        }
        answer = await client.post(f"{self.url}/worker/tools/invoke", json=body, headers=_headers())
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return Invoked(answer.status_code, answer.json() if is_json else answer.text)


def _headers() -> dict[str, str]:
    claims = {"ver": "1", "aud": "worker", "exp": int(time.time()) + 600}
    head = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.new(_SECRET.encode(), head.encode(), hashlib.sha256).digest()
    return {"Authorization": f"Bearer {head}.{_base64(signature)}"}


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
