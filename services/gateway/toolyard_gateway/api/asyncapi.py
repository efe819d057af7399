"""`/asyncapi.json`: what leaves and enters over the broker, as AsyncAPI 3.0, made of the contracts and the topology.

Requests and answers are the models of `/openapi.json`, events the schemas of `toolyard.contracts.schemas`.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from toolyard.contracts import schemas
from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import POOLS
from toolyard.transport import topology
from toolyard_gateway.api import models, turn_models

PATH: Final = "/asyncapi.json"

_SCHEMA: Final = "#/components/schemas/{model}"
_BINDING: Final = "0.3.0"
_MODELS: Final[tuple[tuple[type[BaseModel], JsonSchemaMode], ...]] = (
    (models.CallRequest, "validation"),
    (turn_models.TurnRequest, "validation"),
    (models.CallModel, "serialization"),
    (turn_models.TurnAnswer, "serialization"),
    (models.Problem, "validation"),
)
_ABOUT: Final = (
    "Calls and turns from a queue, and events for followers. The vhost is the one that `TOOLYARD_TRANSPORT_URL` names."
    " Operations are told from the side of Toolyard: it receives requests, and sends answers and events."
)
_CALL: Final = "018f2b6a-0000-7000-8000-000000000001"


def install(app: Starlette, version: str) -> None:
    """Let the app answer with it. No key is needed, as for `/openapi.json`."""
    body = encode_json(document(version))

    async def describe(_: Request) -> Response:
        return Response(body, media_type="application/json")

    app.add_route(PATH, describe, methods=["GET"], include_in_schema=False)


def document(version: str) -> dict[str, Any]:
    """The whole description."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:toolyard",
        "info": {"title": "Toolyard", "version": version, "description": _ABOUT, "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "schemas": _schemas(),
            "messages": _requests() | _answers() | {each: _event(each) for each in schemas.events()} | _breaker(),
            "securitySchemes": _SECURITY,
        },
    }


_SECURITY: Final = {
    "brokerUser": {
        "type": "userPassword",
        "description": "A user of the broker. One that is bound to a principal needs nothing else: the broker checks"
        " the property `user_id`.",
    },
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "The header `authorization` of the message: `Bearer <key>`. It is removed before the message"
        " goes anywhere else.",
    },
}


def _servers() -> dict[str, Any]:
    def server(protocol: str, port: int, about: str) -> dict[str, Any]:
        return {
            "host": "{host}:{port}",
            "protocol": protocol,
            "protocolVersion": "0.9.1",
            "description": about,
            "variables": {"host": {"default": "localhost"}, "port": {"default": str(port)}},
            "security": [{"$ref": "#/components/securitySchemes/brokerUser"}],
        }

    return {
        "broker": server("amqp", 5672, "RabbitMQ, 3.10 to 4.x."),
        "secureBroker": server("amqps", 5671, "The same over TLS."),
    }


# ---- channels and operations --------------------------------------------------------------------


def _channels() -> dict[str, Any]:
    told = (*schemas.events(), "breaker")
    events = {each: {"$ref": f"#/components/messages/{each}"} for each in told}
    org = {"org": {"description": "Whose calls these are."}}
    return {
        "requests": {
            "address": topology.REQUESTS,
            "title": "Calls and turns from outside",
            "description": "A message without `reply_to` is answered to nobody.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _requests()},
            "bindings": _queue(topology.REQUESTS),
        },
        "answers": {
            "address": None,
            "title": "The queue that a request names in `reply_to`",
            "description": "Reached through the default exchange; `correlation_id` is the request's.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _answers()},
        },
        "feed": {
            "address": "{org}.{channel}.{event}.{pool}.{tool}",
            "title": f"Events, live, at the exchange `{topology.FEED}`",
            "description": "Bind a queue of your own. At least once: the same event has the same `cloudEvents_id`.",
            "parameters": org
            | {
                "channel": {"enum": ["call", "monitor"], "description": "What it is about: breakers are `monitor`."},
                "event": {"enum": list(told), "description": "What happened."},
                "pool": {"enum": list(POOLS), "description": "Of the workers that it is about."},
                "tool": {"description": "Last, because its name may hold dots: bind it with `#`. `-` of breakers."},
            },
            "messages": events,
            "bindings": {
                "amqp": {
                    "is": "routingKey",
                    "exchange": {
                        "name": topology.FEED,
                        "type": "topic",
                        "durable": True,
                        "autoDelete": False,
                        "vhost": "/",
                    },
                    "bindingVersion": _BINDING,
                }
            },
        },
        "orgFeed": {
            "address": f"{topology.FEED}.{{org}}",
            "title": "The org's stream of the same events, for replay",
            "description": "Where the operator keeps one. Consume it with `x-stream-offset`, and ack.",
            "parameters": org,
            "messages": events,
            "bindings": _queue(f"{topology.FEED}.{{org}}"),
        },
    }


