"""`toolyard authorizations`: what users are asked to consent to, and where."""

from typing import Annotated, Any

import typer

from toolyard.cli import calls
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import requests


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `authorizations`."""
    group = typer.Typer(cls=Group, help="See what users are asked to consent to, and ask them.", no_args_is_help=True)
    group.command("list")(connected(list_authorizations))
    group.command("start")(connected(start))
    app.add_typer(group, name="authorizations", rich_help_panel=panel)


def list_authorizations(
    session: Session,
    user: Annotated[str | None, typer.Option("--user", help="Of this user.")] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="In this status: pending, completed, failed or expired.")
    ] = None,
    provider: Annotated[str | None, typer.Option("--provider", help="Of this provider, as in nango/github.")] = None,
    limit: calls.Limit = 50,
    cursor: calls.Cursor = None,
) -> None:
    """List what users were asked to consent to, newest first, and the links of what is open."""
    filters = {"user": user, "status": status, "provider": provider}
    page = session.ask(requests.list_authorizations(**filters, limit=limit, cursor=cursor), members=calls.PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    session.out.table(("USER", "PROVIDER", "STATUS", "TOOL", "ASKED", "LINK"), [_row(item) for item in page["items"]])
    calls.say_more(session, page)


def start(
    session: Session,
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="One that acts for a user.", show_default=False)],
    user: Annotated[str, typer.Option("--user", help="Who is to consent.", show_default=False)],
) -> None:
    """Ask a user for what a tool needs, before any call waits for it; prints the link."""
    request = requests.start_authorization(tool, user)
    answer = session.ask(request, "Asking the provider", members=("status",))
    if session.out.as_json:
        session.out.document(answer)
    elif asked := answer.get("authorization"):
        session.out.text(asked["url"])
        session.out.say(f"{user} consents there for {asked['provider']}, until {asked['expires_at']}.")
    else:
        session.out.say(f"Nothing is missing: {tool} can be run for {user}.")


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    return item["user"], item["provider"], item["status"], item["tool"], item["created_at"], item.get("url")
