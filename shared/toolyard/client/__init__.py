"""The SDK: a gateway's API for programs outside, and for the `toolyard` command. HTTP only; knows no broker, no store.

::

    with Client() as client:
        call = client.call("weather", {"city": "Bern"})
        print(call.output())

`Client` and its twin `AsyncClient` are thin shells around one pure core: `requests` says what is asked, `answers` and
`shapes` what comes back, `asking`, `following` and `patience` what is done next.
"""

from toolyard.client.aio import AsyncClient
from toolyard.client.client import Client
from toolyard.client.errors import Unexpected, Unreachable
from toolyard.client.feed import FeedEvent, Gap
from toolyard.client.requests import NO_KEY, CallSpec, Format, Request
from toolyard.client.shapes import Call, CallFailed, CallUnfinished, Event, Failure, Report, Result, Turn, TurnCall
from toolyard.errors import FieldError, Refused, ToolyardError

__all__ = [
    "NO_KEY",
    "AsyncClient",
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
