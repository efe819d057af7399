"""`toolyard keys`: the API keys of an org."""

from typing import Annotated

import typer

from toolyard.cli import calls
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import requests


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `keys`."""
    group = typer.Typer(cls=Group, help="Make, list and revoke API keys.", no_args_is_help=True)
    group.command("list")(connected(list_keys))
    group.command("create")(connected(create))
    group.command("revoke")(connected(revoke))
    app.add_typer(group, name="keys", rich_help_panel=panel)


def list_keys(session: Session, limit: calls.Limit = 50, cursor: calls.Cursor = None) -> None:
    """List API keys, newest first; their secret part is kept nowhere."""
    page = session.ask(requests.list_keys(limit=limit, cursor=cursor), members=calls.PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [
        (
            *(item["key_id"], item["name"], ", ".join(item["roles"]), item.get("broker_user")),
            *(item["created_at"], item.get("revoked_at")),
        )
        for item in page["items"]
    ]
    session.out.table(("KEY", "NAME", "ROLES", "BROKER USER", "CREATED", "REVOKED"), rows)
    calls.say_more(session, page)


def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.", show_default=False)],
    role: Annotated[
        list[str] | None,
        typer.Option("--role", "-r", help="caller, author, approver, operator or admin; may be repeated."),
    ] = None,
    broker_user: Annotated[
        str | None,
        typer.Option("--broker-user", help="A user of the broker: what it publishes as a request is this key's."),
    ] = None,
) -> None:
    """Make an API key and print it: it is shown this once."""
    made = session.ask(
        requests.create_key(name, role or ["caller"], broker_user=broker_user), members=("key", "key_id")
    )
    if session.out.as_json:
        session.out.document(made)
        return
    session.out.text(made["key"])
    session.out.say(f"{made['key_id']} ({', '.join(made.get('roles', ()))}): keep it, it is not shown again.")


def revoke(
    session: Session,
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The id of the key.", show_default=False)],
) -> None:
    """Revoke an API key."""
    answer = session.ask(requests.revoke_key(key_id))
    if session.out.as_json:
        session.out.document(answer or {"revoked": key_id})
    else:
        session.out.say(f"{key_id} is revoked.")
