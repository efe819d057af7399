"""Lines of the log: JSON, tied to their call and trace, at the level that is wanted, whoever writes them."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.logged import logged
from tests.unit.executors.making import a_call

from toolyard.contracts.control import LogLevelSet
from toolyard.telemetry import logs, tracing
from toolyard.telemetry.levels import LEVELS

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NOW = 1_800_000_000.0
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with logged(service="test") as written:
        yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.fixture
def call() -> Iterator[Any]:
    one = a_call(traceparent=f"00-{TRACE}-{SPAN}-01")
    token = logs.about.set(one)
    yield one
    logs.about.reset(token)


def test_a_line_of_a_task_that_works_on_a_call_says_which(lines: Lines, call: Any):
    logs.logger("runtime").info("something happened", reason="why")
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "something happened",
        "reason": "why",
        "part": "runtime",
        "service": "test",
        "level": "info",
        "call_id": call.call_id,
        "org": call.org,
        "tool": call.tool,
        "trace_id": TRACE,
    }


def test_where_its_trace_is_recorded_it_says_which_span(lines: Lines, call: Any):
    tracing.record(lambda _: None)
    try:
        logs.logger("runtime").info("something happened")
    finally:
        tracing.record(None)
    assert lines()[0]["span_id"] == SPAN


def test_a_line_about_another_call_says_nothing_of_this_one(lines: Lines, call: Any):
    other = a_call(call_id="other", traceparent=None)
    logs.logger("runtime").info("something happened", **logs.of(other))
    (line,) = lines()
    assert line["call_id"] == "other"
    assert "trace_id" not in line


def test_a_request_that_works_on_no_call_yet_is_tied_to_its_trace(lines: Lines):
    token = tracing.current.set(f"00-{TRACE}-{SPAN}-00")
    logs.logger("gateway").info("something happened")
    tracing.current.reset(token)
    (line,) = lines()
    assert line["trace_id"] == TRACE
    assert "span_id" not in line


def test_lines_of_others_have_the_same_form(lines: Lines):
    logging.getLogger("uvicorn.error").warning("a %s thing", "strange")
    why = ValueError("why")
    logging.getLogger("asyncio").error("it failed", exc_info=why)
    logging.getLogger("uvicorn.error").info("not worth a line")
    first, second = lines()
    assert (first["event"], first["part"], first["level"]) == ("a strange thing", "uvicorn.error", "warning")
    assert (second["event"], second["level"]) == ("it failed", "error")
    assert "ValueError: why" in second["exception"]


def test_detail_is_written_for_the_tool_that_it_was_set_for_and_for_nothing_else(lines: Lines, call: Any):
    log = logs.logger("runtime")
    log.debug("before")
    LEVELS.hear(LogLevelSet(v=1, sender="g", time=NOW, org=call.org, tool=call.tool, level="debug", seconds=60), NOW)
    log.debug("its own")
    log.debug("of another tool", **logs.of(a_call(tool="else", call_id="other")))
    log.debug("of another org", **logs.of(a_call(org="else", call_id="other")))
    LEVELS.hear(LogLevelSet(v=1, sender="g", time=NOW, org=call.org, tool=call.tool, level="info", seconds=60), NOW)
    log.debug("after")
    assert [line["event"] for line in lines()] == ["its own"]


def test_fewer_lines_may_be_wanted_as_well(lines: Lines, call: Any):
    LEVELS.hear(LogLevelSet(v=1, sender="g", time=NOW, org=call.org, level="error", seconds=60), NOW)
    log = logs.logger("runtime")
    log.warning("of a noisy org")
    log.error("that matters")
    assert [line["event"] for line in lines()] == ["that matters"]


def test_what_is_told_of_security_no_org_can_silence(lines: Lines, call: Any):
    LEVELS.hear(LogLevelSet(v=1, sender="g", time=NOW, org=call.org, level="error", seconds=60), NOW)
    logs.logger("security").warning("a message is not believed", security=True)
    assert [line["event"] for line in lines()] == ["a message is not believed"]
