"""The tools that docs/howto/sandbox-tools.md shows, each run in the real jail with what the page gives it.

A block ```python is a tool. What it is given stands in blocks ```json with a word behind: `binding` (before it), and
after it `secrets`, `context`, `upstream` (what it is to ask, and what is answered) and `arguments`; each `arguments` is
a run, and ends as the `returns` or `fails` (and the `text logs`) behind it says.
"""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import pytest_asyncio
from tests.support import pages

from toolyard.sandbox.runner import Job, Level, Limits, Runner, Told

PAGE: Final = pages.ROOT / "docs" / "howto" / "sandbox-tools.md"
#: What a tool is given, until the page says otherwise.
_GIVEN: Final = ("secrets", "context", "upstream")


@dataclass
class Example:
    """A tool of the page, and one run of it. Values are JSON."""

    name: str
    source: str
    binding: dict[str, Any]
    given: dict[str, Any]
    ends: dict[str, Any] = field(default_factory=dict)


def examples() -> Iterator[Example]:
    """Every run of every tool, in the page's order."""
    binding: dict[str, Any] = {}
    given: dict[str, Any] = {}
    source, run = "", None
    for block in pages.blocks(PAGE):
        match block.words:
            case ("json", "binding"):
                binding = json.loads(block.text)
            case ("python",):
                source, given = block.text, {}
                used, binding = binding, {}
            case ("json", ("secrets" | "context" | "upstream") as what):
                given[what] = json.loads(block.text)
            case ("json", "arguments"):
                if run is not None:
                    yield run
                here = given | {"arguments": json.loads(block.text)}
                run = Example(f"line {block.line}", source, used, here)
            case ("json", ("returns" | "fails") as how) if run is not None:
                run.ends[how] = json.loads(block.text)
            case ("text", "logs") if run is not None:
                run.ends["logs"] = block.text
    if run is not None:
        yield run


EXAMPLES: Final = list(examples())


class Upstream:
    """Answers what the page says, in its order, and compares what it was asked."""

    def __init__(self, exchanges: list[dict[str, Any]]) -> None:
        self.left = list(exchanges)

    async def answer(self, question: bytes) -> bytes:
        asked, expected = json.loads(question), self.left.pop(0)
        assert {name: asked[name] for name in expected["asked"]} == expected["asked"]
        answer = expected["answer"]
        body = base64.b64encode(json.dumps(answer.pop("json")).encode()).decode()
        return json.dumps({"body": body, "url": asked["url"]} | answer).encode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runner() -> AsyncIterator[Runner]:
    started = Runner(children=1, memory=1 << 30, minimum=Level.DEGRADED)
    await started.start()
    yield started
    await started.stop()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
async def test_a_tool_ends_as_the_page_says(runner: Runner, example: Example):
    upstream = Upstream(example.given.get("upstream", []))
    told = await _ran(runner, example, upstream)
    if "fails" in example.ends:
        failure = {"code": told.code, "message": told.message, "line": told.line, "retryable": told.retryable}
        assert failure == example.ends["fails"]
    else:
        assert told.code is None, told.message
        assert told.plain == example.ends["returns"]
    assert told.prints == example.ends.get("logs", "")
    assert upstream.left == []


def test_every_tool_of_the_page_is_run():
    written = [block.text for block in pages.blocks(PAGE) if block.words == ("python",)]
    assert len(written) >= 10
    assert set(written) == {example.source for example in EXAMPLES}


async def _ran(runner: Runner, example: Example, upstream: Upstream) -> Told:
    imports = example.binding.get("allowed_imports")
    checked = await runner.check(example.source, imports)
    assert checked.problems == ()
    assert checked.code is not None
    secrets = example.given.get("secrets", {})
    assert sorted(secrets) == sorted(example.binding.get("environment_variables", []))
    job = Job(
        parameters=example.given["arguments"],
        context=example.given.get("context", {}),
        environment=secrets,
        allowed_imports=None if imports is None else tuple(imports),
        requests=example.binding.get("request_limit", 10),
    )
    verdict, told = await runner.run(checked.code, job, Limits(), upstream.answer)
    assert told is not None, verdict
    return told
