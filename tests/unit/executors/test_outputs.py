"""What a tool may answer: whatever an answer is, looking at it takes no worker long, and ends in words."""

import resource
from typing import Any

import msgspec
import pytest

from toolyard.contracts.calls import ErrorInfo, Result
from toolyard.security.redaction import Redactor
from toolyard_executors.outputs import output_check

INTEGERS = b"[" + b",".join([b"1"] * 520_000) + b"]"
ARTICLE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "name"],
    "properties": {
        "id": {"type": "integer", "minimum": 0},
        "name": {"type": "string", "maxLength": 80, "pattern": "^[a-z]+$"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
}


def checked(schema: dict[str, Any], raw: bytes, redactor: Redactor | None = None) -> ErrorInfo | None:
    result = Result(structured=msgspec.Raw(raw))
    return output_check(schema)(result) if redactor is None else output_check(schema)(result, redactor)


def test_all_that_is_wrong_with_a_small_answer_is_told():
    error = checked({"type": "array", "items": {"type": "string"}}, b'["a",1,2,"b",3,4,5,6]')
    assert error is not None
    assert error.details is not None
    assert [one["path"] for one in error.details["errors"]] == [f"result.{at}" for at in (1, 2, 4, 5, 6)]
    assert error.message == 'result.1: 1 is not of type "string"'


@pytest.mark.parametrize(
    "items", [{"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"]}, {"const": 7}]}]
)
def test_of_a_large_answer_the_first_wrong_place_is_told_and_no_other_is_looked_for(items: dict[str, Any]):
    """All of them took a minute and three gigabytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = checked({"type": "array", "items": items}, INTEGERS)
    assert error is not None
    assert (error.code, error.message[:10]) == ("output_invalid", "result.0: ")
    assert error.details is not None
    assert len(error.details["errors"]) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_an_answer_that_would_take_too_long_to_check_is_too_large():
    error = checked({"type": "array", "items": {"anyOf": [{"const": number} for number in range(200)]}}, INTEGERS)
    assert error is not None
    assert error.code == "output_too_large"
    assert "checking it against the tool's output schema would take too long" in error.message


def test_a_large_answer_of_an_ordinary_form_is_checked():
    one = b'{"id":1,"name":"abc","tags":["a","b"]}'
    many = b"[" + b",".join([one] * 26_000) + b"]"
    assert checked({"type": "array", "items": ARTICLE}, many) is None
    wrong = checked({"type": "array", "items": ARTICLE}, many[:-1] + b',{"id":-1,"name":"abc"}]')
    assert wrong is not None
    assert wrong.message == "result.26000.id: -1 is less than the minimum of 0"
    commas = msgspec.json.encode({"text": "," * 1_000_000})
    assert checked({"type": "object", "properties": {"text": {"type": "string"}}}, commas) is None


@pytest.mark.parametrize("depth", [200, 256, 500, 900])
def test_an_answer_that_is_nested_deeply_is_judged_as_any_other(depth: int):
    """It was a defect, and the broker gave the call to the next worker."""
    nested = b"[" * depth + b"]" * depth
    assert checked({"type": "array"}, nested) is None
    error = checked({"type": "object"}, nested)
    assert error is not None
    assert error.code == "output_invalid"


def test_a_secret_is_taken_out_of_what_is_told():
    error = checked({"type": "array"}, b'"the s3cr3t-value"', Redactor({"TOKEN": "s3cr3t-value"}))
    assert error is not None
    assert "[redacted:TOKEN]" in error.message
    assert "s3cr3t" not in str(error)


def test_a_schema_without_an_end_is_none():
    with pytest.raises(ValueError, match="output: "):
        output_check({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"})
