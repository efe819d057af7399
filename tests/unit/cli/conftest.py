"""The command line run in this process, against an HTTP server that answers what a test tells it to."""

import io
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from toolyard.cli import main


class Ran(NamedTuple):
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output as the one JSON document that it is."""
        return json.loads(self.out)

    @property
    def told(self) -> str:
        """Standard error without frames and line breaks: where lines break depends on how long a path is."""
        return " ".join(re.sub("[│╭╮╰╯─]", " ", self.err).split())


Run = Callable[..., Ran]


@dataclass
class Asked:
    """A request that the server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What the server answers."""

    status: int = 200
    body: bytes = b"{}"
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Answers each (method, path) as told, in order and the last answer again; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                server.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the library calls these names

            def log_message(self, *args: object) -> None:
                """Tests look at what was asked, not at a log."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def tell(self, method: str, path: str, value: Any = None, **answer: Any) -> None:
        """Answer this with a JSON value, or with any `Answer`."""
        answer.setdefault("body", json.dumps(value).encode())
        self._answers.setdefault((method, path), []).append(Answer(**answer))

    def refuse(self, method: str, path: str, status: int, code: str, detail: str, **more: Any) -> None:
        """Answer this with a problem document."""
        headers = more.pop("headers", {})
        problem = {"type": "about:blank", "title": "x", "status": status, "code": code, "detail": detail, **more}
        self.tell(method, path, problem, status=status, kind="application/problem+json", headers=headers)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        raw = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        path = handler.path.partition("?")[0]
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.asked.append(Asked(handler.command, handler.path, headers, json.loads(raw) if raw else None))
        answers = self._answers.get((handler.command, path), [Answer(404, b"no such page", "text/plain")])
        told = answers.pop(0) if len(answers) > 1 else answers[0]
        handler.send_response(told.status)
        headers = {"Content-Type": told.kind, "Content-Length": str(len(told.body)), **told.headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(told.body)

    def close(self) -> None:
        """Stop answering."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings, no key, no proxy: only what a test sets itself."""
    import os

    for name in list(os.environ):
        if name.startswith("TOOLYARD_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command with these words."""

    def command(*words: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "argv", ["toolyard", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        written = capsys.readouterr()
        return Ran(code if isinstance(code, int) else 0, written.out, written.err)

    return command


@pytest.fixture
def ask(run: Run, server: Server) -> Run:
    """Run a client command against the server, with a key."""

    def command(*words: str, stdin: bytes = b"") -> Ran:
        return run(*words, "--url", server.url, "--key", "ty_k_secret", stdin=stdin)

    return command
