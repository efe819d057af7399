"""Webhooks of Nango, verified: bytes and a header in, what happened to a connection out. Pure.

Called by whoever receives them. An event is a hint and no proof of a consent: whoever gets one asks
`toolyard.consent.nango.Nango.status`, and believes that. Nango's body has neither a time nor a number, so that a
replayed event cannot be told from a new one; it leads to the same question, and changes nothing.
"""

import hmac
import re
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from toolyard.consent.nango_names import INTEGRATION, authorization_id, provider_of
from toolyard.errors import ToolyardError

#: The one header that is trusted. The older ``X-Nango-Signature`` is a hash of key and body, and never looked at.
HEADER: Final = "X-Nango-Hmac-Sha256"
#: Bytes of a body.
MAX_BODY: Final = 256 * 1024
#: Characters of each word of it.
_MAX_WORD: Final = 300

Operation = Literal["creation", "override", "refresh", "unknown"]


class WebhookRefused(ToolyardError):  # noqa: N818
    """Not signed with the key, or not what Nango sends: nothing of it may be acted on."""

    code = "unauthenticated"


class OtherEvent(ToolyardError):  # noqa: N818
    """From Nango, but about something else than a connection's authorization: to be answered 200, and dropped."""

    code = "validation_failed"


class AuthEvent(Struct, frozen=True, kw_only=True):
    """Something happened to the authorization of a connection.

    Attributes:
        operation: what was done: made, made anew, refreshed.
        user: whose connection it is, and ``org``; None where it does not say.
    """

    operation: Operation
    success: bool
    connection_id: str
    integration: str
    environment: str
    user: str | None
    org: str | None

    @property
    def provider(self) -> str:
        """Who asks for the consent, in an authorization."""
        return provider_of(self.integration)

    @property
    def authorization_id(self) -> str | None:
        """The consent that it may be about; None where it does not say whose it is."""
        if self.user is None or self.org is None:
            return None
        return authorization_id(self.org, self.user, self.integration)


class _EndUser(Struct, rename="camel"):
    end_user_id: str
    organization_id: str | None = None


class _Auth(Struct, rename="camel"):
    connection_id: str
    provider_config_key: str
    success: bool
    environment: str = ""
    operation: str = "unknown"
    tags: dict[str, str] | None = None
    end_user: _EndUser | None = None


def verify(signing_key: str, raw_body: bytes, header: str | None) -> AuthEvent:
    """What a webhook tells, if Nango sent it.

    Args:
        signing_key: of the environment; for environments made since April 2026 another one than the API key.
        raw_body: the bytes as they came.
        header: the value of `HEADER`; None where there is none.

    Raises:
        WebhookRefused: it was not signed with this key, or has no shape of Nango's.
        OtherEvent: it was, and is about something else.
    """
    if not signing_key:
        raise WebhookRefused("there is no signing key to verify it with")
    if not header or len(raw_body) > MAX_BODY:
        raise WebhookRefused(f"it has no {HEADER}" if not header else f"it has more than {MAX_BODY} bytes")
    right = hmac.new(signing_key.encode(), raw_body, sha256).hexdigest()
    if not hmac.compare_digest(right.encode(), header.strip().lower().encode(errors="replace")):
        raise WebhookRefused(f"its {HEADER} is not that of this body under the signing key")
    return _event(raw_body)


def _event(raw_body: bytes) -> AuthEvent:
    try:
        kind: Any = msgspec.json.decode(raw_body)
        if not isinstance(kind, dict) or kind.get("from") != "nango" or not isinstance(kind.get("type"), str):
            raise WebhookRefused("it has no shape of Nango's: from and type are missing")
        if kind["type"] != "auth":
            raise OtherEvent(f"it is of the type {kind['type'][:32]!r}")
        said = msgspec.convert(kind, _Auth)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WebhookRefused("it has no shape of Nango's auth events") from None
    return _checked(said)


def _checked(said: _Auth) -> AuthEvent:
    tags, old = said.tags or {}, said.end_user
    user = tags.get("end_user_id", old.end_user_id if old is not None else None)
    org = tags.get("organization_id", old.organization_id if old is not None else None)
    words = (said.connection_id, said.provider_config_key, said.environment, user or "", org or "")
    if any(len(word) > _MAX_WORD for word in words):
        raise WebhookRefused(f"a word of it has more than {_MAX_WORD} characters")
    if not re.fullmatch(INTEGRATION, said.provider_config_key):
        raise OtherEvent("it is about an integration that no tool can name")
    return AuthEvent(
        operation=_operation(said.operation),
        success=said.success,
        connection_id=said.connection_id,
        integration=said.provider_config_key,
        environment=said.environment,
        user=user,
        org=org,
    )


def _operation(word: str) -> Operation:
    match word:
        case "creation" | "override" | "refresh":
            return word
        case _:  # one that Nango has not told of yet
            return "unknown"
