"""What a person is asked, and what nobody is asked: each as data."""

from typing import Any

import pytest
from tests.unit.executors.making import a_call

from toolyard.contracts.calls import Authorization
from toolyard.contracts.tools import ArcadeBinding
from toolyard_executors.executor import Finished, needs_consent
from toolyard_executors.kinds.arcade.answers import Authorized
from toolyard_executors.kinds.arcade.consent import consent_of

NOW = 1_800_000_000.0
URL = "https://accounts.example.com/o/oauth2?client_id=1&scope=mail.send"
PLAIN = ArcadeBinding(tool_name="Gmail.SendEmail")


def asked(binding: ArcadeBinding = PLAIN, deadline: float = NOW + 300, **said: Any) -> Finished:
    whole = {"id": "auth_1", "status": "pending", "url": URL, "provider_id": "google", "scopes": ("mail.send",)} | said
    return consent_of(Authorized(**whole), binding, a_call(user="ann", now=NOW, deadline=deadline), NOW)


def authorization(**options: Any) -> Authorization:
    finished = asked(**options)
    assert finished.authorization is not None, finished
    return finished.authorization


def test_a_person_is_asked_by_whom_for_what_where_and_until_when():
    wanted = Authorization(
        authorization_id="auth_1", provider="arcade/google", url=URL, scopes=("mail.send",), expires_at=NOW + 300
    )

    assert authorization() == wanted
    assert asked() == needs_consent(wanted)


@pytest.mark.parametrize(("deadline", "seconds"), [(NOW + 60, 60.0), (NOW + 600, 600.0), (NOW + 86_400, 600.0)])
def test_a_person_has_ten_minutes_and_no_longer_than_the_call(deadline: float, seconds: float):
    assert authorization(deadline=deadline).expires_at == NOW + seconds


def test_where_arcade_does_not_say_the_catalogue_does():
    binding = ArcadeBinding(tool_name="Gmail.SendEmail", provider="google-of-acme", scopes=("mail.read",))

    assert authorization(binding=binding, provider_id=None).provider == "arcade/google-of-acme"
    assert authorization(binding=binding, scopes=None).scopes == ("mail.read",)
    assert authorization(provider_id=None, scopes=None).provider == "arcade"
    assert authorization(binding=binding, scopes=()).scopes == ()


@pytest.mark.parametrize("status", ["pending", "not_started", None, "something-of-tomorrow"])
def test_only_completed_is_completed(status: str | None):
    assert authorization(status=status).authorization_id == "auth_1"


def test_scopes_that_no_message_holds_are_left_out():
    assert authorization(scopes=("a" * 301, "b", *("c",) * 200)).scopes == ("b", *("c",) * 99)


@pytest.mark.parametrize(
    "said",
    [
        {"url": None},
        {"url": "javascript:alert(1)"},
        {"url": "data:text/html,x"},
        {"url": "https:///x"},
        {"url": "http://[half"},
        {"url": "https://a.example/ b"},
        {"url": "https://a.example/\n"},
        {"url": "https://a.example/" + "x" * 5_000},
        {"id": None},
        {"id": ""},
        {"id": "x" * 129},
    ],
    ids=range(11),
)
def test_nobody_is_sent_where_a_person_should_not_go_or_cannot_be_waited_for(said: dict[str, Any]):
    finished = asked(**said)

    assert finished.authorization is None
    assert finished.error is not None
    assert (finished.error.code, finished.effect, finished.error.retryable) == ("upstream_error", "none", True)


def test_who_said_no_is_not_asked_again_by_the_same_attempt():
    finished = asked(status="failed")

    assert finished.error is not None
    assert (finished.error.code, finished.effect, finished.error.retryable) == ("permission_denied", "none", False)
    assert finished.error.message == "arcade/google did not let the user authorize it"
