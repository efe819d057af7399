"""`toolyard authorizations`, and calls that wait for their users: what is asked, and that the link is shown."""

from typing import Any

from tests.unit.cli.conftest import Run, Server

PENDING: dict[str, Any] = {
    "authorization_id": "a1",
    "provider": "arcade/google",
    "user": "ada",
    "tool": "mail",
    "call_id": "c1",
    "status": "pending",
    "scopes": ["mail.send"],
    "url": "https://consent.example/a1",
    "created_at": "2030-01-01T00:00:00.000Z",
    "changed_at": "2030-01-01T00:00:00.000Z",
    "expires_at": "2030-01-01T00:10:00.000Z",
}
OVER = {name: value for name, value in PENDING.items() if name != "url"} | {"status": "completed", "user": "bob"}
CALL: dict[str, Any] = {
    "call_id": "c1",
    "tool": "mail",
    "version": 1,
    "state": "awaiting_authorization",
    "effect": "none",
    "arguments": {},
    "attempts": 1,
    "org": "default",
    "user": "ada",
    "created_at": "2030-01-01T00:00:00.000Z",
    "authorization": {name: PENDING[name] for name in ("authorization_id", "provider", "url", "scopes", "expires_at")},
}


def test_what_users_are_asked_is_listed_with_the_link_of_what_is_open(ask: Run, server: Server):
    server.tell("GET", "/v1/authorizations", {"items": [PENDING, OVER], "next_cursor": "more"})
    ran = ask("authorizations", "list")

    heading, first, second = ran.out.splitlines()
    assert heading.split() == ["USER", "PROVIDER", "STATUS", "TOOL", "ASKED", "LINK"]
    assert first.split() == ["ada", "arcade/google", "pending", "mail", PENDING["created_at"], PENDING["url"]]
    assert second.split() == ["bob", "arcade/google", "completed", "mail", PENDING["created_at"], "-"]
    assert ran.err == "There are more: --cursor more\n"


def test_the_filters_are_asked_for(ask: Run, server: Server):
    server.tell("GET", "/v1/authorizations", {"items": [], "next_cursor": None})
    words = ("--user", "ada", "--status", "pending", "--provider", "arcade/google", "--limit", "5", "--json")
    assert ask("authorizations", "list", *words).json() == {"items": [], "next_cursor": None}
    (asked,) = server.asked
    assert asked.path == "/v1/authorizations?user=ada&status=pending&provider=arcade%2Fgoogle&limit=5"


def test_who_calls_a_tool_is_told_where_the_user_consents(ask: Run, server: Server):
    server.tell("POST", "/v1/calls", CALL, status=202)
    ran = ask("call", "mail", "--user", "ada")

    assert (ran.code, ran.out) == (0, "c1\n")
    told = " ".join(ran.err.split())
    assert "ada has to consent first, until 2030-01-01T00:10:00.000Z: https://consent.example/a1" in told
    assert "toolyard calls get c1 --wait 300" in told


def test_a_call_that_waits_is_shown_with_the_link(ask: Run, server: Server):
    server.tell("GET", "/v1/calls/c1", CALL)
    shown = [line.split(None, 2) for line in ask("calls", "get", "c1").out.splitlines()]
    assert ["consent", "at", "https://consent.example/a1"] in shown


def test_a_user_is_asked_and_the_link_is_printed(ask: Run, server: Server):
    told = {"status": "pending", "tool": "mail", "user": "ada", "authorization": CALL["authorization"]}
    server.tell("POST", "/v1/authorizations/start", told)
    ran = ask("authorizations", "start", "mail", "--user", "ada")

    assert (ran.code, ran.out) == (0, "https://consent.example/a1\n")
    assert " ".join(ran.err.split()).endswith("ada consents there for arcade/google, until 2030-01-01T00:10:00.000Z.")
    assert server.asked[0].body == {"tool": "mail", "user": "ada"}
    assert ask("authorizations", "start", "mail", "--user", "ada", "--json").json() == told


def test_where_nothing_is_missing_it_says_so(ask: Run, server: Server):
    server.tell("POST", "/v1/authorizations/start", {"status": "completed", "tool": "mail", "user": "ada"})
    ran = ask("authorizations", "start", "mail", "--user", "ada")
    assert (ran.code, ran.out) == (0, "")
    assert "Nothing is missing" in ran.err


def test_somebody_must_be_asked(ask: Run, server: Server):
    assert (ask("authorizations", "start", "mail").code, server.asked) == (2, [])
