"""What a fake Nango keeps of one environment: integrations, and the connections that users made. It knows no HTTP."""

import itertools
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_numbers = itertools.count(1)


def iso(moment: float) -> str:
    """A time as Nango writes it."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class FakeConnection:
    """A connection.

    Attributes:
        kind: the type of its credentials, as Nango calls it.
        token: the one of the moment; each refresh makes another one.
        revoked: nothing can be refreshed any more, which Nango finds out when it tries.
        expires_in: seconds that a new token is said to last; None for one that does not expire.
        refreshed: how often it was refreshed.
        fixed: a refresh gives the same token again.
    """

    connection_id: str
    integration: str
    tags: dict[str, str] | None
    kind: str = "OAUTH2"
    token: str = ""
    created: float = field(default_factory=time.time)
    number: int = field(default_factory=lambda: next(_numbers))
    revoked: bool = False
    errors: list[dict[str, str]] = field(default_factory=list)
    expires_in: float | None = 3600.0
    expires_at: float | None = None
    refreshed: int = 0
    fixed: bool = False

    def __post_init__(self) -> None:
        if not self.token:
            self._new_token()
        self._expire()

    @property
    def expired(self) -> bool:
        """Whether its token has to be refreshed before it is given out."""
        return self.expires_at is not None and self.expires_at <= time.time()

    def refresh(self) -> bool:
        """Make another token; whether that went well."""
        if self.revoked:
            self.errors = [{"type": "auth", "log_id": f"log-{self.number}"}]
            return False
        self.refreshed += 1
        self._new_token()
        self._expire()
        return True

    def _new_token(self) -> None:
        if not (self.fixed and self.token):
            self.token = f"tok-{self.number:04d}-{self.refreshed:04d}-Zm9/+yYmFy"

    def _expire(self) -> None:
        self.expires_at = None if self.expires_in is None else time.time() + self.expires_in

    def listed(self) -> dict[str, Any]:
        """As `GET /connections` shows it."""
        return {
            "id": self.number,
            "connection_id": self.connection_id,
            "provider_config_key": self.integration,
            "provider": self.integration,
            "errors": self.errors,
            "end_user": None,
            "tags": self.tags,
            "metadata": None,
            "created": iso(self.created).replace("Z", "+00:00"),
        }

    def full(self, *, credentials: bool) -> dict[str, Any]:
        """As `GET /connections/{id}` shows it."""
        shown = self.listed()
        del shown["created"]
        times = {"created_at": iso(self.created), "updated_at": iso(self.created), "last_fetched_at": iso(time.time())}
        return {**shown, **times, "connection_config": {}, "credentials": self.credentials() if credentials else {}}

    def credentials(self) -> dict[str, Any]:
        """By its type."""
        if self.kind == "BASIC":
            return {"type": "BASIC", "username": "ann", "password": self.token}
        if self.kind == "API_KEY":
            return {"type": "API_KEY", "apiKey": self.token}
        if self.kind == "OAUTH1":
            return {
                "type": "OAUTH1",
                "oauth_token": self.token,
                "oauth_token_secret": f"{self.token}-secret",
                "raw": {},
            }
        expires = {} if self.expires_at is None else {"expires_at": iso(self.expires_at)}
        raw = {"access_token": self.token, "token_type": "bearer", "scope": "repo"}
        return {"type": "OAUTH2", "access_token": self.token, **expires, "raw": raw}


@dataclass
class FakeEnvironment:
    """An environment: one API key, and what is kept under it.

    Attributes:
        scopes: what its key may do, in Nango's words.
        signing_key: of its webhooks.
        sessions: links that users were given: token -> tags and integrations.
    """

    api_key: str
    integrations: set[str] = field(default_factory=lambda: {"github", "crm"})
    connections: list[FakeConnection] = field(default_factory=list)
    scopes: set[str] = field(default_factory=lambda: {"read", "read_credentials", "connect"})
    signing_key: str = "whsec-of-the-fake"
    sessions: dict[str, tuple[dict[str, str], list[str]]] = field(default_factory=dict)

    def connect(
        self, user: str | None, org: str | None = "default", integration: str = "github", **said: Any
    ) -> FakeConnection:
        """A user makes a connection."""
        number = next(_numbers)
        tags = {"end_user_id": user, "organization_id": org}
        kept = {name: value for name, value in tags.items() if value is not None} or None
        made = FakeConnection(f"conn-{number}", integration, kept, number=number, **said)
        self.connections.append(made)
        return made

    def find(self, connection_id: str, integration: str) -> FakeConnection | None:
        """By its id and its integration."""
        for one in self.connections:
            if (one.connection_id, one.integration) == (connection_id, integration):
                return one
        return None
