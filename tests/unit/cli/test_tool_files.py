"""`tools apply`, `diff` and `export`: what is asked of a gateway, and what is told when somebody was faster."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Ran, Run, Server

VALIDATE = "/v1/tools/validate"


def tool(name: str, version: int = 0, *, text: str = "x", **more: Any) -> dict[str, Any]:
    """A tool as a gateway shows it."""
    return {
        "name": name,
        "version": version,
        "description": text,
        "parameters": {"type": "object"},
        "binding": {"type": "http", "method": "GET", "url": "https://a.example.com"},
        "annotations": {},
        "secrets": [],
        "contexts": [],
        "enabled": True,
        **more,
    }


@pytest.fixture
def two(tmp_path: Path) -> None:
    """The tools a and b, in one file."""
    (tmp_path / "tools.yaml").write_text("name: a\n---\nname: b\n")


def has(server: Server, *tools: dict[str, Any]) -> None:
    """The gateway finds a and b valid, and has these tools."""
    for name in ("a", "b"):
        server.tell("POST", VALIDATE, {"valid": True, "tool": tool(name)})
    there = {each["name"]: each for each in tools}
    for name in ("a", "b"):
        if name in there:
            server.tell("GET", f"/v1/tools/{name}", there[name] | {"paused": False})
        else:
            server.refuse("GET", f"/v1/tools/{name}", 404, "tool_not_found", f"There is no tool {name!r}.")


def asked(server: Server) -> list[str]:
    return [f"{each.method} {each.path}" for each in server.asked if each.method != "GET" and each.path != VALIDATE]


def results(ran: Ran) -> list[str]:
    return [row["result"] for row in ran.json()["tools"]]


# ---- apply --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("two")
def test_a_change_stands_on_the_version_that_was_compared(ask: Run, server: Server):
    has(server, tool("a", 3, text="before"))
    server.tell("PUT", "/v1/tools/a", tool("a", 4))
    server.tell("POST", "/v1/tools", tool("b", 1), status=201)
    ran = ask("tools", "apply", "tools.yaml", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json() == {
        "dry_run": False,
        "tools": [
            {"name": "a", "result": "changed", "version": 4, "file": "tools.yaml", "line": 1},
            {"name": "b", "result": "created", "version": 1, "file": "tools.yaml", "line": 3},
        ],
    }
    assert asked(server) == ["PUT /v1/tools/a", "POST /v1/tools"]
    assert server.asked[-2].headers["if-match"] == '"3"'
    assert server.asked[-2].body == {"name": "a"}


@pytest.mark.usefixtures("two")
def test_nothing_is_asked_to_change_before_all_documents_are_found_valid(ask: Run, server: Server):
    server.tell("POST", VALIDATE, {"valid": True, "tool": tool("a")})
    errors = [{"path": "binding", "message": "is missing; give it"}, {"path": "name", "message": "is wrong"}]
    server.refuse("POST", VALIDATE, 422, "validation_failed", "binding: is missing", errors=errors)
    ran = ask("tools", "apply", "tools.yaml")
    assert (ran.code, [each.path for each in server.asked]) == (2, [VALIDATE, VALIDATE])
    assert ran.err == (
        "tools.yaml:3:1: binding: is missing; give it\n"
        "tools.yaml:3:1: name: is wrong\n"
        "validation_failed: 2 faults. Nothing was changed.\n"
    )


@pytest.mark.usefixtures("two")
def test_a_document_that_is_refused_as_a_whole_is_told_where_it_begins(ask: Run, server: Server):
    server.refuse("POST", VALIDATE, 413, "payload_too_large", "A definition has at most 262,144 bytes.")
    assert "tools.yaml:3:1: A definition has at most" in ask("tools", "apply", "tools.yaml").err


@pytest.mark.usefixtures("two")
def test_a_refusal_that_speaks_of_who_asks_is_told_once_and_as_it_is(ask: Run, server: Server):
    server.refuse("POST", VALIDATE, 403, "permission_denied", "This needs the role author.")
    ran = ask("tools", "apply", "tools.yaml")
    assert (ran.code, len(server.asked), ran.err) == (1, 1, "permission_denied: This needs the role author.\n")


@pytest.mark.usefixtures("two")
def test_a_change_that_somebody_else_was_faster_with_is_told_and_the_rest_is_done(ask: Run, server: Server):
    has(server, tool("a", 3, text="before"))
    server.refuse("PUT", "/v1/tools/a", 412, "precondition_failed", "It is at version 4.")
    server.tell("GET", "/v1/tools/a", tool("a", 4, text="theirs"))
    server.tell("POST", "/v1/tools", tool("b", 1), status=201)
    ran = ask("tools", "apply", "tools.yaml")
    assert (ran.code, [row.split()[1] for row in ran.out.splitlines()[1:]]) == (1, ["conflict", "created"])
    assert ran.err == (
        "conflict: a: somebody else changed it meanwhile: it was version 3, and is version 4\n"
        "1 conflict, 1 created.\n"
        "What somebody else did is left as it is: look with `toolyard tools diff`, and apply again.\n"
    )


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("theirs", "result", "detail"),
    [
        (tool("b", 1), "unchanged", None),
        (tool("b", 1, text="theirs"), "conflict", "it was missing, and is version 1"),
    ],
    ids=["the same", "another"],
)
def test_a_tool_that_somebody_else_created_meanwhile_is_theirs_unless_it_is_the_same(
    ask: Run, server: Server, theirs: dict[str, Any], result: str, detail: str | None
):
    has(server, tool("a", 1))
    server.refuse("POST", "/v1/tools", 409, "conflict", "The name is taken.")
    server.tell("GET", "/v1/tools/b", theirs)
    ran = ask("tools", "apply", "tools.yaml", "--json")
    assert (ran.code, results(ran)) == (0 if detail is None else 1, ["unchanged", result])
    assert (ran.json()["tools"][1].get("detail") or "").endswith(detail or "")


@pytest.mark.usefixtures("two")
def test_a_tool_that_somebody_deleted_meanwhile_is_not_made_anew(ask: Run, server: Server):
    has(server, tool("a", 1), tool("b", 2, text="before"))
    server.refuse("PUT", "/v1/tools/b", 404, "tool_not_found", "There is no tool 'b'.")
    server.refuse("GET", "/v1/tools/b", 404, "tool_not_found", "There is no tool 'b'.")
    ran = ask("tools", "apply", "tools.yaml", "--json")
    assert (ran.code, results(ran)) == (1, ["unchanged", "conflict"])
    assert ran.json()["tools"][1]["detail"].endswith("it was version 2, and is deleted")


@pytest.mark.usefixtures("two")
def test_what_the_gateway_does_not_do_ends_it_and_says_what_was_not_tried(ask: Run, server: Server):
    has(server)
    server.refuse("POST", "/v1/tools", 503, "unavailable", "The database is away.")
    ran = ask("tools", "apply", "tools.yaml", "--json")
    assert (ran.code, results(ran), asked(server)) == (1, ["failed", "not tried"], ["POST /v1/tools"])
    assert ran.json()["tools"][0]["detail"] == "unavailable: The database is away."
    assert "1 failed, 1 not tried." in ask("tools", "apply", "tools.yaml").err


def test_a_gateway_that_is_not_there_is_told_as_ever(run: Run, tmp_path: Path):
    (tmp_path / "a.yaml").write_text("name: a")
    for command, code in (("apply", 1), ("diff", 2)):
        ran = run("tools", command, "a.yaml", "--url", "http://127.0.0.1:1")
        assert (ran.code, "Nothing answers at http://127.0.0.1:1" in ran.err) == (code, True)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_difference_is_shown_in_the_words_of_the_files(ask: Run, server: Server, as_json: bool):
    has(server, tool("a", 3, text="before"), tool("b", 1))
    ran = ask("tools", "diff", "tools.yaml", *(["--json"] if as_json else []))
    shown = ran.out
    if as_json:
        (row,) = ran.json()["tools"]
        assert (row["name"], row["result"], row["line"]) == ("a", "changed", 1)
        shown = row["diff"]
    assert (ran.code, ran.err) == (1, "")
    assert shown.splitlines()[:5] == [
        "--- a@3",
        "+++ tools.yaml:1",
        "@@ -1,5 +1,5 @@",
        " name: a",
        "-description: before",
    ]


@pytest.mark.usefixtures("two")
def test_a_dry_run_asks_for_no_change(ask: Run, server: Server):
    has(server, tool("a", 3, text="before"))
    ran = ask("tools", "apply", "tools.yaml", "--dry-run")
    assert (ran.code, asked(server)) == (0, [])
    assert ran.err == "1 changed, 1 created. Nothing was changed: this is a dry run.\n"


# ---- what needs no gateway ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- name: a", "t.yaml:1:1: is no tool: write an object with name, description, parameters and binding"),
        ("title: a", "t.yaml:1:1: name: is missing; give it"),
        ("name: 7", "t.yaml:1:1: name: must be a text"),
        ("name: a b", "t.yaml:1:1: name: must be letters, digits, '_', '.' and '-', a letter first, 64 at most"),
        ("name: a\nversion: 3", "t.yaml:2:1: version: is added by the gateway where it shows a tool; leave it out"),
        (f"name: a\nx: {'y' * 262_144}", "t.yaml:1:1: has 262,163 bytes as JSON; a definition has 262,144 at most"),
        ("name: a\n---\nname: a", "t.yaml:3:1: name: the tool 'a' stands in t.yaml:1 already; keep one"),
    ],
    ids=["list", "no name", "number", "space", "version", "large", "twice"],
)
def test_what_is_no_definition_is_told_before_a_gateway_is_asked(
    ask: Run, server: Server, tmp_path: Path, text: str, told: str
):
    (tmp_path / "t.yaml").write_text(text)
    ran = ask("tools", "apply", "t.yaml")
    assert (ran.code, ran.err.splitlines()[0], server.asked) == (2, told, [])


def test_scripts_get_each_fault_as_a_record(ask: Run, tmp_path: Path):
    (tmp_path / "t.yaml").write_text("name: 7")
    ran = ask("tools", "diff", "t.yaml", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith('{"code": "validation_failed", "detail": "1 fault. There is nothing to compare.", ')
    assert '{"file": "t.yaml", "line": 1, "column": 1, "path": "name", "message": "must be a text"}' in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("apply", "t.yaml", "--toolkit", "x"), "--toolkit"),
        (("apply", "t.yaml", "--prune"), "--yes"),
        (("apply", "-", "--prune"), "--yes"),
        (("export", "a", "--toolkit", "x"), "--toolkit"),
        (("apply",), "PATH"),
        (("apply", ""), "PATH"),
    ],
    ids=" ".join,
)
def test_options_that_say_nothing_or_too_much_are_wrong_usage(
    ask: Run, server: Server, tmp_path: Path, words: tuple[str, ...], told: str
):
    (tmp_path / "t.yaml").write_text("name: a")
    ran = ask("tools", *words)
    assert (ran.code, server.asked, told in ran.err) == (2, [], True)


CODE = """\
name: a
binding:
  type: sandbox
  code: |
    import jsn

    def execute_tool(parameters, context):
        return open("x")
