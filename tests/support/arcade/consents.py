"""Who has consented to what, in the fake engine: a state for each project, user and provider. Lives on its loop."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

#: Statuses, in Arcade's words.
PENDING, COMPLETED, FAILED = "pending", "completed", "failed"


@dataclass
class Consent:
    """One request for a user's consent."""

    project: str
    user: str
    provider: str
    scopes: list[str]
    status: str = PENDING
    id: str = field(default_factory=lambda: f"auth_{uuid.uuid4().hex}")
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, status: str) -> None:
        """The user has decided."""
        self.status = status
        self.ended.set()


class Consents:
    """All of them.

    Attributes:
        started: each that was asked for, in order.
    """

    def __init__(self) -> None:
        self.started: list[Consent] = []
        self._granted: set[tuple[str, str, str]] = set()

    def has(self, project: str, user: str, provider: str) -> bool:
        """Whether the user has consented."""
        return (project, user, provider) in self._granted

    def ask(self, project: str, user: str, provider: str, scopes: list[str]) -> Consent:
        """The request that is open for it, or a new one; one that is completed where the user has consented."""
        if self.has(project, user, provider):
            return Consent(project, user, provider, scopes, COMPLETED)
        for consent in reversed(self.started):
            same = (consent.project, consent.user, consent.provider) == (project, user, provider)
            if same and consent.status == PENDING:
                return consent
        consent = Consent(project, user, provider, scopes)
        self.started.append(consent)
        return consent

    def find(self, consent_id: str, project: str | None = None) -> Consent | None:
        """The request of this id, if the project has it."""
        found = (one for one in self.started if one.id == consent_id and project in (None, one.project))
        return next(found, None)

    def grant(self, project: str, user: str, provider: str) -> None:
        """The user consents."""
        self._granted.add((project, user, provider))
        self._end(project, user, provider, COMPLETED)

    def refuse(self, project: str, user: str, provider: str) -> None:
        """The user does not: what is open ends."""
        self._end(project, user, provider, FAILED)

    def revoke(self, project: str, user: str, provider: str) -> None:
        """The user takes it back."""
        self._granted.discard((project, user, provider))

    def revoke_all(self, project: str, user: str) -> None:
        """The user takes back all that was given."""
        self._granted = {one for one in self._granted if one[:2] != (project, user)}

    def _end(self, project: str, user: str, provider: str, status: str) -> None:
        for consent in self.started:
            same = (consent.project, consent.user, consent.provider) == (project, user, provider)
            if same and consent.status == PENDING:
                consent.end(status)


def shown(consent: Consent, url: str) -> dict[str, Any]:
    """As Arcade shows it (`arcadepy.types.shared.AuthorizationResponse`)."""
    whole: dict[str, Any] = {
        "id": consent.id,
        "status": consent.status,
        "provider_id": consent.provider,
        "scopes": consent.scopes,
        "user_id": consent.user,
    }
    return whole | ({"url": f"{url}/fake/consents/{consent.id}"} if consent.status == PENDING else {})
