"""What is asked next: waits resumed, what failed asked again under its key, and nothing twice that may do harm."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.client.playing import CALL_ID, Always, Stage, Took, call

from toolyard.client import NO_KEY, Call, Refused, Turn, Unexpected, Unreachable, requests
from toolyard.client.errors import How

AWAY = Refused("unavailable", "The broker is away.", retry_after=2.0)
MESSAGE = {"role": "assistant", "tool_calls": []}
CONSENT = {
    "authorization_id": "a1",
    "provider": "arcade/google",
    "url": "https://consent.example/a1",
    "scopes": ["mail.send"],
    "expires_at": "2027-01-15T08:10:00.000Z",
}


def lost(how: How = "cut") -> Unreachable:
    return Unreachable("The connection failed.", how=how)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def keys(stage: Stage) -> set[str | None]:
    return {one.headers.get("Idempotency-Key") for one in stage.asked}


# ---- waiting ------------------------------------------------------------------------------------


def test_a_call_that_ends_in_time_is_one_request(stage: Stage):
    made = stage.play(stage.asking.call("weather", {"city": "Bern"}), call())
    assert (made.state, made.output()) == ("succeeded", {"max": 21})
    assert (stage.asked[0].body, stage.waits()) == ({"tool": "weather", "arguments": {"city": "Bern"}}, ["30"])


def test_a_long_wait_is_made_of_several(stage: Stage):
    script = [Took(300, call("running")), Took(300, call("running")), Took(20, call())]
    assert stage.play(stage.asking.call("weather", wait=700), *script).succeeded
    assert [one.method for one in stage.asked] == ["POST", "GET", "GET"]
    assert [float(wait) for wait in stage.waits()] == [300, 300, 100]


def test_the_wait_ends_when_it_is_over_and_the_call_goes_on(stage: Stage):
    made = stage.play(stage.asking.call("weather", wait=30), Took(30, call("running")))
    assert (made.state, made.ended) == ("running", False)


def test_a_gateway_that_stops_sends_its_waiters_away_and_they_ask_again(stage: Stage):
    """It answers at once with the call as it stands."""
    script = [Took(3, call("queued")), call("queued"), call("queued"), Took(5, call())]
    assert stage.play(stage.asking.call("weather", wait=30), *script).succeeded
    assert stage.pauses == [0.2, 0.4]


def test_without_a_wait_nobody_asks_twice(stage: Stage):
    assert stage.play(stage.asking.call("weather", wait=0), call("queued")).state == "queued"
    assert stage.waits() == ["0"]


@pytest.mark.parametrize("state", ["awaiting_approval", "awaiting_authorization"])
def test_a_call_that_waits_for_a_person_is_given_at_once(stage: Stage, state: str):
    assert stage.play(stage.asking.call("weather", wait=600), call(state)).state == state


def test_a_call_that_is_parked_for_its_user_says_where_to_consent(stage: Stage):
    parked = call("awaiting_authorization", authorization=CONSENT)
    made = stage.play(stage.asking.call("weather", wait=600), Took(0.5, parked))

    assert (made.ended, len(stage.asked)) == (False, 1)
    assert made.authorization is not None
    assert made.authorization.url == "https://consent.example/a1"


def test_one_that_is_parked_while_it_is_waited_for_is_given_then(stage: Stage):
    parked = call("awaiting_authorization", authorization=CONSENT)
    assert not stage.play(stage.asking.call("weather", wait=600), Took(300, call("running")), parked).ended


def test_of_many_those_that_wait_for_a_person_are_not_waited_for(stage: Stage):
    parked = call("awaiting_authorization", authorization=CONSENT)
    steps = stage.asking.call_many([{"tool": "weather"}, {"tool": "weather"}], wait=600)
    made = stage.play(steps, {"calls": [parked, call("running")]}, call())
    assert [one.state for one in made] == ["awaiting_authorization", "succeeded"]


@pytest.mark.parametrize("state", ["awaiting_approval", "awaiting_authorization"])
def test_who_reads_a_call_that_waits_for_a_person_waits_on(stage: Stage, state: str):
    script = [Took(300, call(state)), Took(20, call())]
    assert stage.play(stage.asking.get("c1", wait=400), *script).succeeded
    assert [float(wait) for wait in stage.waits()] == [300, 100]


def test_who_reads_it_without_a_wait_asks_once(stage: Stage):
    assert not stage.play(stage.asking.get("c1"), call("awaiting_authorization", authorization=CONSENT)).ended


def test_who_is_sent_away_from_such_a_wait_does_not_spin(stage: Stage):
    waits = call("awaiting_authorization", authorization=CONSENT)
    assert stage.play(stage.asking.get("c1", wait=60), waits, waits, waits, call()).succeeded
    assert stage.pauses == [0.2, 0.4]


@pytest.mark.parametrize(
    "not_before", [datetime(2027, 1, 15, 9, 0, tzinfo=UTC), "2027-01-15T09:00:00Z", "2027-01-15T10:00:00+01:00"]
)
def test_a_call_that_starts_after_the_wait_is_not_waited_for(stage: Stage, not_before: Any):
    assert stage.play(stage.asking.call("weather", not_before=not_before), call("scheduled")).state == "scheduled"
    assert stage.waits() == ["0"]


def test_a_call_that_starts_within_the_wait_is_waited_for(stage: Stage):
    steps = stage.asking.call("weather", wait=7200, not_before="2027-01-15T09:00:00Z")
    assert stage.play(steps, Took(300, call("scheduled")), Took(3, call())).succeeded


def test_a_state_of_a_later_version_has_ended_when_it_says_so(stage: Stage):
    ended = call("evaporated", finished_at="2027-01-15T08:00:01.000Z", vapour=3)
    assert stage.play(stage.asking.call("weather"), ended).state == "evaporated"


def test_that_the_call_was_there_before_is_not_forgotten_while_it_is_waited_for(stage: Stage):
    script = [Took(300, call("running", deduplicated=True)), call()]
    assert stage.play(stage.asking.call("weather", wait=400), *script).deduplicated


def test_a_user_is_asked_before_a_call_needs_it(stage: Stage):
    found = stage.play(stage.asking.authorize("mail", user="ada"), {"status": "pending", "authorization": CONSENT})
    assert (found.url, found.scopes) == ("https://consent.example/a1", ("mail.send",))
    (asked,) = stage.asked
    assert (asked.path, asked.body) == ("/v1/authorizations/start", {"tool": "mail", "user": "ada"})


def test_nobody_is_asked_where_nothing_is_missing(stage: Stage):
    assert stage.play(stage.asking.authorize("mail", user="ada"), AWAY, {"status": "completed"}) is None
    assert len(stage.asked) == 2, "it does no harm to ask again"


# ---- what failed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        lost("refused"),
        lost("cut"),
        lost("silent"),
        AWAY,
        Refused("rate_limited", "Slowly."),
        Unexpected("?", status=502),
    ],
    ids=["refused", "cut", "silent", "unavailable", "rate_limited", "proxy"],
)
def test_what_passes_is_asked_again_under_the_same_key(stage: Stage, failure: Exception):
    assert stage.play(stage.asking.call("weather"), failure, failure, call()).succeeded
    assert len(keys(stage)) == 1
    assert None not in keys(stage)


def test_a_key_of_ones_own_is_kept(stage: Stage):
    stage.play(stage.asking.call("weather", idempotency_key="order-7"), lost(), call())
    assert keys(stage) == {"order-7"}


def test_pauses_double_up_to_a_longest_one_and_the_last_try_comes_at_the_end(stage: Stage):
    with pytest.raises(Unreachable):
        stage.play(stage.asking.call("weather"), Always(lost("refused")))
    assert stage.pauses[:7] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
    assert sum(stage.pauses) == pytest.approx(30.0)


def test_a_pause_is_at_least_what_the_gateway_asks_for(stage: Stage):
    stage.play(stage.asking.call("weather"), AWAY, call())
    assert stage.pauses == [2.2]


def test_a_pause_that_is_longer_than_is_tried_is_not_begun(stage: Stage):
    late = Refused("rate_limited", "Slowly.", retry_after=60.0)
    with pytest.raises(Refused) as caught:
        stage.play(stage.asking.call("weather"), late)
    assert (caught.value, stage.pauses) == (late, [])


@pytest.mark.parametrize("failure", [Refused("validation_failed", "No."), Unexpected("?", status=500), Unexpected("?")])
def test_what_stays_wrong_is_not_asked_again(stage: Stage, failure: Exception):
    with pytest.raises(type(failure)):
        stage.play(stage.asking.call("weather"), failure)


def test_without_time_for_it_nothing_is_asked_again(stage: Stage):
    stage.retry_for = 0
    with pytest.raises(Unreachable):
        stage.play(stage.asking.call("weather"), lost("refused"))


@pytest.mark.parametrize("failure", [lost("cut"), lost("silent"), AWAY])
def test_without_a_key_what_may_have_been_heard_is_not_asked_again(stage: Stage, failure: Exception):
    with pytest.raises(type(failure)):
        stage.play(stage.asking.call("weather", idempotency_key=NO_KEY), failure)
    assert keys(stage) == {None}


def test_without_a_key_what_was_never_sent_is_asked_again(stage: Stage):
    assert stage.play(stage.asking.call("weather", idempotency_key=NO_KEY), lost("refused"), call()).succeeded


def test_who_reads_the_error_learns_the_key(stage: Stage):
    stage.retry_for = 0
    with pytest.raises(Unreachable) as caught:
        stage.play(stage.asking.call("weather", idempotency_key="order-7"), lost())
    assert caught.value.__notes__ == ["It may be under way; idempotency_key='order-7' finds the same again."]


def test_a_wait_that_is_cut_again_and_again_is_resumed_as_long_as_it_lasts(stage: Stage):
    """A proxy cuts what is silent for a minute."""
    script = [Took(60, lost()), Took(60, lost()), Took(60, lost()), Took(3, call())]
    assert stage.play(stage.asking.call("weather", wait=300), *script).succeeded
    assert [float(wait) for wait in stage.waits()] == [300, 240, 180, 120]
    assert len(keys(stage)) == 1


def test_a_connection_that_is_cut_is_no_endless_reason_to_go_on(stage: Stage):
    with pytest.raises(Unreachable):
        stage.play(stage.asking.call("weather", wait=100), Always(Took(2, lost())))
    assert stage.passed == pytest.approx(132, abs=5)


def test_a_wait_goes_on_at_a_gateway_that_was_away_for_a_moment(stage: Stage):
    script = [Took(300, call("running")), Took(3, lost()), lost("refused"), lost("refused"), Took(1, call())]
    assert stage.play(stage.asking.call("weather", wait=600), *script).succeeded


def test_a_call_that_the_ledger_does_not_know_yet_is_found_by_its_key(stage: Stage):
    script = [call("queued"), Refused("not_found", "There is no such call."), Took(2, call(deduplicated=True))]
    made = stage.play(stage.asking.call("weather", wait=30), *script)
    assert (made.succeeded, made.deduplicated) == (True, False)
    assert [one.method for one in stage.asked] == ["POST", "GET", "POST"]
    assert keys(stage) == {stage.asked[0].headers["Idempotency-Key"], None}


def test_what_was_given_is_sent_again_as_it_was(stage: Stage):
    """Its owner may change it meanwhile."""
    given = {"cities": ["Bern"]}
    steps = stage.asking.call("weather", given)
    next(steps)
    given["cities"].append("Rome")
    steps.throw(lost())
    assert stage.play(steps, call()).succeeded
    assert stage.asked[0].body["arguments"] == {"cities": ["Bern"]}


# ---- reading and cancelling ---------------------------------------------------------------------


def test_a_call_is_read_as_it_stands(stage: Stage):
    assert stage.play(stage.asking.get(CALL_ID), lost(), AWAY, call("running")).state == "running"


def test_a_call_is_read_once_it_has_ended(stage: Stage):
    assert stage.play(stage.asking.get(CALL_ID, wait=400), Took(300, call("running")), call()).succeeded


def test_a_call_that_is_not_there_is_not_asked_for_again(stage: Stage):
    with pytest.raises(Refused):
        stage.play(stage.asking.get(CALL_ID, wait=400), Refused("not_found", "There is no such call."))


def test_a_call_is_cancelled_however_often_that_is_asked(stage: Stage):
    assert stage.play(stage.asking.cancel(CALL_ID), lost(), call("cancelled")).state == "cancelled"


def test_a_conversation_is_cancelled_once(stage: Stage):
    """Asked again, it would stop calls that were made meanwhile."""
    assert stage.play(stage.asking.cancel(conversation="c"), lost("refused"), {"cancelled": 2}) == 2
    with pytest.raises(Unreachable):
        stage.play(stage.asking.cancel(conversation="c"), lost("cut"))


@pytest.mark.parametrize("given", [{}, {"call_id": CALL_ID, "conversation": "c"}])
def test_a_cancel_says_whose(stage: Stage, given: dict[str, str]):
    with pytest.raises(TypeError, match="call's id"):
        stage.asking.cancel(**given)


# ---- many ---------------------------------------------------------------------------------------


def problem(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "detail": code}}


def test_many_calls_are_one_request_and_each_has_its_key(stage: Stage):
    steps = stage.asking.call_many([{"tool": "a"}, {"tool": "b", "idempotency_key": "own"}], idempotency_key="k")
    first, second = stage.play(steps, {"calls": [call(), call()]})
    assert (type(first), type(second)) == (Call, Call)
    assert [one["idempotency_key"] for one in stage.asked[0].body["calls"]] == ["k/0", "own"]
    assert stage.asked[0].body["calls"][0] == {"tool": "a", "arguments": {}, "idempotency_key": "k/0"}


def test_one_that_is_refused_fails_no_other(stage: Stage):
    steps = stage.asking.call_many([{"tool": "a"}, {"tool": "b"}])
    first, second = stage.play(steps, {"calls": [problem("tool_not_found"), call()]})
    assert (first.refusal, second.state) == ("tool_not_found", "succeeded")


def test_more_than_a_request_takes_are_all_let_in_before_any_is_waited_for(stage: Stage):
    steps = stage.asking.call_many([{"tool": "a"}] * 150, idempotency_key="k")
    open_ = {"calls": [call("queued")] * 100}
    made = stage.play(steps, open_, {"calls": [call()] * 50}, *[call()] * 100)
    assert [one.state for one in made] == ["succeeded"] * 150
    assert stage.waits()[:3] == ["0", "0", "30.0"]
    assert stage.asked[1].body["calls"][49]["idempotency_key"] == "k/149"


def test_what_is_too_large_together_is_made_in_halves_and_what_is_too_large_alone_fails_no_other(stage: Stage):
    too_large = Refused("payload_too_large", "The body is longer than 1,048,576 bytes; send less.")
    steps = stage.asking.call_many([{"tool": "a"}, {"tool": "b"}, {"tool": "c"}], idempotency_key="k")
    made = stage.play(steps, too_large, {"calls": [call()]}, too_large, too_large, {"calls": [call()]})
    assert [one.refusal if isinstance(one, Refused) else one.state for one in made] == [
        "succeeded",
        "payload_too_large",
        "succeeded",
    ]
    assert [one["idempotency_key"] for one in stage.asked[-1].body["calls"]] == ["k/2"]


def test_many_that_are_refused_as_a_whole_for_another_reason_raise_it(stage: Stage):
    with pytest.raises(Refused, match="No key"):
        stage.play(stage.asking.call_many([{"tool": "a"}] * 2), Refused("unauthenticated", "No key."))


def test_one_of_many_that_is_refused_for_a_moment_is_made_again_alone(stage: Stage):
    steps = stage.asking.call_many([{"tool": "a"}, {"tool": "b"}], idempotency_key="k")
    assert [one.state for one in stage.play(steps, {"calls": [call(), problem("unavailable")]}, call())] == [
        "succeeded"
    ] * 2
    assert (stage.asked[1].body["tool"], stage.asked[1].headers["Idempotency-Key"]) == ("b", "k/1")


def test_many_that_stay_refused_share_one_patience(stage: Stage):
    steps = stage.asking.call_many([{"tool": "a"}] * 3)
    away = Refused("unavailable", "The broker is away.")
    made = stage.play(steps, {"calls": [problem("unavailable")] * 3}, Always(away))
    assert [one.refusal for one in made] == ["unavailable"] * 3
    assert sum(stage.pauses) == pytest.approx(30.0)


def test_many_without_keys_are_asked_once(stage: Stage):
    steps = stage.asking.call_many([{"tool": "a"}, {"tool": "b"}], idempotency_key=NO_KEY)
    (first, second) = stage.play(steps, {"calls": [problem("unavailable"), call()]})
    assert (first.refusal, second.succeeded) == ("unavailable", True)
    assert stage.asked[0].body["calls"] == [{"tool": "a", "arguments": {}}, {"tool": "b", "arguments": {}}]
    with pytest.raises(Unreachable):
        stage.play(stage.asking.call_many([{"tool": "a"}], idempotency_key=NO_KEY), lost())


def test_a_number_of_cancelled_calls_that_is_none_is_no_answer_of_a_gateway(stage: Stage):
    with pytest.raises(Unexpected):
        stage.play(stage.asking.cancel(conversation="c"), {"cancelled": "many"})


def test_no_calls_are_no_request(stage: Stage):
    assert stage.play(stage.asking.call_many([])) == []


@pytest.mark.parametrize("answer", [{}, [], {"calls": []}, {"calls": ["?"]}, {"calls": [{"error": {}}]}])
def test_an_answer_without_the_calls_is_none_of_a_gateway(stage: Stage, answer: Any):
    with pytest.raises(Unexpected):
        stage.play(stage.asking.call_many([{"tool": "a"}]), answer)


# ---- models -------------------------------------------------------------------------------------

TURN = {
    "messages": [{"role": "tool", "tool_call_id": "c1", "content": "21"}],
    "calls": [{"call_id": CALL_ID, "tool_call_id": "c1", "tool": "weather", "state": "succeeded", "code": None}],
}


def test_a_turn_is_repeated_under_its_key(stage: Stage):
    steps = stage.asking.turn(MESSAGE, format="openai", user="ada", deadline=20)
    stopping = Refused("unavailable", "This gateway is stopping; repeat the turn with its key.", retry_after=1.0)
    turn = stage.play(steps, Took(3, lost()), lost("refused"), stopping, TURN)
    assert isinstance(turn, Turn)
    assert (turn.messages, turn.calls[0].state) == (TURN["messages"], "succeeded")
    assert len(keys(stage)) == 1
    assert stage.asked[0].body == {"format": "openai", "message": MESSAGE, "user": "ada", "deadline": 20}
    assert stage.asked[0].patience == 20


def test_a_turn_that_a_proxy_cuts_is_resumed_up_to_its_deadline(stage: Stage):
    script = [Took(60, lost()), Took(60, lost()), Took(60, lost()), Took(60, lost()), TURN]
    assert stage.play(stage.asking.turn(MESSAGE, format="openai"), *script).calls


def test_tools_are_the_list_alone(stage: Stage):
    page = {"items": [{"name": "weather"}], "next_cursor": None}
    assert stage.play(stage.asking.tools(format="anthropic", toolkit="t"), lost(), page) == page["items"]
    assert dict(stage.asked[0].query) == {"format": "anthropic", "toolkit": "t"}


@pytest.mark.parametrize("answer", [None, [], {"items": 7}, "?"])
def test_what_is_no_list_of_tools_is_unexpected(stage: Stage, answer: Any):
    with pytest.raises(Unexpected):
        stage.play(stage.asking.tools(format="openai"), answer)


@pytest.mark.parametrize("answer", [None, [], {"call_id": "x"}, "?", {**call(), "created_at": "yesterday"}])
def test_what_is_no_call_is_unexpected(stage: Stage, answer: Any):
    with pytest.raises(Unexpected):
        stage.play(stage.asking.get(CALL_ID), answer)


def test_one_request_waits_as_asked_rounded_up(stage: Stage):
    assert requests.create_call("weather", {}, wait=0.2).headers["Prefer"] == "wait=1"
