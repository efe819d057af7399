"""Tools kept as text in ``*.tools`` files: ``=== name``, lines of ``field: JSON``, ``---``, the source.

A case runs through the two operations of the guest, as a worker would run it.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from toolyard.sandbox.language import catalogue, guest

HERE = Path(__file__).parent
#: What a tool names that uses whatever there is.
EVERYTHING = [module for module, _ in catalogue.modules()]


class Case(NamedTuple):
    name: str
    source: str
    fields: dict[str, Any]


def cases(folder: str) -> list[Case]:
    """Every case of a folder, by file and in order."""
    return [case for file in sorted((HERE / folder).glob("*.tools")) for case in _of(file.read_text())]


def _of(text: str) -> list[Case]:
    found = []
    for part in text.split("=== ")[1:]:
        head, source = part.split("\n---\n", 1)
        name, *lines = head.splitlines()
        pairs = (line.split(": ", 1) for line in lines)
        found.append(Case(name, source, {key: json.loads(value) for key, value in pairs}))
    return found


def check_payload(source: str, allowed_imports: list[str] | None = EVERYTHING) -> bytes:
    return json.dumps({"source": source, "allowed_imports": allowed_imports}).encode()


def run_payload(code: bytes, **header: object) -> bytes:
    head = json.dumps({"allowed_imports": EVERYTHING} | header).encode()
    return len(head).to_bytes(4) + head + code


def nobody(question: bytes) -> bytes:
    raise AssertionError(question)


def problems(source: str, allowed_imports: list[str] | None = EVERYTHING) -> list[dict[str, Any]]:
    """Everything that is wrong with a source."""
    told: dict[str, list[dict[str, Any]]] = json.loads(
        guest.serve("check", check_payload(source, allowed_imports), nobody)
    )
    return told["problems"]


def compiled(source: str, allowed_imports: list[str] | None = EVERYTHING) -> bytes:
    """The code of a source that nothing is wrong with."""
    told = json.loads(guest.serve("check", check_payload(source, allowed_imports), nobody))
    assert told["problems"] == []
    return base64.b64decode(told["code"])


def run(source: str, ask: Callable[[bytes], bytes] = nobody, **header: Any) -> dict[str, Any]:
    """Checks and runs a harmless tool in this process."""
    code = compiled(source, header.get("allowed_imports", EVERYTHING))
    told: dict[str, Any] = json.loads(guest.serve("run", run_payload(code, **header), ask))
    return told


def value(source: str, **header: Any) -> Any:
    """What a harmless tool returns."""
    told = run(source, **header)
    assert told["kind"] == "value", told
    return told["value"]


def failure(source: str, **header: Any) -> dict[str, Any]:
    """How a harmless tool fails."""
    told = run(source, **header)
    assert told["kind"] == "error", told
    return told


def tool(body: str, before: str = "") -> str:
    """A source whose `execute_tool` has these lines."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{before}\ndef execute_tool(parameters, context):\n{lines}\n"
