"""What can be asked of a gateway, as plain values. Pure: `Client` sends them, and nothing here knows how.

A name or an id that is empty is refused here (`FieldsRefused`), as the gateway refuses other fields: it would make
another path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil
from typing import Any, Final, Literal, Required, TypedDict
from urllib.parse import quote

from toolyard import ids
from toolyard.client import values
from toolyard.errors import FieldError, FieldsRefused

#: Whose messages and definitions: OpenAI Chat Completions, Anthropic Messages.
Format = Literal["openai", "anthropic"]

#: Seconds that a gateway waits for a call at most.
MAX_WAIT: Final = 300
#: Seconds that a provider of consents may take, on top of an ordinary answer's.
_START: Final = 15.0
#: In the place of an idempotency key: send none, so that the tool's key fields decide what is the same call.
NO_KEY: Final = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Its body may hold a secret, and is not shown.

    Attributes:
        query: of several texts, each is a value of this name.
        body: a JSON value; None sends none.
        patience: seconds that the answer may take because it was asked to wait, on top of an ordinary answer's.
        harmless: whether it may be asked again although it changes something and has no idempotency key.
    """

    method: str
    path: str
    query: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = field(default=None, repr=False)
    patience: float = 0.0
    harmless: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether it does no harm to ask again what may have been heard."""
        return self.method == "GET" or "Idempotency-Key" in self.headers or self.harmless

    def waiting(self, seconds: float) -> "Request":
        """The same, asking to wait for the end for so long, at most `MAX_WAIT`."""
        if self.method == "GET":
            return replace(self, query={**self.query, **_query(wait=seconds or None)}, patience=seconds)
        return replace(self, headers={**self.headers, **_prefer(seconds)}, patience=seconds)


class CallSpec(TypedDict, total=False):
    """A call to make, as one of many; fields as of `create_call`."""

    tool: Required[str]
    arguments: Mapping[str, Any]
    user: str | None
    conversation: str | None
    context: Mapping[str, Any] | None
    timeout: float | None
    queue_timeout: float | None
    deadline: float | None
    not_before: datetime | str | None
    idempotency_key: str


# ---- calls --------------------------------------------------------------------------------------


def create_call(
    tool: str,
    arguments: Mapping[str, Any],
    *,
    wait: float = 30,
    idempotency_key: str | None = None,
    **options: Any,
) -> Request:
    """Run a tool.

    Args:
        tool: ``name`` or ``name@version``.
        arguments: as its schema asks.
        wait: seconds to wait for the end, 0 to `MAX_WAIT`; rounded up.
        idempotency_key: the same key on another try finds the same call; made anew where none is given, so that this
            very request can be sent again; `NO_KEY` sends none.
        options: further fields of the request (``user``, ``deadline``, ``not_before`` and the like); None leaves one
            out.
    """
    headers = {**_prefer(wait), **_key(idempotency_key)}
    body = {"tool": tool, "arguments": values.plain(arguments, "arguments"), **values.plain(_given(options), "call")}
    return Request("POST", "/v1/calls", headers=headers, body=body, patience=wait)


def create_calls(calls: Sequence[CallSpec], *, wait: float = 30) -> Request:
    """Run many tools side by side, 100 at most; each call has its own key, or none."""
    plain = [_given(call) for call in values.plain(calls, "calls")]
    keyed = all(call.get("idempotency_key") for call in plain)
    said = [{name: value for name, value in call.items() if value != NO_KEY} for call in plain]
    return Request(
        "POST", "/v1/calls/batch", headers=_prefer(wait), body={"calls": said}, patience=wait, harmless=keyed
    )


def get_call(call_id: str, *, wait: float = 0) -> Request:
    """A call as it stands, or once it has ended."""
    path = f"/v1/calls/{_word('call_id', call_id)}"
    return Request("GET", path, query=_query(wait=wait or None), patience=wait)


def list_calls(**filters: Any) -> Request:
    """Calls, newest first. Filters: tool, state, conversation, user, since, until; cursor and limit."""
    return Request("GET", "/v1/calls", query=_query(**filters))


def call_events(call_id: str, *, last_event_id: str | None = None) -> Request:
    """The events of a call as they happen, from the first one or from behind ``last_event_id``; to be followed."""
    headers = {"Accept": "text/event-stream", **_given({"Last-Event-ID": last_event_id})}
    return Request("GET", f"/v1/calls/{_word('call_id', call_id)}/events", headers=headers)


def follow_events(*, states: Sequence[str] = (), last_event_id: str | None = None, **filters: Any) -> Request:
    """The events of the org's calls as they happen, without an end or up to one; to be followed.

    Args:
        states: only what leaves its call in one of these.
        last_event_id: the cursor to go on behind; it goes before ``since``.
        filters: conversation, tool, call_id; since and until.
    """
    headers = {"Accept": "text/event-stream", **_given({"Last-Event-ID": last_event_id})}
    query: dict[str, str | tuple[str, ...]] = {**_query(**filters), **({"state": tuple(states)} if states else {})}
    return Request("GET", "/v1/events", query=query, headers=headers)


def cancel_call(call_id: str, *, wait: float = 2) -> Request:
    """Ask a call to stop: the call, ended or as it stands after ``wait`` seconds. It may be asked again."""
    path = f"/v1/calls/{_word('call_id', call_id)}/cancel"
    return Request("POST", path, headers=_prefer(wait), patience=wait, harmless=True)


def cancel_conversation(conversation: str) -> Request:
    """Ask all open calls of a conversation to stop. Asked again, it would stop those made meanwhile, too."""
    _check_given("conversation", conversation)
    return Request("POST", "/v1/calls/cancel", body={"conversation": conversation})


def take_turn(
    message: Any,
    *,
    format: Format,  # noqa: A002 - the field's name
    idempotency_key: str | None = None,
    deadline: float | None = None,
    **options: Any,
) -> Request:
    """Run the tool calls of an assistant message; answered by the deadline (seconds, at most `MAX_WAIT`)."""
    said = values.plain(_given(options | {"deadline": deadline}), "turn")
    body = {"format": format, "message": values.message(message), **said}
    patience = MAX_WAIT if deadline is None else deadline
    return Request("POST", "/v1/turns", headers=_key(idempotency_key), body=body, patience=patience)


# ---- tools --------------------------------------------------------------------------------------


def list_tools(**filters: Any) -> Request:
    """Tools by name. Filters: q, toolkit, user, cursor, limit. With format all of them, as that provider takes them."""
    return Request("GET", "/v1/tools", query=_query(**filters))


def get_tool(name: str) -> Request:
    """The current version of a tool."""
    return Request("GET", f"/v1/tools/{_word('name', name)}")


def tool_versions(name: str, **page: Any) -> Request:
    """All versions of a tool, newest first."""
    return Request("GET", f"/v1/tools/{_word('name', name)}/versions", query=_query(**page))


def create_tool(definition: Any) -> Request:
    """Add a tool."""
    return Request("POST", "/v1/tools", headers={"Idempotency-Key": ids.new_id()}, body=definition)


def replace_tool(name: str, definition: Any, *, version: int) -> Request:
    """Add a version, if ``version`` is still the current one."""
    return Request("PUT", f"/v1/tools/{_word('name', name)}", headers={"If-Match": f'"{version}"'}, body=definition)


def delete_tool(name: str, *, version: int) -> Request:
    """Remove a tool, if ``version`` is still the current one."""
    return Request("DELETE", f"/v1/tools/{_word('name', name)}", headers={"If-Match": f'"{version}"'})


def validate_tool(definition: Any) -> Request:
    """Check a definition without saving it."""
    return Request("POST", "/v1/tools/validate", body=definition)


def try_tool(name: str, arguments: Mapping[str, Any], *, wait: int = 30, **options: Any) -> Request:
    """Run a tool on the real path; the call is marked as a test."""
    headers = {"Idempotency-Key": ids.new_id(), **_prefer(wait)}
    body = {"arguments": arguments, **_given(options)}
    return Request("POST", f"/v1/tools/{_word('name', name)}/test", headers=headers, body=body, patience=wait)


def pause_tool(name: str, *, paused: bool = True) -> Request:
    """Let the calls of a tool wait, or go on."""
    return Request("POST", f"/v1/tools/{_word('name', name)}/{_verb(paused)}")


def pause_org(*, paused: bool = True) -> Request:
    """Let all calls of the key's org wait, or go on."""
    return Request("POST", f"/v1/{_verb(paused)}")


