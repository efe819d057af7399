"""A lambda tool, worked out once; and for each call what its function is given, and as whom it is invoked. Pure.

Called by `executor`. It knows AWS's names and limits, and nothing of its SDK.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from toolyard.aws_names import EXTERNAL_ID_OF_ORGS, is_region
from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import LambdaBinding, PinnedTool
from toolyard.errors import ToolyardError
from toolyard.security.secrets import DEFAULT_ORG
from toolyard.telemetry import tracing
from toolyard.templates import LeftOut, Template, Unfillable, Values, compile_template, fill
from toolyard_executors.context import Attempt

#: Bytes of what a function is given, by how it is invoked.
LIMITS: Final = {"RequestResponse": 6 << 20, "Event": 1 << 20}
#: What a key looks like: nothing else can stand in a header.
_KEY: Final = re.compile(r"[\x21-\x7e]{1,4096}")
#: Not in the name of a session of a role; and characters of one.
_NOT_IN_SESSION: Final = re.compile(r"[^\w+=,.@-]", re.ASCII)
_SESSION: Final = 64
#: Characters of the name of a circuit.
_CIRCUIT: Final = 300


class PayloadTooLarge(ToolyardError):  # noqa: N818 - of a call, no fault of ours
    """What a function would be given is more than Lambda takes."""

    code = "payload_too_large"


class NotItsOwn(ToolyardError):  # noqa: N818
    """A tool that names no credentials of its org, and those that it would get are not for it."""

    code = "permission_denied"


class BadKey(Unfillable):
    """A secret that holds no key. The message holds its name."""

    code = "tool_error"


@dataclass(frozen=True, slots=True)
class Keys:
    """A pair of keys, and their session's token."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """As whom a function is invoked.

    Attributes:
        keys: None for the worker's own.
        role: that is assumed with them; ``session``: its name, which shows in AWS's own records.
    """

    keys: Keys | None = None
    role: str | None = None
    external_id: str | None = None
    session: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One invocation.

    Attributes:
        context: what the function finds as its client context, as it is sent; None where none is passed on.
    """

    function: str
    qualifier: str | None
    kind: Literal["RequestResponse", "Event"]
    payload: bytes
    context: str | None
    streaming: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A lambda tool.

    Attributes:
        template: of what the function is given; None for the arguments.
    """

    binding: LambdaBinding
    template: Template | None

    @property
    def circuit(self) -> str:
        """What may be down as a whole: the function, whichever version of it."""
        return f"{self.binding.aws_region}/{self.binding.function_name}"[:_CIRCUIT]

    def request(self, attempt: Attempt) -> Request:
        """The invocation of one attempt.

        Raises:
            Unfillable: something is missing, or cannot be sent.
            PayloadTooLarge: over the limit of its kind.
        """
        binding = self.binding
        return Request(
            function=binding.function_name,
            qualifier=binding.qualifier,
            kind=binding.invocation_type,
            payload=self._payload(attempt),
            context=None if binding.invocation_type == "Event" else _client_context(attempt),
            streaming=binding.response_streaming,
        )

    def account(self, attempt: Attempt) -> Account:
        """As whom it is invoked.

        The worker's own credentials are those of the org ``default``, as the secrets of its environment are. What it
        assumes for another org it assumes in that org's name: else an author could have it assume the role of somebody
        else's tool.

        Raises:
            Unfillable: a secret is missing, or holds no key.
            NotItsOwn: it names no credentials, and there are none for its org; or it says that it is another org.
        """
        named, org = self.binding.credentials, attempt.call.org
        keys, role, external_id = _keys(named, attempt), named.get("role"), named.get("external_id")
        if role is None:
            if keys is None and org != DEFAULT_ORG:
                raise NotItsOwn("the worker's own credentials are not for this org; the tool must name a role or keys")
            return Account(keys)
        if keys is None and org != DEFAULT_ORG:
            ours = f"{EXTERNAL_ID_OF_ORGS}{org}"
            external_id = ours if external_id is None else f"{ours}:{external_id}"
        elif keys is None and external_id is not None and external_id.startswith(EXTERNAL_ID_OF_ORGS):
            raise NotItsOwn(f"an external id that begins with {EXTERNAL_ID_OF_ORGS!r} is that of another org")
        session = _NOT_IN_SESSION.sub("-", f"toolyard-{org}")[:_SESSION]
        return Account(keys, role, external_id, session)

    def _payload(self, attempt: Attempt) -> bytes:
        call = attempt.call
        value: Any = call.arguments
        if self.template is not None:
            value = fill(self.template, Values(call.arguments, call.context or {}, attempt.secret, call.call_id))
        try:
            payload = encode_json(None if isinstance(value, LeftOut) else value)
        except UnicodeEncodeError:
            raise Unfillable("a text holds half of a surrogate pair, which cannot be sent") from None
        limit = LIMITS[self.binding.invocation_type]
        if len(payload) > limit:
            raise PayloadTooLarge(f"the function would be given {len(payload):,} bytes; Lambda takes {limit:,} at most")
        return payload


def plan_of(tool: PinnedTool) -> Plan:
    """The plan of a tool.

    Raises:
        ValueError: it can never run here; says why.
    """
    binding = tool.binding
    if not isinstance(binding, LambdaBinding):
        raise ValueError("not a lambda tool")  # noqa: TRY004 - said to the runtime, whatever is wrong with the tool
    if not is_region(binding.aws_region):  # a host is made of it
        raise ValueError(f"aws_region: {binding.aws_region[:64]!r} is not the name of a region")
    template = binding.payload_template
    compiled = compile_template(template, secrets=tool.secrets, where="payload_template")
    return Plan(binding, None if template is None else compiled)


def _keys(named: dict[str, str], attempt: Attempt) -> Keys | None:
    if "access_key_field" not in named:
        return None
    access, secret = (_key(named[name], attempt) for name in ("access_key_field", "secret_key_field"))
    token = named.get("session_token_field")
    return Keys(access, secret, None if token is None else _key(token, attempt))


def _key(name: str, attempt: Attempt) -> str:
    value = attempt.secret(name)
    if not _KEY.fullmatch(value):
        raise BadKey(f"the secret {name!r} holds no key of AWS: those have neither spaces nor line breaks")
    return value


def _client_context(attempt: Attempt) -> str:
    """Texts alone: in some languages a function gets them as a map of texts."""
    call = attempt.call
    custom = {
        "call_id": call.call_id,
        "attempt": str(attempt.number),
        "tool": call.tool,
        "version": str(call.version),
        "traceparent": tracing.hand_on(call.traceparent),
    }
    return base64.b64encode(encode_json({"custom": custom})).decode()
