"""Writes the dashboards for Grafana into `dashboards/`: run it after a change here. A test compares.

A dashboard is rows of panels, and a panel is a title, a unit and what it asks Prometheus for.
"""  # noqa: INP001 - a folder of files for operators, not a package

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent / "dashboards"
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
#: Grafana's grid is 24 wide.
_WIDTH, _HEIGHT = 24, 8


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph.

    Attributes:
        asks: what is asked for -> the legend of what comes back.
        unit: Grafana's word for it.
    """

    title: str
    asks: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"


def _rate(metric: str, *by: str, where: str = "") -> str:
    grouped = f"by ({', '.join(by)}) " if by else ""
    return f"sum {grouped}(rate({metric}{where}[$__rate_interval]))"


def _quantile(part: float, histogram: str, *by: str, where: str = "") -> str:
    fallen = _rate(f"{histogram}_bucket", *by, "le", where=where)
    return f"histogram_quantile({part}, {fallen})"


_POOL: Final = '{pool=~"$pool"}'

OVERVIEW: Final = (
    Panel(
        "Calls accepted per second",
        {"sum(rate(toolyard_gateway_calls_accepted_total[$__rate_interval]))": "accepted"},
        "reqps",
    ),
    Panel("Calls ended per second, by state", {_rate("toolyard_calls_ended_total", "state"): "{{state}}"}, "reqps"),
    Panel("Calls that failed per second, by code", {_rate("toolyard_calls_failed_total", "code"): "{{code}}"}, "reqps"),
    Panel(
        "Requests refused per second, by code", {_rate("toolyard_gateway_refused_total", "code"): "{{code}}"}, "reqps"
    ),
    Panel(
        "Seconds of a request, 95 %, by route",
        {_quantile(0.95, "toolyard_gateway_request_seconds", "route"): "{{route}}"},
        "s",
    ),
    Panel(
        "Requests per second, by status",
        {_rate("toolyard_gateway_request_seconds_count", "status"): "{{status}}"},
        "reqps",
    ),
    Panel(
        "Open calls and waiting requests",
        {"sum(toolyard_gateway_open_calls)": "open", "sum(toolyard_gateway_waiting)": "waiting"},
    ),
    Panel("Backlog, by pool", {"max by (pool) (toolyard_pool_backlog)": "{{pool}}"}),
    Panel(
        "Age of the oldest call that waits, by pool", {"max by (pool) (toolyard_pool_oldest_seconds)": "{{pool}}"}, "s"
    ),
    Panel("Parked calls, by what they wait for", {"max by (reason) (toolyard_parked_calls)": "{{reason}}"}),
    Panel(
        "Requests by way of the queue per second, by result",
        {_rate("toolyard_requests_total", "result"): "{{result}}"},
        "reqps",
    ),
    Panel("Requests by way of the queue, in hand", {"sum(toolyard_requests_in_hand)": "in hand"}),
    Panel(
        "CPU, by process", {"rate(process_cpu_seconds_total[$__rate_interval])": "{{job}} {{instance}}"}, "percentunit"
    ),
    Panel("Memory, by process", {"process_resident_memory_bytes": "{{job}} {{instance}}"}, "bytes"),
    Panel("What runs", {"count by (part, version) (toolyard_build_info)": "{{part}} {{version}}"}, kind="stat"),
    Panel("Seconds since the newest start", {"time() - max(process_start_time_seconds)": "since"}, "s", "stat"),
)
POOL: Final = (
    Panel("Executions per second, by tool", {_rate("tool_executions_total", "tool", where=_POOL): "{{tool}}"}, "reqps"),
    Panel(
        "Failures per second, by code",
        {_rate("tool_execution_failures_total", "code", where=_POOL): "{{code}}"},
        "reqps",
    ),
    Panel(
        "Run time",
        {_quantile(part, "tool_execution_duration_seconds", where=_POOL): f"{part:.0%}" for part in (0.5, 0.95, 0.99)},
        "s",
    ),
    Panel(
        "Run time, 95 %, by tool",
        {_quantile(0.95, "tool_execution_duration_seconds", "tool", where=_POOL): "{{tool}}"},
        "s",
    ),
    Panel(
        "Queue wait",
        {_quantile(part, "toolyard_queue_wait_seconds", where=_POOL): f"{part:.0%}" for part in (0.5, 0.95, 0.99)},
        "s",
    ),
    Panel(
        "Queue wait, 95 %, by tool",
        {_quantile(0.95, "toolyard_queue_wait_seconds", "tool", where=_POOL): "{{tool}}"},
        "s",
    ),
    Panel("Backlog", {f"max by (pool) (toolyard_pool_backlog{_POOL})": "{{pool}}"}),
    Panel(
        "Age of the oldest call that waits", {f"max by (pool) (toolyard_pool_oldest_seconds{_POOL})": "{{pool}}"}, "s"
    ),
    Panel("Deliveries in hand, by worker", {"toolyard_worker_running": "{{instance}}"}),
    Panel("Claims that wait for an answer, by worker", {"toolyard_worker_waiting": "{{instance}}"}),
    Panel(
        "Claims per second, by answer", {_rate("toolyard_claims_total", "answer", where=_POOL): "{{answer}}"}, "reqps"
    ),
    Panel(
        "Seconds of a claim, 95 %", {_quantile(0.95, "toolyard_claim_seconds", "pool", where=_POOL): "{{pool}}"}, "s"
    ),
    Panel(
        "Breakers that are not closed: 1 half open, 2 open",
        {f"max by (circuit) (toolyard_breaker_state{_POOL})": "{{circuit}}"},
    ),
    Panel(
        "Attempts that a breaker turned away per second",
        {_rate("toolyard_circuit_open_total", "pool", where=_POOL): "{{pool}}"},
        "reqps",
    ),
)
LEDGER: Final = (
    Panel("Schedulers that lead", {"sum(toolyard_ledger_leading)": "leading"}, kind="stat"),
    Panel(
        "Seconds behind the log",
        {
            "max(toolyard_ledger_lag_seconds)": "ledger",
            "max(toolyard_gateway_ledger_lag_seconds)": "as gateways know it",
        },
        "s",
    ),
    Panel(
        "Records per second",
        {
            "sum(rate(toolyard_ledger_records_total[$__rate_interval]))": "applied",
            "sum(rate(toolyard_ledger_passed_over_total[$__rate_interval]))": "passed over",
        },
        "reqps",
    ),
    Panel(
        "Claims answered per second, by answer",
        {_rate("toolyard_claims_answered_total", "answer"): "{{answer}}"},
        "reqps",
    ),
    Panel(
        "Out of the ordinary, per second",
        {
            "sum(rate(toolyard_late_results_total[$__rate_interval]))": "late results",
            "sum(rate(toolyard_retries_total[$__rate_interval]))": "retries",
            "sum(rate(toolyard_older_attempts_total[$__rate_interval]))": "failures of older attempts",
            "sum(rate(toolyard_resubmitted_total[$__rate_interval]))": "submitted again",
            "sum(rate(toolyard_submission_conflicts_total[$__rate_interval]))": "conflicts",
            "sum(rate(toolyard_foreign_outcomes_total[$__rate_interval]))": "foreign outcomes",
        },
        "reqps",
    ),
    Panel(
        "Consents",
        {
            _rate("toolyard_authorizations_opened_total", "provider"): "asked {{provider}}",
            _rate("toolyard_authorization_seconds_count", "status"): "{{status}}",
        },
        "reqps",
    ),
    Panel("Seconds behind the log: the feed", {"max(toolyard_feed_lag_seconds)": "feed"}, "s"),
    Panel(
        "Orgs and followers of live events",
        {"max(toolyard_feed_orgs)": "orgs", "sum(toolyard_gateway_followers)": "followers"},
    ),
    Panel(
        "Events given to gateways per second",
        {
            "sum(rate(toolyard_feed_items_total[$__rate_interval]))": "events",
            "sum(rate(toolyard_feed_pages_total[$__rate_interval]))": "pages",
        },
        "reqps",
    ),
    Panel(
        "Followers cut off per second",
        {"sum(rate(toolyard_gateway_followers_cut_off_total[$__rate_interval]))": "cut off"},
        "reqps",
    ),
    Panel(
        "Events published for followers at the broker, per second",
        {
            f"sum(rate(toolyard_feed_{word}_total[$__rate_interval]))": word
            for word in ("published", "nacked", "unconfirmed", "lost", "dropped")
        },
        "reqps",
    ),
    Panel(
        "Webhook deliveries per second, by result",
        {_rate("toolyard_webhook_deliveries_total", "result"): "{{result}}"},
        "reqps",
    ),
    Panel("Age of the oldest event that no webhook has taken", {"max(toolyard_webhook_oldest_seconds)": "oldest"}, "s"),
    Panel("Messages in queues that are no pool's", {"max by (queue) (toolyard_queue_messages)": "{{queue}}"}),
    Panel(
        "Dead letters, by reason",
        {"sum by (reason) (increase(toolyard_dead_letters_total[$__rate_interval]))": "{{reason}}"},
    ),
)
SECURITY: Final = (
    Panel(
        "Messages that did not verify, by reason",
        {"sum by (reason) (increase(toolyard_signature_failures_total[$__rate_interval]))": "{{reason}}"},
    ),
    Panel(
        "Messages put away",
        {
            "sum(increase(toolyard_quarantined_total[$__rate_interval]))": "kept",
            "sum(increase(toolyard_worker_quarantined_total[$__rate_interval]))": "by workers",
        },
    ),
    Panel(
        "Connections denied, by pool and reason",
        {"sum by (pool, reason) (increase(toolyard_egress_denied_total[$__rate_interval]))": "{{pool}} {{reason}}"},
    ),
    Panel(
        "Questions for secrets, by answer", {_rate("toolyard_secrets_answered_total", "answer"): "{{answer}}"}, "reqps"
    ),
    Panel("Isolation, by level and worker", {"toolyard_sandbox_isolation": "{{level}} {{instance}}"}),
    Panel("Walls that do not stand", {"count by (wall) (toolyard_sandbox_wall == 0)": "{{wall}}"}),
    Panel(
        "Processes of tools that were ended, by reason",
        {"sum by (reason) (increase(toolyard_sandbox_kills_total[$__rate_interval]))": "{{reason}}"},
    ),
    Panel(
        "Runs and fork servers",
        {
            "sum(rate(toolyard_sandbox_runs_total[$__rate_interval]))": "runs",
            "sum(rate(toolyard_sandbox_fork_servers_total[$__rate_interval]))": "fork servers",
        },
        "reqps",
    ),
    Panel(
        "Webhooks about consents, by result",
        {_rate("toolyard_authorization_callbacks_total", "result"): "{{result}}"},
        "reqps",
    ),
    Panel("Clock offsets of workers", {"toolyard_worker_clock_offset_seconds": "{{instance}}"}, "s"),
)
#: File -> title, panels, and whether it asks which pool.
DASHBOARDS: Final[dict[str, tuple[str, tuple[Panel, ...], bool]]] = {
    "overview": ("Toolyard: overview", OVERVIEW, False),
    "pool": ("Toolyard: one pool", POOL, True),
    "ledger": ("Toolyard: ledger and feed", LEDGER, False),
    "security": ("Toolyard: security", SECURITY, False),
}


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard as Grafana imports it."""
    title, panels, by_pool = DASHBOARDS[name]
    return {
        "uid": f"toolyard-{name}",
        "title": title,
        "tags": ["toolyard"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables(by_pool=by_pool))},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _variables(*, by_pool: bool) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    if by_pool:
        query = "label_values(tool_executions_total, pool)"
        yield {
            "name": "pool",
            "label": "Pool",
            "type": "query",
            "datasource": _SOURCE,
            "definition": query,
            "query": {"query": query, "refId": "pool"},
            "includeAll": True,
            "multi": True,
            "refresh": 2,
        }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    half = _WIDTH // 2
    targets = [
        {"refId": chr(ord("A") + which), "expr": expr, "legendFormat": legend, "datasource": _SOURCE}
        for which, (expr, legend) in enumerate(panel.asks.items())
    ]
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "gridPos": {"h": _HEIGHT, "w": half, "x": half * (number % 2), "y": _HEIGHT * (number // 2)},
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }


def text(name: str) -> str:
    """The file."""
    return json.dumps(dashboard(name), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all of them."""
    HERE.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (HERE / f"{name}.json").write_text(text(name))


if __name__ == "__main__":
    main()
