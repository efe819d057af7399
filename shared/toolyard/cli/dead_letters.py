"""`toolyard dead-letters`: messages that did not verify or decode."""

from typing import Annotated

import typer

from toolyard.cli import calls
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import requests

LetterId = Annotated[str, typer.Argument(metavar="LETTER", help="The id of the letter.", show_default=False)]
#: What a letter in an answer has at least.
LETTER = ("letter_id", "reason", "key")


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `dead-letters`."""
    group = typer.Typer(cls=Group, help="See and replay messages that did not verify or decode.", no_args_is_help=True)
    group.command("list")(connected(list_letters))
    group.command("show")(connected(show))
    group.command("replay")(connected(replay))
    app.add_typer(group, name="dead-letters", rich_help_panel=panel)


def list_letters(session: Session, limit: calls.Limit = 50, cursor: calls.Cursor = None) -> None:
    """List dead letters, newest first."""
    page = session.ask(requests.list_dead_letters(limit=limit, cursor=cursor), members=calls.PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [
        (item["letter_id"], item["arrived_at"], item["size"], item["key"] or "-", item["reason"])
        for item in page["items"]
    ]
    session.out.table(("LETTER", "ARRIVED", "BYTES", "KEY", "REASON"), rows)
    calls.say_more(session, page)


def show(session: Session, letter_id: LetterId) -> None:
    """Print one dead letter with its headers and its body, as JSON."""
    session.out.document(session.ask(requests.get_dead_letter(letter_id), members=LETTER))


def replay(session: Session, letter_id: LetterId) -> None:
    """Publish a message exactly as it came; what still does not verify comes back."""
    answer = session.ask(requests.replay_dead_letter(letter_id), members=("replayed",))
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.say(f"{letter_id} was published as it came; if it does not verify, it comes back.")
