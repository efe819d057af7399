"""Acceptance: secrets are planted, everything that can go wrong with them is made to, and nothing of them is found.

Neither in queues and events, the log, the logs of all parts, tables, the live feed, answers and numbers, nor in the
process list. A marker that is no secret goes the same ways, and is found: so the search does see.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, Self

import httpx
import pytest
from tests.integration.security.canaries import MARKER, Canary, Search, plant
from tests.integration.security.places import Follower, Spy, Watch, tables_of
from tests.integration.security.provoking import arguments, http_tools, sandbox_tools
from tests.support import leash
from tests.support.collector import Collector
from tests.support.embedded import Dev
from tests.support.processes import free_port
from tests.support.receiver import Receiver, receiving
from tests.support.system import KEY, System
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("uncounted")

PREFIX: Final = "TOOLYARD_SECRET_"
TOGETHER: Final = 12
#: Codes that the calls of these tools end with, at the least; other codes may be among them.
PROVOKED: Final = {"upstream_error", "tool_error", "timed_out", "validation_failed", "output_invalid"}
IN_SANDBOX: Final = {"resource_exhausted", "output_too_large", "egress_denied"}


class Town:
    """A whole system with its canaries, over one gateway.

    Attributes:
        ended: every call as it was told in the end.
        answers: the text of every answer of the gateway, headers included.
    """

    def __init__(self, url: str, key: str, canaries: Mapping[str, Canary], upstream: Upstream) -> None:
        self.url = url
        self.canaries = canaries
        self.up = upstream.url
        self.nobody = f"http://127.0.0.1:{free_port()}"
        self.key = {"Authorization": f"Bearer {key}"}
        self.client = httpx.Client(base_url=url, headers=self.key, trust_env=False, timeout=90)
        self.ended: list[dict[str, Any]] = []
        self.answers: list[str] = []
        made = self.ask("POST", "/v1/keys", {"name": "theirs", "roles": ["admin"], "org": "other"}).json()
        self.their_key = {"Authorization": f"Bearer {made['key']}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Ask the gateway, and keep what it says."""
        content = body if isinstance(body, bytes) else None
        answer = self.client.request(method, path, json=None if content else body, content=content, **options)
        self.answers.append(f"{answer.headers}\n{answer.text}")
        return answer

    def keep(self, canary: Canary) -> None:
        """Set a secret as its org does, change it and set it back: in every way there is."""
        headers = self.their_key if canary.org == "other" else self.key
        path, body = f"/v1/secrets/{canary.name}", {"value": canary.value}
        made = self.ask(
            "POST", "/v1/secrets", {"name": canary.name, **body}, headers=headers | {"Idempotency-Key": canary.name}
        )
        assert made.status_code == 201, made.text
        assert self.ask("PUT", path, body, headers=headers).status_code == 200
        self.ask("GET", path, headers=headers)

    def misuse(self, canary: Canary) -> None:
        """Send a value in ways that are refused."""
        value, path = canary.value, "/v1/secrets"
        good = json.dumps({"name": "X", "value": value}).encode()
        for raw in (good[:-1], good + b"}", good.replace(b'"X"', b'"X y"'), b'{"name": "X", "value": [' + good + b"]}"):
            assert self.ask("POST", path, raw).status_code in (400, 422)
        for body in (
            {"name": value, "value": "X"},
            {"name": "X", "value": value * 3_000},
            {"name": "X", "value": value, "more": value},
            {"name": "X", "value": {"v": value}},
            {"name": canary.name, "value": value},
            value,
        ):
            assert 400 <= self.ask("POST", path, body).status_code < 500
        assert self.ask("PUT", f"{path}/NOT_THERE", {"value": value}).status_code == 404
        assert (
            self.ask("PUT", f"{path}/{canary.name}", {"value": value}, headers={"If-Match": '"9"'}).status_code == 412
        )
        assert self.ask("POST", path, good, headers={"Authorization": "Bearer no"}).status_code == 401
        assert self.ask("POST", path, good, headers={"Content-Type": "text/plain"}).status_code == 415

    def save(self, tool: dict[str, Any], headers: dict[str, str] | None = None) -> str:
        saved = self.ask("POST", "/v1/tools", tool, headers=headers or self.key)
        assert saved.status_code == 201, (tool, saved.text)
        return str(tool["name"])

    def call(self, name: str) -> None:
        wait = {"Prefer": "wait=60"}
        answer = self.ask("POST", "/v1/calls", {"tool": name, "arguments": arguments()}, headers=wait)
        assert answer.status_code == 200, answer.text
        self.ended.append(answer.json())

    def provoke(self, canary: Canary, *, sandbox: bool) -> None:
        """Save and call every tool with this secret, some side by side."""
        tools = [*http_tools(canary, self.up, self.nobody)]
        tools += [*sandbox_tools(canary, self.up, self.nobody)] if sandbox else []
        names = [self.save(tool) for tool in tools]
        with ThreadPoolExecutor(TOGETHER) as together:
            list(together.map(self.call, names))

    def codes(self) -> set[str]:
        return {call["error"]["code"] if "error" in call else call["state"] for call in self.ended}


