"""The SDK: a gateway's API for programs outside, and for the `toolyard` command. It knows no broker and no store.

::

    with Client() as client:
        call = client.call("weather", {"city": "Bern"})
        print(call.output())

`Client` and its twin `AsyncClient` are thin shells around one pure core: `requests` says what is asked, `answers` and
`shapes` what comes back, `asking`, `following` and `patience` what is done next. `AmqpClient` takes the same steps over
the queue of requests, and needs the extra ``amqp``.
"""

from toolyard.client.aio import AsyncClient
from toolyard.client.amqp import AmqpClient
from toolyard.client.client import Client
from toolyard.client.errors import Unexpected, Unreachable
from toolyard.client.feed import FeedEvent, Gap
from toolyard.client.requests import NO_KEY, CallSpec, Format, Request
from toolyard.client.shapes import (
    Authorization,
    Call,
    CallFailed,
    CallUnfinished,
    Event,
    Failure,
    Report,
    Result,
    Turn,
    TurnCall,
)
from toolyard.errors import FieldError, Refused, ToolyardError

__all__ = [
    "NO_KEY",
    "AmqpClient",
    "AsyncClient",
    "Authorization",
    "Call",
    "CallFailed",
    "CallSpec",
    "CallUnfinished",
    "Client",
    "Event",
    "Failure",
    "FeedEvent",
    "FieldError",
    "Format",
    "Gap",
    "Refused",
    "Report",
    "Request",
    "Result",
    "ToolyardError",
    "Turn",
    "TurnCall",
    "Unexpected",
    "Unreachable",
]
