"""The JSON Schemas of events are schemas, take what is told, and refuse what is not."""

import jsonschema_rs
import pytest

from toolyard.contracts import schemas

every_event = pytest.mark.parametrize("event", schemas.events())


@every_event
def test_every_schema_is_one_and_whole_in_itself(event: str):
    for schema in (schemas.data_schema(event), schemas.event_schema(event)):
        assert schema["$schema"] == schemas.DIALECT
        jsonschema_rs.meta.validate(schema)
        jsonschema_rs.Draft202012Validator(schema)


def test_no_two_schemas_have_one_name():
    names = [make(event)["$id"] for event in schemas.events() for make in (schemas.data_schema, schemas.event_schema)]
    assert len(set(names)) == len(names)


def test_every_event_says_what_it_is():
    assert set(schemas.TOLD) == set(schemas.events())


@every_event
def test_its_example_is_taken_as_a_document_and_as_data(event: str):
    example = schemas.example(event)

    assert not errors(schemas.event_schema(event), example)
    assert not errors(schemas.data_schema(event), example["data"])


@every_event
def test_the_example_of_another_event_is_not(event: str):
    for other in set(schemas.events()) - {event}:
        assert errors(schemas.event_schema(event), schemas.example(other)), other


@every_event
def test_what_it_needs_is_needed_and_more_may_be_told(event: str):
    example, schema = schemas.example(event)["data"], schemas.data_schema(event)

    for name in (*schemas.TOLD[event].needs, "call_id", "state"):
        assert errors(schema, {member: value for member, value in example.items() if member != name}), name
    assert not errors(schema, example | {"told_by_a_newer_build": 1})


def test_times_are_times_and_nothing_is_null():
    data = schemas.example("failed")["data"]
    validator = jsonschema_rs.Draft202012Validator(schemas.data_schema("failed"), validate_formats=True)

    assert validator.is_valid(data)
    assert not validator.is_valid(data | {"finished_at": "yesterday"})
    assert not validator.is_valid(data | {"user": None})


def errors(schema: dict, value: object) -> list[str]:
    return [each.message for each in jsonschema_rs.Draft202012Validator(schema).iter_errors(value)]
