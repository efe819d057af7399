"""What a schedule's slot becomes: the message of a call, as a gateway would make it, or the reason why there is none.

Pure; the duty `recurring` reads what is needed and publishes what comes out. The call's id is made of schedule and
slot, so that whoever fires a slot makes the same call: a ledger and its claims start it once.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import jsonschema_rs
import msgspec

from toolyard import ids
from toolyard.contracts import codec
from toolyard.contracts.calls import VERSION, Call, CallMessage
from toolyard.contracts.schedules import Failure, ScheduleSpec
from toolyard.contracts.tools import ToolSpec, fallback_pool, is_rerunnable, pinned
from toolyard.store.schedules import ScheduleRow
from toolyard.telemetry import tracing
from toolyard.timing import LONGEST_ATTEMPT, USUAL_ATTEMPT

#: Seconds where neither schedule nor tool say any; as gateways have them.
DEFAULT_TIMEOUT: Final = USUAL_ATTEMPT
DEFAULT_DEADLINE: Final = 300.0
#: In the place of the gateway: nobody waits for the answer.
NOBODY: Final = "-"

_sorted = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as a firing finds it.

    Attributes:
        current: its current version; ``None`` where there is no such tool.
        wanted: the version that the schedule names, or the current one.
    """

    current: ToolSpec | None
    wanted: ToolSpec | None


def call_id(row: ScheduleRow, slot: float) -> str:
    """The id of the call of this slot, whoever fires it."""
    return ids.derived_id("schedule", row.org, row.schedule_id, f"{slot:.3f}")


def fire(
    row: ScheduleRow, slot: float, tool: Tool, now: float, longest_attempt: float = LONGEST_ATTEMPT
) -> CallMessage | Failure:
    """The message of this slot's call; a failure where the tool cannot be called, or may take too long."""
    current, wanted, spec = tool.current, tool.wanted, row.spec
    if current is None:
        return Failure(slot=slot, code="tool_not_found", message=f"There is no tool {spec.tool!r}.")
    if not current.enabled:
        return Failure(slot=slot, code="permission_denied", message=f"The tool {spec.tool!r} is disabled.")
    if wanted is None:
        return Failure(slot=slot, code="version_gone", message=f"There is no version {spec.version} of {spec.tool!r}.")
    if wanted.version != spec.checked and not _fits(wanted, spec.arguments):
        text = f"The arguments do not fit version {wanted.version} of {spec.tool!r}; save the schedule anew."
        return Failure(slot=slot, code="validation_failed", message=text)
    if (timeout := _timeout(spec, wanted)) > longest_attempt:
        text = f"The timeout, of the schedule or of {spec.tool!r}, is {timeout:g} s; here an attempt takes at most "
        text += f"{longest_attempt:g} s (TOOLYARD_LONGEST_ATTEMPT)."
        return Failure(slot=slot, code="validation_failed", message=text)
    return _message(row, slot, wanted, now)


def _fits(tool: ToolSpec, arguments: dict[str, Any]) -> bool:
    """Whether the arguments fit a version that came after they were checked."""
    return _validator(codec.encode_json(tool.parameters)).is_valid(arguments)


@lru_cache(maxsize=256)
def _validator(parameters: bytes) -> jsonschema_rs.Draft202012Validator:
    options = jsonschema_rs.RegexOptions(size_limit=1_000_000, dfa_size_limit=1_000_000)
    return jsonschema_rs.Draft202012Validator(
        msgspec.json.decode(parameters), validate_formats=True, pattern_options=options, offline=True
    )


def _timeout(spec: ScheduleSpec, tool: ToolSpec) -> float:
    """Seconds for one attempt."""
    return spec.timeout or tool.timeout or DEFAULT_TIMEOUT


def _message(row: ScheduleRow, slot: float, tool: ToolSpec, now: float) -> CallMessage:
    spec = row.spec
    budget = spec.deadline or tool.deadline or DEFAULT_DEADLINE
    call = Call(
        call_id=call_id(row, slot),
        org=row.org,
        tool=tool.name,
        version=tool.version,
        pool=tool.pool,
        gateway=NOBODY,
        principal=row.created_by,
        arguments=spec.arguments,
        body_hash=_body_hash(spec),
        accepted_at=now,
        deadline=now + budget,
        timeout=_timeout(spec, tool),
        queue_timeout=spec.queue_timeout or tool.queue_timeout,
        rerunnable=is_rerunnable(tool),
        retry=tool.retry if tool.retry.max_attempts > 1 else None,
        user=spec.user,
        conversation=spec.conversation,
        context=spec.context,
        traceparent=tracing.accept(None),
        fallback=fallback_pool(tool),
    )
    raw = msgspec.Raw(codec.encode(pinned(tool)))
    return CallMessage(v=VERSION, call=call, tool=raw, budget=budget, claim="required")


def _body_hash(spec: ScheduleSpec) -> str:
    """The same for every firing of a slot, so that a second one is no other request under the same id."""
    said: list[Any] = [spec.tool, spec.version, spec.arguments, spec.user, spec.conversation, spec.context]
    said += [spec.timeout, spec.queue_timeout, spec.deadline]
    return sha256(_sorted.encode(said)).hexdigest()
