"""What users give becomes plain JSON: their own kinds of values, and the messages of providers' packages."""

import dataclasses
import enum
import json
from collections import OrderedDict
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field

from toolyard.client import requests, values
from toolyard.errors import FieldsRefused


class City(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)
    name: str
    country: str = "CH"
    top: int | None = Field(None, alias="max")


class Colour(enum.Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


class Point(msgspec.Struct):
    x: int


@dataclasses.dataclass
class Line:
    start: Point


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (City.model_validate({"name": "Bern"}), {"name": "Bern", "country": "CH", "max": None}),
        (
            [{"at": City.model_validate({"name": "Bern", "max": 3})}],
            [{"at": {"name": "Bern", "country": "CH", "max": 3}}],
        ),
        (Line(Point(1)), {"start": {"x": 1}}),
        (MappingProxyType({"a": OrderedDict(b=(1, 2))}), {"a": {"b": [1, 2]}}),
        (datetime(2027, 1, 15, 9, tzinfo=UTC), "2027-01-15T09:00:00Z"),
        ({"colour": Colour.RED, "text": Text("x")}, {"colour": "red", "text": "x"}),
        ({"big": 2**80, "nothing": None}, {"big": 2**80, "nothing": None}),
    ],
    ids=["model", "model inside", "dataclass", "mappings", "time", "enum", "big number"],
)
def test_values_become_json(given: Any, sent: Any):
    assert json.loads(values.body(values.plain(given, "arguments"))) == sent


def test_a_message_is_what_the_provider_sent_and_not_what_its_package_adds():
    message = City.model_validate({"name": "Bern", "max": 7, "new": [1]})
    assert values.message([message, {"of": message}]) == [
        {"name": "Bern", "max": 7, "new": [1]},
        {"of": {"name": "Bern", "max": 7, "new": [1]}},
    ]


def test_half_a_character_is_left_to_the_gateway_to_refuse():
    assert values.body({"ü": "\ud83d"}) == rb'{"\u00fc":"\ud83d"}'
    assert values.body({"ü": "ä"}) == '{"ü":"ä"}'.encode()


def endless() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    "given", [object(), {"a": {1: object()}}, endless(), lambda: 0], ids=["object", "inside", "endless", "function"]
)
def test_what_is_no_value_is_refused_by_its_field(given: Any):
    with pytest.raises(FieldsRefused) as caught:
        requests.create_call("weather", {"x": given})
    assert caught.value.fields[0].path == "arguments"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_in_json_is_refused(number: float):
    with pytest.raises(FieldsRefused, match="no JSON"):
        values.body({"x": number})


@pytest.mark.parametrize("key", ["ü", "a\nb", " a", "a ", "x" * 256])
def test_a_key_that_cannot_travel_in_a_header_is_refused(key: str):
    with pytest.raises(FieldsRefused, match="idempotency_key"):
        requests.create_call("weather", {}, idempotency_key=key)
