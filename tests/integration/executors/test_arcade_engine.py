"""The fake engine, asked by Arcade's own client: what tests and demonstrations may rely on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from arcadepy import Arcade, AuthenticationError, NotFoundError, PermissionDeniedError, RateLimitError
from arcadepy.types import ExecuteToolResponse, ToolDefinition
from pydantic import ValidationError
from tests.support.arcade.engine import KEY, ArcadeEngine
from tests.support.arcade.held import held, only_known
from tests.support.processes import Process, python_module

MAIL: dict[str, Any] = {"to": "bob", "text": "hello"}


def a_client(url: str, key: str = KEY) -> Arcade:
    return Arcade(api_key=key, base_url=url, max_retries=0, http_client=httpx.Client(trust_env=False))


@pytest.fixture(scope="module")
def arcade(arcade_engine: ArcadeEngine) -> Iterator[Arcade]:
    with a_client(arcade_engine.url) as made:
        yield made


def test_it_shows_the_catalogue_of_its_worker_page_by_page(arcade: Arcade):
    names = [tool.qualified_name for tool in arcade.tools.list(limit=5)]

    assert names == sorted(set(names))
    assert {"Yard.Add", "Yard.SendMail"} <= set(names)
    assert len(names) > 5
    assert [tool.name for tool in arcade.tools.list(toolkit="nobodys")] == []
    mail = arcade.tools.get("Yard.SendMail")
    assert mail.fully_qualified_name == "Yard.SendMail@1.2.0"
    assert mail.requirements is not None
    assert mail.requirements.authorization is not None
    assert mail.requirements.authorization.id == "yard-mail"
    with pytest.raises(NotFoundError):
        arcade.tools.get("Yard.NoSuchTool")


def test_a_tool_that_needs_no_consent_runs(arcade: Arcade):
    assert arcade.tools.authorize(tool_name="Yard.Add", user_id="ann").status == "completed"
    ran = arcade.tools.execute(tool_name="Yard.Add", input={"a": 1, "b": 2}, user_id="ann")

    assert ran.success
    assert ran.output is not None
    assert ran.output.value == 3


def test_consent_goes_from_pending_to_completed_and_back(arcade: Arcade, arcade_engine: ArcadeEngine):
    asked = arcade.tools.authorize(tool_name="Yard.SendMail", user_id="ann")
    assert (asked.status, asked.provider_id, asked.scopes) == ("pending", "yard-mail", ["mail.send", "mail.read"])
    assert asked.id is not None
    assert arcade.auth.status(id=asked.id).status == "pending"
    with pytest.raises(PermissionDeniedError):
        arcade.tools.execute(tool_name="Yard.SendMail", input=MAIL, user_id="ann")

    arcade_engine.grant("ann", "yard-mail")

    assert arcade.auth.status(id=asked.id, wait=30).status == "completed"
    ran = arcade.tools.execute(tool_name="Yard.SendMail", input=MAIL, user_id="ann")
    assert ran.output is not None
    assert ran.output.value == {**MAIL, "user": "ann", "token": "token-of-ann"}
    arcade_engine.revoke("ann", "yard-mail")
    again = arcade.tools.authorize(tool_name="Yard.SendMail", user_id="ann")
    assert (again.status, again.id != asked.id) == ("pending", True)


def test_who_refuses_has_failed_and_is_asked_anew(arcade: Arcade, arcade_engine: ArcadeEngine):
    asked = arcade.tools.authorize(tool_name="Yard.SendMail", user_id="bob")
    assert asked.id is not None
    arcade_engine.refuse("bob", "yard-mail")

    assert arcade.auth.status(id=asked.id, wait=30).status == "failed"
    assert arcade.tools.authorize(tool_name="Yard.SendMail", user_id="bob").id != asked.id
    with pytest.raises(NotFoundError):
        arcade.auth.status(id="auth_of_nobody")


def test_another_projects_authorization_is_not_shown(arcade: Arcade, arcade_engine: ArcadeEngine):
    asked = arcade.tools.authorize(tool_name="Yard.SendMail", user_id="carol")
    assert asked.id is not None
    arcade_engine.keys["arc_other"] = "other"

    with a_client(arcade_engine.url, "arc_other") as other, pytest.raises(NotFoundError):
        other.auth.status(id=asked.id)


def test_what_a_test_asks_for_is_answered_once(arcade: Arcade, arcade_engine: ArcadeEngine):
    arcade_engine.fail("execute", status=429, headers={"Retry-After": "1"})

    with pytest.raises(RateLimitError):
        arcade.tools.execute(tool_name="Yard.Add", input={"a": 1, "b": 2}, user_id="ann")
    assert arcade.tools.execute(tool_name="Yard.Add", input={"a": 1, "b": 2}, user_id="ann").success
    with a_client(arcade_engine.url, "arc_nobodys") as nobody, pytest.raises(AuthenticationError):
        nobody.tools.authorize(tool_name="Yard.Add", user_id="ann")


@pytest.mark.parametrize("value", [{"id": "x", "colour": "red"}, {"output": {"error": {"colour": "red"}}}])
def test_it_can_answer_nothing_that_the_sdk_does_not_know(value: dict[str, Any]):
    with pytest.raises((AssertionError, ValidationError)):
        held(ExecuteToolResponse, value)


def test_of_what_the_worker_says_the_known_is_passed_on():
    tool = {
        "name": "Add",
        "qualified_name": "Yard.Add",
        "fully_qualified_name": "Yard.Add@1",
        "toolkit": {"name": "Yard", "colour": "red"},
        "input": {"parameters": [{"name": "a", "value_schema": {"val_type": "string", "colour": "red"}}]},
        "metadata": {},
    }

    assert "red" not in json.dumps(only_known(ToolDefinition, tool))


def test_it_runs_as_a_process_too_and_ends_with_its_worker(tmp_path: Path):
    with Process(python_module("tests.support.arcade.engine"), log=tmp_path / "log") as process:
        url = process.wait_for_line(r"is at (http://\S+), with the key", within=60)[1]
        with a_client(url) as client, httpx.Client(trust_env=False, base_url=url) as browser:
            asked = client.tools.authorize(tool_name="Yard.SendMail", user_id="ann")
            assert asked.url is not None
            assert "<button>grant</button>" in browser.get(asked.url).text
            assert browser.post(f"{asked.url}/refuse").text == "failed\n"
            granted = {"user": "ann", "provider": "yard-mail"}
            assert browser.post("/fake/grant", json=granted).is_success
            assert browser.post("/fake/fail", json={"path": "execute", "status": 503}).is_success
            assert client.tools.authorize(tool_name="Yard.SendMail", user_id="ann").status == "completed"
            told = browser.get("/fake/executes").json()
        assert (told["items"], told["authorizes"]) == ([], 2)
        assert process.terminate(within=60) == 0
