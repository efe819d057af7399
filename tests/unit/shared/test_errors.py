"""The tree of errors and the table of codes: complete, consistent, and as the public surface lists them."""

import re

import pytest

from toolyard import errors
from toolyard.contracts.calls import error_info
from toolyard.errors import CODES, FieldError, FieldsRefused, Refused, ToolyardError, model_message

#: As documented; a code that is added here is added to docs/reference/codes.md by its own test.
STATUS = {
    400: "parse_error",
    401: "unauthenticated authorization_required",
    403: "permission_denied approval_denied security_violation egress_denied",
    404: "not_found tool_not_found version_gone",
    408: "approval_expired authorization_expired",
    409: "conflict",
    412: "precondition_failed",
    413: "payload_too_large",
    422: "validation_failed context_required idempotency_mismatch",
    429: "rate_limited",
    499: "cancelled",
    500: "tool_error resource_exhausted poisoned internal",
    502: "upstream_error output_invalid output_too_large outcome_unknown",
    503: "circuit_open paused unavailable",
    504: "timed_out expired",
}
#: Errors that stop a process or are handled inside it, and are never a caller's answer.
INNER = {"log_gap"}


def tree(root: type[ToolyardError] = ToolyardError) -> list[type[ToolyardError]]:
    """Every error of the module, root included."""
    return [root, *(leaf for child in root.__subclasses__() for leaf in tree(child))]


OURS = [error for error in tree() if error.__module__ == errors.__name__]


def test_the_codes_are_those_of_the_public_surface():
    listed = {code: status for status, codes in STATUS.items() for code in codes.split()}
    assert {code: entry.status for code, entry in CODES.items()} == listed


def test_denied_expired_and_timed_out_are_three_things():
    texts = {CODES[code].model for code in ("approval_denied", "approval_expired", "timed_out", "expired")}
    assert len(texts) == 4
    assert "not try again" in CODES["approval_denied"].model
    assert "had no effect" in CODES["expired"].model


@pytest.mark.parametrize("code", CODES)
def test_the_text_for_a_model_can_always_be_made(code: str):
    text = model_message(code, "the {odd} detail: 100 %")
    assert text
    assert text[0].isupper()
    assert "{detail}" not in text


def test_only_what_had_no_effect_or_failed_upstream_is_tried_again_by_us():
    assert {code for code, entry in CODES.items() if entry.retry == "by_us"} == {
        "upstream_error",
        "circuit_open",
        "paused",
    }


def test_an_unknown_outcome_tells_the_model_not_to_call_again():
    assert CODES["outcome_unknown"].retry == "never"
    assert "Do not call it again" in CODES["outcome_unknown"].model


@pytest.mark.parametrize("error", OURS, ids=lambda error: error.__name__)
def test_every_error_has_a_known_code(error: type[ToolyardError]):
    assert error.code in CODES.keys() | INNER


def test_the_tree_is_drawn_in_the_module():
    drawn = set(re.findall(r"[─\s]([A-Z]\w+) {2,}", errors.__doc__ or ""))
    assert drawn >= {error.__name__ for error in OURS} - {"EgressDenied"} - {"TransportError", "StoreError"}
    for name in ("TransportError", "StoreError"):
        assert name in (errors.__doc__ or "")


def test_one_wrong_field_is_said_in_a_sentence():
    refused = FieldsRefused((FieldError("arguments.city", "is missing"),))
    assert str(refused) == refused.detail == "arguments.city: is missing"
    assert refused.refusal == "validation_failed"


def test_many_wrong_fields_are_all_kept_and_counted():
    fields = tuple(FieldError(f"arguments.{name}", "is missing") for name in "abc")
    refused = FieldsRefused(fields, code="context_required")
    assert str(refused) == "arguments.a: is missing (and 2 more)"
    assert refused.fields == fields
    assert refused.refusal == "context_required"


def test_what_is_wrong_with_the_whole_body_has_no_path_before_it():
    assert str(FieldsRefused((FieldError("", "is not an object"),))) == "is not an object"


def test_a_refusal_carries_what_its_problem_document_needs():
    refused = Refused("unavailable", "The broker is away.", retry_after=2.0, extra={"call_id": "x"})
    assert (refused.refusal, refused.retry_after, refused.extra) == ("unavailable", 2.0, {"call_id": "x"})
    assert Refused("conflict", "taken").extra == {}


@pytest.mark.parametrize(("code", "retryable"), [("upstream_error", True), ("tool_error", False)])
def test_an_errors_status_text_and_retry_come_from_the_table(code: str, retryable: bool):
    info = error_info(code, "It said no.")
    assert (info.status, info.retryable) == (CODES[code].status, retryable)
    assert info.model_message == model_message(code, "It said no.")
    assert error_info(code, "It said no.", retryable=not retryable).retryable is not retryable
