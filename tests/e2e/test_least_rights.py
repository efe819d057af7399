"""Every part with its own user of the broker and its own keys: the whole way of calls, and what is put in between."""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pika
import pytest
from tests.support.broker_users import Users
from tests.support.ledger import Story
from tests.support.outsider import Outsider
from tests.support.rabbit import RabbitNode
from tests.support.system import KEY, System, http_tool
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

from toolyard import ids
from toolyard.clock import SYSTEM
from toolyard.contracts.tools import POOLS
from toolyard.security.signing import CORE, HEADER, Keyring, new_keys
from toolyard.transport import topology
from toolyard.transport.base import Message
from toolyard.transport.envelope import Envelope

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.proof]

SECRET = "s3cr3t-of-the-upstream"


@pytest.fixture(scope="module")
def users(private_broker_module: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    found = Users(private_broker_module, "least", tmp_path_factory.mktemp("least"))
    yield found
    found.remove()


class Parts(System):
    """A system whose parts sign in as themselves, and only look whether the topology is there."""

    def __init__(self, *args: Any, users: Users, **options: Any) -> None:
        super().__init__(*args, **options)
        self.users = users
        self.keys = new_keys("test")
        self.env |= {"TOOLYARD_TOPOLOGY": "check", "TOOLYARD_SECRETS_KEY": f"k:{secrets.token_hex(32)}"}

    def start_part(self, name: str, part: str, *command: str) -> None:
        pool = part.partition("-")[2]
        own: dict[str, str | None] = {"TOOLYARD_TRANSPORT_URL": self.users.url(part)}
        if pool:
            nothing = ("TOOLYARD_SECRETS_KEY", "TOOLYARD_DATABASE_URL")
            own |= dict.fromkeys(nothing) | {"TOOLYARD_PROFILE": "production"}
            own["TOOLYARD_SIGNING_KEYS"] = self.keys[pool]
        else:
            own["TOOLYARD_SIGNING_KEYS"] = ",".join(self.keys.values())
        self.start(name, *command, env=own)
        self.ready(name)


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, users: Users, postgres_url_module: str, upstream_module: Upstream
) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("system")
    allow = f"127.0.0.1:{upstream_module.port}"
    with Parts(folder, amqp="", database=postgres_url_module, allow=allow, users=users) as running:
        running.start_part("scheduler", "scheduler", "scheduler")
        running.start_part("gateway1", "gateway", "gateway")
        running.start_part("worker", "worker-http", "worker", "http")
        with running.client() as client:
            url = f"http://127.0.0.1:{upstream_module.port}"
            signed_in = {"authentication": {"type": "bearer", "secret": "UPSTREAM"}, "secrets": ["UPSTREAM"]}
            for tool in (
                http_tool("reads", "GET", f"{url}/echo"),
                http_tool("writes", "POST", f"{url}/effects"),
                http_tool("waits", "POST", f"{url}/held", timeout=60),
                http_tool("breaks", "GET", f"{url}/provider", annotations={"read_only": True}),
                http_tool("signs_in", "GET", f"{url}/echo"),
            ):
                if tool["name"] == "signs_in":
                    tool["binding"]["authentication"] = signed_in["authentication"]
                    tool["secrets"] = signed_in["secrets"]
                assert client.post("/v1/tools", json=tool).status_code == 201
            assert client.post("/v1/secrets", json={"name": "UPSTREAM", "value": SECRET}).status_code == 201
        yield running
        for name, process in running.processes.items():
            assert "ACCESS_REFUSED" not in process.output(), f"{name} wanted what it may not"


@pytest.fixture
def client(system: Parts) -> Iterator[httpx.Client]:
    with system.client() as found:
        yield found


def call(client: httpx.Client, tool: str, **fields: Any) -> dict[str, Any]:
    asked = client.post("/v1/calls", json={"tool": tool, "arguments": {}, **fields}, headers={"Prefer": "wait=60"})
    assert asked.status_code == 200, asked.text
    found: dict[str, Any] = asked.json()
    return found


def test_a_call_that_may_run_twice_runs(client: httpx.Client):
    assert call(client, "reads")["state"] == "succeeded"


def test_a_call_that_may_not_is_claimed(client: httpx.Client):
    assert call(client, "writes")["state"] == "succeeded"


def test_a_tool_gets_its_secret_from_the_scheduler(client: httpx.Client):
    ended = call(client, "signs_in")
    assert ended["state"] == "succeeded"
    assert SECRET not in json.dumps(ended)