def used(upstream: Upstream, town: Town) -> set[str]:
    """The canaries that the upstream was given: they were planted where they are found, and really used."""
    got = "\n".join(
        f"{request.path} {request.query} {request.headers} {request.body.decode(errors='replace')} "
        + _unbased(request.headers)
        for request in upstream.requests
    )
    return {name for name, canary in town.canaries.items() if canary.value in got or repr(canary.value)[1:-1] in got}


def _unbased(headers: Mapping[str, str]) -> str:
    kind, _, code = headers.get("authorization", "").partition(" ")
    return base64.b64decode(code).decode(errors="replace") if kind == "Basic" else ""


# ---- three processes over RabbitMQ and PostgreSQL ---------------------------------------------------
@pytest.fixture
def upstream_here(tmp_path: Path) -> Iterator[Upstream]:
    with Upstream(effects=tmp_path / "effects.jsonl") as server:
        yield server


def _environment(canaries: Mapping[str, Canary], folder: Path) -> dict[str, str | None]:
    """The settings that give a worker the secrets of its environment and of its files."""
    (folder / "secrets" / "default").mkdir(parents=True)
    for canary in canaries.values():
        if canary.name.startswith("FILE"):
            (folder / "secrets" / "default" / canary.name).write_text(canary.value)
    kept: dict[str, str | None] = {
        PREFIX + canary.name: canary.value for canary in canaries.values() if canary.name.startswith("ENV")
    }
    return kept | {"TOOLYARD_SECRETS_DIR": str(folder / "secrets"), "TOOLYARD_LOG_LEVEL": "debug"}


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_nothing_of_a_secret_is_found_in_a_system_of_processes(
    tmp_path: Path, amqp_url: str, postgres_url: str, upstream_here: Upstream
):
    canaries = plant()
    search = Search(canaries)
    allow = "127.0.0.1"
    with ExitStack() as stack:
        system = stack.enter_context(System(tmp_path, amqp=amqp_url, database=postgres_url, allow=allow))
        collector = stack.enter_context(Collector())
        system.env |= {"TOOLYARD_LOG_LEVEL": "debug", **collector.env()}
        system.start("scheduler", "scheduler")
        system.ready("scheduler")
        spy = stack.enter_context(closing(Spy(amqp_url)))
        system.start("gateway1", "gateway")
        of_workers = _environment(canaries, tmp_path)
        for pool in ("http", "sandbox"):
            system.start(pool, "worker", pool, env=of_workers)
        system.ready("gateway1", "http", "sandbox")

        town = stack.enter_context(Town(system.url(), KEY, canaries, upstream_here))
        with (
            Watch(search, [system.processes[pool].pid for pool in ("http", "sandbox", "gateway1")]) as watch,
            Follower(system.url(), town.key) as follower,
        ):
            for canary in canaries.values():
                if canary.name.startswith("STORE"):
                    town.keep(canary)
            town.misuse(canaries["STORE_ODD"])
            for canary in canaries.values():
                if canary.org == "default":
                    town.provoke(canary, sandbox=True)
            _cross_org(town)
            _webhook(town, search, stack.enter_context(receiving()))
            _another_worker(system, of_workers, town)

        assert town.codes() >= PROVOKED | IN_SANDBOX
        assert used(upstream_here, town) >= canaries.keys() - {"STORE_OTHERS", "STORE_LONG"}
        assert watch.children
        assert spy.report(search) > 500
        spy.peek(search)
        assert spy.stream(search) > 500
        for line in follower.told:
            search.look("live feed", line)
        for name, process in system.processes.items():
            search.look(f"log of {name}", process.output())
        for part in ("gateway1", "http", "sandbox", "scheduler"):
            search.look("metrics", httpx.get(f"{system.url(part)}/metrics", trust_env=False).text)
        for table, row in tables_of(postgres_url):
            search.look(f"table {table}", row)
        _look_at_answers(town, search)
        _look_at_traces(system, collector, search)
    assert search.found == set()
    assert search.marked >= {"messages", "log", "table calls", "answers", "calls", "traces"}
    assert {"live feed", "process list", "environments of children", "secrets on the wire"} <= search.seen.keys()
    assert all(search.seen[place] > 0 for place in search.seen)


