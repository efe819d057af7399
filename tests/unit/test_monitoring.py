"""Alerts and dashboards: complete, explained, tested, and asking only for metrics and labels that there are."""

import importlib.util
import re
from typing import Any

import pytest
import yaml
from tests.support import monitoring

from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import Metric

RULES = monitoring.rules()
DASHBOARDS = monitoring.dashboards()
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
every_dashboard = pytest.mark.parametrize("name", DASHBOARDS)


def metric_of(name: str) -> Metric:
    """The metric that shows a series of this name."""
    known = {metric.name: metric for metric in catalogue.ALL}
    return known.get(name) or known[re.sub(r"_(bucket|count|sum)$", "", name)]


@every_rule
def test_a_rule_says_how_bad_it_is_what_it_means_and_where_that_is_told(rule: dict[str, Any]):
    page = (monitoring.ROOT / "docs" / "operations" / "alerts.md").read_text()

    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/operations/alerts.md#{rule['alert'].lower()}"
    section = page.partition(f"### {rule['alert']}\n")[2].partition("\n#")[0]
    for told in ("**What it means.**", "**What to look at.**", "**What to do.**"):
        assert told in section


def test_each_alert_has_its_section_and_each_section_its_alert():
    page = (monitoring.ROOT / "docs" / "operations" / "alerts.md").read_text()
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_each_rule_fires_in_a_test():
    tests = yaml.safe_load((monitoring.MONITORING / "rules_test.yaml").read_text())["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in RULES), *monitoring.asked()])
def test_what_is_asked_for_exists_with_these_labels(expression: str):
    found = monitoring.selectors(expression)
    assert found
    for name, labels in found:
        assert set(labels) <= {*metric_of(name).labels, "le"}, name


@every_dashboard
def test_a_dashboard_is_as_its_source_says(name: str):
    spec = importlib.util.spec_from_file_location("dashboards", monitoring.MONITORING / "dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    path = monitoring.MONITORING / "dashboards" / name
    assert path.read_text() == source.text(path.stem), "run: python deploy/monitoring/dashboards.py"
    assert {f"{each}.json" for each in source.DASHBOARDS} == DASHBOARDS.keys()


@every_dashboard
def test_a_dashboard_can_be_imported(name: str):
    dashboard = DASHBOARDS[name]
    panels = dashboard["panels"]
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}

    assert dashboard["uid"].startswith("toolyard-")
    assert "datasource" in variables
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)
    for panel in panels:
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        used = {name for target in panel["targets"] for name in re.findall(r"\$(\w+)", target["expr"])}
        assert used <= variables | {"__rate_interval"}


def test_all_metrics_but_a_few_are_seen_on_a_dashboard_or_in_an_alert():
    """Those that are not seen are for whoever looks closer."""
    seen = {
        metric_of(name).name
        for expression in [*(rule["expr"] for rule in RULES), *monitoring.asked()]
        for name, _ in monitoring.selectors(expression)
    }
    assert len(seen) > 0.75 * len(catalogue.ALL)
