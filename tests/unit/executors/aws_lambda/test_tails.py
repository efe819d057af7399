"""The end of a log: what is the function's, and what is Lambda's. Lines are such as Lambda writes them."""

import base64
import json
from typing import Any

import pytest

from toolyard_executors.kinds.aws_lambda.tails import NOTHING, read_tail

ID = "8f5b0b0e-0b0e-4b0e-8b0e-0b0e0b0e0b0e"
START = f"START RequestId: {ID} Version: $LATEST\n"
END = f"END RequestId: {ID}\n"
REPORT = (
    f"REPORT RequestId: {ID}\tDuration: 200.12 ms\tBilled Duration: 312 ms\tMemory Size: 128 MB\t"
    "Max Memory Used: 36 MB\tInit Duration: 110.02 ms\t\n"
)
NUMBERS = {
    "run_seconds": 0.20012,
    "billed_seconds": 0.312,
    "init_seconds": 0.11002,
    "memory_limit_bytes": 128 << 20,
    "peak_memory_bytes": 36 << 20,
}


def platform(kind: str, **record: Any) -> str:
    line = {"time": "2026-11-21T16:00:00.000Z", "type": f"platform.{kind}", "record": {"requestId": ID, **record}}
    return json.dumps(line) + "\n"


METRICS = {
    "durationMs": 200.12,
    "billedDurationMs": 312,
    "memorySizeMB": 128,
    "maxMemoryUsedMB": 36,
    "initDurationMs": 110.02,
}


def read(text: str) -> tuple[str, dict[str, Any]]:
    tail = read_tail(base64.b64encode(text.encode()).decode())
    return tail.logs, tail.numbers


def test_what_the_function_printed_stands_alone_and_the_report_is_read():
    assert read(f"{START}one\n  two\n{END}{REPORT}") == ("one\n  two\n", NUMBERS)


def test_a_report_may_say_less():
    less = f"REPORT RequestId: {ID}\tDuration: 3.00 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\n"
    assert read(less) == ("", {"run_seconds": 0.003, "billed_seconds": 0.003, "memory_limit_bytes": 128 << 20})


def test_a_restored_function_has_its_restore_for_a_start():
    restored = REPORT.replace("Init Duration: 110.02", "Restore Duration: 250.00")
    assert read(restored)[1] == NUMBERS | {"init_seconds": 0.25}


def test_json_logs_are_read_as_well():
    mine = '{"level": "INFO", "message": "hello"}\n'
    text = platform("start", version="7") + mine + platform("report", metrics=METRICS, status="success")
    assert read(text) == (mine, NUMBERS)


@pytest.mark.parametrize(
    "line",
    [
        "INIT_START Runtime Version: python:3.12.v1\tRuntime Version ARN: arn:aws:lambda:eu-central-1::runtime:a\n",
        "INIT_REPORT Init Duration: 9999.94 ms\tPhase: init\tStatus: timeout\n",
        "XRAY TraceId: 1-5f-a\tSegmentId: b\tSampled: true\n",
        platform("runtimeDone", status="success"),
        platform("initStart", phase="init"),
    ],
)
def test_what_lambda_says_of_itself_is_left_out(line: str):
    assert read(f"one\n{line}two\n") == ("one\ntwo\n", {})


@pytest.mark.parametrize(
    "line",
    [
        "REPORT of the day\n",
        "the START RequestId: a\n",
        '{"type": "platform.report"\n',
        '["platform.report"]\n',
        '{"type": "mine", "say": "platform.report"}\n',
        "{" * 3_000 + '"platform.\n',
    ],
)
def test_what_only_looks_like_it_is_the_functions(line: str):
    assert read(line) == (line, {})


@pytest.mark.parametrize(
    "record",
    [
        *({}, {"metrics": None}, {"metrics": []}),
        {"metrics": {"durationMs": "200", "memorySizeMB": -1}},
        {"metrics": {"billedDurationMs": True, "durationMs": 1e300, "initDurationMs": None}},
    ],
)
def test_numbers_that_are_none_are_not_believed(record: dict[str, Any]):
    assert read(platform("report", **record))[1] == {}


def test_of_two_reports_the_last_one_counts_whatever_the_function_printed():
    false = f"REPORT RequestId: {ID}\tDuration: 1 ms\tBilled Duration: 1 ms\tInit Duration: 1 ms\n"
    true = f"REPORT RequestId: {ID}\tDuration: 5.00 ms\tBilled Duration: 5 ms\tMemory Size: 128 MB\n"
    assert read(false + true)[1] == {"run_seconds": 0.005, "billed_seconds": 0.005, "memory_limit_bytes": 128 << 20}


def test_the_first_line_of_a_log_that_was_cut_is_left_out_as_it_may_hold_half_a_secret():
    whole = START + "".join(f"line {number:04} with the secret t0ken\n" for number in range(200)) + END
    cut = whole.encode()[-4096:].decode()
    logs, _ = read(cut)
    assert logs + END == cut.partition("\n")[2]
    assert read("x" * 4096) == ("", {})
    assert read("x" * 4095) == ("x" * 4095 + "\n", {})


def test_the_lines_of_a_traceback_are_lines():
    assert read("[ERROR] E: no\rTraceback (most recent call last):\r\xa0\xa0File\n")[0] == (
        "[ERROR] E: no\nTraceback (most recent call last):\n\xa0\xa0File\n"
    )


def test_a_log_can_be_kept_by_any_database():
    assert read("a\0b\n")[0] == "a\ufffdb\n"
    assert read_tail(base64.b64encode(b"a\xff\n").decode()).logs == "a\ufffd\n"


@pytest.mark.parametrize("encoded", [None, "", "a", "%%%"])
def test_no_log_is_none(encoded: str | None):
    assert read_tail(encoded) == NOTHING
