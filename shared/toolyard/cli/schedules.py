"""`toolyard schedules`: what is called again and again."""

from typing import Annotated, Any

import typer

from toolyard.cli import calls, inputs
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import requests

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)]
#: What a schedule in an answer has at least.
SCHEDULE = ("name", "version", "tool", "paused")


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `schedules`."""
    group = typer.Typer(cls=Group, help="Call tools again and again.", no_args_is_help=True)
    for name, command in (
        ("list", list_schedules),
        ("create", create),
        ("show", show),
        ("pause", pause),
        ("resume", resume),
        ("delete", delete),
    ):
        group.command(name)(connected(command))
    app.add_typer(group, name="schedules", rich_help_panel=panel)


def list_schedules(session: Session, limit: calls.Limit = 50, cursor: calls.Cursor = None) -> None:
    """List schedules by name."""
    page = session.ask(requests.list_schedules(limit=limit, cursor=cursor), members=calls.PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [(item["name"], item["tool"], _when(item), _next(item), _last(item)) for item in page["items"]]
    session.out.table(("SCHEDULE", "TOOL", "WHEN", "NEXT", "LAST"), rows)
    calls.say_more(session, page)


def create(
    session: Session,
    name: Name,
    tool: Annotated[
        str, typer.Argument(metavar="TOOL", help="The tool to run: name or name@version.", show_default=False)
    ],
    pairs: calls.Pairs = None,
    arguments: calls.Arguments = None,
    cron: Annotated[
        str | None, typer.Option("--cron", metavar="FIELDS", help="Five fields, as in '30 8 * * MON-FRI'.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="Of --cron, as in Europe/Zurich; else UTC.")
    ] = None,
    every: Annotated[
        float | None,
        typer.Option("--every", metavar="SECONDS", help="An interval, at least 1.", callback=inputs.finite),
    ] = None,
    start_at: Annotated[
        str | None, typer.Option("--start-at", metavar="TIME", help="No run before this time (RFC 3339).")
    ] = None,
    missed: Annotated[
        str | None, typer.Option("--missed", metavar="POLICY", help="Of missed runs: skip, run_once or catch_up.")
    ] = None,
    catch_up: Annotated[
        int | None,
        typer.Option("--catch-up", metavar="N", help="With --missed catch_up: the newest N are made up for."),
    ] = None,
    overlap: Annotated[
        str | None, typer.Option("--overlap", metavar="POLICY", help="skip leaves out what would overlap; allow.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="On whose behalf.")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Begin paused.")] = False,
) -> None:
    """Call a tool again and again, by --cron or --every."""
    options = {
        "cron": cron,
        "timezone": timezone,
        "every": every,
        "start_at": start_at,
        "missed": missed,
        "catch_up": catch_up,
        "overlap": overlap,
        "user": user,
        "paused": paused or None,
    }
    request = requests.create_schedule(name, tool, inputs.arguments(arguments, pairs or []), **options)
    _show(session, session.ask(request, members=SCHEDULE))


def show(session: Session, name: Name) -> None:
    """Show a schedule: its next runs, its last one, and what went wrong."""
    _show(session, session.ask(requests.get_schedule(name), members=SCHEDULE))


def pause(session: Session, name: Name) -> None:
    """Start no more runs, until it is resumed."""
    _show(session, session.ask(requests.pause_schedule(name), members=SCHEDULE))


def resume(session: Session, name: Name) -> None:
    """Go on with the next run; what was due during the pause is not made up for."""
    _show(session, session.ask(requests.pause_schedule(name, paused=False), members=SCHEDULE))


def delete(session: Session, name: Name) -> None:
    """Delete a schedule; calls that it made go on."""
    version = int(session.ask(requests.get_schedule(name), members=SCHEDULE)["version"])
    session.ask(requests.delete_schedule(name, version=version))
    if session.out.as_json:
        session.out.document({"deleted": name, "version": version})
    else:
        session.out.say(f"{name} is deleted.")


def _show(session: Session, schedule: dict[str, Any]) -> None:
    if session.out.as_json:
        session.out.document(schedule)
        return
    error = schedule.get("last_error")
    session.out.fields(
        [
            ("schedule", schedule["name"]),
            ("tool", schedule["tool"]),
            ("arguments", schedule.get("arguments")),
            ("when", _when(schedule)),
            ("missed runs", _missed(schedule)),
            ("overlap", schedule.get("overlap")),
            ("next runs", "\n".join(schedule.get("next_runs") or []) or _next(schedule)),
            ("last run", _last(schedule)),
            ("left out", schedule.get("left_out") or None),
            ("error", f"{error['slot']} {error['code']}: {error['message']}" if error else None),
        ]
    )


def _when(schedule: dict[str, Any]) -> str:
    if schedule.get("cron"):
        return f"{schedule['cron']} ({schedule.get('timezone', 'UTC')})"
    return f"every {schedule.get('every', 0):g} s"


def _missed(schedule: dict[str, Any]) -> str:
    catch_up = schedule.get("catch_up")
    return str(schedule.get("missed", "")) + (f" ({catch_up})" if catch_up else "")


def _next(schedule: dict[str, Any]) -> str | None:
    return "paused" if schedule["paused"] else schedule.get("next_at")


def _last(schedule: dict[str, Any]) -> str | None:
    last = schedule.get("last")
    return f"{last['fired_at']} {last['call_id']}" if last else None
