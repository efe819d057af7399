"""`toolyard events`: follow a call, or all that happens in the org, as it happens."""

from typing import Annotated, Final

import typer

from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import Event, FeedEvent, Gap, requests
from toolyard.states import TERMINAL

#: What a shell gives a command that Ctrl-C ended.
_INTERRUPTED: Final = 130


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `events`."""
    group = typer.Typer(cls=Group, help="Follow calls as they happen.", no_args_is_help=True)
    group.callback()(_group)
    group.command("tail")(connected(tail))
    app.add_typer(group, name="events", rich_help_panel=panel)


def _group() -> None:
    """Follow calls as they happen."""


def tail(
    session: Session,
    call_id: Annotated[
        str | None, typer.Argument(metavar="CALL", help="The id of one call: its events, from the first to the last.")
    ] = None,
    conversation: Annotated[str | None, typer.Option("--conversation", help="Only calls of this conversation.")] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="Only calls of this tool.")] = None,
    states: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="Only what leaves its call in this state; may be repeated."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="CURSOR|TIME",
            help="Begin behind this cursor, or at this time (RFC 3339), as far as that is kept; else from now on.",
        ),
    ] = None,
) -> None:
    """Print what happens to the calls of the org, until Ctrl-C; with CALL the events of this one, until it has ended.

    With --json one document a line.
    """
    if call_id is None:
        _follow(session, conversation, tool, states or [], since)
    elif conversation or tool or states or since:
        raise typer.BadParameter("is followed whole: leave the other options out", param_hint="CALL")
    else:
        session.ask(requests.get_call(call_id))  # where nothing answers, that is said at once
        for event in session.client.events(call_id):
            _show(session, event)


def _follow(session: Session, conversation: str | None, tool: str | None, states: list[str], since: str | None) -> None:
    try:
        session.ask(requests.list_calls(limit=1))  # where nothing answers, that is said at once
        with session.client.follow(conversation=conversation, tool=tool, states=states, since=since) as events:
            if not session.out.as_json:
                session.out.say("Following; Ctrl-C ends it.")
            for event in events:
                _tell(session, event)
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def _tell(session: Session, event: FeedEvent | Gap) -> None:
    if session.out.as_json:
        document = {"type": event.event} if isinstance(event, Gap) else event.document
        session.out.line_document({"cursor": event.cursor, **document})
    elif isinstance(event, Gap):
        session.out.text("gap  What came next is not kept any more; this goes on behind it.")
    else:
        failed = f"{event.error.code}: {event.error.message}" if event.error else ""
        words = (event.document["time"], event.event, event.tool, event.call_id, failed)
        session.out.text("  ".join(str(word) for word in words if word))


def _show(session: Session, event: Event) -> None:
    if session.out.as_json:
        session.out.line_document({"id": event.id, "event": event.event, "data": event.data})
        return
    data = event.data if isinstance(event.data, dict) else {}
    error = (data.get("error") or {}) if event.event in TERMINAL else {}
    told = f"{error['code']}: {error['message']}" if error else ""
    time = data.get({"accepted": "created_at", "started": "started_at"}.get(event.event, "finished_at"))
    session.out.text("  ".join(str(part) for part in (time, event.event, told) if part))
