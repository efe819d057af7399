"""What is refused when a tool is saved, what is taken, and how it looks afterwards."""

from typing import Any

import pytest
from tests.unit.gateway.definition_cases import ACCEPTED, REFUSED
from tests.unit.gateway.rig import ECHO

from toolyard.contracts.tools import HttpBinding, RetryPolicy
from toolyard.errors import FieldsRefused
from toolyard.security.egress import AllowList
from toolyard_gateway.definitions import patched, read_definition, tool_view

ALLOW = AllowList.parse("10.0.0.1")


def definition(changed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (ECHO | changed).items() if value is not ...}


@pytest.mark.parametrize("name", REFUSED)
def test_a_definition_that_could_never_work_is_refused_with_its_field(name):
    changed, field = REFUSED[name]

    with pytest.raises(FieldsRefused) as refused:
        read_definition(definition(changed), allow=ALLOW)

    assert refused.value.refusal == "validation_failed"
    assert field in [error.path for error in refused.value.fields], refused.value.fields
    assert all(error.message for error in refused.value.fields)


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_definition_that_works_is_kept_as_it_was_meant(name):
    spec = read_definition(definition(ACCEPTED[name]), allow=ALLOW)

    shown = tool_view(spec)
    del shown["version"]
    assert read_definition(shown, allow=ALLOW) == spec


def test_the_names_of_other_platforms_become_ours():
    spec = read_definition(definition(ACCEPTED["the names of voice-assistant platforms"]), allow=ALLOW)

    assert isinstance(spec.binding, HttpBinding)
    assert spec.binding.body["said"] == "${parameters.text}"
    auth = spec.binding.authentication
    assert (auth.type, auth.secret, auth.name, auth.place) == ("api_key", "TOKEN", "X-Key", "header")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"retry": {"max_attempts": 2, "codes": ["upstream_eror"]}}, "did you mean upstream_error?"),
        ({"retry": {"max_attempts": 21}}, "must be less than or equal to 20"),
        ({"retry": {"max_attempts": 2, "backoff": 0}}, "must be greater than 0"),
        ({"retry_attempts": 20}, "from 0 to 19"),
        ({"key_fields": ["txt"]}, "'txt' is not a property of parameters"),
    ],
)
def test_what_would_be_right_is_said(changed, said):
    with pytest.raises(FieldsRefused) as refused:
        read_definition(definition(changed), allow=ALLOW)

    assert said in refused.value.detail


@pytest.mark.parametrize("again", [0, 2, 19])
def test_so_many_more_attempts_are_one_more_in_all(again):
    spec = read_definition(definition({"retry_attempts": again}), allow=ALLOW)

    assert spec.retry == RetryPolicy(max_attempts=again + 1)


def test_retries_can_be_patched_by_either_name_and_taken_away():
    spec = read_definition(definition({"retry": {"max_attempts": 5, "backoff": 2}}), allow=ALLOW)

    more = read_definition(patched(spec, {"retry_attempts": 1}), allow=ALLOW)
    slower = read_definition(patched(spec, {"retry": {"backoff": 7}}), allow=ALLOW)
    none = read_definition(patched(spec, {"retry": None}), allow=ALLOW)

    assert more.retry == RetryPolicy(max_attempts=2, backoff=2)
    assert slower.retry == RetryPolicy(max_attempts=5, backoff=7)
    assert none.retry == RetryPolicy()


def test_an_address_that_is_denied_says_nothing_about_the_network():
    with pytest.raises(FieldsRefused) as refused:
        read_definition(definition(REFUSED["a private address"][0]), allow=ALLOW)

    assert "TOOLYARD_EGRESS_ALLOW" in refused.value.detail
    assert "192.168" not in refused.value.detail


def test_everything_that_is_wrong_is_named_at_once():
    with pytest.raises(FieldsRefused) as refused:
        read_definition({"name": "a b", "timeout": -1, "parameters": {}, "description": 1}, allow=ALLOW)

    assert {error.path for error in refused.value.fields} >= {"name", "timeout", "description", "binding"}


def test_a_patch_changes_what_it_names_and_null_takes_away():
    spec = read_definition(definition({"title": "Echo", "timeout": 5}), allow=ALLOW)

    made = patched(spec, {"title": None, "timeout": 7, "binding": {"headers": {"X": "1"}}})

    changed = read_definition(made, allow=ALLOW)
    assert (changed.title, changed.timeout) == (None, 7)
    assert isinstance(changed.binding, HttpBinding)
    assert changed.binding.headers == {"X": "1"}
    assert changed.binding.body == "${arguments.text}"
