"""The functions and definitions that docs/howto/lambda-tools.md shows: each is saved, and each function is invoked.

A block ```json definition is a tool; a block ```python the code of its function, as the file of a handler. What follows
as ```json context and ```json arguments is a call of it, which ends as ```json returns says.
"""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from tests.integration.executors.lambdas import Invoker
from tests.support import pages
from tests.support.aws.lambda_server import Function, LambdaServer
from tests.unit.executors.making import value_of

from toolyard.contracts.tools import LambdaBinding, ToolSpec, pinned
from toolyard.security.egress import AllowList
from toolyard_gateway.bindings import needed_context
from toolyard_gateway.definitions import read_definition, tool_view

PAGE: Final = pages.ROOT / "docs" / "howto" / "lambda-tools.md"


@dataclass
class Example:
    """A tool of the page, its function, and a call of it."""

    definition: dict[str, Any]
    source: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    returns: Any = None

    @property
    def spec(self) -> ToolSpec:
        return read_definition(self.definition, allow=AllowList())


def examples() -> Iterator[Example]:
    """In the page's order."""
    found: list[Example] = []
    for block in pages.blocks(PAGE):
        match block.words:
            case ("json", "definition"):
                found.append(Example(json.loads(block.text)))
            case ("python",):
                found[-1].source = block.text
            case ("json", ("context" | "arguments" | "returns") as what):
                setattr(found[-1], what, json.loads(block.text))
    yield from found


EXAMPLES: Final = list(examples())
WITH_FUNCTION: Final = [one for one in EXAMPLES if one.source]


def name_of(example: Example) -> str:
    return str(example.definition["name"])


@pytest.fixture
async def invoker(lambda_server: LambdaServer) -> AsyncIterator[Invoker]:
    made = Invoker(lambda_server)
    await made.executor.open()
    yield made
    await made.executor.close()


def test_the_page_shows_some():
    assert len(EXAMPLES) >= 5
    assert len(WITH_FUNCTION) >= 2


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_a_definition_can_be_saved_and_is_shown_as_it_is_written(example: Example):
    assert tool_view(example.spec)["binding"] == example.definition["binding"]
    assert needed_context(example.spec) == example.context.keys()


@pytest.mark.parametrize("example", WITH_FUNCTION, ids=name_of)
async def test_a_function_answers_as_the_page_says(invoker: Invoker, tmp_path: Path, example: Example):
    binding = example.spec.binding
    assert isinstance(binding, LambdaBinding)
    (tmp_path / "page.py").write_text(example.source)
    invoker.server.add(binding.function_name, Function("page.handler", root=tmp_path))
    attempt = invoker.attempt(pinned(example.spec), arguments=example.arguments, context=example.context)

    assert value_of(await invoker.executor.run(attempt)) == example.returns
    assert value_of(await invoker.executor.run(attempt)) == example.returns
    assert invoker.server.count(attempt.call.call_id) == 2