# ---- pools --------------------------------------------------------------------------------------


def list_pools() -> Request:
    """The pools, with what waits and runs in them."""
    return Request("GET", "/v1/pools")


def pause_pool(name: str, *, paused: bool = True) -> Request:
    """Let the workers of a pool start nothing, or go on."""
    return Request("POST", f"/v1/pools/{_word('name', name)}/{_verb(paused)}")


# ---- log levels ---------------------------------------------------------------------------------


def set_log_level(level: str, seconds: float, *, tool: str | None = None) -> Request:
    """Log what is about a tool, or all the org's, from this level on for a while."""
    return Request("PUT", "/v1/log-levels", body=_given({"tool": tool, "level": level, "seconds": seconds}))


def list_log_levels() -> Request:
    """What was set and is not over."""
    return Request("GET", "/v1/log-levels")


# ---- schedules ----------------------------------------------------------------------------------


def list_schedules(**page: Any) -> Request:
    """The org's schedules by name."""
    return Request("GET", "/v1/schedules", query=_query(**page))


def get_schedule(name: str) -> Request:
    """A schedule with its next runs."""
    return Request("GET", f"/v1/schedules/{_word('name', name)}")


def create_schedule(name: str, tool: str, arguments: Mapping[str, Any], **options: Any) -> Request:
    """Call a tool again and again.

    Args:
        name: of the schedule.
        tool: ``name`` or ``name@version``.
        arguments: as the tool's schema asks.
        options: further fields (``cron`` and ``timezone``, or ``every``, and the like); None leaves one out.
    """
    body = {"name": name, "tool": tool, "arguments": arguments, **_given(options)}
    return Request("POST", "/v1/schedules", headers={"Idempotency-Key": ids.new_id()}, body=body)


