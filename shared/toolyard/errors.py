"""The tree of errors and the one table of codes. Everybody imports it; it imports nothing.

::

    ToolyardError                 code: internal
    ├── Refused                   a request was not accepted; its code says why
    │   └── FieldsRefused         ... and names the fields: validation_failed and its kin
    ├── ContractError             bytes that are no message of ours (quarantined, never acted on)
    │   ├── UnknownVersion        a major version that this build does not read
    │   ├── UnknownKind           of our version, and a kind that only newer builds know (passed over)
    │   ├── TooLarge              over a size limit of the contract
    │   └── BadSignature          unsigned, by an unknown or a wrong key, moved, or tampered with
    ├── TransportError
    │   ├── Unavailable           nothing was sent: the broker is away, blocked, or a queue is missing
    │   ├── Unconfirmed           sent, but no confirm came: it may or may not have been taken
    │   │   ├── NotTaken          ... one of its queues refused it; the others have it
    │   │   └── Overdue           ... nothing came in time, over a connection that stands
    │   ├── Unroutable            sent, and there is no queue that takes it
    │   └── DeliveryLost          the connection that a delivery came on is gone
    ├── StoreError
    │   ├── StoreUnavailable      the database is away
    │   │   └── StoreLost         ... and will not come back: its file was removed
    │   ├── LedgerMoved           another scheduler moved the offset first
    │   └── LogGap                the log does not continue where the ledger stands
    ├── SettingsError             a wrong or unknown setting; stops the start
    ├── SecretUnreadable          a kept secret cannot be opened: its key is not here, or it is not what was sealed
    ├── EgressDenied              see toolyard.security.egress
    └── Unreachable, Unexpected, CallFailed, CallUnfinished    what the SDK raises beside Refused, see toolyard.client
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple


class FieldError(NamedTuple):
    """One field that was wrong. ``path`` is dotted (``arguments.city``), empty for the whole body."""

    path: str
    message: str


class ToolyardError(Exception):
    """The root of all errors that Toolyard raises."""

    code: ClassVar[str] = "internal"


class Refused(ToolyardError):  # noqa: N818 - a word of the field, not a fault of ours
    """A request was not accepted.

    Args:
        code: one of `CODES`.
        detail: for people: what was wrong and what would be right.
        fields: the fields that were wrong.
        retry_after: seconds after which another try makes sense.
        extra: further members of the problem document (``call_id`` and the like).
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        fields: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.refusal = code
        self.detail = detail
        self.fields = fields
        self.retry_after = retry_after
        self.extra = extra or {}


class FieldsRefused(Refused):
    """A request with fields that were wrong: all of them are named at once."""

    def __init__(self, fields: tuple[FieldError, ...], *, code: str = "validation_failed") -> None:
        first = fields[0]
        where = f"{first.path}: " if first.path else ""
        more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
        super().__init__(code, f"{where}{first.message}{more}", fields=fields)


class ContractError(ToolyardError):
    """Bytes that are no message of ours."""

    code = "parse_error"


class UnknownVersion(ContractError):  # noqa: N818
    """A message of a major version that this build does not read."""

    code = "version_gone"


class UnknownKind(ContractError):  # noqa: N818
    """A message of this major version, of a kind that only newer builds know: whoever does not know it needs it not."""

    code = "version_gone"


class TooLarge(ContractError):  # noqa: N818
    """A message over its size limit."""

    code = "payload_too_large"


#: Why a message is not believed. ``forged``: the signature is not of it. ``not_entitled``: who signed it may not say
#: that. ``moved``: it does not belong where it came, or under its key. ``replayed``: it came before.
Disbelief = Literal["unsigned", "unknown_key", "forged", "not_entitled", "moved", "replayed"]


class BadSignature(ContractError):  # noqa: N818
    """A message that is unsigned, signed by an unknown key or by one that may not say it, moved, or changed on its way.

    Args:
        message: for people.
        reason: why it is not believed, for metrics.
        key_id: of the key that it says it was signed with.
    """

    code = "security_violation"

    def __init__(self, message: str, *, reason: Disbelief = "forged", key_id: str = "") -> None:
        super().__init__(message)
        self.reason: Disbelief = reason
        self.key_id = key_id


class TransportError(ToolyardError):
    """The root of what can go wrong between two processes."""

    code = "unavailable"


class Unavailable(TransportError):  # noqa: N818
    """Nothing was sent: the broker is away, blocks publishing, or a queue is missing."""


class Unconfirmed(TransportError):  # noqa: N818
    """Sent, but refused or not confirmed in time: the message may or may not have been taken."""


class NotTaken(Unconfirmed):
    """Sent, and refused by at least one of the queues that it was for: a full one, mostly. The others have it."""


class Overdue(Unconfirmed):
    """Sent over a connection that stands, and not confirmed in time."""


class Unroutable(TransportError):  # noqa: N818
    """A message for which there is no queue; nobody has it."""


