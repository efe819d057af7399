"""`tools test` with files of cases: what they may say, what is asked, and what is told of each."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Run, Server
from tests.unit.cli.test_calls import CALL, FAILED

TEST = "/v1/tools/price/test"


def write(folder: Path, text: str, name: str = "price.test.yaml") -> None:
    (folder / name).write_text(text)


def answered(structured: Any, content: str = "text") -> dict[str, Any]:
    """A call that succeeded with this."""
    return CALL | {"tool": "price", "version": 3, "result": {"content": content, "structured": structured}}


def test_each_case_is_a_call_marked_as_a_test(ask: Run, server: Server, tmp_path: Path):
    write(tmp_path, "- {name: apple, arguments: {sku: apple}, context: {shop: 7}, user: ann}\n- name: bare\n")
    server.tell("POST", TEST, answered(1))
    ran = ask("tools", "test", "price.test.yaml", "--wait", "5")
    assert ran.code == 0
    heading, *rows = ran.out.splitlines()
    assert heading.split() == ["CASE", "TOOL", "STATE", "TOOK", "RESULT"]
    assert [row.split()[:3] + row.split()[-1:] for row in rows] == [
        ["apple", "price@3", "succeeded", "ok"],
        ["bare", "price@3", "succeeded", "ok"],
    ]
    assert ran.err == "2 ok\n"
    bodies = [each.body for each in server.asked]
    assert bodies == [{"arguments": {"sku": "apple"}, "context": {"shop": 7}, "user": "ann"}, {"arguments": {}}]
    assert server.asked[0].headers["prefer"] == "wait=5"


@pytest.mark.parametrize(
    ("expect", "call", "told"),
    [
        ("{}", answered(1), []),
        ("{state: succeeded, structured: {a: [1, true]}}", answered({"a": [1.0, True]}), []),
        ("{content: text}", answered(1), []),
        ("{code: upstream_error}", FAILED, []),
        ("{state: failed}", FAILED, []),
        ("{content: other}", answered(1), ['content: "text", expected "other"']),
        ("{structured: 1}", answered(True), ["structured: true, expected 1"]),
        ("{structured: [1]}", answered([1, 2]), ["structured: [1, 2], expected [1]"]),
        (
            "{structured: {a: {b: 1}, c: 2}}",
            answered({"a": {"b": 2}, "d": 3}),
            [
                "structured.a.b: 2, expected 1",
                "structured.c: is missing, expected 2",
                "structured.d: 3, expected nothing",
            ],
        ),
        ("{structured: null}", CALL | {"result": {"content": "x"}}, ["structured: there is none"]),
        ("{state: timed_out}", answered(1), ["state: succeeded, expected timed_out"]),
        ("{code: timed_out}", answered(1), ["code: none, expected timed_out"]),
        ("{}", CALL | {"state": "running"}, ["state: running after 30 s, expected succeeded"]),
    ],
)
def test_what_is_other_than_expected_is_told(
    ask: Run, server: Server, tmp_path: Path, expect: str, call: dict[str, Any], told: list[str]
):
    write(tmp_path, f"- name: one\n  expect: {expect}\n")
    server.tell("POST", TEST, call)
    ran = ask("tools", "test", "./", "--json")
    (case,) = ran.json()["cases"]
    assert (ran.code, case["differences"], case["ok"]) == (1 if told else 0, told, not told)


def test_a_failure_that_is_not_expected_says_why(ask: Run, server: Server, tmp_path: Path):
    write(tmp_path, "- name: one\n")
    server.tell("POST", TEST, FAILED)
    ran = ask("tools", "test", "price.test.yaml")
    error = FAILED["error"]
    told = f"price.test.yaml:1:3: one: state: failed ({error['code']}: {error['message']}), expected succeeded"
    assert (ran.code, ran.err.splitlines()) == (1, [told, "1 differ"])


def test_a_call_that_is_not_accepted_is_rejected_with_its_code(ask: Run, server: Server, tmp_path: Path):
    write(tmp_path, "- {name: a, expect: {state: rejected, code: validation_failed}}\n- {name: b}\n")
    server.refuse("POST", TEST, 422, "validation_failed", "arguments.sku: is missing")
    ran = ask("tools", "test", "price.test.yaml")
    told = "price.test.yaml:2:3: b: state: rejected (validation_failed: arguments.sku: is missing), expected succeeded"
    assert (ran.code, ran.err.splitlines()) == (1, [told, "1 ok, 1 differ"])


def test_without_a_key_no_further_case_is_tried(ask: Run, server: Server, tmp_path: Path):
    write(tmp_path, "- name: a\n- name: b\n")
    server.refuse("POST", TEST, 401, "unauthenticated", "No such key.")
    assert (ask("tools", "test", "price.test.yaml").code, len(server.asked)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a", "1:1: is no list of cases: write each as - name: …, with arguments and expect"),
        ("- a", "1:3: 0: is no case: write an object with name, arguments and expect"),
        ("- arguments: {}", "1:3: 0.name: is missing; give it"),
        ("- name: a\n  argument: {}", "2:3: 0.argument: is not a field here; did you mean arguments?"),
        ("- name: a\n  arguments: [1]", "2:3: 0.arguments: must be an object"),
        ("- name: a\n  user: 7", "2:3: 0.user: must be a text"),
        ("- name: a\n  expect: {states: failed}", "2:12: 0.expect.states: is not a field here; did you mean state?"),
        (
            "- name: a\n  expect: {state: fail}",
            "2:12: 0.expect.state: 'fail' is no state that a call ends with; did you mean failed?",
        ),
        (
            "- name: a\n  expect: {code: timeout}",
            "2:12: 0.expect.code: 'timeout' is no code that a call ends with; did you mean timed_out?",
        ),
        ("- name: a\n  expect: {content: 7}", "2:12: 0.expect.content: must be a text"),
    ],
)
def test_a_wrong_case_is_told_with_its_place_and_nothing_runs(
    ask: Run, server: Server, tmp_path: Path, text: str, told: str
):
    write(tmp_path, "- name: right\n", "other.test.yaml")
    write(tmp_path, text)
    ran = ask("tools", "test", ".")
    assert (ran.code, server.asked) == (2, [])
    assert ran.err.splitlines() == [f"./price.test.yaml:{told}", "validation_failed: 1 fault. Nothing ran."]


def test_a_folder_without_cases_is_wrong_usage(ask: Run, tmp_path: Path):
    write(tmp_path, "name: price", "price.yaml")
    ran = ask("tools", "test", "./")
    assert (ran.code, "there is no *.test.yaml" in ran.err) == (2, True)
    assert ask("tools", "test", "./", "--arguments", "{}").code == 2


def test_no_case_is_no_failure(ask: Run, tmp_path: Path):
    write(tmp_path, "[]")
    assert ask("tools", "test", "price.test.yaml") == (0, "", "No cases\n")


def test_the_name_of_a_folder_may_be_that_of_a_tool(ask: Run, server: Server, tmp_path: Path):
    (tmp_path / "price").mkdir()
    server.refuse("POST", TEST, 404, "tool_not_found", "There is no tool 'price'.")
    told = "For the cases of the folder write price/.\ntool_not_found: There is no tool 'price'.\n"
    assert ask("tools", "test", "price") == (1, "", told)


def test_the_name_of_the_tool_is_that_of_the_file(ask: Run, server: Server, tmp_path: Path):
    write(tmp_path, '[{"name": "one"}]', "orders.create.test.json")
    server.tell("POST", "/v1/tools/orders.create/test", answered(1))
    assert ask("tools", "test", "orders.create.test.json").code == 0
