"""What is asked: keys, names that cannot lead elsewhere, and values of whatever kind as plain JSON."""

from collections.abc import Callable

import pytest

from toolyard.client import requests
from toolyard.errors import FieldError, Refused


def test_each_call_has_an_idempotency_key_of_its_own():
    keys = {requests.create_call("t", {}).headers["Idempotency-Key"] for _ in range(3)}
    assert len(keys) == 3
    assert requests.create_call("t", {}, idempotency_key="k").headers["Idempotency-Key"] == "k"
    assert "Idempotency-Key" not in requests.create_call("t", {}, idempotency_key=requests.NO_KEY).headers


@pytest.mark.parametrize("nothing", ["", " ", "\t"])
@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (requests.get_call, "call_id"),
        (requests.call_events, "call_id"),
        (requests.cancel_call, "call_id"),
        (requests.cancel_conversation, "conversation"),
        (requests.get_tool, "name"),
        (requests.tool_versions, "name"),
        (lambda name: requests.replace_tool(name, {}, version=1), "name"),
        (lambda name: requests.delete_tool(name, version=1), "name"),
        (lambda name: requests.try_tool(name, {}), "name"),
        (requests.pause_tool, "name"),
        (requests.pause_pool, "name"),
        (requests.get_schedule, "name"),
        (lambda name: requests.delete_schedule(name, version=1), "name"),
        (requests.pause_schedule, "name"),
        (requests.get_secret, "name"),
        (lambda name: requests.replace_secret(name, "v"), "name"),
        (requests.delete_secret, "name"),
        (requests.get_dead_letter, "letter_id"),
        (requests.replay_dead_letter, "letter_id"),
        (requests.revoke_key, "key_id"),
    ],
)
def test_an_empty_name_makes_no_request_for_something_else(
    ask: Callable[[str], requests.Request], field: str, nothing: str
):
    with pytest.raises(Refused) as caught:
        ask(nothing)
    assert caught.value.refusal == "validation_failed"
    assert caught.value.fields == (FieldError(field, "is empty; give one"),)


def test_a_request_does_not_show_the_secret_that_it_carries():
    assert "hunter2" not in repr(requests.create_secret("TOKEN", "hunter2"))
    assert "hunter2" not in repr(requests.replace_secret("TOKEN", "hunter2"))
