"""The test services themselves: nodes serve, die and come back; tests are kept apart; nothing is left behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pika
import pika.exceptions
import psycopg
import pytest
from pika.adapters.utils.connection_workflow import AMQPConnectorStackTimeout
from tests.support import leash, services
from tests.support.postgres import PostgresNode
from tests.support.processes import Process, ProcessError, ServerMissingError, free_port
from tests.support.rabbit import RabbitNode
from tests.support.services import Broker, Database
from tests.support.upstream import ROOT, Upstream, read_effects, spawn
from tests.support.waiting import async_wait_until, wait_until


class Amqp:
    """A blocking connection that closes itself."""

    def __init__(self, url: str) -> None:
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = parameters.stack_timeout = 60
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()

    def __enter__(self) -> "Amqp":
        return self

    def __exit__(self, *_: object) -> None:
        if self.connection.is_open:
            self.connection.close()

    def publish(self, queue: str, body: bytes) -> None:
        self.channel.confirm_delivery()
        durable = pika.BasicProperties(delivery_mode=2)
        self.channel.basic_publish("", queue, body, durable, mandatory=True)

    def take(self, queue: str) -> bytes | None:
        method, _, body = self.channel.basic_get(queue, auto_ack=True)
        return body if method else None

    def exists(self, queue: str) -> bool:
        try:
            self.channel.queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            self.channel = self.connection.channel()
            return False
        return True


# -- the shared services ----------------------------------------------------------------------------


def test_a_broker_takes_a_message_and_gives_it_back(amqp_url: str) -> None:
    with Amqp(amqp_url) as amqp:
        amqp.channel.queue_declare("jobs", durable=True)
        amqp.publish("jobs", b"one")
        assert amqp.take("jobs") == b"one"


def test_each_test_has_a_place_of_its_own(broker: Broker) -> None:
    names = ["toolyard.log"] if isinstance(broker, services.GivenBroker) else ["toolyard.log", "anything"]
    first = broker.url_for_test()
    with Amqp(first) as amqp:
        for name in names:
            amqp.channel.queue_declare(name, durable=True)
    second = broker.url_for_test()
    with Amqp(second) as amqp:
        assert not any(amqp.exists(name) for name in names)
    broker.release(first)
    broker.release(second)


def test_a_place_can_be_taken_back_while_somebody_is_connected(broker: Broker) -> None:
    url = broker.url_for_test()
    with Amqp(url) as amqp:
        amqp.channel.queue_declare("toolyard.log", durable=True)
        broker.release(url)
        if not isinstance(broker, services.GivenBroker):
            with pytest.raises(pika.exceptions.AMQPConnectionError):  # a moment later
                wait_until(lambda: amqp.exists("no queue"), within=60, what="the end of the connection")


def test_the_module_has_a_vhost_that_lasts_one(amqp_url_module: str) -> None:
    with Amqp(amqp_url_module) as amqp:
        amqp.channel.queue_declare("kept", durable=True)
        amqp.publish("kept", b"for the next test")


def test_the_module_has_a_vhost_that_lasts_two(amqp_url_module: str) -> None:
    with Amqp(amqp_url_module) as amqp:
        assert amqp.take("kept") == b"for the next test"


def test_the_names_of_a_vhost_that_is_not_ours_are_deleted_before_a_test(amqp_url: str) -> None:
    given = services.GivenBroker(amqp_url, queues=["toolyard.log", "never.declared"], exchanges=["toolyard.calls"])
    with Amqp(amqp_url) as amqp:
        amqp.channel.exchange_declare("toolyard.calls", "topic", durable=True)
        amqp.channel.queue_declare("toolyard.log", durable=True)
        assert given.url_for_test() == amqp_url
        assert not amqp.exists("toolyard.log")
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no exchange"):
            amqp.channel.exchange_declare("toolyard.calls", passive=True)


def test_a_database_answers_a_query(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_each_test_has_a_database_of_its_own(postgres: Database, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("create table things (n int)")
        connection.commit()
        other = postgres.create_database()
        with psycopg.connect(other) as elsewhere, pytest.raises(psycopg.errors.UndefinedTable):
            elsewhere.execute("select * from things")
    postgres.drop_database(other)


def test_a_given_server_gets_a_database_for_each_test(postgres_url: str) -> None:
    given = services.ServerDatabase(f"{postgres_url}?application_name=tests")
    url = given.create_database()
    assert url.endswith("?application_name=tests")
    with psycopg.connect(url) as connection:
        assert connection.execute("select current_database() <> %s", [postgres_url]).fetchone() == (True,)
        given.drop_database(url)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")


def test_both_kinds_of_database_are_offered(database_url: str) -> None:
    assert database_url.startswith(("sqlite:///", "postgresql://"))


# -- finding them -----------------------------------------------------------------------------------


def test_the_address_of_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(services.AMQP_VARIABLE, "amqp://broker.example/tests")
    monkeypatch.setenv(services.DATABASE_VARIABLE, "postgresql+psycopg://db.example/tests")
    assert isinstance(services.find_broker(queues=[], exchanges=[]), services.GivenBroker)
    database = services.find_database()
    assert isinstance(database, services.ServerDatabase)
    assert database._url == "postgresql://db.example/tests"


@pytest.mark.parametrize(("node", "package"), [(RabbitNode, "rabbitmq-server"), (PostgresNode, "postgresql")])
def test_a_missing_server_fails_in_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, node: Any, package: str
) -> None:
    module = sys.modules[node.__module__]
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(module, "SCRIPT_FOLDERS" if node is RabbitNode else "PROGRAM_FOLDERS", ("/nowhere",))
    with pytest.raises(ServerMissingError):
        node()
    with pytest.raises(pytest.fail.Exception) as failure:
        services.installed(node, "SOME_VARIABLE")
    assert f"apt-get install {package}" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert failure.value.pytrace is False


# -- a private broker -------------------------------------------------------------------------------


@pytest.fixture
def vhost(private_broker: RabbitNode) -> Iterator[str]:
    name = 'drill "1"'
    yield private_broker.add_vhost(name)
    private_broker.delete_vhost(name)


def test_a_frozen_broker_answers_nothing_and_goes_on_later(private_broker: RabbitNode, vhost: str) -> None:
    parameters = pika.URLParameters(vhost)
    parameters.stack_timeout = parameters.socket_timeout = 1
    with Amqp(vhost) as amqp:
        with private_broker.suspended(), pytest.raises(AMQPConnectorStackTimeout):
            pika.BlockingConnection(parameters)
        amqp.channel.queue_declare("after")


def test_a_blocked_broker_tells_publishers_and_takes_their_messages_later(
    private_broker: RabbitNode, vhost: str
) -> None:
    told: list[str] = []
    with Amqp(vhost) as amqp:
        amqp.channel.queue_declare("jobs", durable=True)
        amqp.connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
        amqp.connection.add_on_connection_unblocked_callback(lambda _, __: told.append("unblocked"))

        def heard(count: int) -> bool:
            amqp.connection.process_data_events(0.05)
            return len(told) >= count

        with private_broker.blocked():
            amqp.channel.basic_publish("", "jobs", b"waits")
            wait_until(lambda: heard(1), within=60, what="the alarm to be told")
        wait_until(lambda: heard(2), within=60, what="the end of the alarm to be told")
        assert wait_until(lambda: amqp.take("jobs"), within=60, what="the message") == b"waits"
    assert told == ["low on memory", "unblocked"]


def test_connections_are_closed_with_a_reason_and_only_in_the_vhost_named(
    private_broker: RabbitNode, vhost: str
) -> None:
    with Amqp(vhost) as amqp, Amqp(private_broker.url()) as elsewhere:
        _lists_connections(private_broker, 2)
        assert private_broker.close_connections("a drill", vhost='drill "1"') == 1
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="a drill"):
            amqp.channel.queue_declare("jobs")
        elsewhere.channel.queue_declare("fine", exclusive=True)
        _lists_connections(private_broker, 1)
        assert private_broker.close_connections("all of them") == 1
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="all of them"):
            elsewhere.channel.queue_declare("fine", exclusive=True)


def _lists_connections(node: RabbitNode, count: int) -> None:
    """A node lists a connection a moment after it was opened, and a moment longer than it is there."""
    listed = "length(rabbit_networking:connections())"
    wait_until(lambda: node.evaluate(listed) == str(count), within=60, what=f"{count} connections")


def test_rabbitmqctl_speaks_to_the_node_and_says_what_it_refused(private_broker: RabbitNode) -> None:
    assert "/" in private_broker.ctl("list_vhosts").split()
    with pytest.raises(RuntimeError, match="no-such-command"):
        private_broker.ctl("no-such-command")
    with pytest.raises(RuntimeError, match="badarith"):
        private_broker.evaluate("1/0")


def test_erlang_is_evaluated_by_rabbitmqctl_where_erl_call_is_missing(
    private_broker: RabbitNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert private_broker.evaluate('{1 + 1, <<"two">>}') == '{2,<<"two">>}'


def test_a_broker_that_cannot_start_says_why_and_leaves_nothing() -> None:
    node = RabbitNode(config={"no_such_setting": "1"})
    with pytest.raises(ProcessError, match="no_such_setting"):
        node.start()
    node.discard()
    assert not node.running
    assert not node.folder.exists()


# -- a private database -----------------------------------------------------------------------------


def test_what_was_committed_survives_a_killed_database(private_postgres: PostgresNode) -> None:
    url = private_postgres.create_database()
    with psycopg.connect(url) as connection:
        connection.execute("create table things as select 7 as n")
        connection.commit()
        private_postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    private_postgres.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("select n from things").fetchone() == (7,)
    private_postgres.drop_database(url)


def test_a_database_whose_port_was_taken_starts_on_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        node = PostgresNode()
        node.port = stranger.getsockname()[1]
        with node:
            assert node.port != stranger.getsockname()[1]
    assert not node.folder.exists()


def test_a_database_restarts_at_the_same_address(private_postgres: PostgresNode) -> None:
    with psycopg.connect(private_postgres.url()) as connection:
        private_postgres.restart()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    with psycopg.connect(private_postgres.url()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_frozen_database_answers_nothing_and_goes_on_later(private_postgres: PostgresNode) -> None:
    with psycopg.connect(private_postgres.url()) as connection:
        with private_postgres.suspended(), pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(private_postgres.url(), connect_timeout=2)
        assert connection.execute("select 1").fetchone() == (1,)


# -- processes --------------------------------------------------------------------------------------

TALKER = "import sys, time; print('ready', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
PARENT = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True); "
    "print('child', child.pid, flush=True); time.sleep(600)"
)


def test_a_process_is_waited_for_by_its_output_and_ended() -> None:
    with Process([sys.executable, "-c", TALKER]) as process:
        assert process.wait_for_line("^(rea)dy$")[1] == "rea"
        assert process.terminate() == -signal.SIGTERM
        assert not process.running


def test_a_process_that_ends_too_early_fails_the_wait_with_its_last_words() -> None:
    with (
        Process([sys.executable, "-c", "print('no licence'); raise SystemExit(3)"]) as process,
        pytest.raises(ProcessError, match=r"(?s)ended with 3.*ready.*no licence"),
    ):
        process.wait_for_line("ready")


def test_a_process_that_ignores_its_end_is_killed_and_reported() -> None:
    with Process([sys.executable, "-c", STUBBORN]) as process:
        process.wait_for_line("ready")
        with pytest.raises(ProcessError, match="did not end within"):
            process.terminate(within=0.2)
        assert process.exit_code == -signal.SIGKILL


def test_what_a_process_started_dies_with_it() -> None:
    with Process([sys.executable, "-c", PARENT]) as process:
        child = int(process.wait_for_line(r"child (\d+)")[1])
        with process.suspended():
            assert leash.members(process.pid) == {process.pid, child}
        process.kill()
        assert not leash.alive(child)


def test_a_failing_test_shows_what_its_process_said() -> None:
    def fail() -> None:
        with Process([sys.executable, "-c", TALKER]) as process:
            process.wait_for_line("ready")
            raise ValueError("something else")

    with pytest.raises(ValueError, match="something else") as failure:
        fail()
    assert "ready" in failure.value.__notes__[0]


def test_the_environment_of_a_process_can_be_set_and_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GONE", "1")
    show = "import os; print(os.environ.get('GONE'), os.environ['SET'])"
    with Process([sys.executable, "-c", show], env={"GONE": None, "SET": "2"}) as process:
        process.wait_for_line("^None 2$")
        assert process.wait() == 0


def test_no_port_is_given_twice() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_test_run_however_it_ends(tmp_path: Path, end: signal.Signals) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import signal, time\n"
        "from tests.support.postgres import PostgresNode\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whatever those who run the tests ignore
        "node = PostgresNode().start()\n"
        "print(node._server.pid, node.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().split()
        assert leash.alive(int(pid))
        run.send_signal(end)
        run.wait(60)
    wait_until(lambda: not leash.alive(int(pid)), within=60, what="the server to be dead")
    wait_until(lambda: not Path(folder).exists(), within=60, what="its folder to be gone")


async def test_waiting_says_what_was_missing() -> None:
    with pytest.raises(TimeoutError, match=r"not within 0 s: the moon"):
        wait_until(lambda: False, within=0, what="the moon")
    answers = iter([0, 0, 42])

    async def answer() -> int:
        return next(answers)

    with pytest.raises(TimeoutError, match="the sun"):
        await async_wait_until(answer, within=0, what=lambda: "the sun")
    assert await async_wait_until(answer, within=1, what="an answer") == 42


# -- the upstream -----------------------------------------------------------------------------------


@pytest.fixture
def client(upstream: Upstream) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=upstream.url, trust_env=False) as client:
        yield client


def test_the_upstream_echoes_what_it_got(client: httpx.Client) -> None:
    answer = client.put("/echo/a b?x=1&y=", content="grüße", headers={"X-Mine": "v"}).json()
    assert (answer["method"], answer["path"], answer["query"]) == ("PUT", "/echo/a b", {"x": "1", "y": ""})
    assert (answer["body"], answer["headers"]["x-mine"]) == ("grüße", "v")
    chunked = client.post("/echo", content=iter([b"two ", b"pieces"])).json()
    assert chunked["body"] == "two pieces"
    assert client.head("/echo").content == b""
    assert client.get("/nowhere").status_code == 404


def test_the_upstream_answers_any_status(client: httpx.Client) -> None:
    busy = client.get("/status/429?retry_after=7")
    assert (busy.status_code, busy.headers["retry-after"], busy.json()) == (429, "7", {"status": 429})
    assert client.get("/status/204").content == b""
    assert client.get("/status/599?body=no").text == "no"
    moved = client.get("/redirect", params={"to": "http://127.0.0.1/there", "code": 307})
    assert (moved.status_code, moved.headers["location"]) == (307, "http://127.0.0.1/there")


def test_the_upstream_misbehaves_on_request(client: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/drop", content=b"x" * 1000)
    assert client.get("/slow-body?chunks=3&pause=0").text == "piece 0\npiece 1\npiece 2\n"
    assert len(client.get("/big/200000").content) == 200_000
    unannounced = client.get("/big/200000?length=no")
    assert (len(unannounced.content), "content-length" in unannounced.headers) == (200_000, False)
    bomb = client.get("/gzip-bomb?bytes=1000000")
    assert len(bomb.content) == 1_000_000
    assert bomb.num_bytes_downloaded < 2_000
    assert client.get("/nul").json() == {"text": "a\0b \ud800 c"}
    assert client.get("/binary").content == bytes(range(256))
    assert client.get("/text").text == "plain text, grüße\n"


def test_the_upstream_notes_a_client_that_left(client: httpx.Client, upstream: Upstream) -> None:
    assert client.get("/sleep/0").json() == {"slept": 0.0}
    with pytest.raises(httpx.ReadTimeout):
        client.get("/sleep/600", timeout=0.1)
    wait_until(lambda: upstream.requests[-1].abandoned, within=60, what="the upstream to see that the client left")
    assert not upstream.requests[0].abandoned


def test_the_upstream_counts_effects_by_key(client: httpx.Client, upstream: Upstream) -> None:
    for key in ("a", "b", "a"):
        client.post("/effects", headers={"Idempotency-Key": key}, content=b"{}")
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/effects?drop=1", headers={"Idempotency-Key": "c"})
    assert client.get("/effects").json() == {"a": 2, "b": 1, "c": 1}
    assert [upstream.count(key) for key in "abcd"] == [2, 1, 1, 0]
    assert [effect.n for effect in upstream.effects() if effect.key == "a"] == [1, 2]


def test_effects_survive_a_killed_upstream(tmp_path: Path) -> None:
    effects = tmp_path / "effects.jsonl"
    process, url = spawn(effects)
    with process, httpx.Client(base_url=url, trust_env=False) as client:
        assert process.wait_for_http(f"{url}/text") == 200
        with ThreadPoolExecutor(1) as beside:
            asked = beside.submit(client.post, "/effects?after=600", headers={"Idempotency-Key": "k"}, timeout=None)
            wait_until(lambda: effects.exists() and read_effects(effects), within=60, what="the effect")
            process.kill()
            assert isinstance(asked.exception(), httpx.TransportError)
        with pytest.raises(httpx.ConnectError):
            client.get("/text")
    with Upstream(effects=effects) as again:
        answer = httpx.post(f"{again.url}/effects", headers={"Idempotency-Key": "k"}, trust_env=False).json()
    assert answer == {"key": "k", "n": 2, "body": ""}
    assert [effect.n for effect in read_effects(effects)] == [1, 2]
