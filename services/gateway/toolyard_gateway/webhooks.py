"""Webhooks as callers see them: from what is asked for to what is kept, checked, and back. Called by the operations."""

from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Final

from toolyard import ids
from toolyard.clock import rfc3339
from toolyard.contracts.codec import encode_json
from toolyard.contracts.feed import Cursor
from toolyard.errors import FieldError, FieldsRefused
from toolyard.security.egress import AllowList, EgressDenied, Reason
from toolyard.security.webhooks import PREVIOUS_SIGNS, check_destination
from toolyard.store.webhooks import Delivery, WebhookRow
from toolyard_gateway.api.webhook_models import TYPES, NewWebhook, WebhookChange
from toolyard_gateway.principals import Principal

#: The type of the event that is sent only to try a webhook.
TEST: Final = "io.toolyard.webhook.test.v1"
#: Reasons that speak of a network, and not of the text of a URL, stay untold.
_UNTOLD: Final = frozenset({Reason.NOT_PUBLIC, Reason.METADATA})


# ---- what is asked for --------------------------------------------------------------------------


def check(said: NewWebhook | WebhookChange, allow: AllowList) -> None:
    """Refuse what could never be delivered, or would mean nothing.

    Raises:
        FieldsRefused: names each field.
    """
    found = [
        FieldError(f"events.{number}", _unknown(each))
        for number, each in enumerate(said.events or ())
        if each not in TYPES
    ]
    if said.url is not None:
        try:
            check_destination(said.url, allow=allow)
        except EgressDenied as denied:
            found.append(FieldError("url", _told(denied.reason)))
    if found:
        raise FieldsRefused(tuple(found))


def _unknown(said: str) -> str:
    near = get_close_matches(said[:100], TYPES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(TYPES)}"
    return f"{said[:100]!r} is no type of an event; {hint}"


def _told(reason: Reason) -> str:
    if reason in _UNTOLD:
        return "webhooks may not go to that address; the operator opens private ones by TOOLYARD_EGRESS_ALLOW"
    if reason is Reason.HTTPS_ONLY:
        return "must begin with https://; http goes only to what the operator opened by TOOLYARD_EGRESS_ALLOW"
    return f"cannot be followed: {reason.value.replace('_', ' ')}"


# ---- rows ---------------------------------------------------------------------------------------


def new_row(said: NewWebhook, principal: Principal, webhook_id: str, place: Cursor, now: float) -> WebhookRow:
    """A new webhook, which is told what happens behind this place."""
    return WebhookRow(
        webhook_id=webhook_id,
        org=principal.org,
        url=said.url,
        events=tuple(dict.fromkeys(said.events)),
        tools=tuple(dict.fromkeys(said.tools)),
        description=said.description,
        enabled=said.enabled,
        created_by=principal.key_id,
        created_at=now,
        updated_at=now,
        place=place,
        secret_id=ids.new_id(),
    )


def changed_row(row: WebhookRow, said: WebhookChange, now: float) -> WebhookRow:
    """The webhook with what is to change; one that is enabled again has a clean slate."""
    given: dict[str, Any] = {
        "url": said.url,
        "events": None if said.events is None else tuple(dict.fromkeys(said.events)),
        "tools": None if said.tools is None else tuple(dict.fromkeys(said.tools)),
        "description": said.description,
        "enabled": said.enabled,
    }
    values = {name: value for name, value in given.items() if value is not None}
    if said.enabled and not row.enabled:
        values |= {"disabled_reason": None, "failing_since": None}
    return replace(row, **values, updated_at=now)


def test_delivery(row: WebhookRow, now: float) -> Delivery:
    """An event that nothing caused, to try a webhook."""
    event_id = ids.new_id()
    document = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/orgs/{row.org}",
        "type": TEST,
        "subject": row.webhook_id,
        "time": rfc3339(now),
        "datacontenttype": "application/json",
        "data": {"webhook_id": row.webhook_id, "org": row.org},
    }
    return Delivery(row.webhook_id, event_id, TEST, now, now, encode_json(document), next_at=now)


# ---- as they are shown --------------------------------------------------------------------------


def view(row: WebhookRow, now: float) -> dict[str, Any]:
    """A webhook as the public surface shows it."""
    shown: dict[str, Any] = {
        "webhook_id": row.webhook_id,
        "url": row.url,
        "events": list(row.events),
        "tools": list(row.tools),
        "description": row.description,
        "enabled": row.enabled,
        "created_by": row.created_by,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
    if row.disabled_reason is not None:
        shown["disabled_reason"] = row.disabled_reason
    until = None if row.rotated_at is None else row.rotated_at + PREVIOUS_SIGNS
    times = {
        "failing_since": row.failing_since,
        "last_success_at": row.last_success_at,
        "previous_secret_until": until if until is not None and until > now else None,
    }
    return shown | {name: rfc3339(at) for name, at in times.items() if at is not None}


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """A delivery as the public surface shows it."""
    shown: dict[str, Any] = {
        "event_id": delivery.event_id,
        "type": delivery.event_type,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "happened_at": rfc3339(delivery.happened_at),
        "tried_at": rfc3339(delivery.changed_at),
    }
    if delivery.next_at is not None:
        shown["next_at"] = rfc3339(delivery.next_at)
    told = {"status": delivery.status, "error": delivery.error}
    return shown | {name: value for name, value in told.items() if value is not None}
