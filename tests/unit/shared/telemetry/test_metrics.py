"""Metrics: counted exactly, bounded, described, and read by the parsers of Prometheus and OpenMetrics."""

from collections import Counter as Times

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

from toolyard.telemetry import catalogue, machine, metrics
from toolyard.telemetry.exposition import OPENMETRICS, PROMETHEUS, answer, number, openmetrics, prometheus
from toolyard.telemetry.metrics import LABELS, OTHERS, Board, Counter, Histogram, Metric, Reading, Told

TOOLS = Metric("tests_total", "counter", "Of tests", ("tool", "state"))
SECONDS = Metric("test_seconds", "histogram", "Of tests", ("tool",), bounds=(0.5, 1.0))
NASTY = 'a "tool"\\ with\na line {of}=its,own # and é'


def a_board() -> Board:
    board = Board()
    counter, histogram = board.counter(TOOLS), board.histogram(SECONDS)
    counter.add(NASTY, "ok")
    counter.add(NASTY, "ok", by=2)
    for seconds in (0.25, 0.5, 0.75, 100):
        histogram.observe(seconds, NASTY)
    board.ask(catalogue.LEADING, lambda: True)
    board.ask(catalogue.LAG, lambda: 1 / 3)
    return board


def test_what_is_counted_is_read_back_exactly_by_the_parser_of_prometheus():
    families = {family.name: family for family in read_prometheus(prometheus(a_board()))}
    assert [(sample.labels, sample.value) for sample in families["tests"].samples] == [
        ({"tool": NASTY, "state": "ok"}, 3.0)
    ]
    kept = {(sample.name, sample.labels.get("le")): sample.value for sample in families["test_seconds"].samples}
    assert kept == {
        ("test_seconds_bucket", "0.5"): 2,
        ("test_seconds_bucket", "1.0"): 3,
        ("test_seconds_bucket", "+Inf"): 4,
        ("test_seconds_count", None): 4,
        ("test_seconds_sum", None): 101.5,
    }
    assert families["toolyard_ledger_lag_seconds"].samples[0].value == 1 / 3
    assert families["toolyard_ledger_leading"].samples[0].value == 1
    assert {family.type for family in families.values()} == {"counter", "histogram", "gauge"}
    assert all(family.documentation for family in families.values())


def test_the_parser_of_openmetrics_reads_the_same():
    def said(families):
        samples = [sample for each in families for sample in each.samples]
        return {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}

    board = a_board()
    machine.show(board, "worker")
    shown, again = said(read_prometheus(prometheus(board))), said(read_openmetrics(openmetrics(board)))
    differ = {name for name, *_ in set(shown) ^ set(again)} | {key[0] for key in shown if shown[key] != again[key]}
    assert differ <= {"process_cpu_seconds_total", "process_resident_memory_bytes"}, "they go on between two looks"


def test_who_asks_for_openmetrics_gets_it():
    board = Board()
    asked = {
        "": PROMETHEUS,
        "*/*": PROMETHEUS,
        "text/plain;version=0.0.4": PROMETHEUS,
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3": OPENMETRICS,
        "Application/OpenMetrics-Text": OPENMETRICS,
        "application/openmetrics-text;q=0": PROMETHEUS,
        "application/openmetrics-text; q=0.00,*/*": PROMETHEUS,
    }
    assert {accept: answer(board, accept)[0] for accept in asked} == asked


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (True, "1"), (2**60, "1152921504606846976"), (0.1, "0.1"), (1e300, "1e+300"), (float("inf"), "+Inf")],
)
def test_numbers_are_said_exactly(value: float, said: str):
    assert number(value) == said


def test_a_metric_without_labels_is_there_before_anything_is_counted_and_known_values_are_too():
    board = Board()
    board.counter(catalogue.ACCEPTED)
    board.counter(catalogue.SANDBOX_KILLS, [("hostile",)])
    board.counter(catalogue.REFUSED)
    shown = prometheus(board).splitlines()
    assert {"toolyard_gateway_calls_accepted_total 0", 'toolyard_sandbox_kills_total{reason="hostile"} 0'} <= set(shown)
    assert "# TYPE toolyard_gateway_refused_total counter" in shown, "it exists, although nothing was refused"


def test_labels_that_were_not_declared_cannot_be_counted():
    with pytest.raises(ValueError, match="was given 1 values"):
        Counter(TOOLS).add("only one")
    with pytest.raises(ValueError, match="was given 0 values"):
        Histogram(SECONDS).observe(1.0)


@pytest.mark.parametrize("label", ["user", "call_id", "org", "conversation", "principal"])
def test_no_metric_can_have_a_label_by_user_call_or_org(label: str):
    with pytest.raises(ValueError, match="not among those that may be"):
        Metric("tests_total", "counter", "Of tests", (label,))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "tests"},
        {"name": "Tests_total"},
        {"meaning": ""},
        {"meaning": 'a "quote"'},
        {"kind": "gauge"},
        {"bounds": (1.0,)},
        {"name": "test_seconds", "kind": "histogram"},
        {"name": "test_seconds", "kind": "histogram", "bounds": (2.0, 1.0)},
    ],
)
def test_a_description_that_no_reader_would_accept_is_refused(wrong):
    Metric("tests_total", "counter", "Of tests")
    with pytest.raises(ValueError, match=r"tests|test_seconds|Tests_total"):
        Metric(**{"name": "tests_total", "kind": "counter", "meaning": "Of tests"} | wrong)


def test_what_has_no_room_is_counted_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "MOST", 3)
    counter = Counter(TOOLS)
    for number_ in range(10):
        counter.add(f"t{number_}", "ok")
    counter.add("t0", "ok")
    assert {reading.values: reading.value for reading in counter()} == {
        ("t0", "ok"): 2,
        ("t1", "ok"): 1,
        ("t2", "ok"): 1,
        (OTHERS, OTHERS): 7,
    }


def test_values_beyond_a_bound_have_one_name():
    told = Told(2)
    assert [told.name(value) for value in ("a", "b", "c", "a", "d")] == ["a", "b", OTHERS, "a", OTHERS]


def test_two_sources_of_one_metric_are_one_family():
    board = Board()
    board.watch(lambda: (Reading(catalogue.BACKLOG, ("http",), 1),), catalogue.BACKLOG)
    board.watch(lambda: (Reading(catalogue.BACKLOG, ("sandbox",), 1),), catalogue.BACKLOG)
    shown = prometheus(board)
    assert shown.count("# TYPE toolyard_pool_backlog gauge") == 1
    assert shown.count("toolyard_pool_backlog{") == 2


def test_a_process_says_what_it_is():
    board = Board()
    machine.show(board, "worker")
    found = {sample.name: sample for family in read_prometheus(prometheus(board)) for sample in family.samples}
    assert found["toolyard_build_info"].labels["part"] == "worker"
    assert found["process_cpu_seconds_total"].value > 0
    assert found["process_resident_memory_bytes"].value > 1_000_000
    assert found["process_open_fds"].value >= 3
    assert found["process_max_fds"].value >= found["process_open_fds"].value
    assert 1_600_000_000 < found["process_start_time_seconds"].value < 10_000_000_000


# ---- the catalogue ------------------------------------------------------------------------------
def test_each_metric_is_described_once():
    assert [name for name, times in Times(metric.name for metric in catalogue.ALL).items() if times > 1] == []
    assert len(catalogue.ALL) > 50


def test_all_labels_that_may_be_are_used():
    assert {label for metric in catalogue.ALL for label in metric.labels} == LABELS
