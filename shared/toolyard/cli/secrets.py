"""`toolyard secrets`: what tools may be given, by name. No command takes a value as an argument or prints one."""

import re
from typing import Annotated, Any, Final

import typer

from toolyard.cli import calls, inputs
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import requests
from toolyard.errors import Refused

_NO_ARGUMENT: Final = "the value is no argument: it is read from stdin, from a file or from a prompt"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def _name(given: str) -> str:
    """What is no name is not sent, and not shown either: it may be a value, which would then stand in a URL."""
    if not _NAME.fullmatch(given):
        raise typer.BadParameter(f"a name has letters, digits and _, a letter first, 64 at most; {_NO_ARGUMENT}")
    return given


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The secret's name: letters, digits and _, a letter first.",
        show_default=False,
        callback=_name,
    ),
]
Version = Annotated[
    int | None,
    typer.Option("--if-version", metavar="VERSION", min=1, help="Only if this is still the current version."),
]
#: What a secret in an answer has at least.
SECRET = ("name", "version")


def add(app: typer.Typer, *, panel: str) -> None:
    """Add the group `secrets`."""
    group = typer.Typer(cls=Group, help="Set, list and delete secrets of tools.", no_args_is_help=True)
    group.command("set", context_settings={"allow_extra_args": True})(connected(set_secret))
    group.command("list")(connected(list_secrets))
    group.command("show")(connected(show))
    group.command("delete")(connected(delete))
    group.command("reseal")(connected(reseal))
    app.add_typer(group, name="secrets", rich_help_panel=panel)


def set_secret(
    session: Session,
    context: typer.Context,
    name: Name,
    from_file: Annotated[
        str | None,
        typer.Option(
            "--from-file", metavar="FILE", help="The file that holds the value; - is stdin.", show_default=False
        ),
    ] = None,
    if_version: Version = None,
) -> None:
    """Keep a secret, or give it another value, which is read from stdin, from a file or from a prompt."""
    if context.args:  # the library would show what is too much
        raise typer.BadParameter(_NO_ARGUMENT)
    value = inputs.secret(from_file)
    saved = _set(session, name, value, if_version)
    if session.out.as_json:
        session.out.document(saved)
    else:
        session.out.say(f"{saved['name']} is kept as version {saved['version']}.")


def _set(session: Session, name: str, value: str, version: int | None) -> Any:
    try:
        return session.ask(requests.replace_secret(name, value, version=version), members=SECRET)
    except Refused as refused:
        if refused.refusal != "not_found" or version is not None:
            raise
    return session.ask(requests.create_secret(name, value), members=SECRET)


def list_secrets(session: Session, limit: calls.Limit = 50, cursor: calls.Cursor = None) -> None:
    """List the names of secrets."""
    page = session.ask(requests.list_secrets(limit=limit, cursor=cursor), members=calls.PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [(item["name"], item["version"], item["created_at"], item["created_by"]) for item in page["items"]]
    session.out.table(("SECRET", "VERSION", "SET", "BY"), rows)
    calls.say_more(session, page)


def show(session: Session, name: Name, limit: calls.Limit = 50, cursor: calls.Cursor = None) -> None:
    """List the versions of a secret: who set it, and when."""
    secret = session.ask(requests.get_secret(name, limit=limit, cursor=cursor), members=("name", "versions"))
    if session.out.as_json:
        session.out.document(secret)
        return
    rows = [(each["version"], each["created_at"], each["created_by"]) for each in secret["versions"]]
    session.out.table(("VERSION", "SET", "BY"), rows)
    calls.say_more(session, {"items": rows, "next_cursor": secret.get("next_cursor")})


def delete(session: Session, name: Name, if_version: Version = None) -> None:
    """Delete a secret and its value; tools that need it fail."""
    session.ask(requests.delete_secret(name, version=if_version))
    if session.out.as_json:
        session.out.document({"deleted": name})
    else:
        session.out.say(f"{name} is deleted.")


def reseal(session: Session) -> None:
    """Seal all secrets with the first key of TOOLYARD_SECRETS_KEY that older ones sealed. Exit code 1: some stay."""
    done: dict[str, Any] = {"resealed": 0, "unreadable": {}, "damaged": []}
    cursor = None
    while True:
        page = session.ask(requests.reseal_secrets(cursor=cursor), members=tuple(done))
        done["resealed"] += page["resealed"]
        done["damaged"] += page["damaged"]
        for key_id, count in page["unreadable"].items():
            done["unreadable"][key_id] = done["unreadable"].get(key_id, 0) + count
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    _tell(session, done)
    if done["unreadable"] or done["damaged"]:
        raise typer.Exit(1)


def _tell(session: Session, done: dict[str, Any]) -> None:
    if session.out.as_json:
        session.out.document(done)
        return
    session.out.say(f"{done['resealed']} secrets were sealed anew.")
    for key_id, count in done["unreadable"].items():
        session.out.say(f"{count} stay as they are: the gateway does not have the key {key_id!r} that opens them.")
    for name in done["damaged"]:
        session.out.say(f"{name} cannot be opened by its key: set it anew.")
