"""`tools import arcade`: what a catalogue says becomes tools, what an author added stays, and nothing odd is taken."""

import json
from typing import Any

import msgspec
import pytest
from arcadepy.types import ToolDefinition
from tests.support.processes import free_port
from tests.unit.cli.conftest import Ran, Run, Server

from toolyard.cli.arcade_catalogue import Odd, definition_of

KEY = "arc_0123456789abcdef"
CATALOGUE = "/arcade/v1/tools"


def parameter(name: str, val_type: str = "string", *, required: bool = False, **value: Any) -> dict[str, Any]:
    return {"name": name, "required": required, "value_schema": {"val_type": val_type, **value}}


def item(name: str = "SendEmail", *parameters: dict[str, Any], toolkit: str = "Gmail", **more: Any) -> dict[str, Any]:
    """A tool as Arcade shows it."""
    return {
        "name": name,
        "qualified_name": f"{toolkit}.{name}",
        "fully_qualified_name": f"{toolkit}.{name}@1.2.3",
        "description": f"Does {name}.",
        "toolkit": {"name": toolkit, "description": "Of Gmail.", "version": "1.2.3"},
        "input": {"parameters": list(parameters)},
        "output": {"available_modes": ["value"], "value_schema": {"val_type": "json"}},
        **more,
    }


def definition(*parameters: dict[str, Any], prefix: str = "", **more: Any) -> dict[str, Any]:
    return definition_of(msgspec.Raw(json.dumps(item("SendEmail", *parameters, **more)).encode()), prefix=prefix)


# ---- one tool -----------------------------------------------------------------------------------


def test_a_tool_of_the_catalogue_is_one_of_ours():
    needs = {"authorization": {"provider_id": "google", "provider_type": "oauth2", "oauth2": {"scopes": ["mail.send"]}}}
    made = definition(parameter("to", required=True), parameter("cc"), requirements=needs, prefix="work.")

    assert made == {
        "name": "work.Gmail.SendEmail",
        "description": "Does SendEmail.",
        "toolkit": "Gmail",
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "cc": {"type": "string"}},
            "required": ["to"],
            "additionalProperties": False,
        },
        "binding": {
            "type": "arcade",
            "tool_name": "Gmail.SendEmail",
            "tool_version": "1.2.3",
            "provider": "google",
            "scopes": ["mail.send"],
        },
    }


def test_the_items_of_these_tests_are_as_the_sdk_has_them():
    made = ToolDefinition.model_validate(item("SendEmail", parameter("to", enum=["a"])))

    assert not made.model_extra
    assert made.input.parameters is not None
    assert not made.input.parameters[0].value_schema.model_extra


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (parameter("x", "string", enum=["a", "b"]), {"type": "string", "enum": ["a", "b"]}),
        (parameter("x", "integer"), {"type": "integer"}),
        (parameter("x", "number"), {"type": "number"}),
        (parameter("x", "boolean"), {"type": "boolean"}),
        (parameter("x", "json"), {"type": "object"}),
        (parameter("x", "array"), {"type": "array"}),
        (parameter("x", "array", inner_val_type="integer"), {"type": "array", "items": {"type": "integer"}}),
        (
            parameter("x", "array", inner_val_type="string", enum=["a"]),
            {"type": "array", "items": {"type": "string", "enum": ["a"]}},
        ),
        (
            parameter("x", "json", properties={"y": {"val_type": "number"}}, required_keys=["y"]),
            {"type": "object", "properties": {"y": {"type": "number"}}, "required": ["y"]},
        ),
        (
            parameter("x", "array", inner_val_type="json", inner_properties={"y": {"val_type": "string"}}),
            {"type": "array", "items": {"type": "object", "properties": {"y": {"type": "string"}}}},
        ),
        (
            parameter("x", "array", items={"val_type": "array", "inner_val_type": "string"}),
            {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        ),
        (parameter("x", "string", nullable=True), {"type": ["string", "null"]}),
        (parameter("x", "string", nullable=True, enum=["a"]), {"type": ["string", "null"], "enum": ["a", None]}),
        (parameter("x") | {"description": "Who."}, {"type": "string", "description": "Who."}),
    ],
    ids=range(14),
)
def test_each_form_of_a_value_has_its_schema(value: dict[str, Any], schema: dict[str, Any]):
    assert definition(value)["parameters"]["properties"] == {"x": schema}


