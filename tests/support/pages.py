"""README and docs as tests see them: their blocks of code, and how those are run.

A block ```bash is run, in order, in one shell a page; ```bash background too, without waiting for it. A block
```json answer is what the block before it prints; so is a block ```text answer, in which `…` stands for anything. All
other languages are for the eye.
"""

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support import leash

ROOT: Final = Path(__file__).resolve().parents[2]
_FENCE: Final = re.compile(r"^```(?P<words>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_BORDER: Final = "--- here ends block {number} ---"
#: Seconds for a whole page: those of operators start a dozen processes, on a machine that may be busy.
_WITHIN: Final = 300


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
    """Run the page in a folder, compare what it prints with the answers that stand on it, and end what it started.

    Args:
        instead: text of the page -> what stands for it here: addresses and ports.
    """
    with followed(page, folder, env=env, instead=instead):
        pass


@contextlib.contextmanager
def followed(page: Path, folder: Path, *, env: Mapping[str, str], instead: Mapping[str, str]) -> Iterator[None]:
    """As `run`, but what the page started runs until the end of the `with`."""
    found = blocks(page)
    with _run_as_group(["bash", "-euo", "pipefail", "-c", _script(found, instead)], folder, env) as done:
        _compare(name(page), found, done)
        yield


def _compare(page: str, found: list[Block], done: "subprocess.CompletedProcess[str]") -> None:
    printed = dict(_printed(done.stdout))
    told = f"{page}\n{done.stdout}\n{done.stderr}"
    last = max(printed, default=-1)
    assert done.returncode == 0, f"the block after line {found[last + 1].line} of {told}" if printed else told
    for number, block in enumerate(found):
        if block.words == ("json", "answer"):
            answer = json.loads(printed[number - 1])
            assert shape(answer) == shape(json.loads(block.text)), f"line {block.line} of {told}"
        elif block.words == ("text", "answer"):
            assert says(block.text, printed[number - 1]), f"line {block.line} of {told}"


def says(pattern: str, text: str) -> bool:
    """Whether a text is what a page shows of it: `…` stands for anything, and blanks and line ends for one another."""
    expected = ".*?".join(re.escape(" ".join(part.split())) for part in pattern.split("…"))
    return re.fullmatch(expected, " ".join(text.split())) is not None


@contextlib.contextmanager
def _run_as_group(
    args: list[str], folder: Path, env: Mapping[str, str]
) -> Iterator["subprocess.CompletedProcess[str]"]:
    """Run a script to its end; whatever it left in the background is ended with the `with`."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        args, cwd=folder, env=dict(env), start_new_session=True, stdout=pipe, stderr=pipe, text=True
    ) as process:
        leash.hold(process.pid)
        try:
            out, told = process.communicate(timeout=_WITHIN)
            yield subprocess.CompletedProcess(args, process.returncode, out, told)
        finally:
            leash.kill_all(process.pid)
            leash.release(process.pid)


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