def test_many_at_once_end_together(client: httpx.Client):
    calls: list[dict[str, Any]] = [{"tool": tool, "arguments": {}} for tool in ("reads", "writes") * 40]
    answer = client.post("/v1/calls/batch", json={"calls": calls}, headers={"Prefer": "wait=60"}).json()
    assert {each["state"] for each in answer["calls"]} == {"succeeded"}


def test_requests_from_the_queue_are_answered_also_those_that_wait_as_tickets(
    system: Parts, client: httpx.Client, upstream_module: Upstream
):
    upstream_module.hold()
    try:
        with Outsider(system.users.admin, key=KEY) as outsider:
            assert outsider.answer({"tool": "reads"}).outcome == "succeeded"
            asked = outsider.ask({"tool": "waits"}, headers={"prefer": "wait=25"})
            (answered,) = outsider.take(1, within=120)
        assert (answered.correlation_id, answered.outcome) == (asked, "running")
        client.post(f"/v1/calls/{answered.body['call_id']}/cancel").raise_for_status()
    finally:
        upstream_module.let_go()


def test_a_running_call_is_cancelled(client: httpx.Client, upstream_module: Upstream):
    upstream_module.hold()
    try:
        asked = {"tool": "waits", "arguments": {}}
        begun = client.post("/v1/calls", json=asked, headers={"Prefer": "wait=0"}).json()
        path = f"/v1/calls/{begun['call_id']}"
        wait_until(lambda: client.get(path).json()["state"] == "running", within=60, what="it runs")
        assert client.post(f"{path}/cancel").status_code in (200, 202)
        assert client.get(path, params={"wait": 60}).json()["state"] == "cancelled"
    finally:
        upstream_module.let_go()


def test_a_pause_parks_and_a_resume_lets_go(client: httpx.Client):
    assert client.post("/v1/tools/reads/pause").is_success
    wait_until(lambda: client.get("/v1/tools/reads").json()["paused"], within=60, what="the ledger knows of the pause")
    begun = client.post("/v1/calls", json={"tool": "reads", "arguments": {}}, headers={"Prefer": "wait=0"}).json()
    path = f"/v1/calls/{begun['call_id']}"
    wait_until(lambda: client.get(path).json()["state"] == "scheduled", within=60, what="it is parked")
    assert client.post("/v1/tools/reads/resume").is_success
    assert client.get(path, params={"wait": 60}).json()["state"] == "succeeded"


def test_a_schedule_fires(client: httpx.Client):
    made = {"name": "often", "every": 1, "tool": "reads", "arguments": {}}
    assert client.post("/v1/schedules", json=made).status_code == 201
    wait_until(lambda: client.get("/v1/schedules/often").json().get("last"), within=60, what="the schedule has fired")
    assert client.post("/v1/schedules/often/pause").is_success


def test_a_breaker_is_told(client: httpx.Client, upstream_module: Upstream):
    def opened() -> bool:
        client.post("/v1/calls", json={"tool": "breaks", "arguments": {}}, headers={"Prefer": "wait=0"})
        return any(pool["breakers"] for pool in client.get("/v1/pools").json()["items"])

    upstream_module.ill = True
    try:
        wait_until(opened, within=60, what="the gateway has heard that a breaker is open")
    finally:
        upstream_module.ill = False


def test_events_are_followed(client: httpx.Client):
    begun = call(client, "reads")
    with client.stream("GET", f"/v1/calls/{begun['call_id']}/events") as lines:
        assert any("succeeded" in line for line in lines.iter_lines())


