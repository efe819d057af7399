"""The loops of `examples/` with the providers' own packages: three rounds of tools, and a gateway killed amidst."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from examples import anthropic_loop, openai_loop
from tests.support.embedded import Dev
from tests.support.processes import free_port
from tests.support.provider import Provider, Round, final_text
from tests.support.system import KEY, System, http_tool
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

from toolyard.client import Client, requests

pytestmark = pytest.mark.usefixtures("uncounted")

#: The second round is held open by its report.
ROUNDS: list[Round] = [
    [("weather__current", {"city": "Bern"}), ("weather__current", {"city": "Rome"}), ("orders__place", {"order": 1})],
    [("orders__place", {"order": 2}), ("report", {"day": "today"})],
    [("orders__place", {"order": 3})],
]
ORDERS = 3
TOLD = ["Bern: sunny", "Rome: sunny", "order 1", "order 2", "report of today", "order 3"]
SAID = final_text([json.dumps(text) for text in TOLD])
Loop = Callable[[str, Client, str], str]


def openai_says(provider: str, tools: Client, conversation: str) -> str:
    question: Any = {"role": "user", "content": "Go."}
    with openai.OpenAI(api_key="x", base_url=f"{provider}/v1", max_retries=0) as model:
        return openai_loop.run(model, tools, "scripted", [question], conversation=conversation)


def anthropic_says(provider: str, tools: Client, conversation: str) -> str:
    question: Any = {"role": "user", "content": "Go."}
    with anthropic.Anthropic(api_key="x", base_url=provider, max_retries=0) as model:
        return anthropic_loop.run(model, tools, "scripted", [question], conversation=conversation)


LOOPS: dict[str, Loop] = {"openai": openai_says, "anthropic": anthropic_says}


@dataclass
class Running:
    """A system whose gateway can be killed.

    Attributes:
        restart: kills the gateway, and starts it again at its address.
        alone: whether it dies alone.
    """

    client: Client
    upstream: Upstream
    restart: Callable[[], None]
    alone: bool


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider(ROUNDS) as server:
        yield server


@pytest.fixture(scope="module", params=["embedded", "rabbitmq"])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream_module: Upstream) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        yield from _embedded(folder, upstream_module)
    else:
        amqp, database = (request.getfixturevalue(name) for name in ("amqp_url_module", "postgres_url_module"))
        yield from _over_rabbitmq(folder, upstream_module, amqp, database)


def _embedded(folder: Path, upstream: Upstream) -> Iterator[Running]:
    env = {"TOOLYARD_EGRESS_ALLOW": upstream.url.removeprefix("http://"), "TOOLYARD_API_KEY": KEY}
    port = free_port()
    started: list[Dev] = []

    def start() -> None:
        started.append(Dev(folder, "--no-upstream", port=port, env=env).wait_until_ready())

    def restart() -> None:
        started[-1].process.kill()
        start()

    try:
        start()
        yield from _running(started[-1].told["address"], upstream, restart, alone=False)
    finally:
        for dev in started:
            dev.process.kill()
            dev.client.close()


def _over_rabbitmq(folder: Path, upstream: Upstream, amqp: str, database: str) -> Iterator[Running]:
    with System(folder, amqp=amqp, database=database, allow=upstream.url.removeprefix("http://")) as running:
        running.start_all()

        def restart() -> None:
            running.processes["gateway1"].kill()
            running.start("gateway1", "gateway")
            running.ready("gateway1")

        yield from _running(running.url(), upstream, restart, alone=True)


def _running(url: str, upstream: Upstream, restart: Callable[[], None], *, alone: bool) -> Iterator[Running]:
    with Client(url, KEY) as client:
        for tool in _tools(upstream.url):
            client.send(requests.create_tool(tool))
        yield Running(client, upstream, restart, alone)


def _tools(url: str) -> Iterator[dict[str, Any]]:
    def tool(name: str, takes: str, binding: dict[str, Any], data: str, /, **more: Any) -> dict[str, Any]:
        made = {"type": "http", **binding, "response_handling": {"data_field": data}}
        parameters = {"type": "object", "properties": {takes: {"type": ["string", "integer"]}}, "required": [takes]}
        return http_tool(name, "", "", parameters=parameters, **more) | {"binding": made}

    said = {"body": '{"text": "${arguments.city}: sunny"}'}
    yield tool("weather.current", "city", {"method": "GET", "url": f"{url}/status/200", "query": said}, "text")
    posted = {"method": "POST", "url": f"{url}/effects", "headers": {"Content-Type": "text/plain"}}
    yield tool("orders.place", "order", posted | {"body": "order ${arguments.order}"}, "body")
    held = posted | {"query": {"held": "1"}, "body": "report of ${arguments.day}"}
    yield tool("report", "day", held, "body", annotations={"idempotent": True}, timeout=120)


@pytest.fixture
def loops(system: Running, provider: Provider) -> Iterator[Callable[[str], list[Future[str]]]]:
    """Begins both loops, each in a thread of its own."""
    with ThreadPoolExecutor(len(LOOPS)) as threads:

        def begin(name: str) -> list[Future[str]]:
            return [
                threads.submit(loop, provider.url, system.client, f"{name}-{package}")
                for package, loop in LOOPS.items()
            ]

        yield begin


def orders(system: Running, name: str) -> list[str]:
    """How the orders of these conversations ended, as far as they have."""
    asked = [requests.list_calls(tool="orders.place", conversation=f"{name}-{package}") for package in LOOPS]
    calls = [call for request in asked for call in system.client.send(request)["items"]]
    return [call["state"] for call in calls if "finished_at" in call]


def effects(system: Running, before: int) -> Counter[tuple[str, str]]:
    """What happened upstream since then: each effect by its key, and how often."""
    return Counter((effect.body, effect.key) for effect in system.upstream.effects()[before:])


def test_both_loops_end_with_what_their_tools_answered(system: Running, loops: Any):
    before = len(system.upstream.effects())
    assert [loop.result(120) for loop in loops("calm")] == [SAID, SAID]
    assert set(effects(system, before).values()) == {1}
    assert len(effects(system, before)) == len(LOOPS) * (ORDERS + 1)


@pytest.mark.timeout(600)
def test_they_do_so_when_the_gateway_is_killed_in_the_middle_of_the_second_round(system: Running, loops: Any):
    before = len(system.upstream.effects())
    system.upstream.hold()
    try:
        begun = loops("killed")
        wait_until(lambda: len(system.upstream.held()) == len(LOOPS), within=60, what="both second rounds to be held")
        wait_until(lambda: orders(system, "killed") == ["succeeded"] * 4, within=60, what="two orders of each to end")
        system.restart()
    finally:
        system.upstream.let_go()

    assert [loop.result(120) for loop in begun] == [SAID, SAID]
    happened = effects(system, before)
    assert len(happened) == len(LOOPS) * (ORDERS + 1)
    assert {count for (body, _), count in happened.items() if "order" in body} == {1}
    assert max(happened.values()) == (1 if system.alone else 2), "a report that was cut off is made again under its key"
