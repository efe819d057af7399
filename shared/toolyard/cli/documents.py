"""The documents of files and folders: found, read within bounds, and each fault in them told by file, line and column.

Used by the commands that keep tools as files. Knows no gateway.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from toolyard.cli import json_reading
from toolyard.cli.output import Output
from toolyard.cli.places import Broken, Fault, Node, line_and_column

#: What is read of a folder; files of cases for tests are told from tools by what stands before it.
SUFFIXES: Final = (".yaml", ".yml", ".json")
CASES: Final = tuple(f".test{suffix}" for suffix in SUFFIXES)
STDIN: Final = "-"
#: Bytes of one file.
MAX_FILE: Final = 2 * 1024 * 1024
#: Faults that are told of one file at most.
MAX_TOLD: Final = 20


class Wrong(Exception):  # noqa: N818 - it is told, and leaves no command
    """What was given cannot be used; each fault says where and why."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    file: str
    text: str
    node: Node

    @property
    def value(self) -> Any:
        """What it says, as JSON has it."""
        return self.node.value

    @property
    def line(self) -> int:
        """Where it begins, counted from 1."""
        return line_and_column(self.text, self.node.at)[0]

    @property
    def place(self) -> str:
        """Where it begins, as in ``tools/price.yaml:12``."""
        return f"{self.file}:{self.line}"

    def fault(self, message: str, path: str = "") -> Fault:
        """Something that is wrong with a field of it."""
        return Fault(self.file, *line_and_column(self.text, self.node.place_of(path)), path, message)


class _Enough(Exception):  # noqa: N818 - it ends the reading of one file
    """So much is wrong that more would not be read."""


class Found:
    """The documents that were read, and what is wrong with them; all faults are told at once."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.faults: list[Fault] = []

    def check(self) -> None:
        """Go on only if nothing is wrong.

        Raises:
            Wrong: something is.
        """
        if self.faults:
            raise Wrong(self.faults)

    def read(self, file: str, text: str, *, as_json: bool) -> None:
        """Take the documents of one file."""
        told: list[Fault] = []

        def tell(at: int, path: str, message: str) -> None:
            told.append(Fault(file, *line_and_column(text, at), path, message))
            if len(told) == MAX_TOLD:
                raise _Enough

        with suppress(_Enough):
            try:
                for node in _nodes(text, tell, as_json=as_json):
                    self.documents.append(Document(file, text, node))
            except Broken as broken:
                tell(broken.at, broken.path, broken.message)
        self.faults += told


def read(paths: Sequence[str], *, cases: bool = False) -> Found:
    """The documents of files and folders, in the order given, each file once.

    Args:
        paths: files, folders (with all that is below them, except what is hidden) and ``-`` for stdin.
        cases: the files of cases for tests, instead of all others.
    """
    found = Found()
    seen: set[str] = set()
    for path in paths:
        for file in _files(path, found, cases=cases):
            if (real := os.path.realpath(file) if file != STDIN else STDIN) in seen:
                continue
            seen.add(real)
            try:
                found.read(file, _text(file), as_json=file.endswith(".json"))
            except _Unreadable as error:
                found.faults.append(Fault(file, 0, 0, "", str(error)))
    return found


def is_path(word: str) -> bool:
    """Whether a word that may be the name of a tool is a path: it has a slash or a suffix that is read, or is ``.``."""
    return "/" in word or word in (".", "..") or word.endswith(SUFFIXES)


def tell(out: Output, wrong: Wrong, detail: str) -> None:
    """Say what is wrong: a line for each fault, or one JSON document."""
    if out.as_json:
        out.problem("validation_failed", detail, extra={"errors": [fault._asdict() for fault in wrong.faults]})
        return
    for fault in wrong.faults:
        out.say(str(fault))
    out.problem("validation_failed", detail)


# ---- files --------------------------------------------------------------------------------------


class _Unreadable(Exception):  # noqa: N818 - it becomes a `Fault`
    """A file that cannot be read as text."""


def _files(path: str, found: Found, *, cases: bool) -> Iterator[str]:
    """The files that a path stands for."""
    if not os.path.isdir(path):  # noqa: PTH112 - pathlib would take the name as another one: ./x becomes x
        if path.endswith(CASES) == cases and not (cases and path == STDIN):
            yield path
        else:
            told = "holds cases for `toolyard tools test`, and no tools" if path.endswith(CASES) else _NO_CASES
            found.faults.append(Fault(path, 0, 0, "", told))
        return
    number, before = 0, len(found.faults)
    for file in _below(path, found):
        if file.endswith(SUFFIXES) and file.endswith(CASES) == cases:
            number += 1
            yield file
    if not number and len(found.faults) == before:
        wanted = "*.test.yaml, *.test.yml or *.test.json" if cases else "*.yaml, *.yml or *.json"
        found.faults.append(Fault(path, 0, 0, "", f"there is no {wanted} in this folder"))


_NO_CASES: Final = "holds no cases: their files are named NAME.test.yaml, NAME.test.yml or NAME.test.json"


def _below(folder: str, found: Found) -> Iterator[str]:
    """All regular files below a folder in order, and links to nothing; what is hidden and links to folders are left."""

    def tell(error: OSError) -> None:
        found.faults.append(Fault(str(error.filename), 0, 0, "", f"cannot be read: {error.strerror}"))

    for here, folders, files in os.walk(folder, onerror=tell):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = os.path.join(here, name)  # noqa: PTH118 - as above
            if not name.startswith(".") and (os.path.isfile(file) or not os.path.exists(file)):  # noqa: PTH110, PTH113
                yield file


def _text(file: str) -> str:
    try:
        with sys.stdin.buffer if file == STDIN else Path(file).open("rb") as stream:
            raw = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise _Unreadable("there is no such file or folder") from None
    except OSError as error:
        raise _Unreadable(f"cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FILE:
        raise _Unreadable(f"is larger than {MAX_FILE // 1024**2} MiB; split it into several files")
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _Unreadable(f"is no text in UTF-8 (byte {error.start})") from None


def _nodes(text: str, tell: Any, *, as_json: bool) -> Iterator[Node]:
    if as_json:
        yield json_reading.read(text, tell)
        return
    from toolyard.cli import yaml_reading  # here, because the other commands need no YAML

    yield from yaml_reading.read(text, tell)


def size(value: Any) -> int:
    """The bytes that a value takes on its way to a gateway."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode())
