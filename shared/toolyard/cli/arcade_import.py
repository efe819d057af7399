"""`toolyard tools import arcade`: tools of Arcade's catalogue become tools of the org."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec
import typer

from toolyard import settings
from toolyard.arcade_names import ARCADE_URL
from toolyard.cli import applying, arcade_catalogue, definitions, documents, tool_files
from toolyard.cli.applying import Step
from toolyard.cli.documents import Wrong
from toolyard.cli.naming import Group
from toolyard.cli.places import Fault
from toolyard.cli.session import Session, connected
from toolyard.contracts.tools import ARCADE_KEY

#: What an author may have said of a tool, and no catalogue does: it stays as it is.
_KEPT: Final = (
    *("title", "enabled", "timeout", "queue_timeout", "deadline", "retry", "key_fields", "key_window", "contexts"),
    *("output", "secrets", "fallback", "telemetry"),
)
_URL: Final = "TOOLYARD_ARCADE_URL"


def add(group: typer.Typer) -> None:
    """Add the commands `import …` to the group `tools`."""
    imports = typer.Typer(cls=Group, no_args_is_help=True)
    imports.command("arcade")(connected(import_arcade))
    imports.callback()(_group)
    group.add_typer(imports, name="import")


def _group() -> None:
    """Make tools of somebody else's catalogue; tools in files are for `toolyard tools apply`."""


def import_arcade(
    session: Session,
    toolkit: Annotated[
        str | None, typer.Option("--toolkit", metavar="NAME", help="This toolkit alone, as in Gmail.")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="TEXT", help="What their names begin with here, as in work. .")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and change nothing.")] = False,
) -> None:
    """Create and update tools from the catalogue of Arcade.

    The catalogue is read with the key in ARCADE_API_KEY. What it says of a tool (description, parameters, version,
    scopes, annotations) replaces what the tool has; what an author added stays. A tool that cannot be imported is told
    and left out. Exit code 0: all are as the catalogue says (or would be, with --dry-run); 1: some are not.
    """
    key, url = _key(), _url()
    with session.out.waiting("Reading the catalogue"):
        found = list(arcade_catalogue.tools(url, key, toolkit))
    there = {tool["name"]: tool for tool in applying.every_tool(session)}
    steps: list[Step] = []
    faults: list[Fault] = []
    odd = 0
    for raw in found:
        before = len(faults)
        steps += _planned(session, raw, prefix or "", there, faults)
        odd += len(faults) > before
    done = tool_files.carried_out(session, steps, dry_run=dry_run)
    if faults:
        told = f"{odd} of {len(found)} {'was' if odd == 1 else 'were'} not imported."
        documents.tell(session.out, Wrong(faults), told)
    if faults or any(one.detail or one.result == "not tried" for one in done):
        raise typer.Exit(tool_files.NOT_DONE)


def _key() -> str:
    key = os.environ.get(ARCADE_KEY, "").strip()
    if not key:
        told = f"is not set: it is the key of your project at Arcade, as in export {ARCADE_KEY}=arc_…"
        raise typer.BadParameter(told, param_hint=ARCADE_KEY)
    return key


def _url() -> str:
    try:
        return settings.service_url(os.environ.get(_URL, "") or ARCADE_URL)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=_URL) from None


def _planned(
    session: Session, raw: msgspec.Raw, prefix: str, there: Mapping[str, dict[str, Any]], faults: list[Fault]
) -> Iterator[Step]:
    """What is to be done with one tool of the catalogue; what is wrong with it goes to the faults."""
    file = f"arcade:{arcade_catalogue.name_of(raw)}"
    try:
        definition = arcade_catalogue.definition_of(raw, prefix=prefix)
        current = there.get(definition["name"])
        if current is not None:
            definition = _merged(definition, current)
        found = documents.Found()
        found.read(file, json.dumps(definition, ensure_ascii=False), as_json=True)
        yield from applying.plan_documents(session, found)
    except arcade_catalogue.Odd as odd:
        faults.append(Fault(file, 0, 0, "", str(odd)))
    except Wrong as wrong:
        faults += wrong.faults


def _merged(definition: dict[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """What the catalogue says, and of the tool that is there what no catalogue speaks of.

    Raises:
        Odd: the tool that is there is somebody else's.
    """
    if current["binding"].get("type") != "arcade":
        kind = current["binding"].get("type")
        raise arcade_catalogue.Odd(
            f"there is a tool {definition['name']!r} of the pool {kind} already; give a --prefix"
        )
    said = definitions.as_written(current)
    kept = {name: said[name] for name in _KEPT if name in said}
    annotations = {**said.get("annotations", {}), **definition.get("annotations", {})}
    return kept | definition | ({"annotations": annotations} if annotations else {})
