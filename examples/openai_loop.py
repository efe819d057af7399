"""A chat whose tools run on Toolyard, with the `openai` package.

    export OPENAI_API_KEY=…    # and OPENAI_BASE_URL for another server that speaks the same
    python examples/openai_loop.py gpt-5 "What will the weather be like in Bern?"

The gateway and its key are found as the `toolyard` command finds them.
"""

import sys
from typing import Any

from openai import OpenAI

from toolyard.client import Client


def run(provider: OpenAI, tools: Client, model: str, messages: list[Any], **said: Any) -> str:
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
    definitions = tools.tools(format="openai")
    while True:
        answer = provider.chat.completions.create(model=model, messages=messages, tools=definitions)
        message = answer.choices[0].message
        turn = tools.turn(message, format="openai", **said)
        messages += [message, *turn.messages]
        if not turn.messages:
            return message.content or ""


if __name__ == "__main__":
    question = {"role": "user", "content": sys.argv[2]}
    with OpenAI() as provider, Client() as tools:
        print(run(provider, tools, sys.argv[1], [question]))
