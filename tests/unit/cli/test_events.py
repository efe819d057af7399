"""The group `events`: what is asked, and what is printed. Who follows an org is stopped by Ctrl-C, as by a person."""

import json
import signal
from typing import Any

import pytest
from tests.support.embedded import clean_environment
from tests.support.processes import Process, console_script
from tests.unit.cli.conftest import Run, Server
from tests.unit.cli.test_calls import CALL, FAILED

EVENTS = f"/v1/calls/{CALL['call_id']}/events"


# ---- of one call --------------------------------------------------------------------------------


def sse(*events: tuple[str, str, dict[str, Any]]) -> bytes:
    parts = [f"id: {id_}\nevent: {name}\ndata: {json.dumps(data)}\n\n" for id_, name, data in events]
    return (": keep alive\n\n" + "".join(parts)).encode()


ACCEPTED = ("0", "accepted", FAILED)
ENDED = ("1999999", "failed", FAILED)


def test_events_are_printed_until_the_call_has_ended(ask: Run, server: Server):
    server.tell("GET", EVENTS.removesuffix("/events"), CALL)
    server.tell("GET", EVENTS, body=sse(ACCEPTED, ENDED), kind="text/event-stream")
    ran = ask("events", "tail", CALL["call_id"])
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "2026-01-31T12:00:00.000Z  accepted",
        "2026-01-31T12:00:00.012Z  failed  upstream_error: The upstream answered 404.",
    ]


def test_a_stream_that_breaks_is_resumed_behind_its_last_event(ask: Run, server: Server):
    server.tell("GET", EVENTS.removesuffix("/events"), CALL)
    server.tell("GET", EVENTS, body=sse(ACCEPTED), kind="text/event-stream")
    server.tell("GET", EVENTS, body=sse(ENDED), kind="text/event-stream")
    ran = ask("events", "tail", CALL["call_id"], "--json")
    shown = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in shown] == ["accepted", "failed"]
    assert [asked.headers.get("last-event-id") for asked in server.asked[1:]] == [None, "0"]


def test_a_stream_that_never_ends_the_call_is_given_up(ask: Run, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolyard.cli.session.RETRY_FOR", 0.5)
    server.tell("GET", EVENTS.removesuffix("/events"), CALL)
    server.tell("GET", EVENTS, body=sse(ACCEPTED), kind="text/event-stream")
    server.tell("GET", EVENTS, body=b": nothing new\n\n", kind="text/event-stream")
    ran = ask("events", "tail", CALL["call_id"])
    assert ran.code == 1
    assert "The stream ended before the call did." in ran.err


def test_an_unknown_call_is_a_problem_and_not_a_stream(ask: Run, server: Server):
    server.refuse("GET", EVENTS.removesuffix("/events"), 404, "not_found", "There is no such call.")
    assert ask("events", "tail", CALL["call_id"]).err == "not_found: There is no such call.\n"


def test_what_is_no_stream_is_told(ask: Run, server: Server):
    server.tell("GET", EVENTS.removesuffix("/events"), CALL)
    server.tell("GET", EVENTS, {})
    assert "no event stream came" in ask("events", "tail", CALL["call_id"]).err


@pytest.mark.parametrize("option", ["--conversation", "--tool", "--state", "--since"])
def test_one_call_is_followed_whole(ask: Run, server: Server, option: str):
    ran = ask("events", "tail", CALL["call_id"], option, "failed")
    assert (ran.code, server.asked) == (2, [])
    assert "leave the other options out" in ran.err


# ---- of an org ----------------------------------------------------------------------------------

ALL = "/v1/events"


def told(event: str, *, number: int, **more: Any) -> dict[str, Any]:
    data = {
        "call_id": "c7",
        "org": "default",
        "tool": "weather",
        "version": 1,
        "state": event,
        "attempt": 1,
        "deadline": "2026-01-31T12:05:00.000Z",
        **more,
    }
    document = {"specversion": "1.0", "id": f"c7/{number}/{event}", "type": f"io.toolyard.call.{event}.v1"}
    document["source"] = "/orgs/default"
    return {**document, "time": f"2026-01-31T12:00:0{number}.000Z", "data": data}


ACCEPTED_ONE = told("accepted", number=0, attempt=0)
FAILED_ONE = told("failed", number=1, error=FAILED["error"])


def follows(server: Server, *frames: tuple[str, str, dict[str, Any]]) -> None:
    """The server tells these events, breaks off, and refuses to go on."""
    server.tell("GET", "/v1/calls", {"items": [], "next_cursor": None})
    server.tell("GET", ALL, body=b": following\n\n" + sse(*frames), kind="text/event-stream")
    server.refuse("GET", ALL, 403, "forbidden", "This key may not read calls any more.")


def test_without_a_call_all_of_the_org_is_followed_in_one_line_each(ask: Run, server: Server):
    follows(server, ("1-2", "accepted", ACCEPTED_ONE), ("2-0", "gap", {}), ("2-2", "failed", FAILED_ONE))
    ran = ask("events", "tail")
    assert ran.out.splitlines() == [
        "2026-01-31T12:00:00.000Z  accepted  weather  c7",
        "gap  What came next is not kept any more; this goes on behind it.",
        "2026-01-31T12:00:01.000Z  failed  weather  c7  upstream_error: The upstream answered 404.",
    ]
    assert (ran.code, ran.err.splitlines()) == (
        1,
        ["Following; Ctrl-C ends it.", "forbidden: This key may not read calls any more."],
    )


def test_scripts_get_the_document_with_its_cursor(ask: Run, server: Server):
    follows(server, ("1-2", "accepted", ACCEPTED_ONE), ("2-0", "gap", {}))
    shown = [json.loads(line) for line in ask("events", "tail", "--json").out.splitlines()]
    assert shown == [{"cursor": "1-2", **ACCEPTED_ONE}, {"cursor": "2-0", "type": "gap"}]


def test_what_is_wanted_is_asked_for(ask: Run, server: Server):
    follows(server)
    wanted = ["--conversation", "c", "--tool", "weather", "--state", "failed", "--state", "timed_out"]
    ask("events", "tail", *wanted, "--since", "2026-01-31T12:00:00+01:00")
    said = "since=2026-01-31T12%3A00%3A00%2B01%3A00&conversation=c&tool=weather"
    assert server.asked[1].path == f"{ALL}?{said}&state=failed&state=timed_out"


def test_where_nothing_answers_that_is_said_at_once(run: Run, server: Server):
    server.close()
    assert "Nothing answers" in run("events", "tail", "--url", server.url).err


def test_ctrl_c_ends_it_quietly(server: Server):
    server.tell("GET", "/v1/calls", {"items": [], "next_cursor": None})
    server.tell("GET", ALL, body=b": following\n\n", kind="text/event-stream")
    command = console_script("toolyard", "events", "tail", "--url", server.url)
    with Process(command, env=clean_environment()) as process:
        process.wait_for_line("Following", within=60)
        process.send(signal.SIGINT)
        assert process.wait(within=60) == 130
        assert process.output().splitlines() == ["Following; Ctrl-C ends it."]
