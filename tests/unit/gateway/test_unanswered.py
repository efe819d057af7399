"""The tools that a user may run now: not those that are disabled, nor those that wait for this user's consent."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.gateway.rig import ECHO, START, Rig, SetClock, running
from tests.unit.gateway.test_authorizations import end, note

MAIL = {"type": "arcade", "tool_name": "Gmail.SendEmail", "provider": "google", "scopes": ["mail.send"]}


def nango(integration: str, **more: Any) -> dict[str, Any]:
    signed_in = {"type": "nango", "integration": integration} | more
    return {"type": "http", "method": "GET", "url": "https://api.example.com/me", "authentication": signed_in}


async def some_tools(rig: Rig) -> None:
    for name, binding in {
        "issues": nango("github"),
        "pushes": nango("github"),
        "channels": nango("slack"),
        "team": nango("github", connection="c-of-the-team"),
        "mail": MAIL,
        "reply": MAIL | {"tool_name": "Gmail.Reply"},
        "read": MAIL | {"tool_name": "Gmail.Read", "scopes": ["mail.read"]},
        "sums": MAIL | {"tool_name": "Math.Add", "provider": None, "scopes": []},
    }.items():
        made = {key: value for key, value in binding.items() if value is not None}
        await rig.tool({"name": name, "description": name, "parameters": {"type": "object"}, "binding": made})
    await rig.tool(ECHO)


async def names(rig: Rig, **query: Any) -> set[str]:
    answer = await rig.client.get("/v1/tools", params=query)
    assert answer.status_code == 200, answer.text
    return {item["name"] if "name" in item else item["function"]["name"] for item in answer.json()["items"]}


ALL = {"issues", "pushes", "channels", "team", "mail", "reply", "read", "sums", "echo"}


async def test_who_was_never_asked_may_run_everything(rig: Rig):
    await some_tools(rig)
    note(rig, "bob")
    note(rig, "ada", org="other")
    assert await names(rig, user="ada") == ALL


async def test_a_connection_that_is_asked_for_is_needed_by_all_that_sign_in_with_it(rig: Rig):
    await some_tools(rig)
    one = note(rig, "ada", expires_at=4e9)
    assert await names(rig, user="ada") == ALL - {"issues", "pushes"}
    assert await names(rig) == ALL

    end(rig, one, "completed")
    assert await names(rig, user="ada") == ALL


@pytest.mark.parametrize("status", ["failed", "expired"])
async def test_after_a_question_is_over_a_call_may_ask_again(rig: Rig, status: str):
    await some_tools(rig)
    end(rig, note(rig, "ada", expires_at=4e9), status, at=4e9)
    assert await names(rig, user="ada") == ALL


async def test_a_question_whose_link_is_over_holds_nothing_up(template: Path, tmp_path: Path):
    clock = SetClock()
    async with running(template, tmp_path, clock=clock) as rig:
        await some_tools(rig)
        note(rig, "ada", expires_at=START + 600.0)
        assert "issues" not in await names(rig, user="ada")
        clock.move(600.0)
        assert await names(rig, user="ada") == ALL


async def test_of_arcade_the_same_scopes_of_the_same_provider_wait(rig: Rig):
    await some_tools(rig)
    asked: dict[str, Any] = {
        "authorization_id": "a1",
        "provider": "arcade/google",
        "scopes": ("mail.send",),
        "expires_at": 4e9,
    }
    note(rig, "ada", **asked)
    assert await names(rig, user="ada") == ALL - {"mail", "reply"}


async def test_the_tool_that_asked_waits_whatever_its_definition_says(rig: Rig):
    """Arcade may ask for more than the catalogue said."""
    await some_tools(rig)
    await rig.tool({**ECHO, "name": "lookup", "binding": MAIL})
    note(rig, "ada", authorization_id="a1", provider="arcade/other", scopes=(), expires_at=4e9)
    assert await names(rig, user="ada") == ALL


async def test_disabled_tools_may_be_run_by_nobody(rig: Rig):
    await rig.tool(ECHO | {"name": "off", "enabled": False})
    await rig.tool(ECHO)
    assert await names(rig, user="ada") == {"echo"}
    assert await names(rig) == {"echo", "off"}


async def test_a_model_is_given_the_same(rig: Rig):
    await some_tools(rig)
    note(rig, "ada", expires_at=4e9)
    assert await names(rig, user="ada", format="openai") == ALL - {"issues", "pushes"}
    assert await names(rig, user="bob", format="openai") == ALL


async def test_pages_join_also_where_some_are_left_out(rig: Rig):
    await some_tools(rig)
    note(rig, "ada", expires_at=4e9)
    seen: list[str] = []
    query: dict[str, Any] = {"user": "ada", "limit": 2}
    while True:
        page = (await rig.client.get("/v1/tools", params=query)).json()
        seen += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == sorted(ALL - {"issues", "pushes"})


async def test_nobody_is_no_user(rig: Rig):
    answer = await rig.client.get("/v1/tools", params={"user": ""})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "user")
