"""What Nango's REST API answers, as far as it is used, and what goes wrong with it. Read by `toolyard.consent.nango`.

What comes from outside is read into these shapes or is none of ours. Nothing that Nango writes in words is passed on:
an error shows its status and its code.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from toolyard.errors import ToolyardError

_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
#: Seconds; a longer Retry-After is taken for this.
_MAX_RETRY_AFTER: Final = 7 * 86400.0
#: A connection whose credentials could not be refreshed any more.
_BROKEN: Final = frozenset({"invalid_credentials", "refresh_token_external_error", "connection_refresh_failed"})
_ABSENT: Final = frozenset({"not_found", "unknown_connection"})
_NO_INTEGRATION: Final = frozenset({"unknown_provider_config", "unknown_integration"})


class NangoFailed(ToolyardError):  # noqa: N818
    """Nango did not do what it was asked for; nothing was sent to the provider behind it.

    Args:
        message: for people, without a value of any secret.
        failure: one of `toolyard.errors.CODES`.
        retryable: whether another try makes sense, and ``retry_after`` after how many seconds.
        status: of the answer, where there was one.
    """

    code = "upstream_error"

    def __init__(
        self,
        message: str,
        failure: str = "upstream_error",
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.failure = failure
        self.retryable = retryable
        self.retry_after = retry_after


class ConnectionGone(NangoFailed):
    """There is no such connection, or its credentials do not work any more: its user must be asked again."""


# ---- answers ------------------------------------------------------------------------------------


class Noted(Struct):
    """A failure that Nango noted of a connection; ``auth`` is one of its credentials."""

    type: str


class Organization(Struct):
    """Of an end user, in answers of older servers."""

    id: str


class EndUser(Struct):
    """Whose a connection is, in answers of older servers."""

    id: str
    organization: Organization | None = None


class Listed(Struct):
    """A connection without its credentials."""

    connection_id: str
    provider_config_key: str
    created: str = ""
    errors: list[Noted] = []
    tags: dict[str, str] | None = None
    end_user: EndUser | None = None

    def owner(self) -> tuple[str | None, str | None]:
        """The user and the org whose it is, as far as it says."""
        tags, old = self.tags or {}, self.end_user
        organization = old.organization if old is not None else None
        user = tags.get("end_user_id", old.id if old is not None else None)
        return user, tags.get("organization_id", organization.id if organization is not None else None)


class Secrets(Struct):
    """The credentials of a connection: which of these there are is a matter of its type."""

    type: str = ""
    access_token: str | None = None
    token: str | None = None
    api_key: str | None = msgspec.field(name="apiKey", default=None)
    username: str | None = None
    password: str | None = None
    expires_at: str | None = None


class Full(Listed):
    """A connection with its credentials; empty where the API key may not see them."""

    credentials: Secrets = msgspec.field(default_factory=Secrets)


class Connections(Struct):
    """A list of connections."""

    connections: list[Listed]


class Session(Struct):
    """Where a user connects, and until when."""

    connect_link: str
    expires_at: str


class Started(Struct):
    """The answer to the request for a session."""

    data: Session


# ---- refusals -----------------------------------------------------------------------------------


def refusal(
    status: int, body: bytes, headers: Mapping[str, str], integration: str, *, of_one: bool = False
) -> NangoFailed:
    """What an answer of Nango that is not 2xx means; ``of_one``: one connection was asked for."""
    code = _code(body)
    told = f"{status} {code}".strip()
    wait = _retry_after(headers)
    if status == 429:
        text = f"Nango takes no more requests at the moment ({told})"
        return NangoFailed(text, "rate_limited", retryable=True, retry_after=wait, status=status)
    if status >= 500:
        return NangoFailed(f"Nango failed ({told})", retryable=True, retry_after=wait, status=status)
    if of_one and (status == 424 or code in _BROKEN):
        text = f"the credentials of the connection do not work any more ({told})"
        return ConnectionGone(text, "permission_denied", status=status)
    if code in _NO_INTEGRATION:
        text = f"Nango has no integration {integration!r} in this environment ({told})"
        return NangoFailed(text, "not_found", status=status)
    if of_one and code in _ABSENT:
        return ConnectionGone(f"Nango has no such connection ({told})", "not_found", status=status)
    if status in {401, 403}:
        text = f"Nango refused the org's key, or the key may not do that ({told}); see to the secret NANGO_SECRET_KEY"
        return NangoFailed(text, "permission_denied", status=status)
    where = "is TOOLYARD_NANGO_URL right" if status == 404 or status < 400 else f"is {integration!r} there"
    return NangoFailed(f"Nango refused the request ({told}); {where}?", status=status)


def _code(body: bytes) -> str:
    """Nango's own name of an error; empty where the body has none."""
    try:
        code: Any = msgspec.json.decode(body)["error"]["code"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, IndexError):
        return ""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "").strip()
    return min(float(text[:12]), _MAX_RETRY_AFTER) if text.isascii() and text.isdecimal() else None
