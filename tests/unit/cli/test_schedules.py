"""`toolyard schedules` and `toolyard dead-letters`: what they ask, and what they show."""

from typing import Any

from tests.unit.cli.conftest import Run, Server

SCHEDULE: dict[str, Any] = {
    "name": "hourly",
    "version": 3,
    "tool": "weather",
    "arguments": {"city": "Bern"},
    "cron": "0 * * * *",
    "timezone": "Europe/Zurich",
    "missed": "catch_up",
    "catch_up": 3,
    "overlap": "allow",
    "paused": False,
    "left_out": 2,
    "next_at": "2030-01-01T00:00:00.000Z",
    "next_runs": ["2030-01-01T00:00:00.000Z", "2030-01-01T01:00:00.000Z"],
    "last": {"slot": "2029-12-31T23:00:00.000Z", "call_id": "c1", "fired_at": "2029-12-31T23:00:00.100Z"},
    "last_error": {"slot": "2029-12-31T22:00:00.000Z", "code": "tool_not_found", "message": "There is no tool."},
}
LETTER: dict[str, Any] = {
    "letter_id": "l1",
    "reason": "the message is not signed",
    "exchange": "toolyard.calls",
    "key": "call.accepted.http.default.g1.weather",
    "size": 7,
    "arrived_at": "2030-01-01T00:00:00.000Z",
}


def test_a_schedule_is_created_from_words(run: Run, server: Server):
    server.tell("POST", "/v1/schedules", SCHEDULE, status=201)
    words = ("--cron", "0 * * * *", "--timezone", "Europe/Zurich", "--missed", "catch_up", "--catch-up", "3")
    ran = run("schedules", "create", "hourly", "weather", "city=Bern", *words, "--url", server.url)

    assert ran.code == 0
    (asked,) = server.asked
    assert asked.body == {
        "name": "hourly",
        "tool": "weather",
        "arguments": {"city": "Bern"},
        "cron": "0 * * * *",
        "timezone": "Europe/Zurich",
        "missed": "catch_up",
        "catch_up": 3,
    }
    assert asked.headers["idempotency-key"]
    for shown in ("0 * * * * (Europe/Zurich)", "catch_up (3)", "2030-01-01T01:00:00.000Z", "c1", "tool_not_found"):
        assert shown in ran.out


def test_an_interval_that_begins_paused_is_created(run: Run, server: Server):
    interval = {name: value for name, value in SCHEDULE.items() if name not in ("cron", "timezone", "next_at")}
    server.tell("POST", "/v1/schedules", interval | {"every": 90, "paused": True, "next_runs": []}, status=201)
    ran = run("schedules", "create", "often", "weather", "--every", "90", "--paused", "--url", server.url)

    assert (server.asked[0].body["every"], server.asked[0].body["paused"]) == (90, True)
    assert "every 90 s" in ran.out
    assert "paused" in ran.out


def test_an_interval_that_json_cannot_carry_is_wrong_usage(run: Run, server: Server):
    ran = run("schedules", "create", "often", "weather", "--every", "nan", "--url", server.url)

    assert (ran.code, ran.out, server.asked) == (2, "", [])
    assert "--every" in ran.err
    assert "Traceback" not in ran.err


def test_schedules_are_listed(run: Run, server: Server):
    server.tell("GET", "/v1/schedules", {"items": [SCHEDULE], "next_cursor": "x"})
    ran = run("schedules", "list", "--limit", "1", "--url", server.url)

    heading, row = ran.out.splitlines()
    assert heading.split() == ["SCHEDULE", "TOOL", "WHEN", "NEXT", "LAST"]
    assert row.startswith("hourly")
    assert "--cursor x" in ran.err


def test_a_schedule_is_shown_paused_and_resumed_as_a_document_too(run: Run, server: Server):
    server.tell("GET", "/v1/schedules/hourly", SCHEDULE)
    for verb in ("pause", "resume"):
        server.tell("POST", f"/v1/schedules/hourly/{verb}", SCHEDULE)

    assert run("schedules", "show", "hourly", "--json", "--url", server.url).json() == SCHEDULE
    assert run("schedules", "pause", "hourly", "--url", server.url).code == 0
    assert run("schedules", "resume", "hourly", "--url", server.url).code == 0
    assert [asked.path for asked in server.asked[1:]] == ["/v1/schedules/hourly/pause", "/v1/schedules/hourly/resume"]


def test_a_schedule_is_deleted_at_the_version_that_is_there(run: Run, server: Server):
    server.tell("GET", "/v1/schedules/hourly", SCHEDULE)
    server.tell("DELETE", "/v1/schedules/hourly", body=b"", status=204)
    ran = run("schedules", "delete", "hourly", "--json", "--url", server.url)

    assert ran.json() == {"deleted": "hourly", "version": 3}
    assert server.asked[1].headers["if-match"] == '"3"'


def test_dead_letters_are_listed_shown_and_replayed(run: Run, server: Server):
    server.tell("GET", "/v1/dead-letters", {"items": [LETTER], "next_cursor": None})
    server.tell("GET", "/v1/dead-letters/l1", LETTER | {"body": "x"})
    server.tell("POST", "/v1/dead-letters/l1/replay", {"letter_id": "l1", "replayed": True})

    assert "the message is not signed" in run("dead-letters", "list", "--url", server.url).out
    assert run("dead-letters", "show", "l1", "--url", server.url).json()["body"] == "x"
    assert "published as it came" in run("dead-letters", "replay", "l1", "--url", server.url).err


def test_the_doctor_tells_of_dead_letters(run: Run, server: Server):
    server.tell("GET", "/readyz", {"status": "ok", "reason": ""})
    server.tell("GET", "/v1/tools", {"items": [], "next_cursor": None})
    server.tell("GET", "/v1/dead-letters", {"items": [LETTER], "next_cursor": None})
    ran = run("doctor", "--url", server.url, "--key", "ty_x", "--json")

    (finding,) = [check for check in ran.json()["checks"] if check["part"] == "dead letters"]
    assert ran.code == 0
    assert finding["status"] == "note"
    assert finding["found"].endswith("did not verify or decode: 1.")
    assert "dead-letters list" in finding["advice"]
