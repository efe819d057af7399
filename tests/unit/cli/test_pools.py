"""The group `pools`, and pausing of tools and the org."""

from typing import Any

import pytest
from tests.unit.cli.conftest import Run, Server

HTTP: dict[str, Any] = {
    "name": "http",
    "backlog": 7,
    "oldest": 2.512,
    "running": 3,
    "last_success": "2026-01-31T12:00:00.000Z",
    "paused": False,
    "breakers": [],
    "isolation": None,
}
IDLE = HTTP | {"name": "sandbox", "backlog": 0, "oldest": None, "running": 0, "last_success": None, "paused": True}
IDLE["isolation"] = "full"
PAGE: dict[str, Any] = {"items": [HTTP, IDLE], "next_cursor": None, "org_paused": False}


def test_pools_are_listed_in_one_line_each(ask: Run, server: Server):
    server.tell("GET", "/v1/pools", PAGE)
    ran = ask("pools", "list")
    heading, busy, idle = ran.out.splitlines()
    assert heading.split() == ["POOL", "BACKLOG", "OLDEST", "RUNNING", "PAUSED", "ISOLATION", "LAST", "SUCCESS"]
    assert busy.split() == ["http", "7", "2.5", "s", "3", "no", "-", "2026-01-31T12:00:00.000Z"]
    assert idle.split() == ["sandbox", "0", "-", "0", "yes", "full", "-"]
    assert ran.err == ""
    assert ask("pools", "list", "--json").json() == PAGE


def test_breakers_that_are_not_closed_are_listed_below(ask: Run, server: Server):
    breaker = {
        "circuit": "api.example.com:443",
        "state": "open",
        "since": "2026-01-31T12:00:00.000Z",
        "retry_after": 3.21,
        "failures": 20,
    }
    server.tell("GET", "/v1/pools", PAGE | {"items": [HTTP | {"breakers": [breaker]}, IDLE]})
    *_, heading, told = ask("pools", "list").out.splitlines()
    assert heading.split() == ["POOL", "BREAKER", "STATE", "SINCE", "RETRY", "AFTER", "FAILURES"]
    assert told.split() == ["http", "api.example.com:443", "open", "2026-01-31T12:00:00.000Z", "3.2", "s", "20"]


def test_a_gateway_that_knows_no_breakers_is_understood(ask: Run, server: Server):
    old = {name: value for name, value in HTTP.items() if name not in ("breakers", "isolation")}
    server.tell("GET", "/v1/pools", PAGE | {"items": [old]})
    assert len(ask("pools", "list").out.splitlines()) == 2


def test_that_the_org_is_paused_is_said_with_what_ends_it(ask: Run, server: Server):
    server.tell("GET", "/v1/pools", PAGE | {"org_paused": True})
    assert "toolyard tools resume --all" in ask("pools", "list").err


@pytest.mark.parametrize(
    ("words", "path", "kind", "name"),
    [
        (("pools", "{}", "http"), "/v1/pools/http/{}", "pool", "http"),
        (("tools", "{}", "weather"), "/v1/tools/weather/{}", "tool", "weather"),
        (("tools", "{}", "../x"), "/v1/tools/..%2Fx/{}", "tool", "../x"),
        (("tools", "{}", "--all"), "/v1/{}", "org", "default"),
    ],
)
@pytest.mark.parametrize(("verb", "paused"), [("pause", True), ("resume", False)])
def test_what_is_paused_goes_on_by_the_same_words(
    ask: Run, server: Server, words: tuple[str, ...], path: str, kind: str, name: str, verb: str, paused: bool
):
    answer = {"kind": kind, "name": name, "paused": paused}
    server.tell("POST", path.format(verb), answer)
    command = [word.format(verb) for word in words]
    told = "is paused: its calls wait" if paused else "goes on"
    assert ask(*command).err == f"The {kind} {name} {told}.\n"
    assert ask(*command, "--json").json() == answer


@pytest.mark.parametrize("words", [("pause",), ("resume",), ("pause", "weather", "--all")])
def test_either_a_tool_or_all_of_them_are_paused(ask: Run, server: Server, words: tuple[str, ...]):
    ran = ask("tools", *words)
    assert ran.code == 2
    assert "name a tool, or give --all" in ran.err
    assert server.asked == []


def test_who_may_not_pause_is_told(ask: Run, server: Server):
    server.refuse("POST", "/v1/pools/http/pause", 403, "permission_denied", "This needs the role operator or admin.")
    ran = ask("pools", "pause", "http")
    assert (ran.code, ran.err) == (1, "permission_denied: This needs the role operator or admin.\n")
