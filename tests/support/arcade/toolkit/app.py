"""The tools behind the fake engine, served by a real worker of Arcade. Run in its own environment, by a port alone."""

import asyncio
import os
import sys
from typing import Annotated

import uvicorn
from arcade_core.metadata import Behavior, ToolMetadata
from arcade_serve.fastapi import FastAPIWorker
from arcade_tdk import ToolContext, tool
from arcade_tdk.auth import OAuth2
from arcade_tdk.errors import (
    ContextRequiredToolError,
    FatalToolError,
    RetryableToolError,
    UpstreamError,
    UpstreamRateLimitError,
)
from fastapi import FastAPI

UNSET = "<unset>"


@tool(metadata=ToolMetadata(behavior=Behavior(read_only=True, destructive=False, idempotent=True, open_world=False)))
def add(a: Annotated[int, "The first one"], b: Annotated[int, "The second one"]) -> Annotated[int, "Their sum"]:
    """Adds two whole numbers."""
    return a + b


@tool
def upper(text: Annotated[str, "Any text"]) -> Annotated[str, "It in capitals"]:
    """Writes a text in capitals."""
    return text.upper()


@tool
def echo(value: Annotated[dict, "Any object"]) -> Annotated[dict, "The same"]:
    """Answers an object as it is."""
    return value


@tool
def many(size: Annotated[int, "How many"]) -> Annotated[str, "So many letters"]:
    """Answers a long text."""
    return "x" * size


@tool
async def naps(seconds: Annotated[float, "How long"]) -> Annotated[str, "That it is over"]:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return "over"


@tool
def nothing() -> Annotated[str | None, "Nothing"]:
    """Answers null."""
    return None


@tool
def odd() -> Annotated[dict, "A NUL and half of a pair"]:
    """Answers what no database keeps."""
    return {"text": "a\0b", "\0": "c"}


@tool(requires_auth=OAuth2(id="yard-mail", scopes=["mail.send", "mail.read"]))
def send_mail(
    context: ToolContext, to: Annotated[str, "To whom"], text: Annotated[str, "What"]
) -> Annotated[dict, "Whose token it was sent with"]:
    """Sends a mail for its user."""
    return {"to": to, "text": text, "user": context.user_id, "token": context.get_auth_token_or_empty()}


@tool
def whoami(context: ToolContext) -> Annotated[dict, "Who asks"]:
    """Answers for whom it is run."""
    return {"user": context.user_id, "token": context.get_auth_token_or_empty()}


# ---- failures -----------------------------------------------------------------------------------


@tool
def raises(text: Annotated[str, "What it says"]) -> Annotated[str, "Never"]:
    """Fails as any program does."""
    raise ValueError(text)


@tool
def fatal(text: Annotated[str, "What it says"]) -> Annotated[str, "Never"]:
    """Fails for good."""
    raise FatalToolError(text, developer_message="line 7 of the tool")


@tool
def asks_again(text: Annotated[str, "What it says"], prompt: Annotated[str, "To the model"]) -> Annotated[str, "Never"]:
    """Fails, and says what to do."""
    raise RetryableToolError(text, additional_prompt_content=prompt, retry_after_ms=1500)


@tool
def needs_more(prompt: Annotated[str, "To the model"]) -> Annotated[str, "Never"]:
    """Needs to know more."""
    raise ContextRequiredToolError("which Ann?", additional_prompt_content=prompt)


@tool
def upstream(status: Annotated[int, "What it answered"]) -> Annotated[str, "Never"]:
    """Asks somebody who answers like that."""
    if status == 429:
        raise UpstreamRateLimitError("too many", retry_after_ms=2000)
    raise UpstreamError(f"it answered {status}", status_code=status)


TOOLS = (
    *(add, upper, echo, many, naps, nothing, odd, send_mail, whoami),
    *(raises, fatal, asks_again, needs_more, upstream),
)


def main() -> None:
    """Serve on the port that is given."""
    app = FastAPI()
    worker = FastAPIWorker(app, secret=os.environ["ARCADE_WORKER_SECRET"])
    for one in TOOLS:
        worker.catalog.add_tool(one, "Yard", toolkit_version="1.2.0", toolkit_description="Of the tests.")
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
