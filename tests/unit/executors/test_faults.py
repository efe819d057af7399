"""Whose fault it was."""

import pytest

from toolyard.contracts.calls import Result
from toolyard.states import Effect
from toolyard_executors.executor import Finished, failed
from toolyard_executors.faults import fault_of_provider, fault_of_silence


def test_a_success_is_none():
    assert fault_of_provider(Finished("done", Result(content="fine"))) is False


@pytest.mark.parametrize(
    ("code", "effect", "status", "said"),
    [
        ("upstream_error", "none", None, True),  # not connected
        ("upstream_error", "unknown", None, True),  # cut
        ("upstream_error", "unknown", 500, True),
        ("upstream_error", "unknown", 503, True),
        ("upstream_error", "none", 0, True),  # no status was read
        ("upstream_error", "none", 404, False),
        ("upstream_error", "none", 429, False),
        ("upstream_error", "unknown", 302, False),
        ("rate_limited", "none", 429, False),
        ("permission_denied", "none", 403, False),
        ("timed_out", "unknown", None, True),
        ("unavailable", "none", None, True),
        ("tool_error", "unknown", None, False),  # a function that raised: it was there
        ("tool_error", "unknown", 500, False),
        ("authorization_required", "none", None, None),
        ("output_too_large", "done", None, False),
        ("resource_exhausted", "unknown", None, False),
        ("tool_error", "none", None, None),  # it could not be filled in
        ("context_required", "none", None, None),
        ("egress_denied", "none", None, None),
        ("internal", "unknown", None, None),
    ],
)
def test_a_failure_is_the_providers_where_nobody_answered_or_with_a_server_error(
    code: str, effect: Effect, status: int | None, said: bool | None
):
    details = None if status is None else {"status": status}
    assert fault_of_provider(failed(code, "why", effect, details=details)) is said


def test_a_kind_that_keeps_its_time_itself_says_no_more_of_silence_than_the_time_that_it_had():
    assert fault_of_provider(failed("timed_out", "why", "unknown"), fault_of_silence(0.5, "deadline")) is None


def test_silence_is_the_providers_fault_unless_the_deadline_left_it_no_time():
    assert fault_of_silence(0.2, "attempt") is True
    assert fault_of_silence(1.0, "deadline") is True
    assert fault_of_silence(0.9, "deadline") is None
