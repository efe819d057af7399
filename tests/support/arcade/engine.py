"""A fake of Arcade's engine, in front of a real worker of Arcade: what `https://api.arcade.dev` is to ours.

Arcade gives out its worker and not its engine, so this one can only be a fake. Its tools are real (`worker`), and what
it answers is held to the types of Arcade's own SDK (`held`). Users consent by `ArcadeEngine.grant`, or as a person
would: at the URL that they are sent to. Every request to run a tool is recorded, and each that reached the worker.

In a thread of a test (`ArcadeEngine`, a context manager), or as a process:
`python -m tests.support.arcade.engine --port 9099` prints where it is and with which key (`main`).

Routes, beside those of Arcade:
    GET  /fake/consents/{id}                    the page that a user is sent to
    POST /fake/consents/{id}/grant|refuse       ... and what its buttons do
    POST /fake/grant|refuse|revoke              {"user", "provider"}: the same, without an id
    GET  /fake/executes                         every request to run a tool
    POST /fake/fail                             the fields of `Fault`: what is answered next instead
"""

import argparse
import asyncio
import contextlib
import json
import signal
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import httpx
from arcadepy.types import ExecuteToolResponse, ToolDefinition
from arcadepy.types.shared import AuthorizationResponse, Error
from tests.support.arcade.consents import COMPLETED, Consents, shown
from tests.support.arcade.held import held, only_known
from tests.support.arcade.worker import ArcadeWorker
from tests.support.connections import Listener
from tests.support.http1 import Answer, Request, read_request, send
from tests.support.in_thread import InThread

#: The key of the project that there is from the start.
KEY = "arc_the-project-of-the-tests"
PROJECT = "tests"
_HEAD = 1 << 20
_MOST_WAIT = 59
_MOST_PAGE = 100


@dataclass
class Fault:
    """What is answered to the next requests of a kind, instead of what they ask for.

    Args:
        path: ``authorize``, ``execute``, ``status`` or ``tools``.
        drop: nothing is answered, ``before`` the tool ran or ``after``.
        times: to so many requests.
        body: as it is, instead of an error in Arcade's form.
        answer: in the form of a run.
        revokes: whether whoever asks has taken consent back at that moment.
    """

    path: str = "execute"
    status: int = 0
    message: str = "on demand"
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    answer: dict[str, Any] | None = None
    drop: str = ""
    revokes: bool = False
    times: int = 1


@dataclass
class Execute:
    """One request to run a tool.

    Attributes:
        call_id: its Idempotency-Key.
        ran: whether the worker was asked.
    """

    call_id: str | None
    user: str | None
    tool: str | None
    version: str | None
    input: Any
    headers: dict[str, str]
    ran: bool = False


