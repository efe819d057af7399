"""Acceptance: what the processes of a system say of themselves: metrics, the same over OTLP, and logs of a call."""

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pika
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus
from tests.support import monitoring
from tests.support.collector import Collector
from tests.support.system import System, http_tool
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import LABELS
from toolyard.transport import topology

pytestmark = pytest.mark.usefixtures("uncounted")

PARTS: Final = {"gateway1": "gateway", "worker": "worker", "sandbox": "worker", "scheduler": "scheduler"}
USER, CONVERSATION = f"user-{secrets.token_hex(4)}", f"talk-{secrets.token_hex(4)}"
#: Shown by the workers of one pool alone.
_OF_LAMBDA: Final = {"toolyard_lambda_threads", "toolyard_lambda_clients", "toolyard_lambda_roles_assumed_total"}


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory,
    amqp_url_module: str,
    postgres_url_module: str,
    collector: Collector,
    upstream_module: Upstream,
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    with System(folder, amqp=amqp_url_module, database=postgres_url_module, allow="127.0.0.1") as running:
        running.env |= collector.env(OTEL_METRIC_EXPORT_INTERVAL="500")
        running.start_all()
        running.start("sandbox", "worker", "sandbox", env={"TOOLYARD_SANDBOX_MINIMUM": "degraded"})
        running.ready("sandbox")
        with running.client() as client:
            for tool in (
                http_tool("echo", "GET", f"{upstream_module.url}/echo"),
                http_tool("effect", "POST", f"{upstream_module.url}/effects"),
                http_tool("quiet", "GET", f"{upstream_module.url}/echo"),
                http_tool("ill", "GET", f"{upstream_module.url}/status/404"),
            ):
                saved = client.post("/v1/tools", json=tool)
                assert saved.status_code == 201, saved.text
        yield running


@pytest.fixture
def client(system: System) -> Iterator[httpx.Client]:
    with system.client() as found:
        yield found


