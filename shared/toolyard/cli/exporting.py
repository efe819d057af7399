"""Tools written to a folder, a file each; what stands there already and says the same is left as it is."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import typer

from toolyard.cli import definitions, documents
from toolyard.cli.applying import NAME
from toolyard.cli.documents import Wrong
from toolyard.cli.places import Fault
from toolyard.client import Unexpected


class Written(NamedTuple):
    """What became of a file."""

    name: str
    result: Literal["written", "unchanged"]
    file: Path


def write_files(folder: Path, tools: Iterable[dict[str, Any]], *, overwrite: bool) -> list[Written]:
    """Write tools into a folder, which is made where it is missing.

    Args:
        folder: where they go.
        tools: as their authors write them.
        overwrite: write over files that say something else.

    Raises:
        Wrong: a file says something else; nothing was written.
        typer.BadParameter: a file cannot be written.
        Unexpected: a tool has a name that no gateway gives.
    """
    planned = [(folder / _file_of(tool["name"]), tool) for tool in tools]
    changed = [(file, tool) for file, tool in planned if not _says(file, tool)]
    others = [] if overwrite else [file for file, _ in changed if os.path.lexists(file)]
    if others:
        raise Wrong([Fault(str(file), 0, 0, "", "is there already, and says something else") for file in others])
    for file, tool in changed:
        _write(file, definitions.text_of(tool))
    files = {file for file, _ in changed}
    return [Written(tool["name"], "written" if file in files else "unchanged", file) for file, tool in planned]


def _file_of(name: str) -> str:
    """The file of a tool; one that is named like a file of cases gets a mark that no name holds."""
    if not NAME.fullmatch(name):
        raise Unexpected(f"A tool is named {name[:80]!r}: no gateway takes such a name.")
    return f"{name}@.yaml" if name.endswith(".test") else f"{name}.yaml"


def _says(file: Path, tool: dict[str, Any]) -> bool:
    """Whether a file says exactly this, in whatever words of YAML."""
    if not file.is_file():
        return False
    found = documents.read([str(file)])
    if found.faults or len(found.documents) != 1:
        return False
    value = found.documents[0].value
    return isinstance(value, dict) and definitions.is_same(definitions.as_written(value), tool)


def _write(file: Path, text: str) -> None:
    """Put a file in its place in one step: nobody ever reads half of it."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        told = f"{file} cannot be written: {error.strerror}"
        raise typer.BadParameter(told, param_hint="--output") from None