class ArcadeEngine(InThread):
    """The engine, in a thread of its own.

    Args:
        worker: whose tools it has.
        port: a free one if 0.

    Attributes:
        keys: key -> the project that it belongs to; another key is not believed. Users of two projects have nothing in
            common.
        executes: every request to run a tool, refused ones too.
        authorizes: how often it was asked whether a user has consented to a tool.
    """

    def __init__(self, worker: ArcadeWorker, *, port: int = 0) -> None:
        self.worker = worker
        self.port = port
        self.keys = {KEY: PROJECT}
        self.executes: list[Execute] = []
        self.authorizes = 0
        self._consents = Consents()
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # ---- what tests do --------------------------------------------------------------------------
    def grant(self, user: str, provider: str, project: str = PROJECT) -> None:
        """The user consents, now or to what will be asked."""
        self._do(lambda: self._consents.grant(project, user, provider))

    def refuse(self, user: str, provider: str, project: str = PROJECT) -> None:
        """The user says no to what is asked now."""
        self._do(lambda: self._consents.refuse(project, user, provider))

    def revoke(self, user: str, provider: str, project: str = PROJECT) -> None:
        """The user takes consent back."""
        self._do(lambda: self._consents.revoke(project, user, provider))

    def fail(self, path: str = "execute", **more: Any) -> None:
        """Answer the next requests otherwise; see `Fault`."""
        self._do(lambda: self._fail(Fault(path=path, **more)))

    def version(self, tool: str) -> str:
        """The version of a tool that there is."""
        return str(self._tools[tool]["toolkit"]["version"])

    def count(self, call_id: str) -> tuple[int, int]:
        """How often it was asked to run a tool for this call, and how often the worker then was."""
        asked = [one for one in self.executes if one.call_id == call_id]
        return len(asked), sum(one.ran for one in asked)

    def _do(self, work: Callable[[], None]) -> None:
        async def run() -> None:
            work()

        asyncio.run_coroutine_threadsafe(run(), self.loop).result()

    def _fail(self, fault: Fault) -> None:
        self._faults[fault.path] += [fault] * fault.times

    # ---- its life -------------------------------------------------------------------------------
    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listens."""
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=None, trust_env=False, limits=limits) as self._client:
            tools = await self.worker.tools(self._client)
            self._tools = {f"{tool['toolkit']['name']}.{tool['name']}": tool for tool in tools}
            listener = Listener(self._serve, limit=_HEAD)
            self.port = listener.listen(self.port)
            try:
                yield
            finally:
                await listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await read_request(reader, writer)
                await send(writer, await self._answer(request))

    async def _answer(self, request: Request) -> Answer:
        if request.path.startswith("/fake/"):
            return self._fake(request)
        project = self.keys.get(request.headers.get("authorization", ""))
        if request.path == "/v1/tools/execute":
            return await self._execute(request, project)
        if project is None:
            return _error(401, "unauthorized", "invalid API key")
        match request.method, request.path.split("/")[2:]:
            case "POST", ["tools", "authorize"]:
                return self._authorize(request, project)
            case "GET", ["auth", "status"]:
                return await self._status(request, project)
            case "GET", ["tools"]:
                return self._list(request)
            case "GET", ["tools", name]:
                return _answered(ToolDefinition, self._shown(name)) if name in self._tools else _no_tool(name)
        return _error(404, "not_found", f"no route {request.method} {request.path}")

    def _fault(self, path: str) -> Fault | None:
        """What is answered instead; raises ConnectionAbortedError where nothing is."""
        fault = self._faults[path].popleft() if self._faults[path] else None
        if fault is not None and fault.drop == "before":
            raise ConnectionAbortedError
        return fault

    # ---- the catalogue --------------------------------------------------------------------------
    def _list(self, request: Request) -> Answer:
        if fault := self._fault("tools"):
            return _faulty(fault)
        query = request.query
        names = [name for name in sorted(self._tools) if query.get("toolkit", name).lower() in _toolkits(name)]
        limit, offset = min(int(query.get("limit", 25)), _MOST_PAGE), int(query.get("offset", 0))
        items = [self._shown(name) for name in names[offset : offset + limit]]
        page = {"items": items, "limit": limit, "offset": offset, "page_count": len(items), "total_count": len(names)}
        return _json(json.dumps(page).encode())

    def _shown(self, name: str) -> dict[str, Any]:
        tool = self._tools[name]
        whole = {**tool, "fully_qualified_name": f"{name}@{tool['toolkit'].get('version')}", "qualified_name": name}
        return only_known(ToolDefinition, whole)

    # ---- consent --------------------------------------------------------------------------------
    def _authorize(self, request: Request, project: str) -> Answer:
        self.authorizes += 1
        if fault := self._fault("authorize"):
            return _faulty(fault)
        asked = json.loads(request.body)
        refused = self._refused(asked)
        if refused is not None:
            return refused
        wanted = self._wanted(asked["tool_name"])
        if wanted is None:
            return _answered(AuthorizationResponse, {"status": COMPLETED, "user_id": asked["user_id"]})
        consent = self._consents.ask(project, asked["user_id"], *wanted)
        return _answered(AuthorizationResponse, shown(consent, self.url))

    def _wanted(self, name: str) -> tuple[str, list[str]] | None:
        """Whose consent a tool needs, and for what."""
        needed = (self._tools[name].get("requirements") or {}).get("authorization")
        if not needed:
            return None
        scopes = (needed.get("oauth2") or {}).get("scopes")
        return needed.get("provider_id") or needed["id"], scopes or []  # one of the project's own has an id alone

    def _refused(self, asked: dict[str, Any]) -> Answer | None:
        name, version = asked.get("tool_name"), asked.get("tool_version")
        if not asked.get("user_id"):
            return _error(400, "bad_request", "user_id is required")
        tool = self._tools.get(str(name))
        if tool is None or version not in (None, tool["toolkit"].get("version")):
            return _no_tool(f"{name}@{version}" if version else str(name))
        return None

    async def _status(self, request: Request, project: str) -> Answer:
        if fault := self._fault("status"):
            return _faulty(fault)
        consent = self._consents.find(request.query.get("id", ""), project)
        if consent is None:
            return _error(404, "not_found", "no such authorization")
        wait = min(float(request.query.get("wait", 0)), _MOST_WAIT)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(consent.ended.wait(), wait)
        return _answered(AuthorizationResponse, shown(consent, self.url))

    # ---- runs -----------------------------------------------------------------------------------
    async def _execute(self, request: Request, project: str | None) -> Answer:
        asked = json.loads(request.body)
        names = {"user": "user_id", "tool": "tool_name", "version": "tool_version", "input": "input"}
        headers = request.headers
        noted = Execute(
            headers.get("idempotency-key"), headers=headers, **{ours: asked.get(name) for ours, name in names.items()}
        )
        self.executes.append(noted)
        if project is None:
            return _error(401, "unauthorized", "invalid API key")
        fault = self._fault("execute")
        if fault is not None and not fault.drop:
            if fault.revokes:
                self._consents.revoke_all(project, asked["user_id"])
            return _faulty(fault)
        if (refused := self._refused(asked)) is not None:
            return refused
        wanted = self._wanted(asked["tool_name"])
        if wanted is not None and not self._consents.has(project, asked["user_id"], wanted[0]):
            return _error(403, "forbidden", "the user has not authorized the tool")
        noted.ran = True
        answer = await self._ran(asked, None if wanted is None else f"token-of-{asked['user_id']}")
        if fault is not None:
            raise ConnectionAbortedError
        return answer

    async def _ran(self, asked: dict[str, Any], token: str | None) -> Answer:
        tool = self._tools[asked["tool_name"]]
        inputs = {"inputs": asked.get("input") or {}, "user": asked["user_id"], "token": token}
        invoked = await self.worker.invoke(self._client, tool, inputs)
        if invoked.status != 200:
            return _error(500, "internal_error", "the worker failed")
        said = invoked.body
        output = only_known(ExecuteToolResponse, {"output": said.get("output") or {}})["output"]
        whole = {
            "id": f"tc_{uuid.uuid4().hex}",
            "execution_id": said["execution_id"],
            "execution_type": "immediate",
            "duration": said["duration"],
            "finished_at": said["finished_at"],
            "status": "success" if said["success"] else "failed",
            "success": said["success"],
            "output": {name: value for name, value in output.items() if value is not None or name == "value"},
        }
        return _answered(ExecuteToolResponse, whole)

    # ---- what no engine has ---------------------------------------------------------------------
    def _fake(self, request: Request) -> Answer:
        match request.method, request.path.split("/")[2:]:
            case "GET", ["consents", consent_id]:
                return self._page(consent_id)
            case "POST", ["consents", consent_id, ("grant" | "refuse") as how]:
                return self._decide(consent_id, how)
            case "POST", [("grant" | "refuse" | "revoke") as how]:
                said = {"project": PROJECT} | json.loads(request.body)
                getattr(self._consents, how)(said["project"], said["user"], said["provider"])
                return _json(b"{}")
            case "POST", ["fail"]:
                self._fail(Fault(**json.loads(request.body)))
                return _json(b"{}")
            case "GET", ["executes"]:
                told = [{**asdict(one), "headers": None} for one in self.executes]
                return _json(json.dumps({"items": told, "authorizes": self.authorizes}).encode())
        return _error(404, "not_found", "no such route")

    def _page(self, consent_id: str) -> Answer:
        consent = self._consents.find(consent_id)
        if consent is None:
            return _error(404, "not_found", "no such authorization")
        text = f"{consent.provider}: {consent.user}, {', '.join(consent.scopes)}: {consent.status}"
        forms = "".join(
            f'<form method="post" action="{consent_id}/{how}"><button>{how}</button></form>' for how in _HOWS
        )
        page = f"<!doctype html><title>Consent</title><p>{escape(text)}</p>{forms}"
        return Answer(200, {"Content-Type": "text/html; charset=utf-8"}, page.encode())

    def _decide(self, consent_id: str, how: str) -> Answer:
        consent = self._consents.find(consent_id)
        if consent is None:
            return _error(404, "not_found", "no such authorization")
        getattr(self._consents, how)(consent.project, consent.user, consent.provider)
        return Answer(200, {"Content-Type": "text/plain"}, f"{consent.status}\n".encode())


_HOWS = ("grant", "refuse")


def _toolkits(name: str) -> Sequence[str]:
    """What a tool is found by, in lower case."""
    return (name.lower(), name.partition(".")[0].lower())


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, {"Content-Type": "application/json", **(headers or {})}, body)


def _answered(model: Any, value: dict[str, Any]) -> Answer:
    return _json(held(model, value))


def _error(status: int, name: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    return _json(held(Error, {"name": name, "message": message}), status, headers)


def _no_tool(name: str) -> Answer:
    return _error(404, "not_found", f"tool {name} not found")


def _faulty(fault: Fault) -> Answer:
    if fault.drop:
        raise ConnectionAbortedError
    if fault.answer is not None:
        return _answered(ExecuteToolResponse, fault.answer)
    if fault.body is not None:
        return _json(fault.body.encode(), fault.status, fault.headers)
    return _error(fault.status, "error", fault.message, fault.headers)


def main() -> None:
    """Serve until Ctrl-C: a demonstration needs no test around it."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.arcade.engine", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="where to listen; a free one if 0")
    parser.add_argument("--log", type=Path, help="where the worker's own output goes")
    options = parser.parse_args()
    with ArcadeWorker(options.log) as worker, ArcadeEngine(worker, port=options.port) as engine:
        print(f"A fake of Arcade's engine is at {engine.url}, with the key {KEY}", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the worker is ended, too
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
