"""Webhooks of Nango: only what is signed is read, and only what has Nango's shape is an event."""

import hmac
import json
from hashlib import sha256
from typing import Any

import pytest

from toolyard.consent.nango import AuthEvent, OtherEvent, WebhookRefused, authorization_id, verify

KEY = "whsec-1"
BODY: dict[str, Any] = {
    "from": "nango",
    "type": "auth",
    "operation": "creation",
    "success": True,
    "connectionId": "c1",
    "providerConfigKey": "github",
    "provider": "github",
    "environment": "prod",
    "authMode": "OAUTH2",
    "tags": {"end_user_id": "ann", "organization_id": "acme"},
    "endUser": {"endUserId": "ann", "organizationId": "acme"},
}


def raw(**changed: Any) -> bytes:
    return json.dumps({name: value for name, value in (BODY | changed).items() if value is not ...}).encode()


def signature(body: bytes, key: str = KEY) -> str:
    return hmac.new(key.encode(), body, sha256).hexdigest()


def heard(**changed: Any) -> AuthEvent:
    body = raw(**changed)
    return verify(KEY, body, signature(body))


def test_an_event_tells_whose_connection_of_what_it_is():
    assert heard() == AuthEvent(
        operation="creation",
        success=True,
        connection_id="c1",
        integration="github",
        environment="prod",
        user="ann",
        org="acme",
    )
    assert heard().authorization_id == authorization_id("acme", "ann", "github")


def test_an_event_is_the_same_however_often_it_comes():
    assert heard() == heard()


@pytest.mark.parametrize(
    ("changed", "user", "org"),
    [
        ({"tags": ...}, "ann", "acme"),
        ({"tags": None}, "ann", "acme"),
        ({"endUser": ...}, "ann", "acme"),
        ({"tags": {"end_user_id": "eve"}, "endUser": ...}, "eve", None),
        ({"tags": None, "endUser": {"endUserId": "ann"}}, "ann", None),
        ({"tags": ..., "endUser": ...}, None, None),
    ],
)
def test_whose_it_is_may_be_said_in_either_place(changed, user, org):
    event = heard(**changed)
    assert (event.user, event.org) == (user, org)
    assert (event.authorization_id is None) == (org is None)


def test_an_operation_that_nobody_knows_yet_is_unknown():
    assert heard(operation="deletion").operation == "unknown"
    assert heard(operation=...).operation == "unknown"


def test_a_failure_is_an_event_too():
    assert not heard(success=False, error={"type": "x", "description": "y"}).success


BODY_BYTES = raw()


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (BODY_BYTES, None),
        (BODY_BYTES, ""),
        (BODY_BYTES, "0" * 64),
        (BODY_BYTES, signature(BODY_BYTES)[:-1]),
        (BODY_BYTES, signature(BODY_BYTES, "another")),
        (BODY_BYTES + b" ", signature(BODY_BYTES)),
        (BODY_BYTES, sha256(KEY.encode() + BODY_BYTES).hexdigest()),
        (BODY_BYTES, "é" * 64),
    ],
    ids=["none", "empty", "zeros", "cut", "another key", "changed", "the older signature", "no hex"],
)
def test_what_is_not_signed_with_the_key_is_refused(body, header):
    with pytest.raises(WebhookRefused) as refused:
        verify(KEY, body, header)
    assert KEY not in str(refused.value)


def test_without_a_key_nothing_is_believed():
    with pytest.raises(WebhookRefused, match="no signing key"):
        verify("", BODY_BYTES, signature(BODY_BYTES, ""))


def test_a_signature_may_be_written_in_capitals():
    assert verify(KEY, BODY_BYTES, f" {signature(BODY_BYTES).upper()} ").user == "ann"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b"[" * 100_000,
        raw(**{"from": "mango"}),
        raw(**{"from": ...}),
        raw(type=...),
        raw(type=7),
        raw(connectionId=...),
        raw(connectionId=7),
        raw(providerConfigKey=...),
        raw(success="yes"),
        raw(tags={"end_user_id": 7}),
        raw(tags={"end_user_id": "u" * 301}),
        raw(connectionId="c" * 301),
        raw(endUser={}),
    ],
    ids=range(18),
)
def test_what_has_no_shape_of_nangos_is_refused_though_it_is_signed(body):
    with pytest.raises(WebhookRefused):
        verify(KEY, body, signature(body))


def test_a_body_that_is_too_long_is_not_hashed():
    body = raw(more="x" * (256 * 1024))
    with pytest.raises(WebhookRefused, match="more than"):
        verify(KEY, body, signature(body))


@pytest.mark.parametrize("name", ["my integration", "github\n", "i" * 101, ""])
def test_an_integration_that_no_tool_can_name_is_none_of_ours(name):
    body = raw(providerConfigKey=name)
    with pytest.raises(OtherEvent, match="no tool can name"):
        verify(KEY, body, signature(body))


@pytest.mark.parametrize("kind", ["sync", "forward", "async_action"])
def test_other_events_are_told_apart(kind):
    body = raw(type=kind, success=...)
    with pytest.raises(OtherEvent, match=kind):
        verify(KEY, body, signature(body))
