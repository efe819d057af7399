"""`toolyard call` and `toolyard calls`: run a tool, and see what became of calls."""

import json
import re
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from toolyard.cli import inputs, reports
from toolyard.cli.naming import Group
from toolyard.cli.session import Session, connected
from toolyard.client import requests
from toolyard.states import TERMINAL

_MAX_LIMIT: Final = 200
_KEY: Final = re.compile(r"^[!-~](?:[ -~]{0,253}[!-~])?$")
#: What an answer has at least: a list, a call.
PAGE: Final = ("items",)
CALL: Final = ("call_id", "tool", "version", "state", "effect", "created_at")

Limit = Annotated[int, typer.Option("--limit", min=1, max=_MAX_LIMIT, help="How many at most.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Go on behind an earlier list.", metavar="CURSOR")]
Arguments = Annotated[
    str | None,
    typer.Option("--arguments", "-a", metavar="JSON|@FILE|-", help="The arguments as JSON, from a file or from stdin."),
]
Pairs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME=VALUE", help="Arguments one by one; a value that reads as JSON is JSON, any other is text."
    ),
]
Wait = Annotated[
    int,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        max=requests.MAX_WAIT,
        help="How long to wait for the end, at most 300; 0 does not wait.",
    ),
]


def add(app: typer.Typer, *, panel: str) -> None:
    """Add `call` and the group `calls`."""
    app.command("call", rich_help_panel=panel)(connected(call))
    group = typer.Typer(cls=Group, help="See what became of calls, and cancel them.", no_args_is_help=True)
    group.command("list")(connected(list_calls))
    group.command("get")(connected(get))
    group.command("cancel")(connected(cancel))
    app.add_typer(group, name="calls", rich_help_panel=panel)


def call(
    session: Session,
    tool: Annotated[
        str, typer.Argument(metavar="TOOL", help="The tool to run: name or name@version.", show_default=False)
    ],
    pairs: Pairs = None,
    arguments: Arguments = None,
    wait: Wait = 30,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="The same key on another try finds the same call."),
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="On whose behalf.")] = None,
    conversation: Annotated[
        str | None, typer.Option("--conversation", help="Which conversation it belongs to.")
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", metavar="JSON|@FILE|-", help="What the application adds, as JSON.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help="How long one attempt may take.", callback=inputs.finite),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option("--deadline", metavar="SECONDS", help="How long everything may take.", callback=inputs.finite),
    ] = None,
    queue_timeout: Annotated[
        float | None,
        typer.Option(
            "--queue-timeout", metavar="SECONDS", help="How long it may wait for its start.", callback=inputs.finite
        ),
    ] = None,
    not_before: Annotated[
        str | None, typer.Option("--not-before", metavar="TIME", help="When it may start (RFC 3339).")
    ] = None,
    cancel_on_disconnect: Annotated[
        bool, typer.Option("--cancel-on-disconnect", help="Cancel it if this command is stopped while it waits.")
    ] = False,
) -> None:
    """Run a tool and print its answer; with --wait 0 the call's id, whatever has become of it by then.

    Exit code 0: it succeeded, or has not ended within --wait; 1: it ended otherwise.
    """
    options = {
        "user": user,
        "conversation": conversation,
        "timeout": timeout,
        "deadline": deadline,
        "queue_timeout": queue_timeout,
        "not_before": not_before,
        "cancel_on_disconnect": cancel_on_disconnect or None,
    }
    if idempotency_key is not None and not _KEY.match(idempotency_key):
        raise typer.BadParameter("1 to 255 printable ASCII characters", param_hint="--idempotency-key")
    request = requests.create_call(
        tool,
        inputs.arguments(arguments, pairs or []),
        wait=wait,
        idempotency_key=requests.NO_KEY if idempotency_key is None else idempotency_key,
        context=None if context is None else inputs.json_object(context, "--context"),
        **options,
    )
    made = session.ask(request, f"Waiting for {tool}", members=CALL)
    if wait:
        show_run(session, made)
    else:
        _show_made(session, made)


