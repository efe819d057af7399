"""`toolyard tools`: see, save, check, try and pause them."""

from typing import Annotated, Any, NamedTuple

import typer

from toolyard.cli import arcade_import, calls, documents, inputs, tool_files, trying
from toolyard.cli.documents import Document
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import requests

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="The definition: JSON, or YAML in .yaml or .yml; - for JSON on stdin.", show_default=False
    ),
]
Name = Annotated[str, typer.Argument(metavar="TOOL", help="The tool's name.", show_default=False)]
IfVersion = Annotated[
    int | None,
    typer.Option("--if-version", metavar="N", help="Only if N is still the current version.", show_default=False),
]

MaybeName = Annotated[str | None, typer.Argument(metavar="TOOL", help="The tool's name.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All tools of the org instead.")]

#: What a definition in an answer has at least.
TOOL = ("name", "version")
#: What the answer to a pause has.
PAUSE = ("kind", "name", "paused")


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `tools`."""
    group = typer.Typer(cls=Group, help="See, save, check, try and pause tools.", no_args_is_help=True)
    for name, command in (
        ("list", list_tools),
        ("get", get),
        ("create", create),
        ("update", update),
        ("delete", delete),
        ("validate", validate),
        ("test", trying.try_out),
        ("pause", pause),
        ("resume", resume),
    ):
        group.command(name)(connected(command))
    tool_files.add(group)
    arcade_import.add(group)
    app.add_typer(group, name="tools", rich_help_panel=panel)


def list_tools(
    session: Session,
    q: Annotated[
        str | None, typer.Option("--q", metavar="TEXT", help="With this in name, title or description.")
    ] = None,
    toolkit: Annotated[str | None, typer.Option("--toolkit", help="Of this toolkit.")] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="None that are disabled, or wait for this user's consent.")
    ] = None,
    limit: calls.Limit = 50,
    cursor: calls.Cursor = None,
) -> None:
    """List tools by name."""
    request = requests.list_tools(q=q, toolkit=toolkit, user=user, limit=limit, cursor=cursor)
    page = session.ask(request, members=calls.PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [
        (item["name"], item["version"], item["binding"]["type"], _enabled(item), item["description"].split("\n")[0])
        for item in page["items"]
    ]
    session.out.table(("TOOL", "VERSION", "POOL", "ENABLED", "DESCRIPTION"), rows)
    calls.say_more(session, page)


def get(session: Session, name: Name) -> None:
    """Print the current definition of a tool, as JSON."""
    session.out.document(session.ask(requests.get_tool(name)))


def create(session: Session, file: File) -> None:
    """Add a tool."""
    read = _definition(session, file)
    with tool_files.refused_told(session, read.document):
        saved = session.ask(requests.create_tool(read.value), members=TOOL)
    _saved(session, saved)


def update(
    session: Session,
    file: File,
    if_version: IfVersion = None,
) -> None:
    """Save a new version of the tool that the definition names.

    A definition with a version, as `tools get` prints it, is saved only if that one is still the current version.
    """
    read = _definition(session, file)
    name = read.value.get("name") if isinstance(read.value, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise typer.BadParameter("the definition has no name", param_hint=file)
    version = if_version or read.version or _current(session, name)
    with tool_files.refused_told(session, read.document):
        saved = session.ask(requests.replace_tool(name, read.value, version=version), members=TOOL)
    _saved(session, saved)


def delete(session: Session, name: Name, if_version: IfVersion = None) -> None:
    """Delete a tool; its versions stay readable for calls that ran."""
    version = if_version or _current(session, name)
    session.ask(requests.delete_tool(name, version=version))
    if session.out.as_json:
        session.out.document({"deleted": name, "version": version})
    else:
        session.out.say(f"{name} is deleted (its last version was {version}).")


def validate(session: Session, file: File) -> None:
    """Check a definition without saving it."""
    read = _definition(session, file)
    with tool_files.refused_told(session, read.document):
        answer = session.ask(requests.validate_tool(read.value))
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.say("The definition is valid.")


def pause(session: Session, name: MaybeName = None, every: All = False) -> None:
    """Let the calls of a tool wait until it is resumed; those that run end."""
    _set_paused(session, name, every=every, paused=True)


def resume(session: Session, name: MaybeName = None, every: All = False) -> None:
    """Let the calls of a paused tool go on."""
    _set_paused(session, name, every=every, paused=False)


def _set_paused(session: Session, name: str | None, *, every: bool, paused: bool) -> None:
    if (name is None) != every:
        raise typer.BadParameter("name a tool, or give --all", param_hint="TOOL")
    request = requests.pause_org(paused=paused) if name is None else requests.pause_tool(name, paused=paused)
    show_pause(session, session.ask(request, members=PAUSE))


def show_pause(session: Session, changed: dict[str, Any]) -> None:
    """What was paused or resumed."""
    if session.out.as_json:
        session.out.document(changed)
    else:
        verb = "is paused: its calls wait" if changed["paused"] else "goes on"
        session.out.say(f"The {changed['kind']} {changed['name']} {verb}.")


class _Read(NamedTuple):
    """A definition to send.

    Attributes:
        version: that it was read as; the gateway adds it to a definition, and it is taken out.
        document: where it stands, in a file of YAML.
    """

    value: Any
    version: int | None
    document: Document | None


def _definition(session: Session, file: str) -> _Read:
    document = _yaml(session, file) if file.endswith((".yaml", ".yml")) else None
    definition = inputs.document(file) if document is None else document.value
    if not isinstance(definition, dict):
        return _Read(definition, None, document)
    version = definition.pop("version", None)
    definition.pop("paused", None)
    return _Read(definition, version if isinstance(version, int) else None, document)


def _yaml(session: Session, file: str) -> Document:
    with tool_files.wrong_told(session, "Nothing was asked."):
        found = documents.read([file])
        found.check()
    if len(found.documents) != 1:
        told = f"holds {len(found.documents)} documents, and not one; `toolyard tools apply` takes several"
        raise typer.BadParameter(told, param_hint=file)
    return found.documents[0]


def _current(session: Session, name: str) -> int:
    return int(session.ask(requests.get_tool(name), members=TOOL)["version"])


def _saved(session: Session, tool: dict[str, Any]) -> None:
    if session.out.as_json:
        session.out.document(tool)
    else:
        session.out.say(f"{tool['name']} is saved as version {tool['version']}.")


def _enabled(tool: dict[str, Any]) -> str:
    if not tool.get("enabled", True):
        return "no"
    return "paused" if tool.get("paused") else "yes"