"""
WRONG = [
    {"path": "binding.code", "message": "line 1, column 8: `jsn` is not available: did you mean `json`?"},
    {"path": "binding.code", "message": "line 4, column 12: `open` is not available"},
    {"path": "binding.allowed_hosts", "message": "needs requests"},
]
PLACES = [
    "a.yaml:2:1: binding.allowed_hosts: needs requests",
    "a.yaml:5:12: binding.code: `jsn` is not available: did you mean `json`?",
    "a.yaml:8:16: binding.code: `open` is not available",
]


@pytest.mark.parametrize("command", ["apply", "diff"])
def test_what_is_wrong_in_code_is_told_at_its_line_of_the_file(ask: Run, server: Server, tmp_path: Path, command: str):
    (tmp_path / "a.yaml").write_text(CODE)
    server.refuse("POST", VALIDATE, 422, "validation_failed", "3 fields", errors=WRONG)
    ran = ask("tools", command, "a.yaml")
    assert (ran.code, ran.err.splitlines()[:3]) == (2, PLACES)
    told = json.loads(ask("tools", command, "a.yaml", "--json").err)
    assert [(error["line"], error["column"]) for error in told["errors"]] == [(2, 1), (5, 12), (8, 16)]


@pytest.mark.parametrize(
    ("command", "method", "path"),
    [
        ("validate", "POST", VALIDATE),
        ("create", "POST", "/v1/tools"),
        ("update", "PUT", "/v1/tools/a"),
    ],
)
def test_commands_of_one_file_tell_its_lines_too(
    ask: Run, server: Server, tmp_path: Path, command: str, method: str, path: str
):
    (tmp_path / "a.yaml").write_text(CODE)
    server.tell("GET", "/v1/tools/a", tool("a", 3))
    server.refuse(method, path, 422, "validation_failed", "3 fields", errors=WRONG)
    ran = ask("tools", command, "a.yaml")
    assert (ran.code, ran.out, ran.err.splitlines()) == (1, "", [*PLACES, "validation_failed: 3 faults."])
    told = json.loads(ask("tools", command, "a.yaml", "--json").err)
    assert (told["code"], told["detail"], told["errors"][1]) == (
        "validation_failed",
        "3 fields",
        {
            "file": "a.yaml",
            "line": 5,
            "column": 12,
            "path": "binding.code",
            "message": "`jsn` is not available: did you mean `json`?",
        },
    )


def test_a_refusal_that_names_no_field_is_told_as_it_is(ask: Run, server: Server, tmp_path: Path):
    (tmp_path / "a.yaml").write_text(CODE)
    server.refuse("POST", VALIDATE, 413, "payload_too_large", "A definition has at most 262,144 bytes.")
    ran = ask("tools", "validate", "a.yaml")
    assert (ran.code, ran.err) == (1, "payload_too_large: A definition has at most 262,144 bytes.\n")


# ---- prune --------------------------------------------------------------------------------------


def test_pruning_looks_at_every_page_of_the_toolkit(ask: Run, server: Server, tmp_path: Path):
    (tmp_path / "t.yaml").write_text("name: a")
    has(server, tool("a", 1))
    server.tell("GET", "/v1/tools", {"items": [tool("a", 1), tool("c", 7)], "next_cursor": "next"})
    server.tell("GET", "/v1/tools", {"items": [tool("d", 9)], "next_cursor": None})
    server.tell("DELETE", "/v1/tools/c", body=b"", status=204)
    server.refuse("DELETE", "/v1/tools/d", 412, "precondition_failed", "It is at version 10.")
    server.tell("GET", "/v1/tools/d", tool("d", 10))
    ran = ask("tools", "apply", "t.yaml", "--prune", "--toolkit", "x", "--yes", "--json")
    assert (ran.code, results(ran)) == (1, ["unchanged", "deleted", "conflict"])
    pages = [each.path for each in server.asked if each.path.startswith("/v1/tools?")]
    assert pages == ["/v1/tools?toolkit=x&limit=200", "/v1/tools?toolkit=x&limit=200&cursor=next"]
    deleted = [each.headers["if-match"] for each in server.asked if each.method == "DELETE"]
    assert deleted == ['"7"', '"9"']


def test_what_is_deleted_already_is_deleted(ask: Run, server: Server, tmp_path: Path):
    (tmp_path / "t.yaml").write_text("name: a")
    has(server, tool("a", 1))
    server.tell("GET", "/v1/tools", {"items": [tool("c", 7)], "next_cursor": None})
    server.refuse("DELETE", "/v1/tools/c", 404, "tool_not_found", "There is no tool 'c'.")
    server.refuse("GET", "/v1/tools/c", 404, "tool_not_found", "There is no tool 'c'.")
    ran = ask("tools", "apply", "t.yaml", "--prune", "--yes", "--json")
    assert (ran.code, results(ran)) == (0, ["unchanged", "deleted"])


def test_nothing_is_deleted_where_a_change_was_not_made(ask: Run, server: Server, tmp_path: Path):
    (tmp_path / "t.yaml").write_text("name: a")
    has(server, tool("a", 1, text="before"))
    server.tell("GET", "/v1/tools/a", tool("a", 2, text="theirs"))
    server.refuse("PUT", "/v1/tools/a", 412, "precondition_failed", "It is at version 2.")
    server.tell("GET", "/v1/tools", {"items": [tool("c", 7)], "next_cursor": None})
    ran = ask("tools", "apply", "t.yaml", "--prune", "--yes", "--json")
    assert (ran.code, results(ran), asked(server)) == (1, ["conflict", "not tried"], ["PUT /v1/tools/a"])


# ---- export -------------------------------------------------------------------------------------


def test_only_what_the_author_said_is_written_in_one_order(ask: Run, server: Server):
    shown = tool("a", 3, text="One.\nTwo.", timeout=30.0, retry={"max_attempts": 3, "backoff": 1.0}, paused=True)
    server.tell("GET", "/v1/tools/a", shown | {"title": "no", "deadline": 2.5, "annotations": {"idempotent": False}})
    assert ask("tools", "export", "a").out == (
        "name: a\n"
        "title: 'no'\n"
        "description: |-\n"
        "  One.\n"
        "  Two.\n"
        "parameters:\n"
        "  type: object\n"
        "binding:\n"
        "  type: http\n"
        "  method: GET\n"
        "  url: https://a.example.com\n"
        "annotations:\n"
        "  idempotent: false\n"
        "timeout: 30\n"
        "deadline: 2.5\n"
        "retry:\n"
        "  max_attempts: 3\n"
    )


def test_code_is_written_as_a_block_below_all_else_of_its_binding(ask: Run, server: Server):
    code = "def execute_tool(parameters, context):  \n\treturn 1\n"
    binding = {"type": "sandbox", "code": code, "allowed_imports": [], "execution_timeout": 5.0, "memory_limit_mb": 64}
    server.tell("GET", "/v1/tools/a", tool("a", 3, binding=binding))
    assert ask("tools", "export", "a").out.partition("binding:\n")[2] == (
        "  type: sandbox\n"
        "  allowed_imports: []\n"
        "  execution_timeout: 5\n"
        "  memory_limit_mb: 64\n"
        "  code: |\n"
        "    def execute_tool(parameters, context):  \n"
        "    \treturn 1\n"
    )


def test_an_org_without_tools_is_told_as_such(ask: Run, server: Server):
    server.tell("GET", "/v1/tools", {"items": [], "next_cursor": None})
    assert ask("tools", "export") == (0, "", "There are none.\n")
    assert ask("tools", "export", "--json").json() == {"items": []}
    assert ask("tools", "export", "--output", "out") == (0, "", "There are none.\n")


def test_a_tool_that_is_named_like_a_file_of_cases_is_found_again(ask: Run, server: Server, tmp_path: Path):
    server.tell("GET", "/v1/tools/a.test", tool("a.test", 1))
    assert ask("tools", "export", "a.test", "--output", "out").code == 0
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.test@.yaml"]
    server.tell("POST", VALIDATE, {"valid": True, "tool": tool("a.test")})
    assert results(ask("tools", "apply", "out", "--json")) == ["unchanged"]


def test_a_file_is_written_once_and_over_another_only_when_told(ask: Run, server: Server, tmp_path: Path):
    server.tell("GET", "/v1/tools/a", tool("a", 1))
    export = ("tools", "export", "a", "--output", "out")
    assert ask(*export).out.splitlines()[1].split() == ["a", "written", "out/a.yaml"]
    assert results(ask(*export, "--json")) == ["unchanged"]
    (tmp_path / "out/a.yaml").write_text("name: a\nname: a")
    refused = ask(*export)
    assert (refused.code, refused.err.splitlines()[0]) == (2, "out/a.yaml: is there already, and says something else")
    assert results(ask(*export, "--overwrite", "--json")) == ["written"]


def test_a_name_that_no_gateway_gives_leads_nowhere(ask: Run, server: Server, tmp_path: Path):
    server.tell("GET", "/v1/tools", {"items": [tool("../a", 1)], "next_cursor": None})
    ran = ask("tools", "export", "--output", "out")
    assert (ran.code, list(tmp_path.iterdir())) == (1, [])
    assert "no gateway takes such a name" in ran.err


def test_a_folder_that_cannot_be_written_is_told(ask: Run, server: Server, tmp_path: Path):
    (tmp_path / "out").write_text("a file")
    server.tell("GET", "/v1/tools/a", tool("a", 1))
    ran = ask("tools", "export", "a", "--output", "out")
    assert ran.code == 2
    assert "out/a.yaml cannot be written: File exists" in ran.err


# ---- one definition -----------------------------------------------------------------------------


def test_a_single_definition_may_be_yaml_too(ask: Run, server: Server, tmp_path: Path):
    (tmp_path / "a.yaml").write_text("name: a\nenabled: false\n")
    server.tell("POST", VALIDATE, {"valid": True, "tool": tool("a")})
    assert ask("tools", "validate", "a.yaml").code == 0
    assert server.asked[0].body == {"name": "a", "enabled": False}


@pytest.mark.parametrize(
    ("text", "told"),
    [("name: ~", "a.yaml:1:7: name: ~ is null"), ("a: 1\n---\nb: 1", "holds 2 documents"), ("", "holds 0 documents")],
    ids=["wrong", "two", "none"],
)
def test_yaml_that_is_no_single_definition_is_wrong_usage(
    ask: Run, server: Server, tmp_path: Path, text: str, told: str
):
    (tmp_path / "a.yaml").write_text(text)
    ran = ask("tools", "create", "a.yaml")
    assert (ran.code, server.asked, told in ran.err) == (2, [], True)
