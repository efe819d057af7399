"""A fake Nango: the parts of its REST API that Toolyard uses, in the shapes that its documentation and server have.

In a thread of the test (`FakeNango`, a context manager), or as a process of its own:
`python -m tests.support.nango.server --port 3003 --key <API key>`. It knows nothing of the project.

Routes, each with the query, the headers and the errors of Nango's own:
    GET  /connections                  tags[...], integrationId, connectionId
    GET  /connections/{id}             provider_config_key, force_refresh, refresh_token
    POST /connect/sessions             tags, allowed_integrations
    any  /proxy/{path}                 Connection-Id, Provider-Config-Key, Base-Url-Override, Retries, Nango-Proxy-*
and of the fake's own:
    GET  /connect?session_token=       the link that a user is given: whoever follows it has connected, and the
                                       webhook is told
    any  /provider/{path}              a provider: 401 unless the token is a connection's of the moment, else an echo;
                                       /provider/shout/{status} tells the token in all the ways there are
"""

import argparse
import asyncio
import base64
import contextlib
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
from tests.support.connections import Listener
from tests.support.http1 import Answer, Request, read_request, send
from tests.support.in_thread import InThread
from tests.support.nango.environment import FakeConnection, FakeEnvironment, iso

_HEAD = 1 << 20
_LIST_QUERY = {"connectionId", "search", "endUserId", "integrationId", "endUserOrganizationId", "limit", "page"}
_GET_QUERY = {"provider_config_key", "force_refresh", "refresh_token", "refresh_github_app_jwt_token"}
_SESSION = {"tags", "allowed_integrations", "end_user", "organization", "integrations_config_defaults", "overrides"}


@dataclass
class Fault:
    """What is answered instead, to the next request whose path begins so; ``drop``: nothing is."""

    path: str
    answer: Answer = field(default_factory=Answer)
    drop: bool = False


