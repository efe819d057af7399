"""A model's provider by script: it speaks as much of OpenAI Chat Completions and of Anthropic Messages as their own
packages need, calls tools round by round, and then says what the tools answered.

It believes nothing: a conversation in which a tool call is not answered once, in order, is refused as providers do.
"""

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

#: Tool calls of one message: names as the provider knows them, and arguments.
Round = Sequence[tuple[str, dict[str, Any]]]


class WrongRequestError(Exception):
    """What a provider answers with 400."""


class Provider:
    """The server in a thread of its own, as a context manager.

    Args:
        rounds: what each message calls, before the last one.
    """

    def __init__(self, rounds: Sequence[Round]) -> None:
        self._rounds = rounds
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    status, told = 200, provider.answer(self.path, asked)
                except WrongRequestError as error:
                    status, told = (
                        400,
                        {"type": "error", "error": {"type": "invalid_request_error", "message": str(error)}},
                    )
                body = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Tests look at the conversation, not at a log."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    def answer(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The next message of the conversation."""
        if path == "/v1/chat/completions":
            calls, texts = _openai_heard(asked["messages"])
            return _openai_said(self._next(calls, {one["function"]["name"] for one in asked["tools"]}), texts)
        if path == "/v1/messages":
            calls, texts = _anthropic_heard(asked["messages"])
            return _anthropic_said(self._next(calls, {one["name"] for one in asked["tools"]}), texts)
        raise WrongRequestError(f"there is nothing at {path}")

    def _next(self, calls: int, known: set[str]) -> list[tuple[str, str, dict[str, Any]]]:
        """The tool calls that come next, with their ids; none where there are no more rounds."""
        before = 0
        for one in self._rounds:
            if before == calls:
                if missing := {name for name, _ in one} - known:
                    raise WrongRequestError(f"no definition of {missing}")
                return [(f"call_{before + number}", name, given) for number, (name, given) in enumerate(one)]
            before += len(one)
        return []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def final_text(texts: Sequence[str]) -> str:
    """What the model says once it has heard what all its tools answered."""
    return f"I heard: {'; '.join(texts)}."


def _check(asked: list[str], answered: list[str]) -> None:
    if asked != answered:
        raise WrongRequestError(f"tool calls {asked} were answered by {answered}")


# ---- OpenAI -------------------------------------------------------------------------------------


def _openai_heard(messages: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """How many tools were called so far, and what they answered."""
    asked, answered, texts = list[str](), list[str](), list[str]()
    for message in messages:
        if message["role"] == "tool":
            answered.append(message["tool_call_id"])
            texts.append(message["content"])
            continue
        _check(asked, answered)
        asked += [call["id"] for call in message.get("tool_calls") or ()]
    _check(asked, answered)
    return len(asked), texts


def _openai_said(calls: list[tuple[str, str, dict[str, Any]]], texts: list[str]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if calls else final_text(texts), "refusal": None}
    if calls:
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for id_, name, given in calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if calls else "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "scripted", "choices": [choice]}


# ---- Anthropic ----------------------------------------------------------------------------------


def _anthropic_heard(messages: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """How many tools were called so far, and what they answered."""
    asked, answered, texts = list[str](), list[str](), list[str]()
    for message in messages:
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block["type"] == "tool_use":
                _check(asked[: len(answered)], answered)
                asked.append(block["id"])
            elif block["type"] == "tool_result":
                answered.append(block["tool_use_id"])
                texts.append(block["content"])
        if message["role"] == "user":
            _check(asked, answered)
    _check(asked, answered)
    return len(asked), texts


def _anthropic_said(calls: list[tuple[str, str, dict[str, Any]]], texts: list[str]) -> dict[str, Any]:
    uses = [{"type": "tool_use", "id": id_, "name": name, "input": given} for id_, name, given in calls]
    text = {"type": "text", "text": "I look." if calls else final_text(texts), "citations": None}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": [text, *uses],
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
