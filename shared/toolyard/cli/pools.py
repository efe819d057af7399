"""`toolyard pools`: what waits and runs in the pools, and pausing them."""

from typing import Annotated, Any

import typer

from toolyard.cli import calls, tools
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import requests

Name = Annotated[str, typer.Argument(metavar="POOL", help="The pool, as in http.", show_default=False)]


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `pools`."""
    group = typer.Typer(cls=Group, help="See what waits and runs in the pools, and pause them.", no_args_is_help=True)
    group.command("list")(connected(list_pools))
    group.command("pause")(connected(pause))
    group.command("resume")(connected(resume))
    app.add_typer(group, name="pools", rich_help_panel=panel)


def list_pools(session: Session) -> None:
    """List the pools, and the breakers that are not closed. BACKLOG is of all orgs; the rest of the org's own calls."""
    page = session.ask(requests.list_pools(), members=calls.PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [
        (
            item["name"],
            item["backlog"],
            _age(item["oldest"]),
            item["running"],
            _paused(item),
            item.get("isolation"),
            item["last_success"],
        )
        for item in page["items"]
    ]
    session.out.table(("POOL", "BACKLOG", "OLDEST", "RUNNING", "PAUSED", "ISOLATION", "LAST SUCCESS"), rows)
    breakers = [(item["name"], each) for item in page["items"] for each in item.get("breakers", ())]
    if breakers:
        session.out.table(
            ("POOL", "BREAKER", "STATE", "SINCE", "RETRY AFTER", "FAILURES"),
            [
                (pool, each["circuit"], each["state"], each["since"], _age(each["retry_after"]), each["failures"])
                for pool, each in breakers
            ],
        )
    if page.get("org_paused"):
        session.out.say("All tools of the org are paused: `toolyard tools resume --all` lets them go on.")


def pause(session: Session, name: Name) -> None:
    """Let the workers of a pool start nothing until it is resumed; what runs ends."""
    tools.show_pause(session, session.ask(requests.pause_pool(name), members=tools.PAUSE))


def resume(session: Session, name: Name) -> None:
    """Let the workers of a paused pool go on."""
    tools.show_pause(session, session.ask(requests.pause_pool(name, paused=False), members=tools.PAUSE))


def _age(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.1f} s"


def _paused(pool: dict[str, Any]) -> str:
    return "yes" if pool["paused"] else "no"