def _queue(name: str) -> dict[str, Any]:
    queue = {"name": name, "durable": True, "exclusive": False, "autoDelete": False, "vhost": "/"}
    return {"amqp": {"is": "queue", "queue": queue, "bindingVersion": _BINDING}}


def _operations() -> dict[str, Any]:
    def told(channel: str, summary: str) -> dict[str, Any]:
        told = (*schemas.events(), "breaker")
        messages = [{"$ref": f"#/channels/{channel}/messages/{each}"} for each in told]
        return {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": summary,
            "messages": messages,
            "bindings": {"amqp": {"deliveryMode": 2, "mandatory": False, "bindingVersion": _BINDING}},
        }

    def asked(name: str, answer: str, summary: str) -> dict[str, Any]:
        answers = [{"$ref": f"#/channels/answers/messages/{each}"} for each in (answer, "problem")]
        return {
            "action": "receive",
            "channel": {"$ref": "#/channels/requests"},
            "summary": summary,
            "security": [{"$ref": "#/components/securitySchemes/apiKey"}],
            "messages": [{"$ref": f"#/channels/requests/messages/{name}"}],
            "reply": {
                "address": {"location": "$message.header#/reply_to", "description": "The property, a queue's name."},
                "channel": {"$ref": "#/channels/answers"},
                "messages": answers,
            },
            "bindings": {"amqp": {"ack": True, "bindingVersion": _BINDING}},
        }

    return {
        "takeCall": asked("call", "callAnswer", "Run a tool, and answer with the call once it has ended."),
        "takeTurn": asked("turn", "turnAnswer", "Run the tool calls of an assistant message, and answer with results."),
        "tellEvents": told("feed", "What happens to calls, in order for each of them."),
        "keepEvents": told("orgFeed", "The same, kept for those who come later."),
    }


# ---- messages -----------------------------------------------------------------------------------


#: Headers of one kind of request alone.
_WAIT: Final[dict[str, dict[str, Any]]] = {
    "call": {"prefer": {"type": "string", "description": "`wait=N`: told as it stands after N seconds, 300 at most."}},
    "turn": {},
}


def _requests() -> dict[str, Any]:
    def request(name: str, model: type[BaseModel], summary: str, example: dict[str, Any]) -> dict[str, Any]:
        about = "As the HTTP header of this name; `idempotency_key` in a call's body says the same."
        headers = {
            "type": "object",
            "properties": {
                "authorization": {"type": "string", "pattern": "^Bearer ", "description": "The API key."},
                "idempotency-key": {"type": "string", "maxLength": 255, "description": about},
                "traceparent": {"type": "string", "description": "The trace that the call belongs to."},
                **_WAIT[name],
            },
        }
        return {
            "name": name,
            "summary": summary,
            "contentType": "application/json",
            "headers": headers,
            "payload": {"$ref": _SCHEMA.format(model=model.__name__)},
            "correlationId": {"location": "$message.header#/correlation_id", "description": "The property."},
            "bindings": {"amqp": {"messageType": name, "bindingVersion": _BINDING}},
            "examples": [{"headers": {"authorization": "Bearer <key>"}, "payload": example}],
        }

    asked = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Lisbon"}'}}
    turn = {"format": "openai", "message": {"role": "assistant", "tool_calls": [asked]}}
    return {
        "call": request(
            "call",
            models.CallRequest,
            "What `POST /v1/calls` takes. `type` may be left out.",
            {"tool": "weather", "arguments": {"city": "Lisbon"}, "idempotency_key": "order-7"},
        ),
        "turn": request("turn", turn_models.TurnRequest, "What `POST /v1/turns` takes.", turn),
    }