def error(status: int, code: str, **more: Any) -> Answer:
    """An error in Nango's shape."""
    return as_json({"error": {"code": code, **more}}, status)


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON answer."""
    return Answer(status, {"Content-Type": "application/json", **headers}, json.dumps(value).encode())


class FakeNango(InThread):
    """The server in a thread of its own.

    Attributes:
        requests: all that came, in order.
        webhook: where it tells of each connection that is made; nowhere if empty.
        faults: what is answered instead, each once.
    """

    def __init__(self, *environments: FakeEnvironment, port: int = 0, webhook: str = "") -> None:
        self.port = port
        self.webhook = webhook
        self.begin(*environments)

    def begin(self, *environments: FakeEnvironment) -> None:
        """Keep these, and nothing of before."""
        self.environments = {one.api_key: one for one in environments}
        self.requests: list[Request] = []
        self.faults: deque[Fault] = deque()
        self._held = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[Request]:
        """The requests to a path and what is below it."""
        return [one for one in self.requests if one.path == path or one.path.startswith(f"{path}/")]

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listens."""
        listener = Listener(self._serve_all, limit=_HEAD)
        self.port = listener.listen(self.port)
        async with httpx.AsyncClient(trust_env=False, timeout=30, verify=False) as self._onward:
            try:
                yield
            finally:
                await listener.close()

    async def _serve_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await read_request(reader, writer)
                self.requests.append(request)
                await send(writer, await self._answer(request), head_only=request.method == "HEAD")

    def hold(self) -> None:
        """Answer nothing of Nango's from now on, until `begin`."""
        self._held = True

    async def _answer(self, request: Request) -> Answer:
        if self._held:
            await asyncio.Event().wait()
        for fault in list(self.faults):
            if request.path.startswith(fault.path):
                self.faults.remove(fault)
                if fault.drop:
                    raise ConnectionAbortedError
                return fault.answer
        if request.path == "/connect" and request.method == "GET":
            return await self._connected(request)
        if request.path.startswith("/provider/"):
            return self._provider(request)
        environment = self.environments.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if environment is None:
            return error(401, "unknown_api_key", message="Authentication failed. The provided API key does not exist.")
        return await self._api(environment, request)

    async def _api(self, environment: FakeEnvironment, request: Request) -> Answer:
        match (request.method, request.path.split("/")[1:]):
            case ("GET", ["connections"]):
                return _listed(environment, request)
            case ("GET", ["connections", *_]):
                return _got(environment, request)
            case ("POST", ["connect", "sessions"]):
                return self._session(environment, request)
            case (_, ["proxy", *_]):
                return await self._proxy(environment, request)
        return error(404, "not_found", message=f"{request.method} {request.path} was not found")

    # ---- connecting ---------------------------------------------------------------------------
    def _session(self, environment: FakeEnvironment, request: Request) -> Answer:
        said = json.loads(request.body)
        if "connect" not in environment.scopes:
            return error(403, "forbidden", message="insufficient scope")
        if request.query or not said.keys() <= _SESSION:
            return error(400, "invalid_body", errors=[{"code": "unrecognized_keys"}])
        tags = said.get("tags", {})
        if any(not isinstance(value, str) or not 1 <= len(value) <= 255 for value in tags.values()):
            return error(400, "invalid_body", errors=[{"code": "too_big", "path": ["tags"]}])
        if not set(said.get("allowed_integrations", [])) <= environment.integrations:
            path = ["allowed_integrations", "0"]
            return error(
                400, "invalid_body", errors=[{"code": "custom", "message": "Integration does not exist", "path": path}]
            )
        token = f"nango_connect_session_{secrets.token_hex(32)}"
        environment.sessions[token] = (tags, said.get("allowed_integrations", []))
        link = f"{self.url}/connect?session_token={token}"
        data = {"token": token, "connect_link": link, "expires_at": iso(time.time() + 1800)}
        return as_json({"data": data}, 201)

    async def _connected(self, request: Request) -> Answer:
        token = request.query.get("session_token", "")
        for environment in self.environments.values():
            if token in environment.sessions:
                tags, integrations = environment.sessions.pop(token)
                made = environment.connect(None, None, integrations[0])
                made.tags = tags
                if self.webhook:
                    body, headers = auth_webhook(environment, made)
                    await self._onward.post(self.webhook, content=body, headers=headers)
                return Answer(200, {"Content-Type": "text/plain"}, b"connected")
        return Answer(410, {"Content-Type": "text/plain"}, b"this link is over")

    # ---- the proxy and the provider behind it -------------------------------------------------
    async def _proxy(self, environment: FakeEnvironment, request: Request) -> Answer:
        integration, connection_id = request.headers.get("provider-config-key"), request.headers.get("connection-id")
        if not integration or not connection_id:
            return error(400, "invalid_headers", errors=[])
        if integration not in environment.integrations:
            return error(404, "unknown_provider_config", message="Provider config not found")
        connection = environment.find(connection_id, integration)
        if connection is None:
            return error(400, "server_error", message="Failed to get connection")
        if (connection.expired or connection.revoked) and not connection.refresh():
            return error(400, "server_error", message="Failed to get connection credentials: 'The refresh limit'")
        base = request.headers.get("base-url-override")
        if not base or urlsplit(base).path not in {"", "/"}:
            return error(400, "base_url_override_not_allowed", message="The fake knows no provider of its own")
        prefix = "nango-proxy-"
        passed = {
            name.removeprefix(prefix): value for name, value in request.headers.items() if name.startswith(prefix)
        }
        url = f"{base}{request.target.removeprefix('/proxy')}"
        headers = {**passed, "authorization": f"Bearer {connection.token}"}
        try:
            async with self._onward.stream(request.method, url, headers=headers, content=request.body) as answer:
                body = b"".join([piece async for piece in answer.aiter_raw()])
        except httpx.HTTPError:
            return as_json({"message": "socket hang up", "code": "ECONNRESET"}, 500)
        hop = {"transfer-encoding", "connection", "content-length"}
        return Answer(answer.status_code, {k: v for k, v in answer.headers.items() if k not in hop}, body)

    def _provider(self, request: Request) -> Answer:
        token = request.headers.get("authorization", "")
        known = {
            f"Bearer {one.token}" for env in self.environments.values() for one in env.connections if not one.revoked
        }
        if token not in known:
            return as_json({"message": f"Bad credentials: {token}"}, 401)
        if request.path.startswith("/provider/shout/"):
            return as_json(_shouted(token), int(request.path.rpartition("/")[2]))
        return as_json({"path": request.path, "headers": request.headers, "body": request.body.decode()})


