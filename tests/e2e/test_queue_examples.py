"""The examples of `examples/queue/`, as their readers run them: a thousand calls with pika, a hundred with amqplib."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker
from tests.support import upstream as upstream_server
from tests.support.pages import ROOT
from tests.support.processes import ServerMissingError
from tests.support.rabbit import RabbitNode
from tests.support.system import KEY, System, http_tool

from toolyard.cli import topology_followers
from toolyard.client import AmqpClient, Refused

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(600)]

EXAMPLES = ROOT / "examples" / "queue"
PAGE = ROOT / "docs" / "howto" / "queue.md"
WITHIN = 300


@dataclass(frozen=True)
class Broker:
    """A vhost with users that may do what the page says, and nothing else."""

    node: RabbitNode
    vhost: str

    def add(self, name: str, configure: str, write: str, read: str, keys: dict[str, str] | None = None) -> str:
        self.node.ctl("add_user", name, "secret")
        self.node.ctl("set_permissions", "-p", self.vhost, name, configure, write, read)
        if keys:
            self.node.ctl(
                "set_topic_permissions", "-p", self.vhost, name, keys["exchange"], keys["write"], keys["read"]
            )
        where = urlsplit(self.node.url(self.vhost))
        return f"amqp://{name}:secret@{where.hostname}:{where.port}{where.path}"

    def add_follower(self, org: str) -> str:
        rights, keys = topology_followers.permissions(org), topology_followers.keys(org)
        name = topology_followers.user(org)
        return self.add(name, rights["configure"], rights["write"], rights["read"], keys)


@pytest.fixture(scope="module")
def around(private_broker_module: RabbitNode) -> Iterator[Broker]:
    made = Broker(private_broker_module, "examples")
    private_broker_module.add_vhost(made.vhost)
    yield made
    private_broker_module.delete_vhost(made.vhost)


@pytest.fixture(scope="module")
def env(around: Broker, tmp_path_factory: pytest.TempPathFactory, postgres_url_module: str) -> Iterator[dict[str, str]]:
    """A running system, and what an example is told of it."""
    folder = tmp_path_factory.mktemp("system")
    process, address = upstream_server.spawn(folder / "effects.jsonl")
    allow = address.removeprefix("http://")
    url = around.node.url(around.vhost)
    with process, System(folder, amqp=url, database=postgres_url_module, allow=allow) as running:
        running.env["TOOLYARD_FEED_STREAMS"] = "default,other"
        running.start_all(gateways=2)
        with running.client() as client:
            client.post("/v1/tools", json=http_tool("echo", "POST", f"{address}/echo")).raise_for_status()
            bound = {"name": "shop", "roles": ["caller"], "broker_user": "shop"}
            client.post("/v1/keys", json=bound).raise_for_status()
        yield {
            "PATH": os.environ["PATH"],
            "AMQP_URL": around.add("orders", *_rights(r"amq\.gen.*")),
            "FOLLOW_URL": around.add_follower("default"),
            "TOOLYARD_API_KEY": KEY,
        }


def _rights(queues: str) -> tuple[str, str, str]:
    """What a caller's user of the broker needs, as the page says, for reply queues of these names."""
    found = re.search(r"^rabbitmqctl set_permissions -p / orders '(.*)' '(.*)' '(.*)'$", PAGE.read_text(), re.MULTILINE)
    assert found is not None
    configure, write, read = (text.replace(r"answers\.orders\..*", queues) for text in found.groups())
    return configure, write, read


def ran(command: list[str], env: dict[str, str], folder: Path) -> dict[str, Any]:
    """What an example printed."""
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def complete(summary: dict[str, Any], number: int) -> None:
    """All answered; and of each call its acceptance, its start and its end, live and once more."""
    assert (summary["published"], summary["answers"], summary["calls"]) == (number, number, number)
    assert summary["states"] == {"succeeded": number}
    assert summary["events"] == 3 * number
    assert (summary["in_order"], summary["replayed_the_same"]) == (True, True)


@contextmanager
def signed_in(url: str) -> Iterator[Any]:
    """A channel of this user, and a queue of its own."""
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        channel.queue_declare("follow.other.more", exclusive=True)
        yield channel


def test_a_thousand_calls_with_pika_alone(env: dict[str, str], tmp_path: Path, around: Broker):
    stranger = around.add_follower("other")
    script = str(shutil.copy(EXAMPLES / "publish.py", tmp_path))
    with signed_in(stranger) as following:
        following.queue_bind("follow.other.more", "toolyard.feed", "other.#")
        summary = ran([sys.executable, "-P", script, "1000", "--tool", "echo", "--replay"], env, tmp_path)
        assert following.basic_get("follow.other.more")[0] is None

    complete(summary, 1000)
    for forbidden in (_binds_to_all, _binds_to_another, _reads_the_stream):
        with signed_in(stranger) as channel, pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
            forbidden(channel)


def _binds_to_all(channel: Any) -> None:
    channel.queue_bind("follow.other.more", "toolyard.feed", "#")


def _binds_to_another(channel: Any) -> None:
    channel.queue_bind("follow.other.more", "toolyard.feed", "default.#")


def _reads_the_stream(channel: Any) -> None:
    channel.basic_qos(prefetch_count=10)
    channel.basic_consume("toolyard.feed.default", print, arguments={"x-stream-offset": "first"})


def test_the_client_needs_no_more_rights_than_the_page_says(env: dict[str, str], around: Broker):
    url = around.add("shop", *_rights(r"answers\.shop\..*"))
    with AmqpClient(url, "") as client:
        assert client.call("echo").succeeded
    with AmqpClient(url, "", reply_queue="mine") as client, pytest.raises(Refused, match="ACCESS_REFUSED"):
        client.call("echo")


@pytest.fixture(scope="module")
def node_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example beside its installed packages."""
    if shutil.which("npm") is None:
        raise ServerMissingError(
            "no Node on this machine; install it with npm, for example: apt-get install nodejs npm"
        )
    folder = tmp_path_factory.mktemp("node") / "queue"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=WITHIN,
    )
    return folder


def test_a_hundred_calls_with_amqplib(env: dict[str, str], node_project: Path):
    summary = ran(["node", "publish.mjs", "100", "echo", "{}"], env | {"REPLAY": "1"}, node_project)

    complete(summary, 100)


def test_the_lock_pins_and_names_no_address():
    lock = (EXAMPLES / "package-lock.json").read_text()
    wanted = json.loads((EXAMPLES / "package.json").read_text())["dependencies"]

    assert "://" not in lock
    assert {f"node_modules/{name}" for name in wanted} <= json.loads(lock)["packages"].keys()
    assert all(version[0].isdigit() for version in wanted.values())
