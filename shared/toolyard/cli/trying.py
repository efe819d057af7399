"""`toolyard tools test`: run a tool once on the real path, or run the cases that stand in files beside tools."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from toolyard.cli import calls, cases, documents, inputs, tool_files
from toolyard.cli.cases import Case, Seen
from toolyard.cli.session import Session
from toolyard.client import requests
from toolyard.errors import Refused
from toolyard.states import TERMINAL

Tool = Annotated[
    str,
    typer.Argument(
        metavar="TOOL|PATH",
        help="The tool's name; or files of cases (NAME.test.yaml, .yml, .json) and folders with them.",
        show_default=False,
    ),
]
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME=VALUE|PATH", help="Arguments of that tool as for `call`; or further paths."),
]


def try_out(
    session: Session,
    tool: Tool,
    words: Words = None,
    arguments: calls.Arguments = None,
    user: Annotated[str | None, typer.Option("--user", help="On whose behalf.")] = None,
    wait: calls.Wait = 30,
) -> None:
    """Run a tool on the real path, or all cases of files; the calls are marked as tests.

    Cases run one by one, on the tools that the gateway has: apply files first. Exit code 1: a call did not succeed, a
    case differs from what it expects; 2: a file of cases or the usage is wrong, and nothing ran.
    """
    if documents.is_path(tool):
        for option, given in (("--arguments", arguments), ("--user", user)):
            if given is not None:
                raise typer.BadParameter("goes with the name of a tool; cases have their own", param_hint=option)
        _run_cases(session, [tool, *(words or [])], wait)
        return
    request = requests.try_tool(tool, inputs.arguments(arguments, words or []), wait=wait, user=user)
    try:
        calls.show_run(session, session.ask(request, f"Waiting for {tool}", members=calls.CALL))
    except Refused as refused:
        if refused.refusal == "tool_not_found" and Path(tool).is_dir() and not session.out.as_json:
            session.out.say(f"For the cases of the folder write {tool}/.")
        raise


class Ran(NamedTuple):
    """A case that ran: its call, where it was accepted, and what is other than expected."""

    case: Case
    seen: Seen
    call: dict[str, Any]
    differences: list[str]


def _run_cases(session: Session, paths: Sequence[str], wait: int) -> None:
    with tool_files.wrong_told(session, "Nothing ran."):
        found = cases.read(paths)
    ran = [_run(session, case, wait) for case in found]
    _show(session, ran)
    if any(one.differences for one in ran):
        raise typer.Exit(tool_files.NOT_DONE)


def _run(session: Session, case: Case, wait: int) -> Ran:
    call: dict[str, Any] = {}
    try:
        request = requests.try_tool(case.tool, case.arguments, wait=wait, context=case.context, user=case.user)
        call = session.ask(request, f"Waiting for {case.tool}: {case.name}", members=calls.CALL)
        seen = _seen(call, wait)
    except Refused as refused:
        if refused.refusal == "unauthenticated":  # it would be said of every case
            raise
        seen = Seen("rejected", refused.refusal, refused.detail)
    return Ran(case, seen, call, cases.differences(case, seen))


def _seen(call: dict[str, Any], wait: int) -> Seen:
    state, error = call["state"], call.get("error") or {}
    if state not in TERMINAL:
        state = f"{state} after {wait} s"
    return Seen(state, error.get("code"), error.get("message", ""), call.get("result"))


def _show(session: Session, ran: Sequence[Ran]) -> None:
    out = session.out
    if out.as_json:
        out.document({"cases": [_record(one) for one in ran]})
        return
    if ran:
        rows = [
            (one.case.name, _version(one), one.seen.state, calls.took(one.call), "differs" if one.differences else "ok")
            for one in ran
        ]
        out.table(("CASE", "TOOL", "STATE", "TOOK", "RESULT"), rows)
    for one in ran:
        for difference in one.differences:
            out.say(one.case.told(difference))
    counted = Counter("differ" if one.differences else "ok" for one in ran)
    out.say(", ".join(f"{number} {result}" for result, number in sorted(counted.items(), reverse=True)) or "No cases")


def _version(one: Ran) -> str:
    return f"{one.case.tool}@{one.call['version']}" if one.call else one.case.tool


def _record(one: Ran) -> dict[str, Any]:
    return {
        "tool": one.case.tool,
        "name": one.case.name,
        "file": one.case.place.file,
        "line": one.case.place.line,
        "ok": not one.differences,
        "differences": one.differences,
        "state": one.seen.state,
        "code": one.seen.code,
        "call_id": one.call.get("call_id"),
        "version": one.call.get("version"),
    }
