"""An arcade tool, worked out once; and for each call with which key and for whom it is run. Pure; for `executor`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import ARCADE_KEY, ArcadeBinding, PinnedTool
from toolyard.telemetry import tracing
from toolyard.templates import ContextMissing, SecretMissing, Unfillable
from toolyard_executors.context import Attempt

#: What a key looks like: nothing else can stand in a header.
_KEY: Final = re.compile(r"[\x21-\x7e]{1,4096}")
#: Characters of the name of a circuit.
_CIRCUIT: Final = 300


class BadKey(Unfillable):
    """A secret that holds no key, or is not there. The message holds its name."""

    code = "tool_error"


@dataclass(frozen=True, slots=True)
class Request:
    """One run.

    Attributes:
        version: None for the newest.
        headers: that go with each request for it.
    """

    key: str = field(repr=False)
    user: str
    tool: str
    version: str | None
    arguments: dict[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """An arcade tool."""

    binding: ArcadeBinding
    secrets: tuple[str, ...]
    contexts: tuple[str, ...]

    @property
    def circuit(self) -> str:
        """What may be down as a whole: the toolkit."""
        return f"arcade/{self.binding.tool_name.partition('.')[0]}"[:_CIRCUIT]

    def request(self, attempt: Attempt) -> Request:
        """The run of one attempt. For whom it is run the call alone says, never its arguments.

        Raises:
            Unfillable: something is missing, or cannot be sent.
        """
        call = attempt.call
        missing = [name for name in self.contexts if name not in (call.context or {})]
        if missing:
            raise ContextMissing(f"context.{missing[0]} is missing")
        if call.user is None:
            raise ContextMissing("user is missing: a tool of Arcade runs for somebody; name the user in the call")
        _check_texts([call.user, call.arguments])
        for name in self.secrets:  # nothing is given to a tool of Arcade; what it may say of them is redacted
            attempt.secret(name)
        return Request(
            key=_key(attempt),
            user=call.user,
            tool=self.binding.tool_name,
            version=self.binding.tool_version,
            arguments=call.arguments,
            headers={"Idempotency-Key": call.call_id, "traceparent": tracing.hand_on(call.traceparent)},
        )


def plan_of(tool: PinnedTool) -> Plan:
    """The plan of a tool.

    Raises:
        ValueError: it can never run here; says why.
    """
    binding = tool.binding
    if not isinstance(binding, ArcadeBinding):
        raise ValueError("not an arcade tool")  # noqa: TRY004 - said to the runtime, whatever is wrong with the tool
    return Plan(binding, tool.secrets, tool.contexts)


def _check_texts(sent: Any) -> None:
    try:
        encode_json(sent)
    except UnicodeEncodeError:
        raise Unfillable("a text holds half of a surrogate pair, which cannot be sent") from None


def _key(attempt: Attempt) -> str:
    try:
        value = attempt.secret(ARCADE_KEY)
    except SecretMissing:
        text = f"this org has no key of Arcade: set the secret {ARCADE_KEY} (toolyard secrets set {ARCADE_KEY})"
        raise BadKey(text) from None
    if not _KEY.fullmatch(value):
        raise BadKey(f"the secret {ARCADE_KEY} holds no key of Arcade: those have neither spaces nor line breaks")
    return value
