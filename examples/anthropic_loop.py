"""A chat whose tools run on Toolyard, with the `anthropic` package.

    export ANTHROPIC_API_KEY=…
    python examples/anthropic_loop.py claude-sonnet-4-5 "What will the weather be like in Bern?"

The gateway and its key are found as the `toolyard` command finds them.
"""

import sys
from typing import Any

from anthropic import Anthropic

from toolyard.client import Client


def run(provider: Anthropic, tools: Client, model: str, messages: list[Any], **said: Any) -> str:
    """Ask the model, run the tools that it calls, and ask again, until it calls none.

    Args:
        provider: the model's.
        tools: Toolyard's.
        model: which one.
        messages: the conversation so far; what is said is appended.
        said: goes to each turn, as ``user`` and ``conversation`` do.

    Returns:
        The final text.
    """
    definitions = tools.tools(format="anthropic")
    while True:
        answer = provider.messages.create(model=model, max_tokens=4096, messages=messages, tools=definitions)
        turn = tools.turn(answer.content, format="anthropic", **said)
        messages += [{"role": "assistant", "content": answer.content}, *turn.messages]
        if not turn.messages:
            return "".join(block.text for block in answer.content if block.type == "text")


if __name__ == "__main__":
    question = {"role": "user", "content": sys.argv[2]}
    with Anthropic() as provider, Client() as tools:
        print(run(provider, tools, sys.argv[1], [question]))
