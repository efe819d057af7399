"""The life of one call as messages, and a clock that tests move by hand: for tests of the ledger and the scheduler."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from toolyard.contracts.calls import VERSION, Authorization, Call, CallMessage, Result, error_info
from toolyard.contracts.control import Authorized, Cancel, Claim, Control, Pause, PausesAsked, Released, Resume, Settled
from toolyard.contracts.events import (
    ENDS,
    CallEvent,
    End,
    Ending,
    Parked,
    Started,
    Withdrawn,
    about,
    sequence,
)
from toolyard.errors import TransportError
from toolyard.security.signing import Keyring
from toolyard.states import State
from toolyard.transport.base import Message, Record
from toolyard.transport.envelope import Envelope

NOW = 1_800_000_000.0
PINNED = msgspec.Raw(b'{"binding":{"type":"http","method":"GET","url":"https://example.com/"}}')
ENVELOPE = Envelope(Keyring({"test": bytes(range(32))}))


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self._now = now
        self._monotonic = 100.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Somebody set the machine's clock."""
        self._now += seconds


class Story:
    """What may be said of one call."""

    def __init__(self, call_id: str = "c1", **fields: Any) -> None:
        given: dict[str, Any] = {
            "call_id": call_id,
            "org": "default",
            "tool": "lookup",
            "version": 1,
            "pool": "http",
            "gateway": "g1",
            "principal": "k1",
            "arguments": {"city": "Bern"},
            "body_hash": "hash",
            "accepted_at": NOW,
            "deadline": NOW + 300.0,
            "timeout": 30.0,
        }
        self.call = Call(**(given | fields))

    def accepted(self, attempt: int = 1, **fields: Any) -> CallMessage:
        call = msgspec.structs.replace(self.call, **fields)
        return CallMessage(v=VERSION, call=call, tool=PINNED, attempt=attempt, budget=300.0)

    def dispatched(self, attempt: int = 1, at: float = 0.0, waived: int = 0) -> CallMessage:
        budget = self.call.deadline - NOW - at
        return CallMessage(
            v=VERSION, call=self.call, tool=PINNED, attempt=attempt, budget=budget, claim="required", waived=waived
        )

    def started(self, attempt: int = 1, at: float = 1.0) -> Started:
        return Started(**self._about(attempt, 1, at), worker="w1")

    def ended(self, state: State = "succeeded", attempt: int = 1, at: float = 2.0, n: int = 2, **fields: Any) -> End:
        given: dict[str, Any] = {"effect": "done", "started_at": NOW + 0.5, "finished_at": NOW + at, "worker": "w1"}
        if state == "succeeded":
            given["result"] = Result(content=f"result of attempt {attempt}")
        else:
            given["error"] = error_info("tool_error", f"attempt {attempt}")
        return ENDS[state](**(self._about(attempt, n, at) | given | fields))

    def verdict(self, state: State = "timed_out", attempt: int = 1, at: float = 400.0, **fields: Any) -> End:
        given = {"by": "scheduler", "effect": "unknown", "worker": None, "started_at": None}
        return self.ended(state, attempt, at, 900_001, **(given | fields))

    def ending(self, attempt: int = 1, at: float = 390.0, claim_id: str = "", code: str = "timed_out") -> Ending:
        return Ending(**self._about(attempt, 900_000, at), code=code, claim_id=claim_id)

    def settled(self, attempt: int = 1, at: float = 391.0, claim_id: str = "") -> Settled:
        return Settled(
            v=VERSION, sender="s1", time=NOW + at, call_id=self.call.call_id, attempt=attempt, claim_id=claim_id
        )

    def claim(self, claim_id: str = "w1:1", attempt: int = 1, at: float = 0.5, **fields: Any) -> Claim:
        call = self.call
        given: dict[str, Any] = {
            "v": VERSION,
            "sender": "w1",
            "time": NOW + at,
            "claim_id": claim_id,
            "call_id": call.call_id,
            "attempt": attempt,
            "body_hash": call.body_hash,
            "attempt_timeout": call.timeout,
            "reply": "w1",
            "org": call.org,
            "tool": call.tool,
            "version": call.version,
            "pool": call.pool,
            "gateway": call.gateway,
            "accepted_at": call.accepted_at,
            "deadline": call.deadline,
            "queue_timeout": call.queue_timeout,
            "rerunnable": call.rerunnable,
        }
        return Claim(**(given | fields))

    def released(self, claim_id: str = "w1:1", attempt: int = 1, at: float = 0.6) -> Released:
        return Released(
            v=VERSION, sender="w1", time=NOW + at, claim_id=claim_id, call_id=self.call.call_id, attempt=attempt
        )

    def cancel(self, at: float = 1.0) -> Cancel:
        return Cancel(v=VERSION, sender="g1", time=NOW + at, call_id=self.call.call_id, org=self.call.org)

    def parked(self, attempt: int = 1, at: float = 1.0) -> Parked:
        return Parked(**self._about(attempt, 1, at), reason="paused", by="executor")

    def asks_its_user(self, attempt: int = 1, at: float = 2.0, **fields: Any) -> End:
        """Its attempt found that the user has to consent first."""
        consent = Authorization(
            authorization_id="a1", provider="arcade/google", url="https://consent.example/a1", expires_at=NOW + 600.0
        )
        error = error_info("authorization_required", consent.url)
        given: dict[str, Any] = {"effect": "none", "final": False, "error": error, "authorization": consent}
        return self.ended("failed", attempt, at, **(given | fields))

    def withdrawn(self, at: float = 3.0, **fields: Any) -> Withdrawn:
        return Withdrawn(**(self._about(0, 5, at) | fields))

    def _about(self, attempt: int, n: int, at: float) -> dict[str, Any]:
        return {**about(self.call), "attempt": attempt, "sequence": sequence(attempt, n), "time": NOW + at}