class DeliveryLost(TransportError):  # noqa: N818
    """The connection that a delivery came on is gone; the broker delivers it again."""


class StoreError(ToolyardError):
    """The root of what can go wrong with the database."""

    code = "unavailable"


class StoreUnavailable(StoreError):  # noqa: N818
    """The database cannot be reached."""


class StoreLost(StoreUnavailable):
    """The file of the database was removed or replaced: only another process can use what stands there now."""


class LedgerMoved(StoreError):  # noqa: N818
    """Another scheduler moved the ledger's offset first; this one steps back to standby."""

    code = "conflict"


class LogGap(StoreError):  # noqa: N818
    """The log does not continue where the ledger stands; the message says how to mend it."""

    code = "log_gap"


class SettingsError(ToolyardError):
    """A wrong, unknown or contradictory setting. The message names the variable and what would be right."""


class SecretUnreadable(ToolyardError):  # noqa: N818
    """A secret that is kept cannot be opened. The message names the key that is missing, and holds no value."""


# ---- the one table of codes ---------------------------------------------------------------------

#: Who may try again: nobody, we ourselves (the scheduler), or the caller when it likes.
Retry = Literal["never", "by_us", "by_caller"]


@dataclass(frozen=True, slots=True)
class Code:
    """What a code means at each border.

    Attributes:
        status: the HTTP status of a refusal; inside an accepted call it is information only.
        title: for people, a few words.
        model: the text that a model can act on; ``{detail}`` is filled in.
        retry: who may try again.
    """

    status: int
    title: str
    model: str
    retry: Retry = "never"


CODES: dict[str, Code] = {
    "parse_error": Code(400, "Not readable", "The request could not be read: {detail}"),
    "unauthenticated": Code(401, "Not authenticated", "The caller is not signed in. Tell the user."),
    "authorization_required": Code(401, "Authorization required", "The user must first authorize this tool: {detail}"),
    "permission_denied": Code(403, "Not allowed", "This is not allowed here; do not try again: {detail}"),
    "approval_denied": Code(403, "Approval denied", "A person refused this call; do not try again."),
    "security_violation": Code(403, "Refused for security", "This was refused for security reasons; do not try again."),
    "egress_denied": Code(403, "Destination denied", "The tool may not connect to that address; do not try again."),
    "not_found": Code(404, "Not found", "There is no such thing: {detail}"),
    "tool_not_found": Code(404, "Tool not found", "There is no such tool: {detail}"),
    "version_gone": Code(404, "Version gone", "That version of the tool is not available: {detail}"),
    "approval_expired": Code(408, "Approval expired", "Nobody decided in time; you may ask again.", "by_caller"),
    "authorization_expired": Code(408, "Authorization expired", "The user did not authorize in time.", "by_caller"),
    "conflict": Code(409, "Conflict", "This contradicts what is there: {detail}"),
    "precondition_failed": Code(412, "Precondition failed", "It was changed meanwhile: {detail}"),
    "payload_too_large": Code(413, "Too large", "That is too large: {detail}"),
    "validation_failed": Code(422, "Not valid", "The arguments are not valid. Correct them and call again: {detail}"),
    "context_required": Code(422, "Context required", "The application did not give what the tool needs: {detail}"),
    "idempotency_mismatch": Code(422, "Key used before", "The same key was used for another request."),
    "rate_limited": Code(429, "Too many requests", "Too many requests; wait before you try again.", "by_caller"),
    "cancelled": Code(499, "Cancelled", "The call was cancelled."),
    "tool_error": Code(500, "The tool failed", "The tool reported an error: {detail}"),
    "resource_exhausted": Code(500, "Out of resources", "The tool used more resources than it may: {detail}"),
    "poisoned": Code(500, "Given up", "The call was given up, because its workers died. Do not try again."),
    "internal": Code(500, "Internal error", "Something went wrong on our side; you may try once more.", "by_caller"),
    "upstream_error": Code(502, "The upstream failed", "The service behind the tool failed: {detail}", "by_us"),
    "output_invalid": Code(502, "Output not valid", "The tool's answer does not have the promised form: {detail}"),
    "output_too_large": Code(502, "Output too large", "The tool's answer is too large; ask for less: {detail}"),
    "outcome_unknown": Code(
        502,
        "Outcome unknown",
        "It is not known whether this took effect. Do not call it again before you have checked.",
    ),
    "circuit_open": Code(503, "Circuit open", "The service behind the tool is failing; try later.", "by_us"),
    "paused": Code(503, "Paused", "The tool is paused; try later.", "by_us"),
    "unavailable": Code(503, "Unavailable", "Toolyard cannot take calls at the moment; try later.", "by_caller"),
    "timed_out": Code(504, "Timed out", "The tool took too long: {detail}"),
    "expired": Code(504, "Expired", "The call could not be started in time and had no effect.", "by_caller"),
}


def model_message(code: str, detail: str) -> str:
    """The text for a model: what happened and what it may do next."""
    return CODES[code].model.format(detail=detail)