def _answers() -> dict[str, Any]:
    call = {
        "call_id": _CALL,
        "tool": "weather",
        "version": 1,
        "state": "succeeded",
        "effect": "done",
        "arguments": {"city": "Lisbon"},
        "result": {"content": '{"celsius":21}', "structured": {"celsius": 21}},
        "attempts": 1,
        "org": "default",
        "created_at": "2026-01-01T12:00:00.000Z",
        "deadline": "2026-01-01T12:05:00.000Z",
        "trace_id": "",
    }
    told = {"role": "tool", "tool_call_id": "1", "content": '{"celsius":21}'}
    turn = {
        "messages": [told],
        "calls": [{"call_id": _CALL, "tool_call_id": "1", "tool": "weather", "state": "succeeded", "code": None}],
    }
    problem = {
        "type": "urn:toolyard:problem:tool_not_found",
        "title": "Not found",
        "status": 404,
        "code": "tool_not_found",
        "detail": "No such tool.",
    }
    found = {
        "callAnswer": (models.CallModel, "The call, once it has ended.", call),
        "turnAnswer": (turn_models.TurnAnswer, "What can be appended to the conversation.", turn),
        "problem": (models.Problem, "Why the request was refused (RFC 9457).", problem),
    }
    return {
        name: {
            "name": name,
            "summary": summary,
            "contentType": "application/problem+json" if name == "problem" else "application/json",
            "payload": {"$ref": _SCHEMA.format(model=model.__name__)},
            "correlationId": {"location": "$message.header#/correlation_id", "description": "The request's."},
            "bindings": {"amqp": {"messageType": name.removesuffix("Answer"), "bindingVersion": _BINDING}},
            "examples": [{"payload": example}],
        }
        for name, (model, summary, example) in found.items()
    }


def _event(event: str) -> dict[str, Any]:
    told = schemas.TOLD.get(event)
    return {
        "name": schemas.event_type(event),
        "title": event,
        "summary": told.about if told else f"The event {event!r} of a call.",
        "description": "CloudEvents 1.0, binary mode: attributes are headers, the body is the data.",
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/EventHeaders"},
        "payload": {"$ref": _SCHEMA.format(model=schemas.event_type(event))},
        "bindings": {"amqp": {"bindingVersion": _BINDING}},
        "examples": [{"headers": _headers(event), "payload": schemas.example(event)["data"]}],
    }


def _breaker() -> dict[str, Any]:
    told = {
        "org": "default",
        "pool": "http",
        "worker": "http-1",
        "circuit": "api.example.com:443",
        "state": "open",
        "since": "2026-01-01T12:00:00.000Z",
        "retry_in": 5.0,
        "failures": 5,
    }
    headers = {
        "specversion": "1.0",
        "id": "e1/http-1/1/open",
        "source": "/orgs/default",
        "type": schemas.BREAKER,
        "subject": told["circuit"],
        "time": told["since"],
    }
    message = {
        "name": schemas.BREAKER,
        "title": "breaker",
        "summary": "How a worker's circuit breaker stands.",
        "description": "CloudEvents 1.0, binary mode; not kept for long, and for nobody who comes late.",
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/BreakerHeaders"},
        "payload": {"$ref": _SCHEMA.format(model=schemas.BREAKER)},
        "bindings": {"amqp": {"bindingVersion": _BINDING}},
        "examples": [{"headers": {f"cloudEvents_{name}": value for name, value in headers.items()}, "payload": told}],
    }
    return {"breaker": message}


def _headers(event: str) -> dict[str, Any]:
    attributes = schemas.example(event)
    return {f"cloudEvents_{name}": value for name, value in attributes.items() if name in _ATTRIBUTES}


# ---- schemas ------------------------------------------------------------------------------------

#: CloudEvents attributes that are headers.
_NEEDED: Final = ("specversion", "id", "source", "type", "subject", "time")
_ATTRIBUTES: Final = (*_NEEDED, "sequence", "traceparent")


def _schemas() -> dict[str, Any]:
    _, found = models_json_schema(_MODELS, ref_template=_SCHEMA)
    told = {schemas.event_type(event): _inside(schemas.data_schema(event)) for event in schemas.events()}
    types = [schemas.event_type(event) for event in schemas.events()]
    return {
        **found["$defs"],
        **_shared(),
        **told,
        schemas.BREAKER: _inside(schemas.breaker_data_schema()),
        "EventHeaders": _event_headers(types, needed=(*_NEEDED, "sequence")),
        "BreakerHeaders": _event_headers([schemas.BREAKER], needed=_NEEDED),
    }


def _inside(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A whole schema as one of the components: what it mentions stands beside it."""
    left = ("$schema", "$id", "$defs")
    return {key: _moved(value) for key, value in schema.items() if key not in left}


def _shared() -> dict[str, Any]:
    """What the data of events mentions."""
    return {name: _moved(schema) for name, schema in schemas.mentioned().items()}


def _moved(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(value)
            for key, value in schema.items()
        }
    return [_moved(each) for each in schema] if isinstance(schema, list) else schema


def _event_headers(types: list[str], *, needed: tuple[str, ...]) -> dict[str, Any]:
    properties = schemas.event_schema("accepted")["properties"]
    wanted = {f"cloudEvents_{name}": properties[name] for name in _ATTRIBUTES}
    return {
        "type": "object",
        "description": "The attributes of CloudEvents 1.0; all are scalars.",
        "properties": wanted | {"cloudEvents_type": {"enum": types}},
        "required": [f"cloudEvents_{name}" for name in needed],
    }
