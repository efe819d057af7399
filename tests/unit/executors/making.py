"""Calls and attempts for tests of executors."""

from collections.abc import Mapping
from typing import Any

import msgspec

from toolyard import ids
from toolyard.clock import SYSTEM, Clock
from toolyard.contracts.calls import VERSION, Call, CallMessage, Result
from toolyard.contracts.codec import encode
from toolyard.contracts.tools import Binding, HttpBinding, PinnedTool
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Executor, Finished

NO_SECRETS: Mapping[str, str] = {}


def a_call(**changes: Any) -> Call:
    """A call of the tool `t` in the pool `http`, accepted now."""
    now = changes.pop("now", SYSTEM.now())
    values: dict[str, Any] = {
        "call_id": ids.new_id(),
        "org": "default",
        "tool": "t",
        "version": 1,
        "pool": "http",
        "gateway": "g1",
        "principal": "p1",
        "arguments": {},
        "body_hash": "h",
        "accepted_at": now,
        "deadline": now + 300,
        "timeout": 30.0,
        **changes,
    }
    return Call(**values)


def a_tool(binding: Binding | None = None, **changes: Any) -> PinnedTool:
    """A pinned tool; one http request if no binding is given."""
    return PinnedTool(binding=binding or HttpBinding(method="POST", url="http://h.example/"), **changes)


def a_message(call: Call, tool: PinnedTool, **changes: Any) -> CallMessage:
    """The pool message of a call."""
    budget = changes.pop("budget", call.deadline - call.accepted_at)
    return CallMessage(v=VERSION, call=call, tool=msgspec.Raw(encode(tool)), budget=budget, **changes)


def an_attempt(
    executor: Executor,
    tool: PinnedTool,
    *,
    secrets: Mapping[str, str] = NO_SECRETS,
    clock: Clock = SYSTEM,
    timeout: float = 30.0,
    **call: Any,
) -> Attempt:
    """An attempt as the runtime would hand it to this executor."""
    return Attempt(
        call=a_call(**call),
        tool=tool,
        plan=executor.prepare(tool),
        number=1,
        ends_at=clock.monotonic() + timeout,
        clock=clock,
        get_secret=lambda org, name: secrets.get(name) if org == "default" else None,
    )


def value_of(finished: Finished) -> Any:
    """The JSON value of a result."""
    assert finished.error is None, finished.error
    return json_of(finished.result)


def json_of(result: Result | None) -> Any:
    """The JSON value of a result."""
    assert result is not None
    assert isinstance(result.structured, msgspec.Raw)
    return msgspec.json.decode(result.structured)
