"""`/asyncapi.json` names what the topology has, means what `/openapi.json` means, and its examples are true."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from toolyard.contracts import schemas
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import BreakerTold
from toolyard.contracts.feed import EventView
from toolyard.transport import followed, topology
from toolyard_gateway.api import asyncapi

DOCUMENT = asyncapi.document("0")
MESSAGES = DOCUMENT["components"]["messages"]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with all components beside it."""
    return {**schema, "components": DOCUMENT["components"], "$schema": schemas.DIALECT}


async def test_the_gateway_serves_it(rig):
    answer = await rig.client.get("/asyncapi.json", headers={"Authorization": ""})

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == asyncapi.document(answer.json()["info"]["version"])


@pytest.mark.parametrize("name", MESSAGES)
def test_every_example_is_what_its_message_says(name: str):
    (example,) = MESSAGES[name]["examples"]

    jsonschema_rs.Draft202012Validator(resolved(MESSAGES[name]["payload"])).validate(example["payload"])
    if "headers" in example:
        jsonschema_rs.Draft202012Validator(resolved(MESSAGES[name]["headers"])).validate(example["headers"])


def test_every_reference_leads_somewhere():
    found = list(_references(DOCUMENT))
    assert found
    for reference in found:
        place: Any = DOCUMENT
        for word in reference.removeprefix("#/").split("/"):
            place = place[word]


def test_its_addresses_are_those_of_the_topology():
    channels = DOCUMENT["channels"]
    assert channels["requests"]["address"] == topology.REQUESTS
    assert channels["requests"]["bindings"]["amqp"]["queue"]["name"] == topology.REQUESTS
    assert channels["feed"]["bindings"]["amqp"]["exchange"]["name"] == topology.FEED
    assert topology.FEED in topology.EXCHANGES
    assert channels["orgFeed"]["address"] == "toolyard.feed.{org}"


def test_what_the_scheduler_publishes_to_followers_is_as_it_says():
    view = msgspec.convert(schemas.example("failed"), EventView)
    told = BreakerTold(
        v=VERSION,
        worker="w1",
        pool="http",
        org="default",
        circuit="api.example.com:443",
        state="open",
        episode="e1",
        time=1.0,
        since=1.0,
    )
    for message, name in (
        (followed.of_a_call(view, view.data, "failed", "http", persistent=True), "failed"),
        (followed.of_a_breaker(told), "breaker"),
    ):
        headers, described = dict(message.headers), MESSAGES[name]
        jsonschema_rs.Draft202012Validator(resolved(described["headers"])).validate(headers)
        jsonschema_rs.Draft202012Validator(resolved(described["payload"])).validate(json.loads(message.body))
        assert headers["cloudEvents_type"] == described["name"]
        assert message.exchange == DOCUMENT["channels"]["feed"]["bindings"]["amqp"]["exchange"]["name"]
        words = DOCUMENT["channels"]["feed"]["address"].split(".")
        values = dict(zip(words, message.key.split(".", len(words) - 1), strict=True))
        parameters = DOCUMENT["channels"]["feed"]["parameters"]
        for word, parameter in parameters.items():
            assert values[f"{{{word}}}"] in parameter.get("enum", [values[f"{{{word}}}"]])


async def test_requests_and_answers_are_those_of_http(rig):
    documented = (await rig.client.get("/openapi.json")).json()["components"]["schemas"]
    ours = DOCUMENT["components"]["schemas"]
    shared = set(ours) & set(documented)

    assert {"CallRequest", "TurnRequest", "CallModel", "TurnAnswer", "Problem"} <= shared
    assert {name: _plain(ours[name]) for name in shared} == {name: _plain(documented[name]) for name in shared}


def _plain(schema: Any) -> Any:
    """Without defaults that are null, which of answers one names and the other does not."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if (key, value) != ("default", None)}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for one in value.values() for each in _references(one)]
    return [each for one in value for each in _references(one)] if isinstance(value, list) else []
