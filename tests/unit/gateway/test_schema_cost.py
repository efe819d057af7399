"""Schemas that would hold up a gateway are refused when saved, or with the arguments that would make them slow."""

import pytest
from tests.unit.gateway.schema_cost_cases import HARMFUL, KEYS, ORDINARY, TOO_MUCH

from toolyard_gateway.schemas import argument_errors, check_schema, compile_schema


@pytest.mark.parametrize("field", ["parameters", "output"])
@pytest.mark.parametrize("name", HARMFUL)
def test_a_schema_that_could_take_forever_is_refused(name, field):
    schema, path = HARMFUL[name]

    assert field + path in [error.path for error in check_schema(schema, field, any_root=field == "output")]


@pytest.mark.parametrize("name", TOO_MUCH)
def test_arguments_that_are_too_many_for_their_schema_are_refused_unread(name):
    schema, arguments = TOO_MUCH[name]
    assert check_schema(schema, "parameters") == []

    (error,) = argument_errors(compile_schema(schema), arguments, "arguments")

    assert error.path == "arguments"
    assert "too many values" in error.message


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_schemas_and_arguments_go_together(name):
    schema, arguments = ORDINARY[name]
    assert check_schema(schema, "parameters") == []

    assert argument_errors(compile_schema(schema), arguments, "arguments") == ()


def test_a_kept_schema_that_counts_as_too_costly_by_now_takes_nothing():
    schema, _ = HARMFUL["two references back below a property"]

    (error,) = argument_errors(compile_schema(schema), {}, "arguments")

    assert "too many values" in error.message


def test_of_many_wrong_values_the_first_is_named():
    schema = {"type": "object", "additionalProperties": {"type": "string"}}

    (error,) = argument_errors(compile_schema(schema), KEYS, "arguments")

    assert error.path.startswith("arguments.k")