def _shouted(token: str) -> dict[str, str]:
    """A token in all the ways in which a careless provider may tell it."""
    bare = token.removeprefix("Bearer ")
    ways = {"plain": bare, "quoted": quote(bare, safe=""), "base64": base64.b64encode(bare.encode()).decode()}
    return {**ways, "header": token, "message": f"{bare} is not welcome"}


def _listed(environment: FakeEnvironment, request: Request) -> Answer:
    tags = {name[5:-1].lower(): value for name, value in request.query.items() if name.startswith("tags[")}
    if not {name for name in request.query if not name.startswith("tags[")} <= _LIST_QUERY:
        return error(400, "invalid_query_params", errors=[{"code": "unrecognized_keys"}])
    wanted = request.query.get("integrationId")
    found = [
        one.listed()
        for one in environment.connections
        if request.query.get("connectionId") in {None, one.connection_id}
        and (wanted is None or one.integration in wanted.split(","))
        and tags.items() <= (one.tags or {}).items()
    ]
    return as_json({"connections": found})


def _got(environment: FakeEnvironment, request: Request) -> Answer:
    connection_id = unquote(request.target.partition("?")[0].rpartition("/")[2])
    integration = request.query.get("provider_config_key")
    if integration is None or not request.query.keys() <= _GET_QUERY:
        return error(400, "invalid_query_params", errors=[{"code": "invalid_type"}])
    if "read" not in environment.scopes:
        return error(403, "forbidden", message="insufficient scope")
    if integration not in environment.integrations:
        return error(400, "unknown_provider_config", message="Provider does not exists")
    connection = environment.find(connection_id, integration)
    if connection is None:
        return error(404, "not_found", message="Failed to find connection")
    due = connection.expired or connection.revoked or request.query.get("force_refresh") == "true"
    if due and not connection.refresh():
        return _broken(connection)
    return as_json(connection.full(credentials="read_credentials" in environment.scopes))


def _broken(connection: FakeConnection) -> Answer:
    told = {"connection": connection.full(credentials=False)}
    return error(
        424, "invalid_credentials", message="The refresh limit has been reached for this connection.", payload=told
    )


def auth_webhook(
    environment: FakeEnvironment, connection: FakeConnection, **changed: Any
) -> tuple[bytes, dict[str, str]]:
    """A webhook about a connection: its body and its headers, the older signature among them."""
    tags = connection.tags or {}
    body: dict[str, Any] = {
        "from": "nango",
        "type": "auth",
        "connectionId": connection.connection_id,
        "providerConfigKey": connection.integration,
        "authMode": connection.kind,
        "provider": connection.integration,
        "environment": "dev",
        "operation": "creation",
        "success": True,
        "tags": tags,
        "endUser": {"endUserId": tags.get("end_user_id", ""), "organizationId": tags.get("organization_id", "")},
        **changed,
    }
    raw = json.dumps({name: value for name, value in body.items() if value is not ...}).encode()
    return raw, {"Content-Type": "application/json", **signatures(environment.signing_key, raw)}


def signatures(signing_key: str, raw: bytes) -> dict[str, str]:
    """The headers that Nango signs a body with."""
    return {
        "X-Nango-Hmac-Sha256": hmac.new(signing_key.encode(), raw, sha256).hexdigest(),
        "X-Nango-Signature": sha256(signing_key.encode() + raw).hexdigest(),
    }


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser(description="A fake of Nango's REST API.")
    parser.add_argument("--port", type=int, default=3003)
    parser.add_argument(
        "--key", action="append", default=[], help="the API key of an environment; several may be given"
    )
    parser.add_argument("--webhook", default="", help="where to tell of each connection that is made")
    parser.add_argument("--signing-key", default="", help="that webhooks are signed with")
    options = parser.parse_args()
    signed = {"signing_key": options.signing_key} if options.signing_key else {}
    environments = [FakeEnvironment(key, **signed) for key in options.key or ["nango-key"]]
    fake = FakeNango(*environments, port=options.port, webhook=options.webhook)
    asyncio.run(fake.serve(lambda: print(f"listening on {fake.url}", flush=True)))


if __name__ == "__main__":
    main()