def delete_schedule(name: str, *, version: int) -> Request:
    """Remove a schedule, if ``version`` is still the current one."""
    return Request("DELETE", f"/v1/schedules/{_word('name', name)}", headers={"If-Match": f'"{version}"'})


def pause_schedule(name: str, *, paused: bool = True) -> Request:
    """Let a schedule start no more runs, or go on."""
    return Request("POST", f"/v1/schedules/{_word('name', name)}/{_verb(paused)}")


# ---- authorizations -----------------------------------------------------------------------------


def list_authorizations(**filters: Any) -> Request:
    """What users were asked to consent to, newest first. Filters: user, status, provider; cursor and limit."""
    return Request("GET", "/v1/authorizations", query=_query(**filters))


def start_authorization(tool: str, user: str) -> Request:
    """Have a user asked for what a tool needs of them, before any call waits for it; it may be asked again."""
    body = {"tool": tool, "user": user}
    return Request("POST", "/v1/authorizations/start", body=body, patience=_START, harmless=True)


# ---- secrets ------------------------------------------------------------------------------------


def list_secrets(**page: Any) -> Request:
    """The names of the org's secrets; nobody is told a value."""
    return Request("GET", "/v1/secrets", query=_query(**page))


def get_secret(name: str, **page: Any) -> Request:
    """A secret's versions, newest first."""
    return Request("GET", f"/v1/secrets/{_word('name', name)}", query=_query(**page))


def create_secret(name: str, value: str) -> Request:
    """Keep a secret."""
    body = {"name": name, "value": value}
    return Request("POST", "/v1/secrets", headers={"Idempotency-Key": ids.new_id()}, body=body)


def replace_secret(name: str, value: str, *, version: int | None = None) -> Request:
    """Give a secret another value; if a version is named, only where it is still the current one."""
    headers = {} if version is None else {"If-Match": f'"{version}"'}
    path = f"/v1/secrets/{_word('name', name)}"
    return Request("PUT", path, headers=headers, body={"value": value}, harmless=version is None)


def delete_secret(name: str, *, version: int | None = None) -> Request:
    """Delete a secret; if a version is named, only where it is still the current one."""
    headers = {} if version is None else {"If-Match": f'"{version}"'}
    return Request("DELETE", f"/v1/secrets/{_word('name', name)}", headers=headers)


def reseal_secrets(*, cursor: str | None = None) -> Request:
    """Seal the next secrets with the first key that older keys have sealed."""
    return Request("POST", "/v1/secrets/reseal", query=_query(cursor=cursor), harmless=True)


# ---- webhooks -----------------------------------------------------------------------------------


def list_webhooks(**page: Any) -> Request:
    """The org's webhooks, oldest first; nobody is told a secret."""
    return Request("GET", "/v1/webhooks", query=_query(**page))


