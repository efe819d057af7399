"""The judge of a drill: four sets (attempted, accepted, terminal, effects) and the laws that must hold between them.

It reads what the driver was told, what the gateways show, what stands in the log, and what the upstream counted; it
asks no process of ours for anything that a caller or an operator could not read.
"""

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pika
from pika.exceptions import ConnectionClosedByBroker
from tests.chaos.load import TERMINAL, Attempt
from tests.support.upstream import read_effects
from tests.support.waiting import wait_until

from toolyard.transport import topology

#: Words of the routing keys under which an end of a call stands in the log.
ENDS: Final = TERMINAL
#: How a call may end that was never accepted and of which the queue has nothing: at its deadline.
OVERDUE: Final = frozenset({"timed_out", "expired"})


@dataclass(frozen=True)
class LogEnd:
    """An end as it stands in the log: an executor's outcome or a verdict of the scheduler.

    An outcome that is not ``final`` is an attempt's; the ledger decides whether it ends the call.
    """

    offset: int
    call_id: str
    state: str
    by: str
    attempt: int
    code: str | None
    final: bool = True


@dataclass
class Verdict:
    """What a drill came to. The lists hold call ids or keys; all but the counts must be empty.

    Attributes:
        lost: accepted, and without a terminal state in the store; or taken, and left without one.
        two_ends: two terminal states: told one and stored another, or told two.
        doubled: effects of a tool that must not run twice, more than one under a key.
        untrue: the store denies an effect that happened, or claims one that did not.
        strange: errors that this drill does not explain.
        outcome_unknown: calls that ended so; the honest price of a dead worker.
        codes: how many calls ended how.
        late: final ends in the log beyond the first of their call.
    """

    lost: list[str] = field(default_factory=list)
    two_ends: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    outcome_unknown: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    late: int = 0

    def failures(self) -> list[str]:
        """A line for each law that was broken, with the first few witnesses."""
        laws = ("lost", "two_ends", "doubled", "untrue", "strange")
        broken = {law: getattr(self, law) for law in laws if getattr(self, law)}
        return [f"{len(them)} {law.replace('_', ' ')}: {'; '.join(them[:3])}" for law, them in broken.items()]


def stored_calls(client: httpx.Client, conversation: str) -> dict[str, dict[str, Any]]:
    """Every call of a conversation as a gateway lists it, by id."""
    found: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    while True:
        asked: dict[str, str | int] = {"conversation": conversation, "limit": 200}
        if cursor:
            asked["cursor"] = cursor
        answer = client.get("/v1/calls", params=asked)
        answer.raise_for_status()
        page = answer.json()
        found |= {call["call_id"]: call for call in page["items"]}
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def settled(
    client: httpx.Client, conversation: str, attempts: Sequence[Attempt], *, within: float
) -> dict[str, dict[str, Any]]:
    """The stored calls once all that were accepted are there and all that are there have ended, or the time is over."""
    ids = {attempt.call_id for attempt in attempts if attempt.call_id and (attempt.accepted or attempt.unknown)}
    stored: dict[str, dict[str, Any]] = {}

    def look() -> bool:
        nonlocal stored
        try:
            stored = stored_calls(client, conversation)
            if any(call["state"] not in TERMINAL for call in stored.values()):
                return False
            stored |= _looked_up(client, ids - stored.keys())
        except httpx.HTTPError:  # the gateway is on its way back
            return False
        accepted = {attempt.call_id for attempt in attempts if attempt.accepted}
        return accepted <= stored.keys() and all(call["state"] in TERMINAL for call in stored.values())

    with contextlib.suppress(TimeoutError):  # the checker tells which are left
        wait_until(look, within=within, what="every call to end", every=0.5)
    return stored


