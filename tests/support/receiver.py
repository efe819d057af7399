"""A receiver of webhooks: a real HTTP server that notes what came, and answers as a test says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook
from tests.support.waiting import wait_until

#: Of a request, counted from 0: the status, and headers of the answer.
Answers = Callable[[int], tuple[int, dict[str, str]]]


@dataclass
class Got:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """Its event, checked as any receiver does that has this secret."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """What came, in order, and how it is answered.

    Attributes:
        go_on: while it is not set, no request is answered.
        body: of every answer.
    """

    port: int
    got: list[Got] = field(default_factory=list)
    answers: Answers = lambda _: (204, {})
    go_on: threading.Event = field(default_factory=threading.Event)
    body: bytes = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def wait_for(self, number: int, *, within: float = 60) -> list[Got]:
        """What came, once there are so many."""
        wait_until(lambda: len(self.got) >= number, within=within, what=f"{number} deliveries")
        return self.got[:]

    def events(self, secret: str) -> list[tuple[str, str]]:
        """Call and state of each that came, checked."""
        return [(event["subject"], event["data"]["state"]) for event in (each.verified(secret) for each in self.got)]


@contextmanager
def receiving(answers: Answers | None = None) -> Iterator[Receiver]:
    """A receiver that listens on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.got.append(Got(self.path, {name.lower(): text for name, text in self.headers.items()}, body))
            status, headers = receiver.answers(len(receiver.got) - 1)
            receiver.go_on.wait()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(receiver.body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiver.body)

        def log_message(self, *args: object) -> None:
            """Tests look at what came, not at a log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(server.server_port)
    receiver.go_on.set()
    if answers is not None:
        receiver.answers = answers
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
