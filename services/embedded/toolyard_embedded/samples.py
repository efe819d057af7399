"""The sample tools of `toolyard dev`: a lookup, an effect and something slow at its own upstream, and some Python."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from toolyard.contracts.tools import Binding, HttpBinding, ResponseHandling, SandboxBinding, ToolSpec
from toolyard.store.base import ToolStore

#: The tool, and its arguments, that the printed first call uses.
FIRST_TOOL: Final = "weather"
FIRST_ARGUMENTS: Final = {"city": "Lisbon"}
_TOOLKIT: Final = "samples"
#: The tool in Python, where the machine can lock it up.
COUNT_WORDS: Final = "count_words"
_COUNT_WORDS: Final = """\
import re
from collections import Counter

def execute_tool(parameters, context):
    words = re.findall(r"[^\\W_]+", parameters["text"].lower())
    print(f"{len(words)} words")
    return dict(Counter(words).most_common())
"""


def sample_tools(upstream: str, *, with_sandbox: bool) -> tuple[ToolSpec, ...]:
    """The definitions, against the upstream at this URL; their versions are the store's to give."""
    computing = (_count_words(),) if with_sandbox else ()
    return (*_requesting(upstream), *computing)


def _requesting(upstream: str) -> tuple[ToolSpec, ...]:
    return (
        _tool(
            FIRST_TOOL,
            "The weather in a city, at this moment. Made up, but always the same for a city.",
            HttpBinding(
                method="GET",
                url=f"{upstream}/weather/${{arguments.city}}",
                response_handling=ResponseHandling(message_field="error"),
            ),
            {"city": {"type": "string", "minLength": 1, "maxLength": 100, "description": "The city's name."}},
            required=["city"],
        ),
        _tool(
            "create_note",
            "Write a note. It has an effect, so it is never run twice.",
            HttpBinding(
                method="POST",
                url=f"{upstream}/notes",
                body={"title": "${arguments.title}", "text": "${arguments.text}"},
            ),
            {
                "title": {"type": "string", "minLength": 1, "maxLength": 200},
                "text": {"type": "string", "maxLength": 10_000},
            },
            required=["title", "text"],
        ),
        _tool(
            "slow_report",
            "A report that takes its time, to see a call run.",
            HttpBinding(method="GET", url=f"{upstream}/report", query={"seconds": "${arguments.seconds}"}),
            {"seconds": {"type": "number", "minimum": 0, "maximum": 60, "description": "How long it takes."}},
            required=["seconds"],
            timeout=90.0,
        ),
    )


def _count_words() -> ToolSpec:
    return _tool(
        COUNT_WORDS,
        "How often each word stands in a text. Python of its author, run in the sandbox.",
        SandboxBinding(code=_COUNT_WORDS),
        {"text": {"type": "string", "maxLength": 100_000}},
        required=["text"],
    )


def _tool(
    name: str,
    description: str,
    binding: Binding,
    properties: dict[str, dict[str, object]],
    *,
    required: list[str],
    timeout: float | None = None,
) -> ToolSpec:
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return ToolSpec(
        name=name,
        version=1,
        description=description,
        parameters=parameters,
        binding=binding,
        timeout=timeout,
        toolkit=_TOOLKIT,
    )


def former_port(tools: ToolStore, org: str) -> int | None:
    """The upstream's port of the last start, so that calls and versions of then still find it."""
    spec = tools.get(org, FIRST_TOOL)
    if spec is None or spec.toolkit != _TOOLKIT or not isinstance(spec.binding, HttpBinding):
        return None
    return urlsplit(spec.binding.url).port


def save(tools: ToolStore, org: str, specs: Iterable[ToolSpec]) -> None:
    """Create what is missing and replace what is another; a tool of that name that is not a sample stays."""
    for spec in specs:
        kept = tools.get(org, spec.name)
        if kept is None:
            tools.create(org, spec)
        elif kept.toolkit == _TOOLKIT and msgspec.structs.replace(kept, version=spec.version) != spec:
            tools.replace(org, spec, expected=kept.version)
