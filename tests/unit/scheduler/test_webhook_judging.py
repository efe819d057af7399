"""What an answer means for a delivery: done, again later, or given up."""

from dataclasses import replace
from email.utils import formatdate

import pytest

from toolyard.store.webhooks import Delivery
from toolyard_scheduler.webhooks.judging import DELAYS, JITTER, LONGEST, Answered, judged, seconds_of

NEW = Delivery("w1", "c1/0/accepted", "io.toolyard.call.accepted.v1", 10.0, 10.0, b"{}")
BUSY = Answered(status=503, error="answered 503")


def even() -> float:
    return 0.5


def test_a_success_is_the_end():
    assert judged(NEW, Answered(status=204), 20.0, even) == replace(
        NEW, state="delivered", attempts=1, status=204, changed_at=20.0
    )


def test_what_fails_is_tried_for_more_than_a_day_and_then_given_up():
    delivery, now, pauses = NEW, 0.0, []
    while (delivery := judged(delivery, BUSY, now, even)).next_at is not None:
        pauses.append(delivery.next_at - now)
        now = delivery.next_at
    assert tuple(pauses) == DELAYS
    assert now > 86_400
    assert (delivery.state, delivery.attempts, delivery.error) == ("failed", len(DELAYS) + 1, "answered 503")


@pytest.mark.parametrize(("chance", "by"), [(0.0, 1 - JITTER), (1.0, 1 + JITTER)])
def test_pauses_differ_by_chance(chance: float, by: float):
    assert judged(NEW, BUSY, 100.0, lambda: chance).next_at == pytest.approx(100.0 + DELAYS[0] * by)


def test_a_receiver_may_ask_for_a_longer_pause_and_not_for_a_shorter_one():
    assert judged(NEW, replace(BUSY, retry_after=60.0), 100.0, even).next_at == 160.0
    assert judged(NEW, replace(BUSY, retry_after=1.0), 100.0, even).next_at == 105.0


def test_one_that_is_gone_is_not_asked_again():
    gone = judged(NEW, Answered(status=410, error="answered 410"), 100.0, even)
    assert (gone.state, gone.next_at) == ("failed", None)


#: Of numbers that no date can have.
NO_DATES = [f"Mon, 01 Jan {year} 00:00:00 {zone}" for year, zone in (("9" * 30, "GMT"), ("2020", "+" + "9" * 20))]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("999999", LONGEST), (formatdate(1_000_060, usegmt=True), 60.0), (formatdate(1, usegmt=True), 0.0)]
    + [(text, None) for text in ("", "soon", "-7", "7.5", "\u0667", *NO_DATES)],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None):
    assert seconds_of({"retry-after": text}, 1_000_000.0) == seconds
