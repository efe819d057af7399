"""The settings of a scheduler: what is told of orgs whose events are kept."""

import pytest

from toolyard.errors import SettingsError
from toolyard_scheduler.settings import SchedulerSettings, read_settings


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> SchedulerSettings:
    for name, value in {"TOOLYARD_TRANSPORT_URL": "amqp://127.0.0.1/", **variables}.items():
        monkeypatch.setenv(name, value)
    return read_settings()


def test_streams_are_named_once_each_and_kept_for_a_week(monkeypatch: pytest.MonkeyPatch):
    settings = read(monkeypatch, TOOLYARD_FEED_STREAMS="acme, other,acme")
    assert (settings.feed, settings.feed_streams, settings.feed_kept) == ("on", ("acme", "other"), 7 * 86_400)


def test_a_stream_of_what_is_no_org_is_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SettingsError, match=r"TOOLYARD_FEED_STREAMS: 'a\.b' is not the name of an org"):
        read(monkeypatch, TOOLYARD_FEED_STREAMS="acme,a.b")


def test_streams_into_which_nothing_would_come_are_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SettingsError, match="TOOLYARD_FEED_STREAMS names orgs, and TOOLYARD_FEED is off"):
        read(monkeypatch, TOOLYARD_FEED_STREAMS="acme", TOOLYARD_FEED="off")


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [("TOOLYARD_RETENTION", "1h", "Idempotency-Key"), ("TOOLYARD_GRACE", "2", "the end of a scheduler")],
)
def test_times_that_contradict_each_other_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, other: str
):
    with pytest.raises(SettingsError, match=f"{name} .* contradicts .*{other}"):
        read(monkeypatch, **{name: value})


def test_a_scheduler_is_not_told_of_attempts_that_it_has_none_of(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(
        SettingsError, match=r"TOOLYARD_GRACE \(2 s\) .* stepped back.* a grace of 5 s would do"
    ) as told:
        read(monkeypatch, TOOLYARD_GRACE="2")
    assert "drain" not in str(told.value)
    assert read(monkeypatch, TOOLYARD_GRACE="5").grace == 5


@pytest.mark.parametrize("value", ["0", "-1", "59", "0.5", "90.5", "366d", "1e300", "1x", "nan", "inf", "7w", "d"])
def test_a_time_that_no_stream_could_be_declared_with_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str):
    with pytest.raises(SettingsError, match=r"TOOLYARD_FEED_KEPT: .* is not a time from 1m to 365d in whole seconds"):
        read(monkeypatch, TOOLYARD_FEED_KEPT=value)


@pytest.mark.parametrize(("value", "seconds"), [("1m", 60), ("90", 90), ("12h", 43_200), ("365d", 365 * 86_400)])
def test_streams_are_kept_as_long_as_was_said(monkeypatch: pytest.MonkeyPatch, value: str, seconds: int):
    assert read(monkeypatch, TOOLYARD_FEED_KEPT=value).feed_kept == seconds


def test_a_longest_attempt_that_no_other_part_would_take_stops_the_start(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SettingsError, match="TOOLYARD_LONGEST_ATTEMPT is 29 s: it is from 30 s"):
        read(monkeypatch, TOOLYARD_LONGEST_ATTEMPT="29")
