"""`toolyard call` and `toolyard calls`: what is asked, what is printed where, and the exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Run, Server

CALL: dict[str, Any] = {
    "call_id": "0197c9a0-5d2f-7e4b-9c3a-1f6d8e2b4a70",
    "tool": "weather",
    "version": 3,
    "state": "succeeded",
    "effect": "done",
    "arguments": {"city": "Bern"},
    "attempts": 1,
    "org": "default",
    "created_at": "2026-01-31T12:00:00.000Z",
    "deadline": "2026-01-31T12:05:00.000Z",
    "finished_at": "2026-01-31T12:00:00.012Z",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "result": {"content": '{"max":21}', "structured": {"max": 21}},
}
FAILED = CALL | {
    "state": "failed",
    "effect": "none",
    "result": None,
    "error": {
        "code": "upstream_error",
        "status": 502,
        "message": "The upstream answered 404.",
        "model_message": "The service behind the tool failed.",
        "retryable": False,
    },
}
RUNNING = {name: value for name, value in CALL.items() if name not in {"result", "finished_at"}} | {"state": "running"}


# ---- call ---------------------------------------------------------------------------------------


def test_the_answer_goes_to_stdout_and_the_circumstances_to_stderr(ask: Run, server: Server):
    server.tell("POST", "/v1/calls", CALL)
    ran = ask("call", "weather", "city=Bern", "days=3", 'zip="3000"', "exact=true")
    assert ran.code == 0
    assert ran.json() == {"max": 21}
    assert ran.err == f"succeeded in 12 ms · {CALL['call_id']}\n"
    (asked,) = server.asked
    assert asked.body == {"tool": "weather", "arguments": {"city": "Bern", "days": 3, "zip": "3000", "exact": True}}
    assert asked.headers["prefer"] == "wait=30"
    assert asked.headers["authorization"] == "Bearer ty_k_secret"
    assert "idempotency-key" not in asked.headers  # one that is used once would hide what the tool's key fields say


def test_a_text_answer_is_printed_as_it_is(ask: Run, server: Server):
    server.tell("POST", "/v1/calls", CALL | {"result": {"content": "21 °C\nand [bold]sunny[/bold]"}})
    assert ask("call", "weather").out == "21 °C\nand [bold]sunny[/bold]\n"


def test_options_of_a_call_reach_the_gateway(ask: Run, server: Server):
    server.tell("POST", "/v1/calls", CALL)
    ask(
        *("call", "weather@3", "--wait", "0", "--idempotency-key", "order 17".replace(" ", "-"), "--user", "u"),
        *("--conversation", "c", "--context", '{"team": "north"}', "--timeout", "2.5", "--deadline", "60"),
        *("--queue-timeout", "9", "--not-before", "2026-12-24T18:00:00Z", "--cancel-on-disconnect"),
    )
    (asked,) = server.asked
    assert asked.headers["prefer"] == "wait=0"
    assert asked.headers["idempotency-key"] == "order-17"
    assert asked.body == {
        "tool": "weather@3",
        "arguments": {},
        "user": "u",
        "conversation": "c",
        "context": {"team": "north"},
        "timeout": 2.5,
        "deadline": 60.0,
        "queue_timeout": 9.0,
        "not_before": "2026-12-24T18:00:00Z",
        "cancel_on_disconnect": True,
    }


def test_arguments_come_from_json_from_a_file_or_from_stdin_and_pairs_stand_above(
    ask: Run, server: Server, tmp_path: Path
):
    server.tell("POST", "/v1/calls", CALL)
    given = {"city": "Bern", "days": 1}
    (tmp_path / "arguments.json").write_text(json.dumps(given))
    ask("call", "weather", "--arguments", json.dumps(given))
    ask("call", "weather", "--arguments", "@arguments.json")
    ask("call", "weather", "--arguments", "-", stdin=json.dumps(given).encode())
    ask("call", "weather", "--arguments", json.dumps(given), "days=2")
    assert [asked.body["arguments"] for asked in server.asked] == [given, given, given, given | {"days": 2}]


def test_a_failed_call_says_code_and_message_and_exits_with_1(ask: Run, server: Server):
    server.tell("POST", "/v1/calls", FAILED)
    ran = ask("call", "weather")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        "upstream_error: The upstream answered 404.",
        f"failed · effect none · {CALL['call_id']}",
    ]


def test_a_call_that_goes_on_gives_its_id(ask: Run, server: Server):
    server.tell("POST", "/v1/calls", RUNNING, status=202)
    ran = ask("call", "weather", "--wait", "0")
    assert ran.code == 0
    assert ran.out == f"{CALL['call_id']}\n"
    assert f"toolyard calls get {CALL['call_id']}" in ran.err


@pytest.mark.parametrize("call", [CALL, FAILED])
def test_who_does_not_wait_gets_the_id_though_the_call_was_quicker(ask: Run, server: Server, call):
    server.tell("POST", "/v1/calls", call)
    ran = ask("call", "weather", "--wait", "0")
    assert (ran.code, ran.out) == (0, f"{CALL['call_id']}\n")
    assert ran.err == f"{call['state']}: it is over; see it with `toolyard calls get {CALL['call_id']}`\n"


@pytest.mark.parametrize(("call", "code"), [(CALL, 0), (FAILED, 1), (RUNNING, 0)])
def test_for_scripts_the_call_is_one_document_and_stderr_is_silent(ask: Run, server: Server, call, code: int):
    server.tell("POST", "/v1/calls", call)
    ran = ask("call", "weather", "--json")
    assert (ran.code, ran.json(), ran.err) == (code, call, "")


WRONG = {
    "no JSON": (("--arguments", "{city}"), "--arguments: not JSON"),
    "no object": (("--arguments", "[1]"), "--arguments: it takes a JSON object"),
    "a context that is none": (("--context", "[1]"), "--context: it takes a JSON object"),
    "not a number": (("--arguments", '{"x": NaN}'), "NaN is no JSON number"),
    "a number that is too large": (
        ("--arguments", '{"x": 1e999}'),
        "--arguments: not JSON: a number in it is out of range",
    ),
    "no number of seconds": (("--timeout", "nan"), "'--timeout': nan is no number of seconds"),
    "endless seconds": (("--deadline", "inf"), "'--deadline': inf is no number of seconds"),
    "endless seconds in the queue": (("--queue-timeout", "-inf"), "'--queue-timeout': -inf is no number of seconds"),
    "a key twice": (("--arguments", '{"x": 1, "x": 2}'), "the key 'x' stands there twice"),
    "half a surrogate pair": (("--arguments", '{"x": "\\ud800"}'), "half of a surrogate pair"),
    "too deep": (("--arguments", "[" * 5000 + "]" * 5000), "--arguments"),
    "no pair": (("Bern",), "'Bern' is not of the form name=value"),
    "a pair without a name": (("=Bern",), "'=Bern' is not of the form name=value"),
    "a missing file": (("--arguments", "@nowhere.json"), "nowhere.json: cannot be read: No such file"),
    "a file that is not text": (("--arguments", "@binary"), "binary: is not UTF-8 text"),
    "waiting too long": (("--wait", "301"), "--wait"),
    "a key that is no header": (("--idempotency-key", "a\nb"), "--idempotency-key"),
    "an unknown option": (("--wiat", "3"), "--wiat"),
}


@pytest.mark.parametrize(("words", "expected"), WRONG.values(), ids=WRONG)
def test_wrong_usage_exits_with_2_names_what_is_wrong_and_asks_nothing(
    ask: Run, server: Server, tmp_path: Path, words: tuple[str, ...], expected: str
):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    ran = ask("call", "weather", *words)
    assert (ran.code, ran.out, server.asked) == (2, "", [])
    assert expected in ran.told
    assert "Traceback" not in ran.err


def test_a_word_that_is_not_utf8_is_wrong_usage(ask: Run, server: Server):
    ran = ask("call", "weather", "city=\udcff")
    assert (ran.code, server.asked) == (2, [])
    assert "not UTF-8" in ran.err


# ---- calls --------------------------------------------------------------------------------------


def test_calls_are_listed_with_their_state_and_code(ask: Run, server: Server):
    server.tell("GET", "/v1/calls", {"items": [CALL, FAILED, RUNNING], "next_cursor": "abc"})
    ran = ask("calls", "list")
    heading, *rows = ran.out.splitlines()
    assert heading.split() == ["CALL", "TOOL", "STATE", "CODE", "TOOK", "CREATED"]
    assert rows[0].split()[2:] == ["succeeded", "-", "12", "ms", CALL["created_at"]]
    assert rows[1].split()[2:4] == ["failed", "upstream_error"]
    assert "--cursor abc" in ran.err


def test_filters_reach_the_gateway(ask: Run, server: Server):
    server.tell("GET", "/v1/calls", {"items": [], "next_cursor": None})
    ran = ask(
        *("calls", "list", "--tool", "a&b", "--state", "failed", "--conversation", "c", "--user", "u"),
        *("--since", "2026-01-01T00:00:00+01:00", "--limit", "7", "--cursor", "x"),
    )
    assert server.asked[0].path == (
        "/v1/calls?tool=a%26b&state=failed&conversation=c&user=u&since=2026-01-01T00%3A00%3A00%2B01%3A00"
        "&limit=7&cursor=x"
    )
    assert ran.err == "There are none.\n"


def test_for_scripts_a_list_is_the_gateways_own_page(ask: Run, server: Server):
    page = {"items": [CALL], "next_cursor": "abc"}
    server.tell("GET", "/v1/calls", page)
    ran = ask("calls", "list", "--json")
    assert (ran.json(), ran.err) == (page, "")


def test_one_call_is_shown_with_its_error_and_the_text_for_the_model(ask: Run, server: Server):
    server.tell("GET", f"/v1/calls/{CALL['call_id']}", FAILED)
    ran = ask("calls", "get", CALL["call_id"], "--wait", "5")
    shown = dict(line.split("  ", 1) for line in ran.out.splitlines())
    assert shown["state"].strip() == "failed"
    assert shown["error"].strip() == "upstream_error: The upstream answered 404."
    assert shown["for the model"].strip() == "The service behind the tool failed."
    assert ran.code == 0
    assert server.asked[0].path.endswith("?wait=5")
    assert ask("calls", "get", CALL["call_id"], "--json").json() == FAILED


REPORT = {
    "logs": "one\n  two\n",
    "isolation": "full",
    "cpu_seconds": 0.0125,
    "peak_memory_bytes": 3_300_000,
    "output_bytes": 2_048,
    "requests": 1,
}


def test_what_a_worker_noted_is_shown_with_its_call(ask: Run, server: Server):
    server.tell("GET", f"/v1/calls/{CALL['call_id']}", CALL | {"report": REPORT})
    lines = ask("calls", "get", CALL["call_id"]).out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("isolation"))
    assert [line.split(maxsplit=1) for line in lines[at : at + 2]] == [
        ["isolation", "full"],
        ["used", "12 ms of CPU, 3.1 MiB of memory, 2.0 KiB of output, 1 request"],
    ]
    assert [line.split() for line in lines[at + 2 :]] == [["logs", "one"], ["two"]]
    assert lines[at + 3].index("two") == lines[at + 2].index("one") + 2


@pytest.mark.parametrize(
    ("report", "shown"),
    [
        ({}, []),
        ({"cpu_seconds": 1.25, "output_bytes": 0, "requests": 0}, ["1.2 s of CPU, 0 bytes of output, 0 requests"]),
        ({"peak_memory_bytes": 1_024}, ["1.0 KiB of memory"]),
        (
            {"run_seconds": 0.25, "init_seconds": 1.5, "billed_seconds": 1.75},
            ["250 ms of running, 1.5 s of starting, 1.8 s billed"],
        ),
        ({"peak_memory_bytes": 36 << 20, "memory_limit_bytes": 128 << 20}, ["36.0 MiB of 128.0 MiB of memory"]),
    ],
)
def test_only_what_was_noted_is_shown(ask: Run, server: Server, report: dict[str, Any], shown: list[str]):
    server.tell("GET", f"/v1/calls/{CALL['call_id']}", CALL | {"report": report})
    lines = ask("calls", "get", CALL["call_id"]).out.splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines if line.startswith(("used", "isolation", "logs"))] == shown


def test_how_a_provider_knows_the_request_is_shown(ask: Run, server: Server):
    server.tell("GET", f"/v1/calls/{CALL['call_id']}", CALL | {"report": {"request_id": "r1", "executed_version": "7"}})
    lines = ask("calls", "get", CALL["call_id"]).out.splitlines()
    assert [line.split() for line in lines if line.startswith(("request", "ran"))] == [
        ["request", "r1"],
        ["ran", "version", "7"],
    ]


@pytest.mark.parametrize("call", [CALL, FAILED], ids=["succeeded", "failed"])
def test_what_a_tool_printed_is_told_beside_its_answer(ask: Run, server: Server, call: dict[str, Any]):
    server.tell("POST", "/v1/calls", call | {"report": REPORT})
    ran = ask("call", "weather")
    assert ran.err.endswith(f"{CALL['call_id']}\nIt printed:\n  one\n    two\n")
    assert "two" not in ran.out
    scripted = ask("call", "weather", "--json")
    assert (scripted.json()["report"], scripted.err) == (REPORT, "")


def test_of_much_that_was_printed_the_last_lines_are_told_and_where_the_rest_is(ask: Run, server: Server):
    logs = "".join(f"line {number}\n" for number in range(1, 101)) + "\x1b[2J"
    server.tell("POST", "/v1/calls", CALL | {"report": {"logs": logs}})
    told = ask("call", "weather").err.splitlines()[1:]
    assert told[0] == f"It printed 101 lines (all of them: `toolyard calls get {CALL['call_id']}`), last:"
    assert told[1:] == [*(f"  line {number}" for number in range(82, 101)), "  \ufffd[2J"]


def test_an_id_cannot_lead_to_another_path(ask: Run, server: Server):
    for word in ("../keys", "..", "a/b?c#d"):
        ask("calls", "get", word)
    assert [asked.path for asked in server.asked] == [
        "/v1/calls/..%2Fkeys",
        "/v1/calls/%2E%2E",
        "/v1/calls/a%2Fb%3Fc%23d",
    ]


# ---- calls cancel -------------------------------------------------------------------------------

CANCEL = f"/v1/calls/{CALL['call_id']}/cancel"


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (CALL | {"state": "cancelled", "effect": "none"}, 200, "cancelled · effect none\n"),
        (CALL, 200, "succeeded · effect done\n"),
        (RUNNING, 202, "running: it was asked to stop\n"),
    ],
)
def test_a_call_is_cancelled_and_what_became_of_it_is_told(
    ask: Run, server: Server, answer: dict[str, Any], status: int, said: str
):
    server.tell("POST", CANCEL, answer, status=status)
    ran = ask("calls", "cancel", CALL["call_id"])
    assert (ran.code, ran.out, ran.err) == (0, f"{CALL['call_id']}\n", said)
    assert server.asked[0].headers["prefer"] == "wait=2"
    assert ask("calls", "cancel", CALL["call_id"], "--wait", "0", "--json").json() == answer
    assert server.asked[1].headers["prefer"] == "wait=0"


def test_a_conversation_is_cancelled(ask: Run, server: Server):
    server.tell("POST", "/v1/calls/cancel", {"cancelled": 3})
    assert ask("calls", "cancel", "--conversation", "c-7").err == "Open calls that were asked to stop: 3.\n"
    assert ask("calls", "cancel", "--conversation", "c-7", "--json").json() == {"cancelled": 3}
    assert server.asked[0].body == {"conversation": "c-7"}


@pytest.mark.parametrize("words", [(), ("a-call", "--conversation", "c")])
def test_either_a_call_or_a_conversation_is_cancelled(ask: Run, server: Server, words: tuple[str, ...]):
    ran = ask("calls", "cancel", *words)
    assert ran.code == 2
    assert "give a call, or --conversation" in ran.err
    assert server.asked == []


def test_a_call_that_there_is_not_is_told(ask: Run, server: Server):
    server.refuse("POST", "/v1/calls/x/cancel", 404, "not_found", "There is no call 'x'.")
    ran = ask("calls", "cancel", "x")
    assert (ran.code, ran.err) == (1, "not_found: There is no call 'x'.\n")
