"""A load that calls in every way there is, without a pause, as careful clients do: for tests of upgrades.

Each request is repeated under its `Idempotency-Key`, at the next gateway, until it is answered. What is answered
otherwise than it must be is a failed call.
"""

import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from tests.support.system import KEY, http_tool
from tests.support.waiting import wait_until

#: Seconds in which a call must have been answered, whatever is restarted meanwhile.
PATIENCE: Final = 120.0
#: Seconds from one answer to the next request: the load is to be of every kind, and leave room for those that start.
PAUSE: Final = 0.05
#: What a client asks again: the gateway, or what is behind it, says that it cannot now.
AGAIN: Final = frozenset({408, 429, 502, 503, 504})
#: What all calls of the load have in common.
CONVERSATION: Final = "under way"
#: Of a schedule that fires all the time.
TICKS: Final = "ticks"


def tools(upstream: str) -> list[dict[str, Any]]:
    """What is called, at this upstream."""
    code = "def execute_tool(parameters, context):\n    return {'success': True, 'data': parameters['number'] + 1}\n"
    number = {"type": "object", "properties": {"number": {"type": "integer"}}}
    box = {"description": "Adds one.", "parameters": number, "binding": {"type": "sandbox", "code": code}}
    return [
        http_tool("reads", "GET", f"{upstream}/echo"),
        http_tool("lingers", "GET", f"{upstream}/sleep/1"),
        http_tool("pays", "POST", f"{upstream}/effects"),
        http_tool(
            "second",
            "GET",
            f"{upstream}/second",
            retry={"max_attempts": 5, "codes": ["upstream_error"], "backoff": 0.2},
        ),
        http_tool("sleeps", "GET", f"{upstream}/sleep/60", timeout=90),
        http_tool("paused", "GET", f"{upstream}/echo"),
        http_tool(TICKS, "POST", f"{upstream}/effects"),
        {"name": "adds", **box},
        {"name": "adds_once", **box, "annotations": {"idempotent": False}},
    ]


@dataclass(frozen=True)
class Ended:
    """A call that has ended as its client was told, and how it was asked for; ``request`` is not, where of a turn."""

    way: str
    key: str
    request: dict[str, Any] | None
    call: dict[str, Any]


class FailedError(AssertionError):
    """An answer that no client should get."""


