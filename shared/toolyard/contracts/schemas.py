"""JSON Schemas (2020-12) of the lifecycle events, made of the structs that are told: one of each, and of its data.

Used by `/asyncapi.json` and by the pages of the reference. A newer build may tell more: what a schema does not name is
allowed, so that whoever checks events goes on reading.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, get_args

import msgspec

from toolyard.contracts.feed import BreakerData, EventData, EventView, FeedEvent
from toolyard.states import STATES, TERMINAL

Schema = dict[str, Any]

#: The CloudEvents type of what the monitor channel tells followers at the broker.
BREAKER: Final = "io.toolyard.monitor.breaker.v1"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
#: Members that are times, and how JSON Schema says so.
_TIMES: Final = frozenset({"time", "deadline", "started_at", "finished_at", "due_at", "ends_at", "expires_at", "since"})
_ENDED: Final = ("effect", "finished_at")
_ENDS: Final = tuple(state for state in STATES if state in TERMINAL)


class Told(NamedTuple):
    """What one event says beyond what all of them say.

    Attributes:
        about: one sentence of it.
        states: those that the call is in behind it.
        needs: members of its data that are always there.
    """

    about: str
    states: tuple[str, ...]
    needs: tuple[str, ...] = ()


#: Every event that followers are told; one without a row here says no more than all say.
TOLD: Final[Mapping[str, Told]] = {
    "accepted": Told("The call was accepted, and is durable.", ("accepted", "scheduled")),
    "started": Told("An attempt runs.", ("running",)),
    "progress": Told("How far an attempt has come; told live at the broker alone.", ("running",), ("done",)),
    "soft_timeout": Told("An attempt has used most of its time.", ("running",), ("ends_at",)),
    "attempt_failed": Told("An attempt is over, and the call is not.", ("retrying",), _ENDED),
    "parked": Told(
        "The call waits: for its time, another attempt, or the end of a pause.", ("scheduled", "retrying"), ("reason",)
    ),
    "authorization_required": Told(
        "The call waits for its user's consent.", ("awaiting_authorization",), ("reason", "authorization")
    ),
    "succeeded": Told("The tool ran and answered.", ("succeeded",), _ENDED),
    "failed": Told("The tool, its upstream or its worker failed.", ("failed",), (*_ENDED, "error")),
    "timed_out": Told("It was started and took too long.", ("timed_out",), (*_ENDED, "error")),
    "expired": Told("It was overdue before any start.", ("expired",), (*_ENDED, "error")),
    "cancelled": Told("It was asked to stop, and did.", ("cancelled",), _ENDED),
    "rejected": Told("A person refused it.", ("rejected",), _ENDED),
    "late_result": Told("An outcome that came after the end, which it does not change.", _ENDS, _ENDED),
}


def event_type(event: str) -> str:
    """The CloudEvents type of an event."""
    return f"io.toolyard.call.{event}.v1"


def events() -> tuple[str, ...]:
    """The words of all events that followers are told, in the order in which a call meets them."""
    return get_args(FeedEvent)


def data_schema(event: str) -> Schema:
    """Of the data of an event, which is the body in binary mode; whole in itself."""
    schema, components = _of(EventData)
    return _whole(_narrowed(schema, event), components, event_type(event), "data")


def event_schema(event: str) -> Schema:
    """Of an event as one CloudEvents document; whole in itself."""
    schema, components = _of(EventView)
    data = _narrowed(components.pop("EventData"), event)
    properties = schema["properties"]
    properties |= {
        "type": {"const": event_type(event)},
        "data": data,
        "source": {"type": "string", "format": "uri-reference", "pattern": "^/orgs/"},
        "sequence": {"type": "string", "pattern": "^[0-9]+$"},
    }
    return _whole(
        schema | {"description": f"{_about(event)} As one CloudEvents 1.0 document."}, components, event_type(event)
    )


def breaker_data_schema() -> Schema:
    """Of the data of the one event that is about no call: how the breaker of a worker stands."""
    schema, found = _of(BreakerData)
    return _whole(schema, found, BREAKER, "data")


def mentioned() -> dict[str, Schema]:
    """What the data of events mentions: results, errors and the like, by name."""
    return _of(EventData)[1]


def example(event: str) -> dict[str, Any]:
    """Such an event, as one CloudEvents document."""
    told = TOLD.get(event, Told("", ("running",)))
    call_id, n = "018f2b6a-0000-7000-8000-000000000001", 2
    members = {name: _EXAMPLES[name] for name in told.needs}
    if event == "succeeded":
        members["result"] = {"content": '{"celsius":21}', "structured": {"celsius": 21}}
    return {
        "specversion": "1.0",
        "id": f"{call_id}/{1_000_000 + n}/{event}",
        "source": "/orgs/default",
        "type": event_type(event),
        "subject": call_id,
        "time": "2026-01-01T12:00:01.000Z",
        "sequence": str(1_000_000 + n),
        "datacontenttype": "application/json",
        "data": {
            "call_id": call_id,
            "org": "default",
            "tool": "weather",
            "version": 1,
            "state": told.states[0],
            "attempt": 1,
            "deadline": "2026-01-01T12:05:00.000Z",
            **members,
        },
    }


_EXAMPLES: Final[Mapping[str, Any]] = {
    "effect": "none",
    "finished_at": "2026-01-01T12:00:01.000Z",
    "done": 3.0,
    "ends_at": "2026-01-01T12:00:02.000Z",
    "reason": "retry",
    "error": {
        "code": "upstream_error",
        "status": 502,
        "message": "the upstream answered 404",
        "model_message": "The service behind this tool refused the request.",
    },
    "authorization": {
        "authorization_id": "a1",
        "provider": "nango/github",
        "url": "https://connect.example/a1",
        "scopes": [],
        "expires_at": "2026-01-01T12:05:00.000Z",
    },
}


# ---- their pieces -------------------------------------------------------------------------------


def components(*structs: type[msgspec.Struct], place: str = "#/$defs/{name}") -> dict[str, Schema]:
    """The schemas of these structs and of all that they mention, by name; none is given where it may be left out."""
    _, found = msgspec.json.schema_components(structs, ref_template=place)
    return {name: _plain(schema) for name, schema in found.items()}


def _of(struct: type[msgspec.Struct]) -> tuple[Schema, dict[str, Schema]]:
    found = components(struct)
    return found.pop(struct.__name__), found


def _narrowed(data: Schema, event: str) -> Schema:
    """The data of this event: its states, and what it always has."""
    told = TOLD.get(event)
    if told is None:
        return data
    state = {"enum": list(told.states)} if len(told.states) > 1 else {"const": told.states[0]}
    return data | {
        "description": told.about,
        "properties": data["properties"] | {"state": state},
        "required": [*data["required"], *told.needs],
    }


def _about(event: str) -> str:
    return TOLD[event].about if event in TOLD else f"The event {event!r} of a call."


def _whole(schema: Schema, found: Mapping[str, Schema], kind: str, part: str = "") -> Schema:
    name = kind + (f".{part}" if part else "")
    head = {"$schema": DIALECT, "$id": f"urn:toolyard:schema:{name}", "title": name}
    return head | {key: value for key, value in schema.items() if key != "title"} | {"$defs": dict(found)}


def _plain(schema: Any, name: str = "") -> Any:
    """Without what our structs have and their JSON has not: a member that is not there is left out, and never null."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if {"type": "null"} in schema.get("anyOf", ()):
        (given,) = (each for each in schema["anyOf"] if each != {"type": "null"})
        return _plain(given, name)
    plain: Schema = {key: _members(value) if key == "properties" else _plain(value) for key, value in schema.items()}
    if "description" in plain:
        plain["description"] = str(plain["description"]).partition("\n")[0]
    return plain | ({"format": "date-time"} if name in _TIMES and plain.get("type") == "string" else {})


def _members(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(schema, name) for name, schema in properties.items()}