def get_webhook(webhook_id: str) -> Request:
    """A webhook."""
    return Request("GET", f"/v1/webhooks/{_word('webhook_id', webhook_id)}")


def create_webhook(url: str, **options: Any) -> Request:
    """Have events delivered to a URL; the answer is the only place where its secret ever stands.

    Args:
        url: where they go.
        options: further fields (``events``, ``tools``, ``description``, ``enabled``); None leaves one out.
    """
    body = {"url": url, **_given(options)}
    return Request("POST", "/v1/webhooks", headers={"Idempotency-Key": ids.new_id()}, body=body)


def change_webhook(webhook_id: str, **changes: Any) -> Request:
    """Change fields of a webhook; None leaves one as it is. It may be asked again."""
    return Request("PATCH", f"/v1/webhooks/{_word('webhook_id', webhook_id)}", body=_given(changes), harmless=True)


def delete_webhook(webhook_id: str) -> Request:
    """Deliver nothing more."""
    return Request("DELETE", f"/v1/webhooks/{_word('webhook_id', webhook_id)}")


def rotate_webhook(webhook_id: str) -> Request:
    """Give a webhook another secret, which stands in the answer alone; the one before signs for another day."""
    return Request("POST", f"/v1/webhooks/{_word('webhook_id', webhook_id)}/rotate")


def try_webhook(webhook_id: str) -> Request:
    """Have a test event delivered."""
    return Request("POST", f"/v1/webhooks/{_word('webhook_id', webhook_id)}/test")


def list_deliveries(webhook_id: str, **page: Any) -> Request:
    """What became of the deliveries of a webhook, newest first."""
    return Request("GET", f"/v1/webhooks/{_word('webhook_id', webhook_id)}/deliveries", query=_query(**page))


# ---- dead letters -------------------------------------------------------------------------------


def list_dead_letters(**page: Any) -> Request:
    """Messages that did not verify or decode, newest first."""
    return Request("GET", "/v1/dead-letters", query=_query(**page))


def get_dead_letter(letter_id: str) -> Request:
    """One of them, with its body."""
    return Request("GET", f"/v1/dead-letters/{_word('letter_id', letter_id)}")


def replay_dead_letter(letter_id: str) -> Request:
    """Publish it exactly as it came."""
    return Request("POST", f"/v1/dead-letters/{_word('letter_id', letter_id)}/replay")


# ---- keys ---------------------------------------------------------------------------------------


def list_keys(**page: Any) -> Request:
    """The API keys of the org, without their secret part."""
    return Request("GET", "/v1/keys", query=_query(**page))


def create_key(name: str, roles: Sequence[str], *, broker_user: str | None = None) -> Request:
    """Make an API key; the answer is the only place where its secret part ever stands.

    ``broker_user`` is a user of the broker: what it publishes to the queue of requests is asked with this key.
    """
    body = {"name": name, "roles": list(roles), **_given({"broker_user": broker_user})}
    return Request("POST", "/v1/keys", headers={"Idempotency-Key": ids.new_id()}, body=body)


def revoke_key(key_id: str) -> Request:
    """Revoke an API key."""
    return Request("DELETE", f"/v1/keys/{_word('key_id', key_id)}")


# ---- health -------------------------------------------------------------------------------------


def readiness() -> Request:
    """Whether the part takes work."""
    return Request("GET", "/readyz")


def _word(field: str, text: str) -> str:
    """A word of a path: nothing in it can lead elsewhere.

    Raises:
        FieldsRefused: it is empty, and the path would be another one.
    """
    _check_given(field, text)
    return quote(text, safe="") if text.strip(".") else quote(text, safe="").replace(".", "%2E")


def _check_given(field: str, text: str) -> None:
    if not text.strip():
        raise FieldsRefused((FieldError(field, "is empty; give one"),))


def _key(chosen: str | None) -> dict[str, str]:
    """The header of an idempotency key: made anew where none is given."""
    if chosen == NO_KEY:
        return {}
    return {"Idempotency-Key": ids.new_id() if chosen is None else values.key(chosen)}


def _prefer(wait: float) -> dict[str, str]:
    return {"Prefer": f"wait={ceil(wait)}"}


def _verb(paused: bool) -> str:
    return "pause" if paused else "resume"


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _query(**values: Any) -> dict[str, str]:
    return {name: str(value) for name, value in _given(values).items()}