def _look_at_answers(town: Town, search: Search) -> None:
    for answer in town.answers:
        search.look("answers", answer)
    for call in town.ended:
        search.look("calls", town.client.get(f"/v1/calls/{call['call_id']}").text)
        search.look("events of calls", town.client.get(f"/v1/calls/{call['call_id']}/events").text)


def _look_at_traces(system: System, collector: Collector, search: Search) -> None:
    for process in system.processes.values():
        process.terminate()  # exports what is left
    search.look("traces", collector.raw())


def _cross_org(town: Town) -> None:
    """Another org names this org's secrets, and this org the other's: neither gets anything, in no way."""
    for name in ("ENV_PLAIN", "FILE_PLAIN", "STORE_PLAIN"):
        tool = next(http_tools(town.canaries[name], town.up, town.nobody)) | {"timeout": 30}
        town.save(tool, town.their_key)
        body = {"tool": tool["name"], "arguments": {}}
        call = town.ask("POST", "/v1/calls", body, headers=town.their_key | {"Prefer": "wait=60"}).json()
        assert (call["org"], call["error"]["code"], call["effect"]) == ("other", "tool_error", "none")
        assert town.ask("GET", f"/v1/secrets/{name}", headers=town.their_key).status_code == 404
        assert town.ask("DELETE", f"/v1/secrets/{name}", headers=town.their_key).status_code == 404
    others = town.canaries["STORE_OTHERS"]
    ours = next(http_tools(others, town.up, town.nobody)) | {"timeout": 30}
    town.save(ours)
    town.call(ours["name"])
    assert town.ended[-1]["error"]["code"] == "tool_error"
    assert town.ask("GET", f"/v1/secrets/{others.name}").status_code == 404