class Load:
    """The clients, each a thread, as a context manager.

    Attributes:
        ended: calls that ended as they must.
        failed: what did not, in words.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = itertools.cycle(urls)
        self._stop = threading.Event()
        ways: list[Callable[[Client, str], None]] = [
            self._waits("reads"),
            self._waits("pays"),
            self._waits("lingers"),
            self._waits("second"),
            self._waits("adds"),
            self._waits("adds_once"),
            self._later,
            self._turn,
            self._cancelled,
            self._paused,
        ]
        self._threads = [threading.Thread(target=self._run, args=(way,)) for way in ways]
        self.ended: list[Ended] = []
        self.failed: list[str] = []

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self, each: int = 1) -> None:
        """Wait until every client has had so many more of its calls answered, from now on."""
        before = Counter(one.way for one in self.ended)

        def more() -> bool:
            now = Counter(one.way for one in self.ended)
            return bool(self.failed) or all(now[way] >= before[way] + each for way in WAYS)

        wait_until(
            more,
            within=PATIENCE,
            what=f"{each} more calls of each way; so far {Counter(one.way for one in self.ended)}",
        )
        if self.failed:
            raise FailedError("; ".join(self.failed[:5]))

    def _run(self, way: "Callable[[Client, str], None]") -> None:
        with Client(self._urls) as client:
            while not self._stop.is_set():
                key = uuid.uuid4().hex
                try:
                    way(client, key)
                    self._stop.wait(PAUSE)
                except (FailedError, TimeoutError, KeyError, ValueError) as error:
                    self.failed.append(f"{type(error).__name__} {error}")

    def _waits(self, tool: str) -> "Callable[[Client, str], None]":
        def way(client: "Client", key: str) -> None:
            request = _request(tool)
            self._note(tool, key, request, client.end_of(client.call(request, key)))

        return way

    def _later(self, client: "Client", key: str) -> None:
        """Not asked for again in the end: by then its time is over, which is looked at before the key is."""
        request = _request("reads")
        request["not_before"] = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
        try:
            call = client.call(request, key)
        except FailedError as error:
            if "not_before: is over" in str(error):  # its gateway was replaced meanwhile; another time, then
                return
            raise
        self._note("later", key, None, client.end_of(call))

    def _turn(self, client: "Client", key: str) -> None:
        calls = [
            {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": '{"number": 1}'}}
            for number, name in enumerate(("reads", "pays", "adds"))
        ]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        request = {"format": "openai", "message": message, "conversation": CONVERSATION}
        answer = client.ask("POST", "/v1/turns", key, json=request)
        if [each["tool_call_id"] for each in answer["messages"]] != ["c0", "c1", "c2"]:
            raise FailedError(f"a turn was answered with {answer['messages']}")
        for each in answer["calls"]:
            self._note("turn", key, None, client.end_of({"call_id": each["call_id"]}))

    def _cancelled(self, client: "Client", key: str) -> None:
        request = _request("sleeps")
        call = client.call(request, key, wait=0)
        client.ask("POST", f"/v1/calls/{call['call_id']}/cancel", key)
        self._note("cancelled", key, request, client.end_of(call), state="cancelled")

    def _paused(self, client: "Client", key: str) -> None:
        request = _request("paused")
        client.ask("POST", "/v1/tools/paused/pause", uuid.uuid4().hex)
        call = client.call(request, key, wait=0)
        client.ask("POST", "/v1/tools/paused/resume", uuid.uuid4().hex)
        self._note("paused", key, request, client.end_of(call))

    def _note(
        self, way: str, key: str, request: dict[str, Any] | None, call: dict[str, Any], *, state: str = "succeeded"
    ) -> None:
        if call["state"] != state:
            raise FailedError(f"{way}: {call}")
        self.ended.append(Ended(way, key, request, call))


WAYS: Final = (
    "reads", "pays", "lingers", "second", "adds", "adds_once", "later", "turn", "cancelled", "paused",
)  # fmt: skip


def _request(tool: str) -> dict[str, Any]:
    return {"tool": tool, "arguments": {"number": 1}, "conversation": CONVERSATION}


class Client:
    """A client that asks until it is answered, and goes to the next gateway where one does not."""

    def __init__(self, urls: "itertools.cycle[str]") -> None:
        self._urls = urls
        headers = {"Authorization": f"Bearer {KEY}"}
        self._http = httpx.Client(headers=headers, trust_env=False, timeout=PATIENCE)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, request: dict[str, Any], key: str, *, wait: int = 30) -> dict[str, Any]:
        """A call as it stands once it was accepted."""
        return self.ask("POST", "/v1/calls", key, json=request, wait=wait)

    def end_of(self, call: dict[str, Any]) -> dict[str, Any]:
        """The same call once it has ended."""
        ends = time.monotonic() + PATIENCE
        while call.get("finished_at") is None:
            if time.monotonic() > ends:
                raise FailedError(f"it did not end: {call}")
            call = self.ask("GET", f"/v1/calls/{call['call_id']}?wait=10")
        return call

    def ask(
        self, method: str, path: str, key: str | None = None, *, json: dict[str, Any] | None = None, wait: int = 30
    ) -> dict[str, Any]:
        """The answer, however often it has to be asked for."""
        headers = {"Prefer": f"wait={wait}"} | ({"Idempotency-Key": key} if key else {})
        seen: list[str] = []
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            try:
                answer = self._http.request(method, f"{next(self._urls)}{path}", headers=headers, json=json)
            except httpx.TransportError as error:  # this gateway is being restarted
                seen.append(repr(error))
            else:
                if answer.is_success:
                    return dict(answer.json()) if answer.content else {}
                seen.append(f"{answer.status_code} {answer.text[:300]}")
                if answer.status_code not in AGAIN:
                    break
            time.sleep(0.05)
        raise FailedError(f"{method} {path} {json} was answered with {seen[-3:]}")
