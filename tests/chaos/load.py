"""A bounded load: N calls, M at a time, read-only and not rerunnable ones mixed, through the gateways' HTTP.

Drills run it in the background while they break things. It takes refusals and broken connections as they come and
writes down what it was told; it judges nothing.
"""

import asyncio
import random
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

import httpx
from tests.support.system import KEY
from tests.support.waiting import wait_until

from toolyard import ids

Kind = Literal["look", "pay"]

ORG: Final = "default"
TERMINAL: Final = frozenset({"succeeded", "failed", "timed_out", "expired", "cancelled", "rejected"})
#: Seconds after a refusal or a broken connection, and seconds that a client goes on asking for one call.
_REST: Final = 0.25
_PATIENCE: Final = 150.0
#: One for all clients, because making it costs more than a call.
_TLS: Final = ssl.create_default_context()
_RETRIED: Final = frozenset({429, 502, 503, 504})


@dataclass
class Attempt:
    """One call that the driver tried to make, and all that it was told about it.

    Attributes:
        key: its idempotency key, if it is sent with one; always in its arguments.
        call_id: what the answer said; of a keyed call known before it, because it is made of org and key.
        told: the terminal states that any answer gave it, with the effect and the code.
        accepted: 200 or 202 was answered.
        unknown: 503 with a call id, or a connection that broke: it may have been taken.
        problems: the statuses and codes of refusals.
        cancelled_at: when a gateway took its cancellation.
    """

    key: str
    kind: Kind
    keyed: bool = True
    sent_at: float = 0.0
    call_id: str | None = None
    accepted: bool = False
    accepted_at: float = 0.0
    unknown: bool = False
    told: list[tuple[str, str, str | None]] = field(default_factory=list)
    told_at: float = 0.0
    problems: list[str] = field(default_factory=list)
    over: bool = False
    cancelled_at: float = 0.0

    @property
    def open(self) -> bool:
        """Sent, perhaps accepted, and its client does not know the end yet."""
        return self.sent_at > 0 and not self.over

    def hear(self, call: dict[str, Any]) -> bool:
        """Note a call as it was shown; whether it has ended."""
        self.accepted, self.call_id = True, call["call_id"]
        self.accepted_at = self.accepted_at or time.monotonic()
        if call["state"] not in TERMINAL:
            return False
        self.told.append((call["state"], call["effect"], (call.get("error") or {}).get("code")))
        self.told_at = self.told_at or time.monotonic()
        return True


@dataclass(frozen=True)
class Plan:
    """What is to be called.

    Attributes:
        name: stands in every key, and is the conversation of all calls.
        pay: the share of calls of the tool that must not run twice.
        delay: seconds that the upstream takes before the effect; ``after``: between the effect and its answer.
        wait: the share of calls whose client waits in its first request; the others are content with 202 and ask later.
        keyed: the share of calls with an idempotency key; without one, no store is asked before a call is taken.
        repeat: the share of keyed ``look`` calls that are sent again under the same key until they are accepted.
        repeat_pay: the same of ``pay`` calls; as long as there are no claims, a repeat may run them a second time.
        fields: further fields of the request.
        cancel: the share of calls that are cancelled after acceptance, within ``cancel_within`` seconds.
    """

    name: str
    calls: int
    in_flight: int
    seed: int
    pay: float = 0.5
    delay: float = 0.05
    after: float = 0.0
    wait: float = 0.5
    keyed: float = 0.8
    repeat: float = 0.5
    repeat_pay: float = 0.0
    fields: dict[str, Any] = field(default_factory=dict)
    cancel: float = 0.0
    cancel_within: float = 1.0


