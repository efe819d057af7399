"""Nowhere a token: outcomes and logs of calls whose provider, and whose Nango, tell it in every way there is."""

import base64
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from tests.integration.executors.nangos import KEY, Rig, environments
from tests.support.http1 import Answer
from tests.support.nango.server import FakeNango, Fault, as_json
from tests.unit.executors.fakes import ENVELOPE, HandTransport, a_delivery, settled
from tests.unit.executors.making import a_call, a_message

from toolyard.clock import SYSTEM
from toolyard.contracts.tools import PinnedTool
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.pauses import Pauses
from toolyard_executors.runtime import Runtime


@pytest.fixture
def nango() -> Iterator[FakeNango]:
    with FakeNango(*environments()) as fake:
        yield fake


def runtime_of(rig: Rig, transport: HandTransport) -> Runtime:
    pauses = Pauses()
    pauses.learn((), now=SYSTEM.now() - 60)
    runtime = Runtime(
        executor=rig.executor,
        transport=transport,
        envelope=ENVELOPE,
        get_secret=lambda org, name: KEY if (org, name) == ("default", "NANGO_SECRET_KEY") else None,
        cancellations=Cancellations(),
        pauses=pauses,
        clock=SYSTEM,
        worker_id="w1",
    )
    transport.ledger.tell = runtime.claims.answered  # type: ignore[assignment]
    return runtime


def ways(value: str) -> list[str]:
    """How a value may be written."""
    encoded = base64.b64encode(value.encode()).decode()
    return [value, quote(value, safe=""), encoded, encoded.rstrip("="), value.replace("/", "\\/")]


#: What Nango does to a call: words of its own that hold the key, the token that it would give out, or both.
Told = Callable[[str], Fault]


def answers(path: str, status: int) -> Told:
    return lambda token: Fault(path, as_json({"error": {"code": "server_error", "message": f"{KEY} {token}"}}, status))


def broken(token: str) -> Fault:
    return Fault("/connections/", Answer(200, {"Content-Type": "application/json"}, f'{{"x": "{token}"'.encode()))


def refuses(status: int) -> Told:
    """The proxy; a token that it keeps is not known here."""
    body = {"error": {"code": "server_error", "message": f"key {KEY}"}}
    return lambda token: Fault("/proxy", as_json(body, status))


def calls(rig: Rig) -> list[tuple[PinnedTool, Told | None]]:
    """Tools that are told it, each with each fault where that can matter."""
    shouts = [rig.tool(f"/shout/{status}") for status in (200, 201, 302, 400, 401, 404, 500)]
    told: list[tuple[PinnedTool, Told | None]] = [(tool, None) for tool in [*shouts, rig.tool("/me")]]
    faults: list[Told] = [answers("/connections", 500), answers("/connections/", 424), broken]
    told += [(rig.tool("/me"), fault) for fault in faults]
    return told + [(rig.tool("/me", mode="proxy"), refuses(status)) for status in (400, 500, 200)]


async def test_no_token_and_no_key_is_told_anywhere(nango: FakeNango, capsys: pytest.CaptureFixture[str]):
    rig, transport, tokens = Rig(nango), HandTransport(), set[str]()
    connection = rig.own.connect("ann")
    runtime = runtime_of(rig, transport)
    await rig.executor.open()
    try:
        for tool, fault in calls(rig):
            tokens.add(connection.token)
            await rig.executor._nango.close()  # nothing is remembered: each call asks anew
            nango.faults.extend([] if fault is None else [fault(connection.token)])
            delivery = a_delivery(a_message(a_call(user="ann", rerunnable=True), tool))
            await runtime.run(delivery)
            assert settled(delivery) == ["ack"]
            assert not nango.faults
            tokens.add(connection.token)
    finally:
        await rig.executor.close()
    said = "".join(message.body.decode() + str(message.headers) for message in transport.published)
    said += "".join(capsys.readouterr())
    assert len(tokens) > 1, "those that were refused were refreshed"
    assert [way for value in (*tokens, KEY) for way in ways(value) if way in said] == []
    assert "[redacted:NANGO_SECRET_KEY.token]" in said  # it was there to be found
    assert "[redacted:NANGO_SECRET_KEY]" in said