def _looked_up(client: httpx.Client, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Calls asked for by their ids: one that was withdrawn before its record came has no conversation."""
    with ThreadPoolExecutor(16) as asking:
        answers = asking.map(lambda call_id: client.get(f"/v1/calls/{call_id}"), ids)
        return {answer.json()["call_id"]: answer.json() for answer in answers if answer.status_code == 200}


def log_ends(amqp_url: str) -> dict[str, list[LogEnd]]:
    """Every end that stands in the log, in its order, by call. Reads the stream as an operator may.

    A leading scheduler writes its position there every second: the first one that is younger than this reading ends it.
    """
    begun = time.time()
    found: dict[str, list[LogEnd]] = defaultdict(list)
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    try:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=500)
        arguments = {"x-stream-offset": "first"}
        for method, properties, body in channel.consume(topology.LOG, arguments=arguments, inactivity_timeout=15):
            if method is None:
                raise TimeoutError("the log gave nothing for 15 s, not even the ledger's position")
            channel.basic_ack(method.delivery_tag)
            key = method.routing_key
            if key.startswith("control.ledger_position") and _position.decode(body).time > begun:
                break
            for end in _log_ends(properties.headers["x-stream-offset"], key, body):
                found[end.call_id].append(end)
    finally:
        with contextlib.suppress(ConnectionClosedByBroker):  # pika nacks what it had fetched ahead; a stream takes none
            connection.close()
    return found


class _Position(msgspec.Struct):
    time: float


class _Error(msgspec.Struct):
    code: str


class _End(msgspec.Struct):
    call_id: str
    event: str
    attempt: int
    by: str = "executor"
    error: _Error | None = None
    final: bool = True


_decoder = msgspec.json.Decoder(_End)
_row = msgspec.json.Decoder(list[_End])
_position = msgspec.json.Decoder(_Position)


def _log_ends(offset: int, key: str, body: bytes) -> list[LogEnd]:
    """The ends that a record holds: none, its own, or those of outcomes that travel together."""
    together = key.startswith(topology.OUTCOMES)
    words = key.split(".", 2)
    if not together and (words[0] != "call" or words[1] not in ENDS):
        return []
    try:
        ends = _row.decode(body) if together else [_decoder.decode(body)]
    except msgspec.DecodeError:
        return []
    return [
        LogEnd(
            offset,
            end.call_id,
            end.event,
            end.by,
            end.attempt,
            None if end.error is None else end.error.code,
            end.final,
        )
        for end in ends
        if end.event in ENDS
    ]


def judge(
    attempts: Sequence[Attempt],
    stored: Mapping[str, Mapping[str, Any]],
    ends: Mapping[str, Sequence[LogEnd]],
    effects: Path,
    *,
    explained: Iterable[str] = (),
    log_lost: bool = False,
) -> Verdict:
    """Hold the four sets against the laws.

    Args:
        explained: error codes that the drill's fault explains; any other is strange.
        log_lost: the log has not all of its records any more.
    """
    verdict = Verdict()
    happened = Counter(effect.key for effect in read_effects(effects))
    allowed = frozenset(explained)
    for attempt in attempts:
        _judge_told(verdict, attempt, stored, ends)
        _judge_untold(verdict, attempt, stored, happened)
    by_id = {attempt.call_id: attempt for attempt in attempts}
    for call_id, call in stored.items():
        _judge_stored(verdict, call, by_id.get(call_id), allowed)
        verdict.late += max(sum(end.final for end in ends.get(call_id, ())) - 1, 0)
        if call["tool"] == "pay":
            _judge_effects(verdict, call, happened[call_id])
        if ends.get(call_id) or not log_lost:
            _judge_log(verdict, call, ends.get(call_id, ()))
    return verdict


def _judge_told(
    verdict: Verdict,
    attempt: Attempt,
    stored: Mapping[str, Mapping[str, Any]],
    ends: Mapping[str, Sequence[LogEnd]],
) -> None:
    if not attempt.accepted:
        return
    call = stored.get(attempt.call_id or "")
    if call is None:
        verdict.lost.append(f"{attempt.call_id} ({attempt.key}) was accepted and is not in the store")
        return
    states = {state for state, _, _ in attempt.told} | ({call["state"]} if call["state"] in TERMINAL else set())
    if len(states) > 1:
        logged = [(end.offset, end.state, end.by, end.code) for end in ends.get(attempt.call_id or "", ())]
        verdict.two_ends.append(
            f"{attempt.call_id} ({attempt.kind}) was told as {attempt.told}, and stands as {call['state']}; the log"
            f" has {logged}; refusals: {attempt.problems}"
        )


def _judge_untold(
    verdict: Verdict, attempt: Attempt, stored: Mapping[str, Mapping[str, Any]], happened: Mapping[str, int]
) -> None:
    """What nobody was told about may have happened, but then the store knows; what was refused has not happened."""
    count = happened[attempt.call_id] if attempt.call_id else 0
    if count and attempt.call_id not in stored:
        verdict.untrue.append(f"{attempt.call_id} ({attempt.key}) had {count} effects and is not in the store")
    if count and not (attempt.accepted or attempt.unknown):
        verdict.untrue.append(f"{attempt.call_id} ({attempt.key}) was refused ({attempt.problems}) and had an effect")


def _judge_stored(verdict: Verdict, call: Mapping[str, Any], attempt: Attempt | None, allowed: frozenset[str]) -> None:
    code = (call.get("error") or {}).get("code")
    verdict.codes[code or call["state"]] += 1
    told = "unknown to the driver" if attempt is None else f"accepted: {attempt.accepted}, refusals: {attempt.problems}"
    what = f"{call['call_id']} ({call['tool']}; {told})"
    if call["state"] not in TERMINAL:
        verdict.lost.append(f"{what} is left {call['state']}")
        return
    verdict.outcome_unknown += code == "outcome_unknown"
    never_accepted = attempt is not None and attempt.unknown and not attempt.accepted
    if code is None or code in allowed or (never_accepted and code in OVERDUE):
        return
    verdict.strange.append(f"{what} {call['state']} {code}: {call['error']['message']}")


def _judge_effects(verdict: Verdict, call: Mapping[str, Any], count: int) -> None:
    if count > 1:
        verdict.doubled.append(f"{call['call_id']} had {count} effects ({call['state']})")
    if call["state"] not in TERMINAL:
        return
    if count and call["effect"] == "none":
        verdict.untrue.append(f"{call['call_id']} {call['state']}, effect none, and the upstream saw {count}")
    if not count and call["effect"] == "done":
        verdict.untrue.append(f"{call['call_id']} {call['state']}, effect done, and the upstream saw nothing")


def _judge_log(verdict: Verdict, call: Mapping[str, Any], ends: Sequence[LogEnd]) -> None:
    """The store must stand where an end of the log stands; at most one verdict of the scheduler is given."""
    verdicts = {end.state for end in ends if end.by == "scheduler"}
    if len(verdicts) > 1:
        verdict.two_ends.append(f"{call['call_id']} has verdicts {sorted(verdicts)} in the log")
    states = {end.state for end in ends} | {"cancelled"}  # a withdrawn call ends without an end of its own
    if call["state"] in TERMINAL and call["state"] not in states:
        verdict.two_ends.append(f"{call['call_id']} is stored as {call['state']}; the log has {sorted(states)}")
