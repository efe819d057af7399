"""The built-in `progress`: what reaches the worker, and what an author is told who uses it otherwise."""

import json
from typing import Any

import pytest
from tests.sandbox.language import cases

from toolyard.sandbox.language import guest, progress


def run(body: str, **environment: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The answer of a tool, and what it said on its way."""
    said: list[dict[str, Any]] = []
    code = cases.compiled(f"def execute_tool(parameters, context):\n    {body}\n")
    payload = cases.run_payload(code, environment=environment)
    answer = guest.serve("run", payload, cases.nobody, lambda word: said.append(json.loads(word)))
    return json.loads(answer), said


def test_the_first_and_the_last_word_reach_the_worker(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_PAUSE", 1_000.0)
    answer, said = run("[progress(n, 5, f'step {n}') for n in range(6)]; return 1")
    assert answer["value"] == 1
    assert said == [{"done": float(n), "total": 5.0, "message": f"step {n}"} for n in (0, 5)]


def test_every_word_reaches_it_that_comes_after_a_pause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_PAUSE", 0.0)
    _, said = run("[progress(n) for n in range(3)]")
    assert [word["done"] for word in said] == [0.0, 1.0, 2.0]


def test_a_tool_that_fails_has_said_how_far_it_came(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_PAUSE", 1_000.0)
    answer, said = run("progress(1); progress(2); raise ValueError('no')")
    assert (answer["kind"], [word["done"] for word in said]) == ("error", [1.0, 2.0])


def test_messages_hold_no_value_of_the_environment_and_have_an_end():
    _, said = run("progress(1, message=parameters.get('x', '') + 'y' * 295 + ' a-secret-value')", KEY="a-secret-value")
    assert "secret-val" not in said[0]["message"]
    assert len(said[0]["message"]) == 300


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("'half'", "done is a number"),
        ("True", "done is a number"),
        ("-1", "done is a number from 0"),
        ("float('nan')", "done is a number from 0"),
        ("10 ** 400", "done is a number from 0"),
        ("1, 'ten'", "total is a number"),
        ("1, 10, 5", "the message of progress is a text"),
    ],
)
def test_what_is_no_progress_is_told_to_its_author(arguments: str, problem: str):
    answer, said = run(f"progress({arguments})")
    assert problem in answer["message"]
    assert said == []


def test_a_tool_may_use_the_name_for_something_else():
    assert run("progress = 3; return progress")[0]["value"] == 3
