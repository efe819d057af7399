"""How a tool of Arcade fails, and how Arcade itself refuses: the two tables of what follows. Data; read by `verdicts`.

What failed before the tool ran had no effect, and what its upstream refused (as a 4xx of an http tool) had none either.
Where the tool ran and then failed, nobody knows how far it came.
"""

from dataclasses import dataclass
from typing import Final

from toolyard.states import Effect


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failure is here.

    Attributes:
        code: ours.
        retryable: whether another try makes sense, where the failure itself does not say.
    """

    code: str
    effect: Effect
    retryable: bool = False


#: The tool was not run, and never will be as it stands.
_BROKEN: Final = Failure("tool_error", "none")
_INVALID: Final = Failure("validation_failed", "none")
_FORBIDDEN: Final = Failure("permission_denied", "none")
_ABSENT: Final = Failure("not_found", "none")
_THROTTLED: Final = Failure("rate_limited", "none", retryable=True)
#: It was run, and failed by itself, or for want of somebody else.
_FAILED: Final = Failure("tool_error", "unknown")
_UPSTREAM: Final = Failure("upstream_error", "unknown", retryable=True)

#: Kinds of errors that tools have.
KINDS: Final[dict[str, Failure]] = {
    **dict.fromkeys(
        [
            *("TOOLKIT_LOAD_FAILED", "TOOL_DEFINITION_BAD_DEFINITION", "TOOL_DEFINITION_BAD_INPUT_SCHEMA"),
            *("TOOL_DEFINITION_BAD_OUTPUT_SCHEMA", "TOOL_REQUIREMENTS_NOT_MET", "TOOL_RUNTIME_CONTEXT_REQUIRED"),
        ],
        _BROKEN,
    ),
    **dict.fromkeys(
        ["TOOL_RUNTIME_BAD_INPUT_VALUE", "UPSTREAM_RUNTIME_BAD_REQUEST", "UPSTREAM_RUNTIME_VALIDATION_ERROR"], _INVALID
    ),
    "UPSTREAM_RUNTIME_AUTH_ERROR": _FORBIDDEN,
    "UPSTREAM_RUNTIME_NOT_FOUND": _ABSENT,
    "UPSTREAM_RUNTIME_RATE_LIMIT": _THROTTLED,
    "TOOL_RUNTIME_BAD_OUTPUT_VALUE": Failure("output_invalid", "done"),
    **dict.fromkeys(["TOOL_RUNTIME_RETRY", "TOOL_RUNTIME_FATAL", "UNKNOWN"], _FAILED),
    **dict.fromkeys(
        [
            *("UPSTREAM_RUNTIME_SERVER_ERROR", "NETWORK_TRANSPORT_RUNTIME_TIMEOUT"),
            *("NETWORK_TRANSPORT_RUNTIME_UNREACHABLE", "NETWORK_TRANSPORT_RUNTIME_UNMAPPED"),
        ],
        _UPSTREAM,
    ),
    "UPSTREAM_RUNTIME_UNMAPPED": Failure("upstream_error", "unknown"),
}
#: What is known of kinds of the same beginning that nobody has told us of.
_FAMILIES: Final = {"TOOL_DEFINITION_": _BROKEN, "NETWORK_TRANSPORT_RUNTIME_": _UPSTREAM}

#: What Arcade answers to a request, by its status.
STATUSES: Final[dict[int, Failure]] = {
    **dict.fromkeys([400, 422], _INVALID),
    **dict.fromkeys([401, 403], _FORBIDDEN),
    404: _ABSENT,
    408: _UPSTREAM,
    413: Failure("payload_too_large", "none"),
    429: _THROTTLED,
}
_REFUSED: Final = Failure("upstream_error", "none")
_ELSEWHERE: Final = Failure("upstream_error", "unknown")


def failure_of(kind: str | None) -> Failure:
    """What an error of this kind is; one that is not known may have had any effect."""
    word = kind or "UNKNOWN"
    if (known := KINDS.get(word)) is not None:
        return known
    return next((failure for family, failure in _FAMILIES.items() if word.startswith(family)), _FAILED)


def refusal_of(status: int) -> Failure:
    """What an answer of this status is, which is not 2xx."""
    if (known := STATUSES.get(status)) is not None:
        return known
    if status < 400:  # a redirect, which is not followed: somebody else than Arcade answers there
        return _ELSEWHERE
    return _REFUSED if status < 500 else _UPSTREAM