def _webhook(town: Town, search: Search, receiver: Receiver) -> None:
    """The secrets of a webhook, which its receiver says back when it refuses.

    They stand in the two answers that show them, which are not looked at, and nowhere else.
    """
    made = town.client.post("/v1/webhooks", json={"url": receiver.url, "tools": ["none"]}).json()
    path = f"/v1/webhooks/{made['webhook_id']}"
    secrets = [made["secret"], town.client.post(f"{path}/rotate").json()["secret"]]
    for number, secret in enumerate(secrets):
        search.add(Canary(f"WEBHOOK{number}", secret))
        search.add(Canary(f"WEBHOOK{number}_KEY", secret.removeprefix("whsec_")))
    receiver.answers, receiver.body = (lambda _: (500, {})), " and ".join(secrets).encode()
    assert town.ask("POST", f"{path}/test").status_code == 202
    (got, *_) = receiver.wait_for(1)
    assert got.verified(secrets[0]) == got.verified(secrets[1])

    def tried() -> Any:
        (delivery,) = town.ask("GET", f"{path}/deliveries").json()["items"]
        return delivery if delivery["attempts"] else None

    delivery = wait_until(tried, within=60, what="what became of the delivery")
    assert delivery["error"] == "answered 500: [redacted:secret1] and [redacted:secret0]"
    for asked in (path, "/v1/webhooks", "/v1/secrets"):
        assert town.ask("GET", asked).status_code == 200


def _another_worker(system: System, env: dict[str, str | None], town: Town) -> None:
    """A worker that dies with a secret in its hand, and one that comes after it."""
    held = {
        **next(http_tools(town.canaries["STORE_PLAIN"], town.up, town.nobody)),
        "name": "outlives_its_worker",
        "timeout": 20,
        "binding": {
            "type": "http",
            "method": "GET",
            "url": f"{town.up}/sleep/20",
            "query": {"v": "${secrets.STORE_PLAIN}"},
        },
    }
    town.save(held)
    body = {"tool": "outlives_its_worker", "arguments": arguments()}
    town.ask("POST", "/v1/calls", body, headers={"Prefer": "wait=0"})
    leash.kill_all(system.processes["http"].pid)
    system.processes["http"].kill()
    system.start("http2", "worker", "http", env=env)
    system.ready("http2")
    system.ports["http"] = system.ports["http2"]


# ---- one process over SQLite --------------------------------------------------------------------
@pytest.mark.proof
@pytest.mark.timeout(600)
def test_nothing_of_a_secret_is_found_in_the_folder_of_the_one_process(tmp_path: Path, upstream_here: Upstream):
    canaries = plant()
    search = Search(canaries)
    env = _environment(canaries, tmp_path) | {"TOOLYARD_EGRESS_ALLOW": "127.0.0.1"}
    with ExitStack() as stack:
        dev = stack.enter_context(Dev(tmp_path, "--no-upstream", env=env))
        town = stack.enter_context(Town(dev.told["address"], dev.told["api_key"], canaries, upstream_here))
        with Watch(search, [dev.process.pid]):
            for canary in canaries.values():
                if canary.name.startswith("STORE"):
                    town.keep(canary)
            town.misuse(canaries["STORE_ODD"])
            for canary in canaries.values():
                if canary.org == "default":
                    town.provoke(canary, sandbox=not dev.told["sandbox"].get("left_out"))
            _cross_org(town)
            _webhook(town, search, stack.enter_context(receiving()))
        _look_at_answers(town, search)
        _look_at_files(tmp_path / ".toolyard", search)
        assert dev.process.terminate() == 0
        search.look("output", dev.process.output())
    _look_at_files(tmp_path / ".toolyard", search)
    assert town.codes() >= PROVOKED
    assert used(upstream_here, town) >= canaries.keys() - {"STORE_OTHERS", "STORE_LONG"}
    assert search.found == set()
    assert {"file toolyard.db", "answers", "calls"} <= search.marked


def _look_at_files(folder: Path, search: Search) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            search.look(f"file {file.name}", file.read_bytes())


# ---- the search itself --------------------------------------------------------------------------
def test_the_search_finds_what_it_looks_for():
    canaries = plant()
    for canary in canaries.values():
        for how, form in canary.forms():
            search = Search(canaries)
            search.look("here", b"before " + form + b" after")
            assert ("here", canary.name, how) in search.found
    search = Search(canaries)
    search.look("here", f"nothing but {MARKER}")
    assert (search.found, search.marked) == (set(), {"here"})