def list_calls(
    session: Session,
    tool: Annotated[str | None, typer.Option("--tool", help="Of this tool.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="In this state, as in succeeded or failed.")] = None,
    conversation: Annotated[str | None, typer.Option("--conversation", help="Of this conversation.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Of this user.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="From this time on (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this time (RFC 3339).")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> None:
    """List calls, newest first."""
    filters = {"tool": tool, "state": state, "conversation": conversation, "user": user, "since": since, "until": until}
    page = session.ask(requests.list_calls(**filters, limit=limit, cursor=cursor), members=PAGE)
    if session.out.as_json:
        session.out.document(page)
        return
    rows = [
        (
            item["call_id"],
            item["tool"],
            item["state"],
            (item.get("error") or {}).get("code"),
            took(item),
            item["created_at"],
        )
        for item in page["items"]
    ]
    session.out.table(("CALL", "TOOL", "STATE", "CODE", "TOOK", "CREATED"), rows)
    say_more(session, page)


def get(
    session: Session,
    call_id: Annotated[str, typer.Argument(metavar="CALL", help="The id of the call.", show_default=False)],
    wait: Wait = 0,
) -> None:
    """Show one call: its state, its answer or its error."""
    found = session.ask(requests.get_call(call_id, wait=wait), "Waiting for the call", members=CALL)
    if session.out.as_json:
        session.out.document(found)
        return
    error = found.get("error") or {}
    session.out.fields(
        [
            ("call", found["call_id"]),
            ("tool", f"{found['tool']}@{found['version']}"),
            ("state", found["state"]),
            ("effect", found["effect"]),
            ("attempts", found.get("attempts")),
            ("created", found["created_at"]),
            ("took", took(found)),
            ("user", found.get("user")),
            ("conversation", found.get("conversation")),
            ("trace", found.get("trace_id")),
            ("arguments", found.get("arguments")),
            ("consent at", (found.get("authorization") or {}).get("url")),
            ("error", f"{error['code']}: {error['message']}" if error else None),
            ("for the model", error.get("model_message")),
            ("result", _content(found) if found.get("result") else None),
            *reports.rows(found),
        ]
    )


def cancel(
    session: Session,
    call_id: Annotated[str | None, typer.Argument(metavar="CALL", help="The id of the call.")] = None,
    conversation: Annotated[
        str | None, typer.Option("--conversation", help="All open calls of this conversation instead.")
    ] = None,
    wait: Wait = 2,
) -> None:
    """Ask a call to stop, or all open calls of a conversation.

    A call that has ended stays as it is. One that was started may have had its effect: look at `effect`.
    """
    if (call_id is None) == (conversation is None):
        raise typer.BadParameter("give a call, or --conversation", param_hint="CALL")
    if call_id is not None:
        _show_cancelled(session, session.ask(requests.cancel_call(call_id, wait=wait), "Cancelling", members=CALL))
        return
    answer = session.ask(requests.cancel_conversation(str(conversation)), members=("cancelled",))
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.say(f"Open calls that were asked to stop: {answer['cancelled']}.")


def _show_cancelled(session: Session, call: dict[str, Any]) -> None:
    if session.out.as_json:
        session.out.document(call)
        return
    session.out.text(call["call_id"])
    ended = call["state"] in TERMINAL
    told = f"{call['state']} · effect {call['effect']}" if ended else f"{call['state']}: it was asked to stop"
    session.out.say(told)


def show_run(session: Session, ended: dict[str, Any]) -> None:
    """What became of a call just made: the answer to stdout, the circumstances to stderr."""
    out, state = session.out, ended["state"]
    if out.as_json:
        out.document(ended)
    elif state == "succeeded":
        out.text(_content(ended))
        out.say(f"{state} in {took(ended)} · {ended['call_id']}")
    elif state in TERMINAL:
        error = ended.get("error") or {}
        out.problem(error.get("code", state), error.get("message", state))
        out.say(f"{state} · effect {ended['effect']} · {ended['call_id']}")
    else:
        _show_made(session, ended)
    if not out.as_json:
        reports.say_logs(out, ended)
    if state in TERMINAL and state != "succeeded":
        raise typer.Exit(1)


def _show_made(session: Session, call: dict[str, Any]) -> None:
    """A call that nobody waits for: its id to stdout, where to look to stderr."""
    out, state = session.out, call["state"]
    if out.as_json:
        out.document(call)
        return
    out.text(call["call_id"])
    if asked := call.get("authorization"):
        out.say(f"{call.get('user')} has to consent first, until {asked['expires_at']}: {asked['url']}")
    see = f"see it with `toolyard calls get {call['call_id']}"
    out.say(f"{state}: it is over; {see}`" if state in TERMINAL else f"{state}: it goes on; {see} --wait 300`")


def say_more(session: Session, page: dict[str, Any]) -> None:
    """How a list goes on, if it does."""
    if not page["items"]:
        session.out.say("There are none.")
    if page.get("next_cursor"):
        session.out.say(f"There are more: --cursor {page['next_cursor']}")


def took(call: dict[str, Any]) -> str | None:
    """How long a call lasted, from its acceptance to its end."""
    if not call.get("finished_at"):
        return None
    lasted = datetime.fromisoformat(call["finished_at"]) - datetime.fromisoformat(call["created_at"])
    seconds = max(lasted.total_seconds(), 0.0)
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _content(call: dict[str, Any]) -> str:
    """The answer for a person: JSON indented, text as it is."""
    result = call.get("result") or {}
    if "structured" in result:
        return json.dumps(result["structured"], ensure_ascii=False, indent=2)
    return str(result.get("content", ""))