def forgeries(keys: dict[str, str]) -> Iterator[tuple[Message, str]]:
    """Messages that somebody with all rights at the broker may publish, and what whoever reads it first says of it."""
    core, http = Envelope(Keyring.parse(",".join(keys.values()))), Envelope(Keyring.parse(keys["http"]))
    other, stranger = Envelope(Keyring.parse(keys["lambda"])), Envelope(Keyring({"x": bytes(32)}))
    now = SYSTEM.now()
    story = Story(f"forged-{secrets.token_hex(8)}", accepted_at=now, deadline=now + 300)
    call, end = core.call(story.accepted()), http.event(story.ended())
    lambdas = core.call(Story("forged-for-lambda", pool="lambda").accepted())
    yield replace(call, message_id=ids.new_id(), headers={}), "not signed"
    yield replace(call, message_id=ids.new_id(), headers={HEADER: "v1,nobody,00"}), "unknown key"
    yield replace(call, body=call.body.replace(b"Bern", b"Rome")), "not of this message"
    yield replace(call, message_id=ids.new_id()), "not of this message"
    yield replace(core.call(story.accepted()), expiration="600000"), "not of this message"
    yield replace(lambdas, key=lambdas.key.replace(".lambda.", ".http.")), "unknown key|not of this message"
    yield stranger.call(story.accepted()), "unknown key"
    yield other.call(story.accepted()), "unknown key|may not say"
    yield http.call(story.accepted()), "may not say"
    yield replace(end, message_id=ids.new_id(), headers={}), "not signed"
    yield replace(end, body=end.body.replace(b'"done"', b'"none"')), "not of this message"
    yield other.event(story.ended()), "may not speak for another pool"
    yield http.event(story.verdict()), "may not say"
    yield http.event(story.ending()), "may not say"
    yield http.control(story.cancel(), org="default"), "may not say"
    yield other.control(story.claim(), pool="http"), "may not speak for another pool"
    yield http.control(story.released(), pool="lambda"), "may not speak for another pool"


def letters(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/dead-letters", params={"limit": 200}).json()["items"]
    return found


def test_what_is_forged_is_put_away_and_told(client: httpx.Client, users: Users, system: Parts):
    wanted = list(forgeries(system.keys))
    with pika.BlockingConnection(pika.URLParameters(users.admin)) as connection:
        channel = connection.channel()
        for each, _ in wanted:
            properties = pika.BasicProperties(
                headers=dict(each.headers),
                message_id=each.message_id,
                delivery_mode=2,
                expiration=each.expiration or None,
            )
            channel.basic_publish(each.exchange, each.key, each.body, properties)

    def missing() -> list[str]:
        put_away = [(letter["message_id"], letter["key"], letter["reason"]) for letter in letters(client)]
        return [
            f"{each.key}: {said}"
            for each, said in wanted
            if not any((each.message_id, each.key) == found[:2] and re.search(said, found[2]) for found in put_away)
        ]

    wait_until(lambda: not missing(), within=60, what=lambda: f"these are put away: {missing()}")
    for part, reason in (("scheduler", "not_entitled"), ("scheduler", "forged"), ("worker", "forged")):

        def counted(part: str = part, reason: str = reason) -> bool:
            numbers = httpx.get(f"{system.url(part)}/metrics", trust_env=False).text
            return re.search(rf'toolyard_signature_failures_total\{{reason="{reason}"\}} [1-9]', numbers) is not None

        wait_until(counted, within=60, what=f"{part} to count what is {reason}")
        system.processes[part].wait_for_line(r'"security": ?true')


def test_a_call_that_is_played_again_to_its_worker_is_put_away(client: httpx.Client, users: Users):
    with pika.BlockingConnection(pika.URLParameters(users.admin)) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, topology.CALLS, "call.accepted.http.*.*.reads")
        assert call(client, "reads")["state"] == "succeeded"
        copied = lambda: (got := channel.basic_get(queue, auto_ack=True))[0] and got  # noqa: E731
        method, properties, body = wait_until(copied, within=60, what="the copy of the call")
        channel.basic_publish(topology.CALLS, method.routing_key, body, properties)

    def put_away() -> bool:
        return any(
            letter["message_id"] == properties.message_id and "came before" in letter["reason"]
            for letter in letters(client)
        )

    wait_until(put_away, within=60, what="what was played again is put away")


def test_a_worker_is_drained_and_its_successor_goes_on(client: httpx.Client, system: Parts):
    assert system.processes["worker"].terminate(within=60) == 0
    system.start_part("worker", "worker-http", "worker", "http")
    assert call(client, "writes")["state"] == "succeeded"


def test_a_worker_with_a_core_key_does_not_start_in_production(system: Parts):
    env: dict[str, str | None] = {
        "TOOLYARD_TRANSPORT_URL": system.users.url("worker-lambda"),
        "TOOLYARD_SIGNING_KEYS": f"{system.keys[CORE]},{system.keys[POOLS[0]]}",
        "TOOLYARD_PROFILE": "production",
        "TOOLYARD_SECRETS_KEY": None,
    }
    refused = system.start("too much", "worker", "lambda", env=env)
    assert refused.wait(within=60) == 1
    assert "has a core key" in refused.output()
    assert "has a key of http" in refused.output()