def call(client: httpx.Client, tool: str, **more: Any) -> dict[str, Any]:
    body = {"tool": tool, "arguments": {}, "user": USER, "conversation": CONVERSATION, **more}
    answer = client.post("/v1/calls", json=body, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def shown(system: System, part: str, **headers: str) -> str:
    answer = httpx.get(f"{system.url(part)}/metrics", headers=headers, trust_env=False)
    return answer.raise_for_status().text


# ---- metrics ------------------------------------------------------------------------------------
def test_each_part_shows_the_metrics_that_the_catalogue_says_and_parsers_read_them(
    system: System, client: httpx.Client
):
    calls = [call(client, tool) for tool in ("echo", "effect", "ill")]
    wait_until(lambda: _counted(system, "upstream_error"), within=60, what="the ledger to count the failures")

    seen: dict[str, set[str]] = {}
    for name, part in PARTS.items():
        text = shown(system, name)
        families = list(read_prometheus(text))
        assert {family.name for family in families} == {
            family.name for family in read_openmetrics(shown(system, name, accept="application/openmetrics-text"))
        }
        assert all(family.documentation for family in families)
        seen.setdefault(part, set()).update(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
        labels = [label for family in families for sample in family.samples for label in sample.labels.items()]
        assert {label for label, _ in labels} <= LABELS | {"le"}, "no label by user, call or org"
        told = {value for _, value in labels}
        assert not told & {USER, CONVERSATION, "default", *(one["call_id"] for one in calls)}

    for part, names in seen.items():
        there_should_be = {metric.name for metric in catalogue.ALL if part in metric.parts}
        assert names == there_should_be - _OF_LAMBDA
    asked = [*(rule["expr"] for rule in monitoring.rules()), *monitoring.asked()]
    wanted = {name for expression in asked for name, _ in monitoring.selectors(expression)}
    exposed = set.union(*seen.values())
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in wanted} <= exposed


def _counted(system: System, code: str) -> bool:
    return f'toolyard_calls_failed_total{{code="{code}"}} 1' in shown(system, "scheduler")


def test_the_same_metrics_are_pushed_where_a_collector_is_named(
    system: System, client: httpx.Client, collector: Collector
):
    call(client, "echo")
    wanted = {
        "tool_executions",
        "tool_execution_duration_seconds",
        "toolyard_queue_wait_seconds",
        "toolyard_gateway_calls_accepted",
        "toolyard_gateway_request_seconds",
        "toolyard_ledger_records",
        "toolyard_build_info",
    }
    wait_until(lambda: wanted <= collector.metrics(), within=60, what=lambda: f"{wanted - collector.metrics()}")
    assert USER.encode() not in collector.raw()


# ---- logs ---------------------------------------------------------------------------------------
def lines(system: System, part: str) -> list[dict[str, Any]]:
    """Everything that a process has written: each line is JSON."""
    written, _, _ = (system.folder / f"{part}.log").read_text().rpartition("\n")  # the last one may be half a line
    return [json.loads(line) for line in written.splitlines()]


def about(system: System, part: str, call_id: str, level: str = "debug") -> list[dict[str, Any]]:
    return [line for line in lines(system, part) if line.get("call_id") == call_id and line["level"] == level]


def steps(system: System, made: dict[str, Any]) -> list[str]:
    """What the worker has said of a call."""
    return [line["event"] for line in about(system, "worker", made["call_id"])]


def test_a_tool_is_told_in_detail_for_a_while_in_all_processes_and_others_are_not(system: System, client: httpx.Client):
    answer = client.put("/v1/log-levels", json={"tool": "effect", "level": "debug", "seconds": 600})
    assert answer.status_code == 200, answer.text

    def heard() -> bool:
        made = call(client, "effect")["call_id"]
        return all(about(system, part, made) for part in ("gateway1", "worker", "scheduler"))

    wait_until(heard, within=60, what="all processes to have heard of the level")
    quiet, loud = call(client, "quiet"), call(client, "effect")
    wait_until(lambda: about(system, "scheduler", loud["call_id"]), within=60, what="the ledger's lines")

    for part in ("gateway1", "worker", "scheduler"):
        found = about(system, part, loud["call_id"])
        assert found
        for line in found:
            assert (line["trace_id"], line["tool"], line["org"]) == (loud["trace_id"], "effect", "default")
        assert about(system, part, quiet["call_id"]) == []
    wait_until(lambda: steps(system, loud)[-1] == "its end is told", within=60, what="the last of the worker's lines")
    assert steps(system, loud) == [
        "a delivery is in hand",
        "it may start",
        "its attempt starts",
        "it is clear how it ends",
        "its end is told",
    ]
    (recorded, *_) = about(system, "worker", loud["call_id"])
    assert re.fullmatch(r"[0-9a-f]{16}", recorded["span_id"]), "its trace is recorded here"


def test_it_ends_by_itself(system: System, client: httpx.Client):
    client.put("/v1/log-levels", json={"tool": "quiet", "level": "debug", "seconds": 1})

    def over() -> bool:
        made = call(client, "quiet")["call_id"]
        return not any(about(system, part, made) for part in ("gateway1", "worker"))

    wait_until(over, within=60, what="the level to be over")
    assert all(item.get("tool") != "quiet" for item in client.get("/v1/log-levels").json()["items"])


# ---- without the monitor channel ----------------------------------------------------------------
def test_losing_the_monitor_channel_never_affects_a_result(system: System, client: httpx.Client):
    """Heartbeats, breakers and what the feed is told go nowhere, while calls run that need a claim, and others."""
    assert call(client, "effect")["state"] == "succeeded"
    with _Channel(str(system.env["TOOLYARD_TRANSPORT_URL"])) as broker:
        lost = _monitor_bindings()
        assert len(lost) > 3
        for queue, exchange, key in lost:
            broker.queue_unbind(queue, exchange, key)
        broker.queue_purge(topology.SCHEDULER)

        ended = [call(client, tool) for tool in ("echo", "effect") * 10]

        for queue, exchange, key in lost:
            broker.queue_bind(queue, exchange, key)
    assert {one["state"] for one in ended} == {"succeeded"}
    effects = [one["call_id"] for one in ended if one["tool"] == "effect"]
    assert len(set(effects)) == 10
    for part in ("gateway1", "worker", "scheduler"):
        assert system.processes[part].exit_code is None
    system.ready("gateway1", "worker", "scheduler")


def _monitor_bindings() -> list[tuple[str, str, str]]:
    """Queue, exchange and key of all that takes messages of the monitor channel into shared queues."""
    return [
        (queue.name, exchange, key)
        for queue in topology.QUEUES
        for exchange, key in queue.bindings
        if key.startswith("monitor.") or queue.name == topology.RELAY
    ]


class _Channel:
    """A channel at the broker; a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> Any:
        self._connection = pika.BlockingConnection(pika.URLParameters(self._url))
        return self._connection.channel()

    def __exit__(self, *_: object) -> None:
        self._connection.close()
