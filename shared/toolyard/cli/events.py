"""`toolyard events`: follow a call, or all that happens in the org; print or keep what has happened."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from toolyard.cli.event_files import EventFile, Form
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import Event, FeedEvent, Gap, requests
from toolyard.client.following import FIRST, NOW
from toolyard.states import TERMINAL

#: What a shell gives a command that Ctrl-C ended.
_INTERRUPTED: Final = 130

Conversation = Annotated[str | None, typer.Option("--conversation", help="Only calls of this conversation.")]
Tool = Annotated[str | None, typer.Option("--tool", help="Only calls of this tool.")]
States = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", help="Only what leaves its call in this state; may be repeated."),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="CURSOR|TIME",
        help="Begin behind this cursor, or at this time (RFC 3339); else with the first that is kept.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="CURSOR|TIME", help="End with this cursor, or before this time (RFC 3339); else now."
    ),
]


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `events`."""
    group = typer.Typer(
        cls=Group, help="Follow calls as they happen, or look at what has happened.", no_args_is_help=True
    )
    for name, command in (("tail", tail), ("replay", replay), ("export", export)):
        group.command(name)(connected(command))
    app.add_typer(group, name="events", rich_help_panel=panel)


def tail(
    session: Session,
    call_id: Annotated[
        str | None, typer.Argument(metavar="CALL", help="The id of one call: its events, from the first to the last.")
    ] = None,
    conversation: Conversation = None,
    tool: Tool = None,
    states: States = None,
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
        with _until_ctrl_c(session), session.client.follow(**_wanted(conversation, tool, states), since=since) as all_:
            if not session.out.as_json:
                session.out.say("Following; Ctrl-C ends it.")
            for event in all_:
                _tell(session, event)
    elif conversation or tool or states or since:
        raise typer.BadParameter("is followed whole: leave the other options out", param_hint="CALL")
    else:
        session.ask(requests.get_call(call_id))  # where nothing answers, that is said at once
        for one in session.client.events(call_id):
            _show(session, one)


def replay(
    session: Session,
    conversation: Conversation = None,
    tool: Tool = None,
    states: States = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Print what has happened to the calls of the org, up to now or up to --until, and stop.

    With --json one document a line.
    """
    begin, end = since or FIRST, until or NOW
    with (
        _until_ctrl_c(session),
        session.client.follow(**_wanted(conversation, tool, states), since=begin, until=end) as events,
    ):
        for event in events:
            _tell(session, event)


def export(
    session: Session,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where they go; what it holds already stays.", show_default=False)
    ],
    form: Annotated[
        Form, typer.Option("--format", help="A document a line, or all of them as one JSON batch of CloudEvents.")
    ] = "lines",
    conversation: Conversation = None,
    tool: Tool = None,
    states: States = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="CURSOR|TIME",
            help="Where a file without events begins; else with the first that is kept.",
        ),
    ] = None,
    until: Until = None,
) -> None:
    """Write what has happened to the calls of the org to a file, up to now or up to --until; again, to go on there."""
    if str(file) == "-":
        raise typer.BadParameter("is a file: for a pipe there is `toolyard events replay --json`", param_hint="FILE")
    gaps = 0
    with _until_ctrl_c(session), EventFile(file, form) as events:
        wanted = {
            **_wanted(conversation, tool, states),
            "since": events.cursor or since or FIRST,
            "until": until or NOW,
        }
        with session.client.follow(**wanted) as coming:
            for event in coming:
                if isinstance(event, Gap):
                    gaps += 1
                else:
                    events.add({"cursor": event.cursor, **event.document})
    _summarize(session, file, events, gaps)


def _summarize(session: Session, file: Path, events: EventFile, gaps: int) -> None:
    if session.out.as_json:
        told = {"file": str(file), "events": events.added, "gaps": gaps, "cursor": events.cursor or None}
        session.out.document(told)
        return
    session.out.say(f"{events.added:,} events were added to {file}.")
    if gaps:
        session.out.say(f"In {gaps} places some are missing: they are not kept any more.")


def _wanted(conversation: str | None, tool: str | None, states: list[str] | None) -> dict[str, Any]:
    return {"conversation": conversation, "tool": tool, "states": states or []}


@contextmanager
def _until_ctrl_c(session: Session) -> Iterator[None]:
    """Ends quietly at Ctrl-C; where nothing answers, that is said at once."""
    try:
        session.ask(requests.list_calls(limit=1))
        yield
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
