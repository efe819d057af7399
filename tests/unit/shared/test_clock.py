"""Times as the public surface writes and reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.clock import SYSTEM, from_rfc3339, rfc3339


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1767225600.25, "2026-01-01T00:00:00.250Z"),
        (1767225599.9996, "2025-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_written_in_utc_with_milliseconds(seconds: float, text: str):
    assert rfc3339(seconds) == text


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:30:00+01:30",
        "2025-12-31T20:00:00.000-04:00",
        "2026-01-01t00:00:00z",
        "2026-01-01T00:00:00-00:00",
        "2026-01-01T00:00:00.000000000000Z",
        "2025-12-31T23:59:60Z",
        "2026-01-01T00:59:60+01:00",
    ],
)
def test_any_offset_is_read(text: str):
    assert from_rfc3339(text) == 1767225600.0


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00",
        "2026-01-01",
        "now",
        "",
        "1767225600",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-W01-4T00:00:00Z",
        "2026-001T00:00:00Z",
        "20260101T000000Z",
        "2026-01-01T00:00Z",
        "2026-01-01T00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T12:00:60Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00+01",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+01:00:00",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+00:60",
        "2026-01-01T00:00:00Z ",
        "2026-01-01T00:00:00Z\n",
        "+2026-01-01T00:00:00Z",
        "\u0662026-01-01T00:00:00Z",
    ],
)
def test_what_is_no_time_of_rfc_3339_is_refused(text: str):
    with pytest.raises(ValueError, match=r"RFC 3339|as in 2026-01-31T12:00:00Z"):
        from_rfc3339(text)


@given(st.integers(0, 4_000_000_000_000))
def test_milliseconds_survive_the_way_there_and_back(milliseconds: int):
    assert round(from_rfc3339(rfc3339(milliseconds / 1000)) * 1000) in {milliseconds, milliseconds - 1}


def test_the_monotonic_clock_never_goes_back():
    seen = [SYSTEM.monotonic() for _ in range(1000)]
    assert seen == sorted(seen)
