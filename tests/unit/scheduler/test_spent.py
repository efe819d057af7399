"""What is remembered of claims that hold nothing any more."""

from tests.unit.scheduler.test_claims import STORY, row_of, words

from toolyard_scheduler.entries import Content
from toolyard_scheduler.spent import MOST_SPENT


def given_back(processes: int, each: int) -> list[Content]:
    """Workers that take an attempt and give it back, over and over."""
    said: list[Content] = [STORY.accepted()]
    for number in range(each):
        for process in range(processes):
            said += [STORY.claim(f"w{process}:{number}"), STORY.released(f"w{process}:{number}")]
    return said


def test_a_worker_that_gives_back_over_and_over_takes_no_more_room_each_time():
    few, many = row_of(*given_back(3, 10)), row_of(*given_back(3, 99))

    assert few.spent is not None
    assert many.spent is not None
    assert len(many.spent) == len(few.spent) + 3  # a digit each


def test_however_many_workers_give_it_back_the_room_is_bounded():
    row = row_of(*given_back(1_000, 1))

    assert row.spent is not None
    assert len(row.spent.split(" ")) == MOST_SPENT


def test_no_late_repeat_of_a_claim_is_granted_however_often_its_worker_asked_since():
    said = given_back(MOST_SPENT, 5)
    repeats = [STORY.claim(f"w{process}:{number}") for process in range(MOST_SPENT) for number in range(5)]

    assert set(words(*said, *repeats)[5 * MOST_SPENT :]) == {"started"}
    assert row_of(*said, *repeats).holder is None
    assert words(*said, STORY.claim("w3:5"))[-1] == "granted"


def test_the_claim_that_holds_is_told_so_although_a_later_one_of_its_worker_was_refused():
    assert words(STORY.accepted(), STORY.claim("w1:1"), STORY.claim("w1:2"), STORY.claim("w1:1")) == [
        "granted",
        "started",
        "granted",
    ]


def test_a_claim_that_has_no_number_is_remembered_as_it_is():
    said = (STORY.accepted(), STORY.claim("odd"), STORY.released("odd"))

    assert words(*said, STORY.claim("odd"), STORY.claim("other")) == ["granted", "started", "granted"]
