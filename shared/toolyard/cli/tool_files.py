"""`toolyard tools apply`, `diff` and `export`: tools kept as files, and a gateway that has them."""

import difflib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from toolyard.cli import applying, definitions, documents, exporting
from toolyard.cli.applying import Done, Step
from toolyard.cli.documents import Document, Wrong
from toolyard.cli.exporting import Written
from toolyard.cli.session import Session, connected
from toolyard.client import requests
from toolyard.errors import Refused

#: Exit codes beside 0: something was not done, or differs; what was given is wrong, and nothing was changed.
NOT_DONE: Final = 1
WRONG: Final = 2

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="Files of YAML or JSON, folders with all .yaml, .yml and .json below them, or - for YAML on stdin.",
        show_default=False,
    ),
]
Prune = Annotated[bool, typer.Option("--prune", help="Delete the tools of the org that are in none of the files.")]
OfToolkit = Annotated[
    str | None,
    typer.Option("--toolkit", metavar="TOOLKIT", help="With --prune: delete tools of this toolkit alone."),
]


def add(group: typer.Typer) -> None:
    """Add these commands to the group `tools`."""
    group.command("apply")(connected(apply))
    group.command("diff")(connected(diff, failed=WRONG))
    group.command("export")(connected(export))


def apply(
    session: Session,
    paths: Paths,
    prune: Prune = False,
    toolkit: OfToolkit = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --prune: delete without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and change nothing.")] = False,
) -> None:
    """Make the gateway's tools those of the files.

    Everything is checked first: where one document is wrong, nothing is changed. A tool that somebody else changes at
    the same moment is left as it is, and told. Exit code 0: all is as the files say (or would be, with --dry-run); 1:
    something was not done; 2: a document or the usage is wrong, and nothing was changed.
    """
    _check_options(prune=prune, toolkit=toolkit, asks=prune and not yes and not dry_run, paths=paths)
    with wrong_told(session, "Nothing was changed."):
        steps = applying.plan(session, paths, prune=prune, toolkit=toolkit)
    if not yes and not dry_run:
        _confirm(session, [step.name for step in steps if step.action == "deleted"])
    done = carried_out(session, steps, dry_run=dry_run)
    if any(one.detail or one.result == "not tried" for one in done):
        raise typer.Exit(NOT_DONE)


def carried_out(session: Session, steps: Sequence[Step], *, dry_run: bool) -> list[Done]:
    """Do what is to be done, or only say what would be; shown either way."""
    would_be = [Done(step, step.action, step.version) for step in steps]
    done = would_be if dry_run else applying.carry_out(session, steps)
    _show(session, done, dry_run=dry_run)
    return done


def diff(session: Session, paths: Paths, prune: Prune = False, toolkit: OfToolkit = None) -> None:
    """Show what `apply` would change, as a unified diff of each tool.

    Exit code 0: nothing; 1: something; 2: a document or the usage is wrong, or the gateway does not answer.
    """
    _check_options(prune=prune, toolkit=toolkit, asks=False, paths=paths)
    with wrong_told(session, "There is nothing to compare."):
        steps = applying.plan(session, paths, prune=prune, toolkit=toolkit)
    changes = [step for step in steps if step.action != "unchanged"]
    if session.out.as_json:
        session.out.document({"tools": [_row(step, step.action) | {"diff": _difference(step)} for step in changes]})
    elif changes:
        session.out.text("".join(map(_difference, changes)).removesuffix("\n"))
    if changes:
        raise typer.Exit(NOT_DONE)


def export(
    session: Session,
    names: Annotated[list[str] | None, typer.Argument(metavar="TOOL", help="These tools; else all.")] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER|-", help="A file for each tool; - prints them all.")
    ] = documents.STDIN,
    toolkit: Annotated[
        str | None, typer.Option("--toolkit", metavar="TOOLKIT", help="All tools of this toolkit.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over files that say something else.")] = False,
) -> None:
    """Write tools as the documents that `apply` takes.

    A file that says the same already is left as it is. Exit code 2: a file says something else; nothing was written.
    """
    if names and toolkit is not None:
        raise typer.BadParameter("give names or --toolkit, not both", param_hint="--toolkit")
    if names:
        found = [session.ask(requests.get_tool(name), members=("name", "version")) for name in dict.fromkeys(names)]
    else:
        found = list(applying.every_tool(session, toolkit=toolkit))
    tools = [definitions.as_written(tool) for tool in found]
    if output != documents.STDIN:
        with wrong_told(session, "Nothing was written; --overwrite writes over them."):
            written = exporting.write_files(Path(output), tools, overwrite=overwrite)
        _show_written(session, written)
    elif session.out.as_json:
        session.out.document({"items": tools})
    elif tools:
        session.out.text("---\n".join(map(definitions.text_of, tools)).removesuffix("\n"))
    else:
        session.out.say("There are none.")


