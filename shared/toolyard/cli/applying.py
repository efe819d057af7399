"""What must be done so that a gateway has the tools of files, and doing it.

A plan is made of the files and of what the gateway has; all documents are checked before the first change. What was
made of the plan is told step by step: a change that somebody else was faster with is a conflict, and undoes nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from toolyard.cli import code_places, definitions, documents
from toolyard.cli.documents import Document
from toolyard.cli.places import Fault
from toolyard.cli.session import Session
from toolyard.client import Request, requests
from toolyard.errors import FieldError, Refused, ToolyardError

Action = Literal["created", "changed", "unchanged", "deleted"]
Result = Literal["created", "changed", "unchanged", "deleted", "conflict", "failed", "not tried"]

#: Bytes of one definition; a gateway takes no more.
MAX_DEFINITION: Final = 256 * 1024
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
#: Refusals that speak of the document, and not of who asks or of the gateway.
OF_THE_DOCUMENT: Final = ("validation_failed", "parse_error", "payload_too_large")
#: Refusals of a change because the tool is no longer what the plan was made for.
_OVERTAKEN: Final = ("conflict", "precondition_failed", "tool_not_found")
_PAGE: Final = 200
_ADDED: Final = "is added by the gateway where it shows a tool; leave it out"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with one tool.

    Attributes:
        version: the one that the gateway has.
        current: the tool as the gateway has it; None where it has none.
        wanted: the tool as the gateway will have it; None where it is to have none.
    """

    name: str
    action: Action
    document: Document | None = None
    version: int | None = None
    current: dict[str, Any] | None = None
    wanted: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a step; ``detail`` says why it was not done."""

    step: Step
    result: Result
    version: int | None
    detail: str = ""


# ---- the plan -----------------------------------------------------------------------------------


def plan(session: Session, paths: Sequence[str], *, prune: bool = False, toolkit: str | None = None) -> list[Step]:
    """The steps that make the gateway's tools those of the files, in the order of the files; deletions last.

    Args:
        session: whom to ask.
        paths: files and folders.
        prune: delete tools that are in none of the files.
        toolkit: ... of this toolkit alone.

    Raises:
        Wrong: a document is wrong; all that are wrong are told.
        ToolyardError: the gateway cannot be asked, or lets this key do nothing of the kind.
    """
    steps = plan_documents(session, documents.read(paths))
    if prune:
        kept = {step.name for step in steps}
        steps += [
            Step(tool["name"], "deleted", version=int(tool["version"]), current=tool)
            for tool in every_tool(session, toolkit=toolkit)
            if tool["name"] not in kept
        ]
    return steps


def plan_documents(session: Session, found: documents.Found) -> list[Step]:
    """The steps that make the gateway's tools those of these documents; raises as `plan` does."""
    _check_shapes(found)
    found.check()
    wanted = [_checked(session, document, found.faults) for document in found.documents]
    found.check()
    return [_step(session, document, tool) for document, tool in zip(found.documents, wanted, strict=True)]


def every_tool(session: Session, *, toolkit: str | None = None) -> Iterator[dict[str, Any]]:
    """All tools of the org, or of a toolkit, by name."""
    cursor = None
    while True:
        request = requests.list_tools(toolkit=toolkit, limit=_PAGE, cursor=cursor)
        page = session.ask(request, "Reading the tools", members=("items", "next_cursor"))
        yield from page["items"]
        if not (cursor := page["next_cursor"]):
            return


def current(session: Session, name: str) -> dict[str, Any] | None:
    """The tool as the gateway has it; None where it has none."""
    try:
        tool: dict[str, Any] = session.ask(requests.get_tool(name), f"Reading {name}", members=("name", "version"))
    except Refused as refused:
        if refused.refusal != "tool_not_found":
            raise
        return None
    return tool


def _step(session: Session, document: Document, wanted: dict[str, Any]) -> Step:
    name = document.value["name"]
    there = current(session, name)
    if there is None:
        return Step(name, "created", document, wanted=wanted)
    action: Action = "unchanged" if definitions.is_same(there, wanted) else "changed"
    return Step(name, action, document, int(there["version"]), there, wanted)


# ---- documents that are wrong -------------------------------------------------------------------


