"""`toolyard logs`: what is written to the logs of all processes, about an org's tools, for a while."""

import re
from enum import StrEnum
from typing import Annotated, Final

import typer

from toolyard.cli import calls
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import requests

_DURATION: Final = re.compile(r"([0-9]{1,6})(s|m|h)?")
_SECONDS: Final = {None: 1, "s": 1, "m": 60, "h": 3_600}
_LEVEL: Final = ("level", "until")


class Level(StrEnum):
    """The levels."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `logs`."""
    group = typer.Typer(
        cls=Group, help="Have more or less written to the logs of all processes for a while.", no_args_is_help=True
    )
    group.command("level")(connected(set_level))
    group.command("list")(connected(list_levels))
    app.add_typer(group, name="logs", rich_help_panel=panel)


def seconds_of(text: str) -> int:
    """``90``, ``90s``, ``15m`` or ``2h`` in seconds."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time: give seconds, or a number with s, m or h, as in 15m")
    return int(found[1]) * _SECONDS[found[2]]


def set_level(
    session: Session,
    level: Annotated[Level, typer.Argument(metavar="LEVEL", help="debug, info, warning or error.", show_default=False)],
    tool: Annotated[
        str | None, typer.Option("--tool", metavar="NAME", help="The tool that is meant; without it, all of the org.")
    ] = None,
    lasting: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long: seconds, or as in 15m; 24h at most.")
    ] = "15m",
) -> None:
    """Log what is about a tool, or about all of the org, from this level on; it ends by itself."""
    answer = session.ask(requests.set_log_level(level.value, seconds_of(lasting), tool=tool), members=_LEVEL)
    if session.out.as_json:
        session.out.document(answer)
        return
    whose = f"the tool {tool}" if tool else "all tools of the org"
    session.out.say(f"Lines about {whose} are logged from {answer['level']} on, until {answer['until']}.")


def list_levels(session: Session) -> None:
    """List what was set and is not over."""
    page = session.ask(requests.list_log_levels(), members=calls.PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [(item.get("tool"), item["level"], item["until"]) for item in page["items"]]
    session.out.table(("TOOL", "LEVEL", "UNTIL"), rows)
