"""A caller of a peer: sends calls, waits for their results, and writes down what it was told before it goes on.

It reads orders from its standard input, one JSON object a line: ``load``, ``stop``, ``probe`` and ``follow``. Only the
standard library: it runs in the peers' environment. The journal is a file of JSON lines, each written in one piece.
"""

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

#: Seconds between two questions for a result, after a refusal, that a caller goes on asking, and that a probe is given.
_EVERY, _REST, _PATIENCE, _PROBE = 0.05, 0.25, 150.0, 2.0
_lock = threading.Lock()
_stopping = threading.Event()


class Peer(Protocol):
    """What an app gives: how a call is made, sent, and asked for."""

    def make(self, kind: str, key: str, delay: float, after: float) -> tuple[str, Callable[[], None]]:
        """The id of a new message, and what sends it."""

    def end(self, kind: str, message_id: str) -> tuple[str, str] | None:
        """``succeeded`` or ``failed`` and the error, once it has ended."""


def write(what: str, key: str, **fields: Any) -> None:
    """One line of the journal."""
    line = json.dumps({"what": what, "key": key, "at": time.monotonic(), **fields})
    handle = os.open(os.environ["CHAOS_JOURNAL"], os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def run(peer: Peer) -> None:
    """Follow the orders until the input ends."""
    write("ready", "")
    for line in sys.stdin:
        order = json.loads(line)
        act = {"load": _load, "probe": _probe, "follow": _follow_all, "stop": _stop}[order.pop("do")]
        threading.Thread(target=act, args=(peer,), kwargs=order, daemon=True).start()


def _load(peer: Peer, *, name: str, calls: int, in_flight: int, delay: float, after: float, pay: float, seed: int):
    chance = random.Random(seed)
    kinds = iter([(number, "pay" if chance.random() < pay else "look") for number in range(calls)])
    clients = [
        threading.Thread(target=_client, args=(peer, name, kinds, delay, after), daemon=True) for _ in range(in_flight)
    ]
    for client in clients:
        client.start()


def _stop(_peer: Peer) -> None:
    """Send no further calls; those under way are followed to their end."""
    _stopping.set()


def _client(peer: Peer, name: str, kinds: Iterator[tuple[int, str]], delay: float, after: float) -> None:
    while not _stopping.is_set():
        with _lock:
            number, kind = next(kinds, (-1, ""))
        if number < 0:
            return
        _call(peer, f"{name}-{number}", kind, delay, after)


def _call(peer: Peer, key: str, kind: str, delay: float, after: float) -> None:
    message_id, send = peer.make(kind, key, delay, after)
    write("sent", key, kind=kind, id=message_id)
    try:
        send()
    except Exception as error:  # noqa: BLE001 - whatever a library raises is its refusal
        write("refused", key, error=repr(error)[:300])
        time.sleep(_REST)
        return
    write("accepted", key)
    _follow(peer, key, kind, message_id)


def _follow(peer: Peer, key: str, kind: str, message_id: str) -> None:
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:
        end = _asked(peer, kind, message_id)
        if end is not None:
            write("ended", key, state=end[0], error=end[1])
            return
        time.sleep(_EVERY)


def _asked(peer: Peer, kind: str, message_id: str) -> tuple[str, str] | None:
    try:
        return peer.end(kind, message_id)
    except Exception as error:  # noqa: BLE001 - whatever a library raises: it is asked again
        print(f"asking for {message_id}: {error!r}", file=sys.stderr)
        return None


def _follow_all(peer: Peer, *, calls: list[dict[str, str]]) -> None:
    """Ask for what another producer, now dead, has sent."""
    open_calls = {each["key"]: each for each in calls}
    ends = time.monotonic() + _PATIENCE
    while open_calls and time.monotonic() < ends:
        for key, each in list(open_calls.items()):
            end = _asked(peer, each["kind"], each["id"])
            if end is not None:
                write("ended", key, state=end[0], error=end[1])
                del open_calls[key]
        time.sleep(_EVERY)


def _probe(peer: Peer, *, name: str) -> None:
    """Calls until one succeeds."""
    for number in range(10_000):
        message_id, send = peer.make("look", f"{name}-{number}", 0.0, 0.0)
        try:
            send()
        except Exception as error:  # noqa: BLE001 - the fault is not over yet
            print(f"probe: {error!r}", file=sys.stderr)
            time.sleep(_EVERY)
            continue
        if _succeeds(peer, message_id):
            write("probed", name)
            return


def _succeeds(peer: Peer, message_id: str) -> bool:
    ends = time.monotonic() + _PROBE
    while time.monotonic() < ends:
        end = _asked(peer, "look", message_id)
        if end is not None:
            return end[0] == "succeeded"
        time.sleep(_EVERY)
    return False