@pytest.mark.parametrize(
    ("more", "annotations"),
    [
        ({"metadata": {"behavior": {"read_only": True, "idempotent": None}}}, {"read_only": True}),
        ({"formatted_schema": {"annotations": {"destructiveHint": True, "title": "x"}}}, {"destructive": True}),
        (
            {
                "metadata": {"behavior": {"read_only": False}},
                "formatted_schema": {"annotations": {"readOnlyHint": True, "openWorldHint": False}},
            },
            {"read_only": False, "open_world": False},
        ),
        ({"metadata": {"behavior": {"read_only": "yes"}}}, None),
        ({"metadata": [], "formatted_schema": {"annotations": None}}, None),
    ],
    ids=range(5),
)
def test_what_a_tool_does_to_the_world_is_taken_where_arcade_says_it(more: dict[str, Any], annotations: Any):
    assert definition(**more).get("annotations") == annotations


def test_a_provider_of_the_projects_own_has_an_id_alone():
    assert definition(requirements={"authorization": {"id": "ours", "provider_type": "oauth2"}})["binding"] == {
        "type": "arcade",
        "tool_name": "Gmail.SendEmail",
        "tool_version": "1.2.3",
        "provider": "ours",
    }


@pytest.mark.parametrize("description", [None, "", "  "])
def test_a_tool_that_says_nothing_of_itself_says_its_name(description: Any):
    assert definition(description=description)["description"] == "SendEmail of Gmail."


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"input": {"parameters": [parameter("x", "date")]}}, "its parameter x is of the type 'date'"),
        ({"input": {"parameters": [parameter("x", "array", inner_val_type="date")]}}, r"its parameter x\[\]"),
        ({"input": {"parameters": [parameter("x", "json", properties={"y": {"val_type": "z"}})]}}, r"x\.y"),
        ({"input": None}, "its definition cannot be read"),
        ({"toolkit": {}}, "its definition cannot be read"),
    ],
    ids=range(5),
)
def test_what_is_not_understood_is_not_guessed_at(more: dict[str, Any], said: str):
    with pytest.raises(Odd, match=said):
        definition(**more)


# ---- the command --------------------------------------------------------------------------------


def kept(name: str, version: int, **more: Any) -> dict[str, Any]:
    """A tool as the gateway has it."""
    return {
        "name": name,
        "version": version,
        "description": f"Does {name.partition('.')[2]}.",
        "toolkit": "Gmail",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
        "binding": {"type": "arcade", "tool_name": name, "tool_version": "1.2.3"},
        "annotations": {},
        "secrets": [],
        "contexts": [],
        "enabled": True,
        **more,
    }


