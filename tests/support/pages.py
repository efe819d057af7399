"""README and docs as tests see them: their blocks of code, and how those are run.

A block ```bash is run, in order, in one shell a page; ```bash background too, without waiting for it. A block
```json answer is what the block before it prints. All other languages are for the eye.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_FENCE: Final = re.compile(r"^```(?P<words>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_BORDER: Final = "--- here ends block {number} ---"
_WITHIN: Final = 90


@dataclass(frozen=True)
class Block:
    """A fenced block: the words behind its fence, its text, and its line."""

    words: tuple[str, ...]
    text: str
    line: int


def pages() -> list[Path]:
    """README, changelog and all of docs."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name(page: Path) -> str:
    """A page's name in a test's id."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text()
    return [
        Block(tuple(found["words"].split()), found["text"], text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


def runs(page: Path) -> bool:
    """Whether anything on the page is run."""
    return any(block.words[:1] == ("bash",) for block in blocks(page))


def run(page: Path, folder: Path, *, env: Mapping[str, str], instead: Mapping[str, str]) -> None:
    """Run the page in a folder, and compare what it prints with the answers that stand on it.

    Args:
        instead: text of the page -> what stands for it here: addresses and ports.
    """
    found = blocks(page)
    done = _run_as_group(["bash", "-euo", "pipefail", "-c", _script(found, instead)], folder, env)
    printed = dict(_printed(done.stdout))
    told = f"{name(page)}\n{done.stdout}\n{done.stderr}"
    last = max(printed, default=-1)
    assert done.returncode == 0, f"the block after line {found[last + 1].line} of {told}" if printed else told
    for number, block in enumerate(found):
        if block.words == ("json", "answer"):
            answer = json.loads(printed[number - 1])
            assert shape(answer) == shape(json.loads(block.text)), f"line {block.line} of {told}"


def _run_as_group(args: list[str], folder: Path, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a script to its end, and end whatever it left in the background."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        args, cwd=folder, env=dict(env), start_new_session=True, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            out, told = process.communicate(timeout=_WITHIN)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it left nothing
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(args, process.returncode, out, told)


def _script(found: list[Block], instead: Mapping[str, str]) -> str:
    lines: list[str] = []
    for number, block in enumerate(found):
        if block.words == ("bash",):
            lines += [block.text, f"echo; echo '{_BORDER.format(number=number)}'"]
        elif block.words == ("bash", "background"):
            lines += ["{", block.text, f"}} > background-{number}.log 2>&1 &"]
    script = "\n".join(lines)
    for written, here in instead.items():
        script = script.replace(written, here)
    return script


def _printed(output: str) -> Iterator[tuple[int, str]]:
    rest = output
    while found := re.search(re.escape(_BORDER).replace(r"\{number\}", "([0-9]+)"), rest):
        yield int(found[1]), rest[: found.start()]
        rest = rest[found.end() :]


def shape(value: Any) -> Any:
    """A JSON value with what differs each time replaced by what kind of thing it is: ids, times, traces."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    if not isinstance(value, str):
        return value
    for kind, pattern in _KINDS.items():
        if re.fullmatch(pattern, value):
            return kind
    return value


_KINDS: Final = {
    "an id": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "a trace": r"[0-9a-f]{32}",
    "a time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
}