def authorized(status: Any = "completed", at: float = 20.0, **fields: Any) -> Authorized:
    given: dict[str, Any] = {
        "v": VERSION,
        "sender": "s1",
        "time": NOW + at,
        "org": "default",
        "provider": "arcade/google",
        "authorization_id": "a1",
        "status": status,
    }
    return Authorized(**(given | fields))


def pause(tool: str = "lookup", at: float = 0.0) -> Pause:
    return Pause(v=VERSION, sender="g1", time=NOW + at, kind="tool", org="default", name=tool)


def resume(tool: str = "lookup", at: float = 0.0) -> Resume:
    return Resume(v=VERSION, sender="g1", time=NOW + at, kind="tool", org="default", name=tool)


def pauses_asked(worker: str = "w1") -> PausesAsked:
    return PausesAsked(v=VERSION, sender=worker, time=NOW, reply=worker)


Said = CallMessage | CallEvent | Control


def message_of(content: Said) -> Message:
    """The signed message of a call, an event or a control message."""
    if isinstance(content, CallMessage):
        later = content.call.not_before is not None and content.claim == "if_needed"
        return ENVELOPE.call(content, event="scheduled" if later else "accepted")
    return ENVELOPE.event(content) if isinstance(content, CallEvent) else ENVELOPE.control(content)


def records_of(contents: Sequence[Said | Message], first: int = 0) -> list[Record]:
    """These as records of a log without holes."""
    messages = [each if isinstance(each, Message) else message_of(each) for each in contents]
    return [
        Record(offset, each.exchange, each.key, each.body, each.message_id, each.headers)
        for offset, each in enumerate(messages, start=first)
    ]


class HandLog:
    """A log in a list, as a transport shows it to its readers; tests append to it, cut it and let it fail."""

    def __init__(self, records: Sequence[Record] = ()) -> None:
        self.records = list(records)
        self.failure: TransportError | None = None
        self.published: list[Message] = []
        self._grown = asyncio.Event()

    def publish(self, message: Message) -> "asyncio.Future[None]":
        """Keep what the reader publishes; it does not come into this log."""
        self.published.append(message)
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        confirmed.set_result(None)
        return confirmed

    def say(self, *contents: Said | Message, skip: int = 0) -> int:
        """Append these, after a hole where one is wished for; the offset of the last one."""
        first = self.records[-1].offset + 1 + skip if self.records else skip
        self.records += records_of(contents, first)
        self._grown.set()
        self._grown = asyncio.Event()
        return self.records[-1].offset

    async def read_log(self, offset: int | None) -> "HandReader":
        return HandReader(self, -1 if offset is None else offset)

    async def growth(self) -> None:
        await self._grown.wait()


class HandReader:
    """Reads a `HandLog`."""

    def __init__(self, log: HandLog, offset: int) -> None:
        self._log = log
        self._next = offset

    async def batch(self, limit: int) -> Sequence[Record]:
        while True:
            if self._log.failure is not None:
                raise self._log.failure
            found = [record for record in self._log.records if record.offset >= self._next][:limit]
            if found:
                self._next = found[-1].offset + 1
                return found
            await self._log.growth()

    async def close(self) -> None:
        self._next = 1 << 62