@pytest.fixture
def catalogue(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A gateway that has no tools and finds all that is shown to it valid, and an Arcade beside it."""
    monkeypatch.setenv("TOOLYARD_ARCADE_URL", f"{server.url}/arcade")
    monkeypatch.setenv("ARCADE_API_KEY", KEY)
    return server


def has(server: Server, *tools: dict[str, Any]) -> None:
    server.tell("GET", "/v1/tools", {"items": list(tools), "next_cursor": None})
    for tool in tools:
        server.tell("GET", f"/v1/tools/{tool['name']}", tool)


def shows(server: Server, *items: dict[str, Any]) -> None:
    server.tell("GET", CATALOGUE, {"items": list(items), "total_count": len(items), "limit": 100, "offset": 0})


def valid(server: Server, *tools: dict[str, Any]) -> None:
    for tool in tools:
        server.tell("POST", "/v1/tools/validate", {"valid": True, "tool": tool})


def absent(server: Server, *names: str) -> None:
    for name in names:
        server.refuse("GET", f"/v1/tools/{name}", 404, "tool_not_found", "There is no such tool.")


def results(ran: Ran) -> list[tuple[str, str]]:
    return [(row["name"], row["result"]) for row in ran.json()["tools"]]


def sent(server: Server, method: str) -> list[Any]:
    return [each.body for each in server.asked if each.method == method and each.path != "/v1/tools/validate"]


def test_tools_are_created_changed_and_left_as_they_are(ask: Run, catalogue: Server):
    shows(catalogue, item("SendEmail"), item("ReadEmail"), item("ListEmails"))
    before = kept("Gmail.ReadEmail", 3, description="Something else.")
    has(catalogue, before, kept("Gmail.ListEmails", 7))
    absent(catalogue, "Gmail.SendEmail")
    valid(catalogue, *(kept(f"Gmail.{name}", 0) for name in ("SendEmail", "ReadEmail", "ListEmails")))
    catalogue.tell("POST", "/v1/tools", kept("Gmail.SendEmail", 1), status=201)
    catalogue.tell("PUT", "/v1/tools/Gmail.ReadEmail", kept("Gmail.ReadEmail", 4))

    ran = ask("tools", "import", "arcade", "--json")

    assert (ran.code, ran.err) == (0, "")
    assert results(ran) == [
        ("Gmail.SendEmail", "created"),
        ("Gmail.ReadEmail", "changed"),
        ("Gmail.ListEmails", "unchanged"),
    ]
    assert [body["binding"]["tool_name"] for body in sent(catalogue, "POST") + sent(catalogue, "PUT")] == [
        "Gmail.SendEmail",
        "Gmail.ReadEmail",
    ]
    asked = next(each for each in catalogue.asked if each.path.startswith(CATALOGUE))
    assert asked.headers["authorization"] == KEY
    assert asked.path == f"{CATALOGUE}?limit=100&offset=0&include_format=mcp"


def test_what_an_author_added_stays(ask: Run, catalogue: Server):
    shows(catalogue, item("SendEmail", metadata={"behavior": {"destructive": False}}))
    own = {"timeout": 60.0, "retry": {"max_attempts": 3, "backoff": 1.0}, "title": "Mail"}
    own["fallback"] = {"type": "http", "method": "POST", "url": "https://api.example.com/mails"}
    annotations = {"idempotent": True, "destructive": True}
    has(catalogue, kept("Gmail.SendEmail", 2, description="Old.", annotations=annotations, **own))
    valid(catalogue, kept("Gmail.SendEmail", 0))
    catalogue.tell("PUT", "/v1/tools/Gmail.SendEmail", kept("Gmail.SendEmail", 3))

    assert ask("tools", "import", "arcade").code == 0

    (body,) = sent(catalogue, "PUT")
    assert (body["timeout"], body["retry"], body["title"]) == (60, {"max_attempts": 3}, "Mail")
    assert body["fallback"] == own["fallback"]
    assert body["annotations"] == {"idempotent": True, "destructive": False}
    assert body["description"] == "Does SendEmail."


def test_a_dry_run_changes_nothing(ask: Run, catalogue: Server):
    shows(catalogue, item("SendEmail"))
    has(catalogue)
    absent(catalogue, "work.Gmail.SendEmail")
    valid(catalogue, kept("work.Gmail.SendEmail", 0))

    ran = ask("tools", "import", "arcade", "--dry-run", "--toolkit", "Gmail", "--prefix", "work.")

    assert ran.code == 0
    assert "work.Gmail.SendEmail" in ran.out
    assert "1 created. Nothing was changed: this is a dry run." in ran.err
    assert sent(catalogue, "POST") + sent(catalogue, "PUT") == []
    assert any(each.path.endswith("&toolkit=Gmail") for each in catalogue.asked)


def test_what_cannot_be_imported_is_told_and_the_rest_is(ask: Run, catalogue: Server):
    shows(catalogue, item("SendEmail", parameter("when", "date")), item("ReadEmail"), {"name": "x"}, item("ListEmails"))
    has(catalogue, kept("Gmail.ListEmails", 1, binding={"type": "http", "method": "GET", "url": "https://x.example"}))
    absent(catalogue, "Gmail.ReadEmail")
    valid(catalogue, kept("Gmail.ReadEmail", 0))
    catalogue.tell("POST", "/v1/tools", kept("Gmail.ReadEmail", 1), status=201)

    ran = ask("tools", "import", "arcade")

    assert ran.code == 1
    assert "1 created." in ran.err
    assert "arcade:Gmail.SendEmail: its parameter when is of the type 'date'" in ran.err
    assert "arcade:a tool without a name: its definition cannot be read" in ran.err
    assert "there is a tool 'Gmail.ListEmails' of the pool http already; give a --prefix" in ran.err
    assert "3 of 4 were not imported" in ran.err


def test_what_the_gateway_refuses_of_a_tool_is_told_with_its_name(ask: Run, catalogue: Server):
    shows(catalogue, item("SendEmail"))
    has(catalogue)
    errors = [{"path": "description", "message": "is too long"}]
    catalogue.refuse("POST", "/v1/tools/validate", 422, "validation_failed", "description: …", errors=errors)

    ran = ask("tools", "import", "arcade")

    assert ran.code == 1
    assert "arcade:Gmail.SendEmail:1:" in ran.err
    assert "is too long" in ran.err
    assert sent(catalogue, "POST") == []


def test_a_long_catalogue_is_read_page_by_page(ask: Run, catalogue: Server):
    first = {"items": [{"name": "x"}], "total_count": 2}
    catalogue.tell("GET", CATALOGUE, first)
    catalogue.tell("GET", CATALOGUE, {"items": [{"name": "y"}], "total_count": 2})
    has(catalogue)

    ran = ask("tools", "import", "arcade")

    asked = [each.path for each in catalogue.asked if each.path.startswith(CATALOGUE)]
    assert [path.split("&")[1] for path in asked] == ["offset=0", "offset=1"]
    assert "2 of 2 were not imported" in ran.err


@pytest.mark.parametrize("key", [None, "", " "])
def test_without_a_key_it_is_said_which(ask: Run, catalogue: Server, monkeypatch: pytest.MonkeyPatch, key: str | None):
    if key is None:
        monkeypatch.delenv("ARCADE_API_KEY")
    else:
        monkeypatch.setenv("ARCADE_API_KEY", key)

    ran = ask("tools", "import", "arcade")

    assert ran.code == 2
    assert "ARCADE_API_KEY" in ran.err
    assert "is not set" in ran.err
    assert catalogue.asked == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 401, "value": {"name": "unauthorized", "message": "no"}}, "permission_denied: Arcade at "),
        ({"status": 500, "value": {"name": "x", "message": "on fire"}}, "answered 500: on fire"),
        ({"status": 500, "value": [1]}, "answered 500"),
        ({"value": {"tools": []}}, "does not answer as Arcade does; see TOOLYARD_ARCADE_URL"),
        ({"value": "text"}, "does not answer as Arcade does"),
    ],
    ids=range(5),
)
def test_a_catalogue_that_is_not_shown_changes_nothing(ask: Run, catalogue: Server, answer: dict[str, Any], said: str):
    catalogue.tell("GET", CATALOGUE, answer.pop("value"), **answer)

    ran = ask("tools", "import", "arcade")

    assert ran.code == 1
    assert said in ran.err
    assert KEY not in ran.err
    assert len(catalogue.asked) == 1


def test_an_arcade_that_does_not_answer(ask: Run, catalogue: Server, monkeypatch: pytest.MonkeyPatch):
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("TOOLYARD_ARCADE_URL", url)
    assert f"unavailable: Arcade does not answer at {url}" in ask("tools", "import", "arcade").err

    monkeypatch.setenv("TOOLYARD_ARCADE_URL", "nowhere")
    ran = ask("tools", "import", "arcade")
    assert (ran.code, catalogue.asked) == (2, [])
    assert "TOOLYARD_ARCADE_URL" in ran.err
    assert "not the address of a service" in ran.err
