"""The groups `tools` and `keys`: what is asked, and what is printed."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Run, Server
from tests.unit.cli.test_calls import CALL

TOOL: dict[str, Any] = {
    "name": "weather",
    "version": 3,
    "description": "The weather.\nOf a city.",
    "parameters": {"type": "object"},
    "binding": {"type": "http", "method": "GET", "url": "https://api.example.com"},
    "enabled": False,
}


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    file = tmp_path / "weather.json"
    file.write_text(json.dumps({"name": "weather", "description": "The weather."}))
    return file


# ---- tools --------------------------------------------------------------------------------------


def test_tools_are_listed_in_one_line_each(ask: Run, server: Server):
    server.tell("GET", "/v1/tools", {"items": [TOOL], "next_cursor": None})
    heading, row = ask("tools", "list", "--q", "weather", "--toolkit", "demo").out.splitlines()
    assert heading.split() == ["TOOL", "VERSION", "POOL", "ENABLED", "DESCRIPTION"]
    assert row.split() == ["weather", "3", "http", "no", "The", "weather."]
    assert server.asked[0].path == "/v1/tools?q=weather&toolkit=demo&limit=50"
    assert ask("tools", "list", "--json").json()["items"] == [TOOL]


def test_a_paused_tool_is_told_from_one_that_runs(ask: Run, server: Server):
    items = [TOOL | {"enabled": enabled, "paused": paused} for enabled in (True, False) for paused in (True, False)]
    server.tell("GET", "/v1/tools", {"items": items, "next_cursor": None})
    rows = ask("tools", "list").out.splitlines()[1:]
    assert [row.split()[3] for row in rows] == ["paused", "yes", "no", "no"]


def test_a_definition_is_printed_as_json(ask: Run, server: Server):
    server.tell("GET", "/v1/tools/weather", TOOL)
    assert ask("tools", "get", "weather").json() == TOOL


def test_a_tool_is_created_from_a_file_or_stdin(ask: Run, server: Server, definition: Path):
    server.tell("POST", "/v1/tools", TOOL | {"version": 1}, status=201)
    assert ask("tools", "create", str(definition)).err == "weather is saved as version 1.\n"
    assert ask("tools", "create", "-", "--json", stdin=definition.read_bytes()).json()["version"] == 1
    assert [asked.body["name"] for asked in server.asked] == ["weather", "weather"]


def test_an_update_stands_on_the_current_version(ask: Run, server: Server, definition: Path):
    server.tell("GET", "/v1/tools/weather", TOOL)
    server.tell("PUT", "/v1/tools/weather", TOOL | {"version": 4})
    assert ask("tools", "update", str(definition)).err == "weather is saved as version 4.\n"
    assert [asked.method for asked in server.asked] == ["GET", "PUT"]
    assert server.asked[1].headers["if-match"] == '"3"'


def test_an_update_of_a_given_version_asks_for_no_other(ask: Run, server: Server, definition: Path):
    server.refuse("PUT", "/v1/tools/weather", 412, "precondition_failed", "It is at version 3.")
    ran = ask("tools", "update", str(definition), "--if-version", "2")
    assert (ran.code, server.asked[0].headers["if-match"]) == (1, '"2"')
    assert ran.err == "precondition_failed: It is at version 3.\n"


def test_what_was_printed_can_be_changed_and_saved_if_nobody_was_faster(ask: Run, server: Server, tmp_path: Path):
    server.tell("GET", "/v1/tools/weather", TOOL | {"paused": False})
    server.tell("PUT", "/v1/tools/weather", TOOL | {"version": 4})
    (tmp_path / "t.json").write_text(ask("tools", "get", "weather").out)
    assert ask("tools", "update", "t.json").code == 0
    asked = server.asked[-1]
    assert asked.headers["if-match"] == '"3"'
    assert not {"version", "paused"} & asked.body.keys()


@pytest.mark.parametrize("text", ["[]", "{}", '{"name": 7}'])
def test_an_update_without_a_name_is_wrong_usage(ask: Run, server: Server, tmp_path: Path, text: str):
    (tmp_path / "t.json").write_text(text)
    assert (ask("tools", "update", "t.json").code, server.asked) == (2, [])


def test_a_tool_is_deleted_at_its_current_version(ask: Run, server: Server):
    server.tell("GET", "/v1/tools/weather", TOOL)
    server.tell("DELETE", "/v1/tools/weather", body=b"", status=204)
    assert "weather is deleted" in ask("tools", "delete", "weather").err
    assert server.asked[1].headers["if-match"] == '"3"'
    assert ask("tools", "delete", "weather", "--if-version", "3", "--json").json() == {
        "deleted": "weather",
        "version": 3,
    }


def test_a_definition_is_checked_without_saving(ask: Run, server: Server, definition: Path):
    server.tell("POST", "/v1/tools/validate", {"valid": True})
    assert ask("tools", "validate", str(definition)).err == "The definition is valid.\n"
    assert ask("tools", "validate", str(definition), "--json").json() == {"valid": True}


def test_a_tool_is_tried_on_the_real_path(ask: Run, server: Server):
    server.tell("POST", "/v1/tools/weather/test", CALL)
    ran = ask("tools", "test", "weather", "city=Bern", "--wait", "5")
    assert (ran.code, ran.json()) == (0, {"max": 21})
    assert server.asked[0].body == {"arguments": {"city": "Bern"}}
    assert server.asked[0].headers["prefer"] == "wait=5"
    ask("tools", "test", "weather", "city=Bern", "--user", "ann")
    assert server.asked[1].body == {"arguments": {"city": "Bern"}, "user": "ann"}


# ---- keys ---------------------------------------------------------------------------------------

KEY = {"key_id": "k7", "name": "ci", "roles": ["caller", "author"], "created_at": "2026-01-31T12:00:00.000Z"}


def test_keys_are_listed(ask: Run, server: Server):
    server.tell("GET", "/v1/keys", {"items": [KEY], "next_cursor": None})
    _, row = ask("keys", "list").out.splitlines()
    assert row.split() == ["k7", "ci", "caller,", "author", "-", KEY["created_at"], "-"]
    assert ask("keys", "list", "--json").json()["items"] == [KEY]


def test_a_new_key_is_the_only_thing_on_stdout(ask: Run, server: Server):
    server.tell("POST", "/v1/keys", KEY | {"key": "ty_k7_secret"}, status=201)
    ran = ask("keys", "create", "ci", "--role", "caller", "-r", "author")
    assert ran.out == "ty_k7_secret\n"
    assert "not shown again" in ran.err
    assert server.asked[0].body == {"name": "ci", "roles": ["caller", "author"]}
    ask("keys", "create", "orders", "--broker-user", "orders")
    assert server.asked[1].body == {"name": "orders", "roles": ["caller"], "broker_user": "orders"}


def test_without_a_role_a_key_may_only_call(ask: Run, server: Server):
    server.tell("POST", "/v1/keys", KEY | {"key": "ty_k7_secret"}, status=201)
    assert ask("keys", "create", "ci", "--json").json()["key"] == "ty_k7_secret"
    assert server.asked[0].body["roles"] == ["caller"]


def test_a_key_is_revoked(ask: Run, server: Server):
    server.tell("DELETE", "/v1/keys/k7", body=b"", status=204)
    assert ask("keys", "revoke", "k7").err == "k7 is revoked.\n"
    assert ask("keys", "revoke", "k7", "--json").json() == {"revoked": "k7"}
