"""A call that kills its worker: it is stopped after its attempts, and its neighbours lose nothing."""

import time
from typing import Any

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled
from tests.chaos.load import TERMINAL
from tests.support.system import http_tool
from tests.support.waiting import wait_until

#: Two deaths among others, then three in the lane of one.
DEATHS = 5
#: Seconds in which its pool serves again after the last death.
BACK_WITHIN = 60.0


@drilled()
def poison(drill: Drill) -> None:
    """The worker is killed whenever the call's request reaches the upstream; a supervisor starts it again."""
    yard, drill.explained = drill.yard, (UNKNOWN, "poisoned")
    url = f"{yard.upstream.url}/sleep/20?poison=1"
    with yard.system.client() as client:
        client.post("/v1/tools", json=http_tool("poison", "GET", url)).raise_for_status()
    with drill.under_load(calls=2000, in_flight=12, delay=0.5) as load:
        load.wait_for("over", 10)
        body = {"tool": "poison", "arguments": {}, "conversation": load.plan.name}
        with yard.system.client() as client:
            call_id = client.post("/v1/calls", json=body, headers={"Prefer": "wait=0"}).json()["call_id"]
        deaths = _deaths(drill, call_id)
        load.stop()
    drill.must(deaths <= DEATHS, f"it killed its worker {deaths} times")
    drill.must(_asked(drill, call_id)["state"] in TERMINAL, f"it has not ended after {deaths} deaths")
    lost = [attempt.key for attempt in load.attempts if attempt.kind == "look" and _failed(attempt.told)]
    drill.must(not lost, f"neighbours that may run twice did not succeed: {lost[:5]}")
    drill.must((drill.recovery or 0) < BACK_WITHIN, "the pool was not back in time")


def _deaths(drill: Drill, call_id: str) -> int:
    """Kill the worker at each of its requests until it has ended; returns how often."""
    yard, seen, deaths = drill.yard, 0, 0
    ends = time.monotonic() + 240
    while time.monotonic() < ends and deaths <= DEATHS and _asked(drill, call_id)["state"] not in TERMINAL:
        requests = sum("poison" in request.query for request in list(yard.upstream.requests))
        if requests > seen:
            seen, deaths = requests, deaths + 1
            drill.hit(yard.unacked(), "deliveries")
            yard.kill("worker1")
            yard.start("worker1")
            drill.recovered()
        time.sleep(0.2)
    return deaths


def _asked(drill: Drill, call_id: str) -> dict[str, Any]:
    with drill.yard.system.client() as client:
        found: list[dict[str, Any]] = []

        def look() -> bool:
            answer = client.get(f"/v1/calls/{call_id}")
            found.extend([answer.json()] if answer.status_code == 200 else [])
            return bool(found)

        wait_until(look, within=30, what="the poison call")
        return found[0]


def _failed(told: list[tuple[str, str, str | None]]) -> bool:
    return any(state != "succeeded" for state, _, _ in told)
