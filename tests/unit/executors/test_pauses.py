"""What a worker knows of pauses, whatever the order in which it hears of them."""

import math

import pytest
from tests.unit.executors.making import a_call

from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import Pause, Paused, Resume
from toolyard_executors.pauses import Pauses


def pause(kind="tool", name: str = "t", org: str = "default") -> Pause:
    return Pause(v=VERSION, sender="g", time=0, kind=kind, org=org, name=name)


def resume(kind="tool", name: str = "t", org: str = "default") -> Resume:
    return Resume(v=VERSION, sender="g", time=0, kind=kind, org=org, name=name)


@pytest.mark.parametrize(
    ("message", "holds"),
    [
        (pause(), True),
        (pause(name="other"), False),
        (pause(org="other"), False),
        (pause("org", "default"), True),
        (pause("org", "default", "-"), True),
        (pause("org", "other"), False),
        (pause("pool", "http", "-"), False),
    ],
)
def test_a_pause_holds_the_calls_of_its_tool_or_org(message, holds):
    pauses = Pauses()
    pauses.hear(message)
    assert pauses.holds(a_call()) is holds
    assert pauses.holds_pool("http") is (message.kind == "pool")
    pauses.hear(resume(message.kind, message.name, message.org))
    assert not pauses.holds(a_call())
    assert not pauses.holds_pool("http")


def test_until_it_is_told_nothing_is_known():
    pauses = Pauses()
    assert (pauses.known, pauses.begun, pauses.known_since) == (False, False, math.inf)
    pauses.learn([Paused(kind="tool", org="default", name="t")], now=100.0)
    assert (pauses.known, pauses.begun, pauses.known_since) == (True, True, 100.0)
    assert pauses.holds(a_call())


def test_what_was_heard_since_the_question_is_younger_than_its_answer():
    pauses = Pauses()
    pauses.hear(pause(name="late"))
    pauses.hear(resume(name="early"))
    pauses.learn([Paused(kind="tool", org="default", name="early")], now=1.0)
    assert pauses.holds(a_call(tool="late"))
    assert not pauses.holds(a_call(tool="early"))


def test_the_answer_to_a_repeated_question_changes_nothing():
    pauses = Pauses()
    pauses.learn([], now=1.0)
    pauses.hear(pause())
    pauses.learn([], now=2.0)
    assert (pauses.holds(a_call()), pauses.known_since) == (True, 1.0)


def test_after_a_doubt_what_is_known_stands_until_the_next_answer():
    pauses = Pauses()
    pauses.learn([Paused(kind="tool", org="default", name="t")], now=1.0)
    pauses.doubt(at=50.0)
    assert (pauses.known, pauses.begun, pauses.holds(a_call())) == (False, True, True)
    pauses.learn([], now=9.0, asked_at=51.0)
    assert (pauses.known_since, pauses.holds(a_call())) == (9.0, False)


def test_an_answer_to_what_was_asked_before_a_doubt_does_not_end_it():
    pauses = Pauses()
    pauses.learn([Paused(kind="tool", org="default", name="t")], now=1.0)
    pauses.doubt(at=50.0)
    pauses.learn([], now=9.0, asked_at=49.0)
    assert (pauses.known, pauses.holds(a_call())) == (False, True)
    pauses.learn([], now=10.0)  # of a scheduler that does not say when it was asked
    assert pauses.known