# ---- what is asked ------------------------------------------------------------------------------


def _check_options(*, prune: bool, toolkit: str | None, asks: bool, paths: Sequence[str]) -> None:
    if toolkit is not None and not prune:
        raise typer.BadParameter("says what --prune deletes; give that too", param_hint="--toolkit")
    if asks and (documents.STDIN in paths or not sys.stdin.isatty()):
        raise typer.BadParameter("needs --yes where nobody can be asked (or see --dry-run)", param_hint="--prune")


def _confirm(session: Session, doomed: Sequence[str]) -> None:
    if not doomed:
        return
    session.out.say(f"In none of the files: {', '.join(doomed)}.")
    if not typer.confirm(f"Delete {_number(len(doomed), 'tool')}?", err=True):
        session.out.say("Nothing was changed.")
        raise typer.Exit(NOT_DONE)


@contextmanager
def wrong_told(session: Session, consequence: str) -> Iterator[None]:
    """What is wrong in files becomes messages and the exit code for it; ``consequence`` says what follows."""
    try:
        yield
    except Wrong as wrong:
        documents.tell(session.out, wrong, f"{_number(len(wrong.faults), 'fault')}. {consequence}")
        raise typer.Exit(WRONG) from None


@contextmanager
def refused_told(session: Session, document: Document | None) -> Iterator[None]:
    """What a gateway refuses of a file's fields is told with their places there; all else as ever."""
    try:
        yield
    except Refused as refused:
        if document is None or not refused.fields or refused.refusal not in applying.OF_THE_DOCUMENT:
            raise
        faults = applying.faults_of(document, refused)
        detail = refused.detail if session.out.as_json else f"{_number(len(faults), 'fault')}."
        documents.tell(session.out, Wrong(faults), detail)
        raise typer.Exit(NOT_DONE) from None


# ---- what is shown ------------------------------------------------------------------------------


def _show(session: Session, done: Sequence[Done], *, dry_run: bool) -> None:
    out = session.out
    if out.as_json:
        told = [_row(one.step, one.result, one.version) | _detail(one) for one in done]
        out.document({"dry_run": dry_run, "tools": told})
        return
    rows = [(one.step.name, one.result, one.version, _place(one.step)) for one in done]
    if rows:
        out.table(("TOOL", "RESULT", "VERSION", "FILE"), rows)
    for one in done:
        if one.detail:
            out.problem(one.result, f"{one.step.name}: {one.detail}")
    counted = ", ".join(f"{number} {result}" for result, number in Counter(one.result for one in done).items())
    out.say(f"{counted or 'No tools'}." + (" Nothing was changed: this is a dry run." if dry_run else ""))
    if any(one.result == "conflict" for one in done):
        out.say("What somebody else did is left as it is: look with `toolyard tools diff`, and apply again.")


def _show_written(session: Session, written: Sequence[Written]) -> None:
    rows = [(one.name, one.result, str(one.file)) for one in written]
    if session.out.as_json:
        names = ("name", "result", "file")
        session.out.document({"tools": [dict(zip(names, row, strict=True)) for row in rows]})
    elif rows:
        session.out.table(("TOOL", "RESULT", "FILE"), rows)
    else:
        session.out.say("There are none.")


def _detail(one: Done) -> dict[str, str]:
    return {"detail": one.detail} if one.detail else {}


def _row(step: Step, result: str, version: int | None = None) -> dict[str, Any]:
    row: dict[str, Any] = {"name": step.name, "result": result, "version": version or step.version}
    return row | ({"file": step.document.file, "line": step.document.line} if step.document else {})


def _place(step: Step) -> str | None:
    return step.document.place if step.document else None


def _difference(step: Step) -> str:
    """A unified diff from what the gateway has to what the file says."""
    before = f"{step.name}@{step.version}" if step.current else "/dev/null"
    after = _place(step) or "/dev/null"
    lines = difflib.unified_diff(_lines(step.current), _lines(step.wanted), before, after)
    return "".join(lines)


def _lines(tool: dict[str, Any] | None) -> list[str]:
    return definitions.text_of(definitions.as_written(tool)).splitlines(keepends=True) if tool else []


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