def _check_shapes(found: documents.Found) -> None:
    """What can be said without a gateway: each document is a definition with a name of its own."""
    named: dict[str, Document] = {}
    for document in found.documents:
        faults = list(_shape(document))
        if not faults:
            name = document.value["name"]
            if (before := named.setdefault(name, document)) is not document:
                faults = [document.fault(f"the tool {name!r} stands in {before.place} already; keep one", "name")]
        found.faults += faults


def _shape(document: Document) -> Iterator[Fault]:
    value = document.value
    if not isinstance(value, dict):
        yield document.fault("is no tool: write an object with name, description, parameters and binding")
        return
    for name in definitions.ADDED:
        if name in value:
            yield document.fault(_ADDED, name)
    if "name" not in value:
        yield document.fault("is missing; give it", "name")
    elif not isinstance(value["name"], str):
        yield document.fault("must be a text", "name")
    elif not NAME.fullmatch(value["name"]):
        yield document.fault("must be letters, digits, '_', '.' and '-', a letter first, 64 at most", "name")
    if (size := documents.size(value)) > MAX_DEFINITION:
        yield document.fault(f"has {size:,} bytes as JSON; a definition has {MAX_DEFINITION:,} at most")


def _checked(session: Session, document: Document, faults: list[Fault]) -> dict[str, Any]:
    """The tool that the gateway would keep; what it would refuse goes to the faults."""
    try:
        request = requests.validate_tool(document.value)
        answer = session.ask(request, f"Checking {document.value['name']}", members=("valid", "tool"))
    except Refused as refused:
        if refused.refusal not in OF_THE_DOCUMENT:
            raise
        faults += faults_of(document, refused)
        return {}
    tool: dict[str, Any] = answer["tool"]
    return tool


def faults_of(document: Document, refused: Refused) -> list[Fault]:
    """What a gateway refused of a document, each fault with its place in the file."""
    fields = refused.fields or (FieldError("", refused.detail),)
    return sorted(code_places.fault(document, path, text) for path, text in fields)


# ---- doing it -----------------------------------------------------------------------------------


def carry_out(session: Session, steps: Iterable[Step]) -> list[Done]:
    """Do what is to be done, step by step.

    Nothing is deleted once a step was not done. What the gateway does not answer ends it: later steps are not tried.
    """
    done: list[Done] = []
    stopped = False
    for step in steps:
        if stopped or (step.action == "deleted" and any(one.result == "conflict" for one in done)):
            done.append(Done(step, "not tried", step.version))
            continue
        try:
            done.append(_DO[step.action](session, step))
        except ToolyardError as error:
            done.append(Done(step, "failed", step.version, f"{getattr(error, 'refusal', error.code)}: {error}"))
            stopped = True
    return done


def _leave(session: Session, step: Step) -> Done:
    del session
    return Done(step, "unchanged", step.version)


def _save(session: Session, step: Step) -> Done:
    assert step.document is not None  # noqa: S101 - what is saved stands in a file
    definition = step.document.value
    if step.version is None:
        request = requests.create_tool(definition)
    else:
        request = requests.replace_tool(step.name, definition, version=step.version)
    try:
        saved = session.ask(request, f"Saving {step.name}", members=("name", "version"))
    except Refused as refused:
        if refused.refusal not in _OVERTAKEN:
            raise
        return _overtaken(session, step)
    return Done(step, step.action, int(saved["version"]))


def _delete(session: Session, step: Step) -> Done:
    assert step.version is not None  # noqa: S101 - what is deleted is there
    request: Request = requests.delete_tool(step.name, version=step.version)
    try:
        session.ask(request, f"Deleting {step.name}")
    except Refused as refused:
        if refused.refusal not in _OVERTAKEN:
            raise
        return _overtaken(session, step)
    return Done(step, "deleted", step.version)


_DO: Final[dict[Action, Callable[[Session, Step], Done]]] = {
    "created": _save,
    "changed": _save,
    "unchanged": _leave,
    "deleted": _delete,
}


def _overtaken(session: Session, step: Step) -> Done:
    """Somebody else was faster: with the same, which is then done, or with something else."""
    there = current(session, step.name)
    version = None if there is None else int(there["version"])
    if step.wanted is None and there is None:
        return Done(step, "deleted", step.version)
    if step.wanted is not None and there is not None and definitions.is_same(there, step.wanted):
        return Done(step, "unchanged", version)
    before = "missing" if step.version is None else f"version {step.version}"
    now = "deleted" if version is None else f"version {version}"
    return Done(step, "conflict", version, f"somebody else changed it meanwhile: it was {before}, and is {now}")
