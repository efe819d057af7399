"""`AmqpClient` with a real system, also while its connection is cut."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from tests.chaos.proxy import AmqpProxy
from tests.support import upstream as upstream_server
from tests.support.processes import free_port
from tests.support.services import Broker
from tests.support.system import KEY, System, http_tool
from tests.support.waiting import wait_until

from toolyard.client import NO_KEY, AmqpClient, Client, Refused, Unreachable
from toolyard.ids import new_id

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, amqp_url_module: str, postgres_url_module: str
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    process, address = upstream_server.spawn(folder / "effects.jsonl")
    allow = address.removeprefix("http://")
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    seconds = {"type": "object", "properties": {"seconds": {"type": "number"}}}
    with process, System(folder, amqp=amqp_url_module, database=postgres_url_module, allow=allow) as running:
        running.start_all()
        with running.client() as client:
            for tool in (
                http_tool("echo", "POST", f"{address}/echo", parameters=city),
                http_tool("slow", "POST", f"{address}/sleep/${{arguments.seconds}}", parameters=seconds),
            ):
                client.post("/v1/tools", json=tool).raise_for_status()
        yield running


@pytest.fixture
def client(system: System, amqp_url_module: str) -> Iterator[AmqpClient]:
    with AmqpClient(amqp_url_module, KEY) as made:
        yield made


def test_a_call_is_the_same_as_over_http(client: AmqpClient, system: System):
    call = client.call("echo", {"city": "Bern"}, user="ada", conversation="c", context={"tenant": 7})

    with Client(system.url(), KEY) as http:
        assert http.get(call.call_id) == call
    assert (call.state, call.user, call.context) == ("succeeded", "ada", {"tenant": 7})
    assert call.output()["path"] == "/echo"


def test_what_is_refused_is_an_error_with_its_fields(client: AmqpClient):
    with pytest.raises(Refused) as caught:
        client.call("echo", {"city": 7})
    assert (caught.value.refusal, caught.value.fields[0].path) == ("validation_failed", "arguments.city")
    with pytest.raises(Refused, match="is no JSON"):
        client.call("echo", {"city": float("nan")})


def test_a_turn_is_answered(client: AmqpClient):
    function = {"name": "echo", "arguments": '{"city": "Bern"}'}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": function}],
    }
    turn = client.turn(message, format="openai")

    assert [call.state for call in turn.calls] == ["succeeded"]
    assert turn.messages[0]["tool_call_id"] == "1"


def test_the_same_key_is_the_same_call(client: AmqpClient):
    key = new_id()
    first, second = (client.call("echo", {"city": "Bern"}, idempotency_key=key) for _ in range(2))

    assert (first.call_id, first.deduplicated) == (second.call_id, not second.deduplicated)
    assert client.call("echo", {"city": "Bern"}, idempotency_key=NO_KEY).succeeded


def test_many_are_under_way_at_once_from_many_threads(client: AmqpClient):
    with ThreadPoolExecutor(4) as threads:
        begun = list(threads.map(lambda n: client.submit("echo", {"city": str(n)}, wait=120), range(300)))
    calls = [future.result() for future in begun]

    assert {call.state for call in calls} == {"succeeded"}
    assert [call.arguments["city"] for call in calls] == [str(n) for n in range(300)]


def test_who_waits_no_longer_gets_the_call_as_it_stands(client: AmqpClient):
    key = new_id()
    first = client.call("slow", {"seconds": 3}, idempotency_key=key, wait=0)
    ended = client.call("slow", {"seconds": 3}, idempotency_key=key)

    assert (first.ended, first.call_id) == (False, ended.call_id)
    assert ended.succeeded


def test_a_connection_that_is_cut_loses_nothing_and_repeats_nothing(system: System, amqp_url_module: str):
    address = urlsplit(amqp_url_module)
    with (
        AmqpProxy(int(address.port or 5672)) as proxy,
        AmqpClient(proxy.url(unquote(address.path.removeprefix("/"))), KEY) as client,
    ):
        begun = [client.submit("slow", {"seconds": 1.5}, conversation="cut", wait=120) for _ in range(40)]
        begun += [client.submit("echo", {"city": str(n)}, conversation="cut", wait=120) for n in range(100)]
        begun[-1].result()
        assert proxy.cut_all()
        calls = [future.result() for future in begun]

    assert {call.state for call in calls} == {"succeeded"}
    with system.client() as http:

        def all_of_them() -> list[dict[str, Any]]:
            """The ledger may come to know of the last ones a moment after their answers."""
            items: list[dict[str, Any]] = http.get("/v1/calls?conversation=cut&limit=200").json()["items"]
            return items if len(items) >= len(calls) else []

        listed = wait_until(all_of_them, within=60, what="the ledger to know of all calls")
    assert sorted(item["call_id"] for item in listed) == sorted(call.call_id for call in calls)


def test_what_is_wrong_with_the_broker_is_told(broker: Broker, amqp_url_module: str):
    empty = broker.url_for_test()
    with AmqpClient(empty, KEY, retry_for=0) as client, pytest.raises(Unreachable, match=r"no queue toolyard.requests"):
        client.call("echo", {"city": "Bern"})
    broker.release(empty)
    nobody = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    with (
        AmqpClient(nobody, KEY, timeout=0.5, retry_for=0) as client,
        pytest.raises(Unreachable, match="cannot be reac"),
    ):
        client.call("echo", {"city": "Bern"}, wait=0)
    wrong = amqp_url_module.replace("guest:guest", "guest:secret-word")
    with AmqpClient(wrong, KEY, retry_for=0) as client, pytest.raises(Refused, match="user, the password") as caught:
        client.call("echo", {"city": "Bern"})
    assert "secret-word" not in str(caught.value)
    with pytest.raises(Refused, match="is no URL"):
        AmqpClient("amqp://guest:secret-word@[/", KEY)


def test_a_closed_client_says_so(amqp_url_module: str, system: System):
    client = AmqpClient(amqp_url_module, KEY)
    begun = client.submit("slow", {"seconds": 3})
    client.close()
    with pytest.raises(Unreachable, match="closed"):
        begun.result()
    with pytest.raises(Unreachable, match="closed"):
        client.call("echo", {"city": "Bern"})


def test_without_pika_the_extra_is_named():
    code = "import sys; sys.modules['pika'] = None\nfrom toolyard.client import AmqpClient\nAmqpClient('amqp://a', 'k')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "pip install 'toolyard[amqp]'" in done.stderr.splitlines()[-1]
