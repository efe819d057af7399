"""The judge itself: it sees each broken law, and nothing where none is broken."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.checker import LogEnd, Verdict, judge
from tests.chaos.load import Attempt


def _call(call_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"call_id": call_id, "tool": "pay", "state": "succeeded", "effect": "done", **fields}


def _end(state: str = "succeeded", by: str = "executor", code: str | None = None) -> LogEnd:
    return LogEnd(1, "a", state, by, 1, code)


def _attempt(*told: tuple[str, str, str | None], accepted: bool = True, unknown: bool = False) -> Attempt:
    return Attempt("k", "pay", sent_at=1.0, call_id="a", accepted=accepted, unknown=unknown, told=list(told), over=True)


def _judge(
    tmp_path: Path,
    attempt: Attempt,
    call: Mapping[str, Any] | None,
    *ends: LogEnd,
    effects: int = 1,
    explained: tuple[str, ...] = (),
) -> Verdict:
    lines = [json.dumps({"key": "a", "n": n + 1, "body": ""}) for n in range(effects)]
    file = tmp_path / "effects.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines))
    return judge([attempt], {} if call is None else {"a": call}, {"a": list(ends)}, file, explained=explained)


def test_a_call_that_went_well_breaks_no_law(tmp_path: Path) -> None:
    verdict = _judge(tmp_path, _attempt(("succeeded", "done", None)), _call(), _end())
    assert verdict.failures() == []
    assert verdict.codes == {"succeeded": 1}


@pytest.mark.parametrize("call", [None, _call(state="running", effect="unknown")])
def test_an_accepted_call_without_an_end_is_lost(tmp_path: Path, call: Mapping[str, Any] | None) -> None:
    assert len(_judge(tmp_path, _attempt(), call, effects=0).lost) == 1


def test_a_call_that_was_told_one_end_and_stored_with_another_has_two(tmp_path: Path) -> None:
    failed = _call(state="failed", effect="unknown", error={"code": "outcome_unknown", "message": ""})
    verdict = _judge(
        tmp_path, _attempt(("succeeded", "done", None)), failed, _end("failed"), explained=("outcome_unknown",)
    )
    assert [len(verdict.two_ends), verdict.outcome_unknown, verdict.strange] == [1, 1, []]


def test_a_state_that_no_record_of_the_log_explains_is_a_second_end(tmp_path: Path) -> None:
    assert _judge(tmp_path, _attempt(), _call(), _end("failed")).two_ends
    assert _judge(
        tmp_path, _attempt(), _call(), _end(), _end("failed", "scheduler"), _end("expired", "scheduler")
    ).two_ends


def test_two_effects_under_one_key_are_doubled(tmp_path: Path) -> None:
    assert len(_judge(tmp_path, _attempt(), _call(), _end(), effects=2).doubled) == 1


@pytest.mark.parametrize(("effect", "effects"), [("none", 1), ("done", 0)])
def test_a_store_that_denies_or_invents_an_effect_is_untrue(tmp_path: Path, effect: str, effects: int) -> None:
    assert len(_judge(tmp_path, _attempt(), _call(effect=effect), _end(), effects=effects).untrue) == 1


def test_an_effect_of_what_the_store_does_not_know_or_what_was_refused_is_untrue(tmp_path: Path) -> None:
    assert _judge(tmp_path, _attempt(accepted=False, unknown=True), None).untrue
    assert _judge(tmp_path, _attempt(accepted=False), _call(), _end()).untrue


def test_an_error_that_the_drill_does_not_explain_is_strange(tmp_path: Path) -> None:
    failed = _call(state="failed", effect="unknown", error={"code": "internal", "message": "?"})
    assert len(_judge(tmp_path, _attempt(), failed, _end("failed")).strange) == 1
