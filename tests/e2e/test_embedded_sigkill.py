"""SIGKILL of the one-process system in the middle of its work: nothing accepted is lost, nothing happens twice."""

import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.support.embedded import Dev
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("uncounted")]

CALLS = 100
RUNNING = 20


@pytest.fixture
def start(tmp_path: Path, upstream: Upstream):
    """Starts the system in the same folder each time, with a worker of `RUNNING` slots."""

    def start() -> Dev:
        env = {"TOOLYARD_EGRESS_ALLOW": f"127.0.0.1:{upstream.port}", "TOOLYARD_CONCURRENCY": str(RUNNING)}
        return Dev(tmp_path, "--no-upstream", env=env)

    return start


def make_tools(dev: Dev, upstream: Upstream) -> None:
    dev.create_tool("look", {"type": "http", "method": "GET", "url": f"{upstream.url}/held"})
    dev.create_tool("act", {"type": "http", "method": "POST", "url": f"{upstream.url}/effects", "query": {"held": "1"}})


def test_accepted_calls_survive_a_kill_and_no_effect_happens_twice(start, upstream: Upstream):
    with start() as dev:
        make_tools(dev, upstream)
        answered = dev.call_many(["look", "act"] * 5)
        assert [dev.end_of(call["call_id"])["state"] for call in answered] == ["succeeded"] * len(answered)
        upstream.hold()
        caught = dev.call_many(["look", "act"] * (RUNNING // 2))
        wait_until(lambda: len(upstream.held()) == RUNNING, within=60, what="every slot to wait for its answer")
        waiting = [dev.call_many(["look", "act"] * 5) for _ in range((CALLS - len(answered) - RUNNING) // 10)]
        accepted = {call["call_id"]: call["tool"] for batch in (answered, caught, *waiting) for call in batch}
        dev.process.kill()

    wait_until(lambda: not upstream.held(), within=60, what="the upstream to see that its clients are gone")
    upstream.let_go()
    assert len(accepted) == CALLS
    cut_off = {call["call_id"] for call in caught if call["tool"] == "act"}
    assert cut_off < set(posts(upstream))
    with start() as dev:
        ended = {call_id: dev.end_of(call_id) for call_id in accepted}
        looked = [ended[call_id] for call_id, tool in accepted.items() if tool == "look"]
        acted = [ended[call_id] for call_id, tool in accepted.items() if tool == "act"]
        assert Counter(call["state"] for call in looked) == {"succeeded": CALLS // 2}
        counts = Counter(posts(upstream))
        for call in acted:
            assert_told_as_it_was(call, counts[call["call_id"]])
        assert cut_off <= {call["call_id"] for call in acted if call["state"] == "failed"}
        assert max(counts.values()) == max(effect.n for effect in upstream.effects()) == 1


def posts(upstream: Upstream) -> list[str]:
    """The Idempotency-Key of each POST that arrived."""
    return [request.headers["idempotency-key"] for request in upstream.requests if request.method == "POST"]


def assert_told_as_it_was(call, effects: int) -> None:
    """A call ended with its one effect, before the kill or after it, or says that nobody knows."""
    if call["state"] == "succeeded":
        assert effects == 1
        return
    assert (call["state"], call["effect"]) == ("failed", "unknown"), call
    assert call["error"]["code"] == "outcome_unknown"


def test_what_was_accepted_up_to_the_very_moment_of_the_kill_is_there_after_it(start, upstream: Upstream):
    accepted: list[str] = []
    with start() as dev:
        dev.create_tool("look", {"type": "http", "method": "GET", "url": f"{upstream.url}/text"})

        def submit() -> None:
            with contextlib.suppress(httpx.TransportError):  # it is killed while we ask
                while True:
                    accepted.append(dev.call("look")["call_id"])

        with ThreadPoolExecutor(4) as callers:
            submitting = [callers.submit(submit) for _ in range(4)]
            wait_until(lambda: len(accepted) >= CALLS, within=60, what="enough accepted calls")
            dev.process.kill()
            for each in submitting:
                each.result()
    with start() as dev:
        assert Counter(dev.end_of(call_id)["state"] for call_id in accepted) == {"succeeded": len(accepted)}


def test_on_another_database_a_killed_process_is_followed_by_the_next(tmp_path, upstream: Upstream, postgres_url: str):
    env = {"TOOLYARD_EGRESS_ALLOW": f"127.0.0.1:{upstream.port}", "TOOLYARD_DATABASE_URL": postgres_url}
    with Dev(tmp_path, "--no-upstream", env=env) as dev:
        make_tools(dev, upstream)
        upstream.hold()
        look, act = (call["call_id"] for call in dev.call_many(["look", "act"]))
        wait_until(lambda: len(upstream.held()) == 2, within=60, what="both calls to run")
        dev.process.kill()
    upstream.let_go()
    with Dev(tmp_path, "--no-upstream", env=env) as dev:
        assert dev.end_of(look)["state"] == "succeeded"
        assert dev.end_of(act)["error"]["code"] == "outcome_unknown"
    assert upstream.count(act) == len(posts(upstream)) == 1


def test_a_read_only_call_that_its_process_does_not_survive_is_given_up_after_three_deaths_alone(
    start, upstream: Upstream
):
    with start() as dev:
        dev.create_tool("stuck", {"type": "http", "method": "GET", "url": f"{upstream.url}/sleep/300"}, timeout=600)
        call_id = dev.call("stuck", deadline=600)["call_id"]
        kill_while_it_runs(dev, upstream, runs=1)
    for runs in (2, 3, 4):
        with start() as dev:
            kill_while_it_runs(dev, upstream, runs=runs)
    with start() as dev:
        call = dev.end_of(call_id)
        assert (call["state"], call["error"]["code"]) == ("failed", "poisoned")
        assert len(upstream.requests) == 4


def kill_while_it_runs(dev: Dev, upstream: Upstream, *, runs: int) -> None:
    wait_until(lambda: len(upstream.requests) == runs, within=60, what=f"run {runs} of the call")
    dev.process.kill()


def test_a_process_that_is_told_to_end_lets_its_calls_end_and_leaves_the_waiting_ones_as_they_are(
    tmp_path: Path, upstream: Upstream
):
    def start() -> Dev:
        env = {"TOOLYARD_EGRESS_ALLOW": f"127.0.0.1:{upstream.port}", "TOOLYARD_CONCURRENCY": "1"}
        return Dev(tmp_path, "--no-upstream", env=env)

    with start() as dev:
        url = f"{upstream.url}/effects"
        dev.create_tool("act", {"type": "http", "method": "POST", "url": url, "query": {"after": "1"}})
        running, waiting = dev.call("act")["call_id"], dev.call("act")["call_id"]
        wait_until(upstream.effects, within=60, what="the first call to run")
        assert dev.process.terminate() == 0
    assert upstream.count(running) == 1
    with start() as dev:
        assert dev.end_of(running)["state"] == "succeeded"
        assert dev.end_of(waiting)["state"] == "succeeded"
    assert [upstream.count(call_id) for call_id in (running, waiting)] == [1, 1]
