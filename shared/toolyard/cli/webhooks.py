"""`toolyard webhooks`: where events of the org are delivered."""

from typing import Annotated, Any, Final, get_args

import typer

from toolyard.cli import calls
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import requests
from toolyard.contracts.feed import FeedEvent

Id = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id.", show_default=False)]
#: What a webhook in an answer has at least.
WEBHOOK: Final = ("webhook_id", "url", "enabled")


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `webhooks`."""
    group = typer.Typer(cls=Group, help="Have events delivered to URLs, signed.", no_args_is_help=True)
    for name, command in (
        ("list", list_webhooks),
        ("add", create),
        ("show", show),
        ("enable", enable),
        ("disable", disable),
        ("rotate", rotate),
        ("test", try_),
        ("deliveries", deliveries),
        ("remove", remove),
    ):
        group.command(name)(connected(command))
    app.add_typer(group, name="webhooks", rich_help_panel=panel)


def list_webhooks(session: Session, limit: calls.Limit = 50, cursor: calls.Cursor = None) -> None:
    """List webhooks, oldest first."""
    page = session.ask(requests.list_webhooks(limit=limit, cursor=cursor), members=calls.PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [(item["webhook_id"], _state(item), _events(item), item["url"]) for item in page["items"]]
    session.out.table(("WEBHOOK", "STATE", "EVENTS", "URL"), rows)
    calls.say_more(session, page)


def create(
    session: Session,
    destination: Annotated[str, typer.Argument(metavar="URL", help="Where they go: https.", show_default=False)],
    events: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="EVENT", help="Only these, as in succeeded; may be repeated. Else all."),
    ] = None,
    tools: Annotated[
        list[str] | None, typer.Option("--tool", metavar="TOOL", help="Only calls of these; may be repeated.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", help="For people.")] = None,
) -> None:
    """Deliver what happens from now on to a URL. The secret is printed once, and kept nowhere else in clear."""
    request = requests.create_webhook(destination, events=_types(events), tools=tools, description=description)
    _show_secret(session, session.ask(request, members=(*WEBHOOK, "secret")))


def show(session: Session, webhook_id: Id) -> None:
    """Show a webhook: whether it fails, and why it was disabled."""
    _show(session, session.ask(requests.get_webhook(webhook_id), members=WEBHOOK))


def enable(session: Session, webhook_id: Id) -> None:
    """Deliver again, from where it stood, as far as that is kept."""
    _show(session, session.ask(requests.change_webhook(webhook_id, enabled=True), members=WEBHOOK))


def disable(session: Session, webhook_id: Id) -> None:
    """Deliver nothing until it is enabled again."""
    _show(session, session.ask(requests.change_webhook(webhook_id, enabled=False), members=WEBHOOK))


def rotate(session: Session, webhook_id: Id) -> None:
    """Make another secret, printed once; the one before signs beside it for 24 hours."""
    _show_secret(session, session.ask(requests.rotate_webhook(webhook_id), members=(*WEBHOOK, "secret")))


def try_(session: Session, webhook_id: Id) -> None:
    """Have a test event delivered; `deliveries` tells what became of it."""
    made = session.ask(requests.try_webhook(webhook_id), members=("event_id", "state"))
    if session.out.as_json:
        session.out.document(made)
    else:
        session.out.text(made["event_id"])


def deliveries(session: Session, webhook_id: Id, limit: calls.Limit = 50, cursor: calls.Cursor = None) -> None:
    """List what was tried last, newest first."""
    page = session.ask(requests.list_deliveries(webhook_id, limit=limit, cursor=cursor), members=calls.PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [
        (one["tried_at"], one["state"], one["attempts"], one.get("next_at"), one["event_id"], one.get("error"))
        for one in page["items"]
    ]
    session.out.table(("TRIED", "STATE", "ATTEMPTS", "NEXT", "EVENT", "ERROR"), rows)
    calls.say_more(session, page)


def remove(session: Session, webhook_id: Id) -> None:
    """Deliver nothing more, and forget its secret and what waits to be delivered."""
    session.ask(requests.delete_webhook(webhook_id))
    if session.out.as_json:
        session.out.document({"removed": webhook_id})
    else:
        session.out.say(f"{webhook_id} is removed.")


def _types(events: list[str] | None) -> list[str] | None:
    """Types, of events that may be given by their words alone."""
    words = get_args(FeedEvent)
    return None if events is None else [f"io.toolyard.call.{one}.v1" if one in words else one for one in events]


def _show(session: Session, webhook: dict[str, Any]) -> None:
    if session.out.as_json:
        session.out.document(webhook)
        return
    session.out.fields(
        [
            ("webhook", webhook["webhook_id"]),
            ("url", webhook["url"]),
            ("events", _events(webhook)),
            ("tools", ", ".join(webhook.get("tools") or []) or "all"),
            ("description", webhook.get("description")),
            ("state", _state(webhook)),
            ("reason", webhook.get("disabled_reason")),
            ("failing since", webhook.get("failing_since")),
            ("last success", webhook.get("last_success_at")),
            ("secret before signs until", webhook.get("previous_secret_until")),
            ("secret", webhook.get("secret")),
        ]
    )


def _show_secret(session: Session, webhook: dict[str, Any]) -> None:
    _show(session, webhook)
    if not session.out.as_json:
        session.out.say("Keep the secret: it is not shown again.")


def _state(webhook: dict[str, Any]) -> str:
    if not webhook["enabled"]:
        return "disabled"
    return "failing" if webhook.get("failing_since") else "ok"


def _events(webhook: dict[str, Any]) -> str:
    types = webhook.get("events") or []
    return ", ".join(one.removeprefix("io.toolyard.call.").removesuffix(".v1") for one in types) or "all"