class Load:
    """The driver, in a thread with a loop of its own; a context manager that stops it at the end.

    Args:
        urls: the gateways; each client begins every call at its own, and goes on at the next when that one fails.
    """

    def __init__(self, urls: Sequence[str], plan: Plan) -> None:
        self.urls, self.plan = list(urls), plan
        self.attempts: list[Attempt] = []
        self._random = random.Random(plan.seed)
        self._stopping = False
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._main, name="load", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.join()

    # ---- from the drill -------------------------------------------------------------------------
    @property
    def open(self) -> int:
        """Calls under way: sent, and their end is not known."""
        return sum(attempt.open for attempt in list(self.attempts))

    @property
    def sent(self) -> int:
        return sum(attempt.sent_at > 0 for attempt in list(self.attempts))

    @property
    def accepted(self) -> int:
        return sum(attempt.accepted for attempt in list(self.attempts))

    @property
    def cancelled(self) -> int:
        """Calls whose cancellation a gateway took."""
        return sum(attempt.cancelled_at > 0 for attempt in list(self.attempts))

    @property
    def over(self) -> int:
        return sum(attempt.over for attempt in list(self.attempts))

    def wait_for(self, what: str, number: int, *, within: float = 60) -> int:
        """Until ``open``, ``sent``, ``accepted``, ``cancelled`` or ``over`` has reached a number; returns it."""

        def look() -> int:
            self._check()
            count: int = getattr(self, what)
            return count if count >= number else 0

        return wait_until(look, within=within, what=lambda: f"{number} calls {what}; there are {getattr(self, what)}")

    def stop(self) -> None:
        """Send no further calls; those under way are followed to their end."""
        self._stopping = True

    def join(self, within: float = _PATIENCE + 30) -> None:
        """Until every call that was sent is over for its client."""
        self._thread.join(within)
        self._check()
        if self._thread.is_alive():
            raise TimeoutError(f"the load did not end within {within:g} s; {self.open} calls are open")

    # ---- inside ---------------------------------------------------------------------------------
    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the drill waits
            self._failure = error

    async def _run(self) -> None:
        numbers = iter(range(self.plan.calls))
        await asyncio.gather(*(self._client(numbers) for _ in range(min(self.plan.in_flight, self.plan.calls))))

    async def _client(self, numbers: Iterator[int]) -> None:
        client = _Client(self.urls, self._random.randrange(len(self.urls)))
        try:
            for number in numbers:
                if self._stopping:
                    return
                await self._call(client, number)
        finally:
            await client.close()

    async def _call(self, client: "_Client", number: int) -> None:
        plan, chance = self.plan, self._random.random
        kind: Kind = "pay" if chance() < plan.pay else "look"
        attempt = Attempt(f"{plan.name}-{number}", kind, keyed=chance() < plan.keyed)
        share = plan.repeat if kind == "look" else plan.repeat_pay
        waits, repeats = chance() < plan.wait, chance() < share and attempt.keyed
        cancel_after = chance() * self._cancel_within() if plan.cancel and chance() < plan.cancel else None
        waits = waits and cancel_after is None
        if attempt.keyed:
            attempt.call_id = ids.derived_id(ORG, attempt.key)
        self.attempts.append(attempt)
        ends = time.monotonic() + _PATIENCE
        attempt.sent_at = time.monotonic()
        client.go_home()
        try:
            while not await self._send(client, attempt, waits=waits):
                if not repeats or time.monotonic() > ends:
                    return
                await asyncio.sleep(_REST)
            if cancel_after is not None:
                await self._cancel(client, attempt, cancel_after)
            await _follow(client, attempt, ends)
        finally:
            attempt.over = True

    def _cancel_within(self) -> float:
        """The plan's seconds; more of them on a machine so slow that hardly a call has ended before its cancel."""
        told = [attempt.told[0][0] for attempt in self.attempts[-100:] if attempt.told]
        too_soon = len(told) >= 20 and told.count("succeeded") < len(told) / 10
        return self.plan.cancel_within * (4 if too_soon else 1)

    async def _cancel(self, client: "_Client", attempt: Attempt, after: float) -> None:
        """Ask for its cancellation; that it comes too late is no refusal."""
        await asyncio.sleep(after)
        answer = await client.ask("POST", f"/v1/calls/{attempt.call_id}/cancel")
        if answer is not None and answer.is_success:
            attempt.cancelled_at = time.monotonic()
        else:
            attempt.problems.append("cancel: no answer" if answer is None else f"cancel: {answer.status_code}")

    async def _send(self, client: "_Client", attempt: Attempt, *, waits: bool) -> bool:
        """Whether it was accepted; what is refused for good counts as over."""
        plan = self.plan
        body = {
            "tool": attempt.kind,
            "arguments": {"key": attempt.key, "delay": plan.delay, "after": plan.after},
            "conversation": plan.name,
            **plan.fields,
        }
        headers = {"Prefer": f"wait={30 if waits else 0}"} | ({"Idempotency-Key": attempt.key} if attempt.keyed else {})
        answer = await client.ask("POST", "/v1/calls", json=body, headers=headers)
        if answer is None:
            attempt.unknown = True
            attempt.problems.append("no answer")
        elif answer.status_code in (200, 202):
            attempt.hear(answer.json())
            return True
        else:
            problem = answer.json()
            attempt.problems.append(f"{answer.status_code} {problem.get('code')}")
            if problem.get("call_id"):
                attempt.unknown, attempt.call_id = True, problem["call_id"]
        await asyncio.sleep(_REST)
        return False


async def _follow(client: "_Client", attempt: Attempt, ends: float) -> None:
    """Ask for an accepted call until its end is told."""
    while not attempt.told and time.monotonic() < ends:
        answer = await client.ask("GET", f"/v1/calls/{attempt.call_id}", params={"wait": 10})
        if answer is not None and answer.status_code == 200:
            attempt.hear(answer.json())
        else:
            attempt.problems.append("no answer" if answer is None else f"GET {answer.status_code}")
            await asyncio.sleep(_REST)


class _Client:
    """One client of the load; it goes to the next gateway when one breaks off or refuses."""

    def __init__(self, urls: Sequence[str], first: int) -> None:
        self._urls, self._home, self._at = urls, first, first
        headers = {"Authorization": f"Bearer {KEY}"}
        self._http = httpx.AsyncClient(
            headers=headers, trust_env=False, verify=_TLS, timeout=httpx.Timeout(60, connect=5)
        )

    def go_home(self) -> None:
        """Ask the first gateway again: one that failed once is back, or fails once more."""
        self._at = self._home

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """The answer, or None where there was none."""
        try:
            answer = await self._http.request(method, f"{self._urls[self._at]}{path}", **options)
        except httpx.TransportError:
            self._at = (self._at + 1) % len(self._urls)
            return None
        if answer.status_code in _RETRIED:
            self._at = (self._at + 1) % len(self._urls)
        return answer

    async def close(self) -> None:
        await self._http.aclose()
