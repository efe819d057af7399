"""What goes wrong between the command and a gateway: a message that says what to do, never a traceback."""

import json
from pathlib import Path

import pytest
from tests.support.processes import free_port
from tests.unit.cli.conftest import Run, Server

LIST = ("/v1/tools", ("tools", "list"))


def test_a_problem_document_is_shown_as_code_detail_and_fields(ask: Run, server: Server):
    errors = [{"path": "arguments.city", "message": "is missing"}, {"path": "", "message": "is odd"}]
    server.refuse("POST", "/v1/calls", 422, "validation_failed", "Two fields.", errors=errors, call_id="c-1")
    ran = ask("call", "weather")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        "validation_failed: Two fields.",
        "  arguments.city: is missing",
        "  body: is odd",
        "  call_id: c-1",
    ]


def test_a_single_field_is_not_told_twice(ask: Run, server: Server):
    detail = "arguments.city: is missing"
    errors = [{"path": "arguments.city", "message": "is missing"}]
    server.refuse("POST", "/v1/calls", 422, "validation_failed", detail, errors=errors)
    assert ask("call", "weather").err == "validation_failed: arguments.city: is missing\n"


def test_for_scripts_a_problem_is_one_document_on_stderr(ask: Run, server: Server):
    errors = [{"path": "arguments.city", "message": "is missing"}]
    server.refuse("POST", "/v1/calls", 422, "validation_failed", "One field.", errors=errors)
    ran = ask("call", "weather", "--json")
    assert (ran.code, ran.out) == (1, "")
    assert json.loads(ran.err) == {"code": "validation_failed", "detail": "One field.", "errors": errors}


def test_a_missing_key_says_where_keys_come_from(run: Run, server: Server):
    server.refuse("GET", "/v1/tools", 401, "unauthenticated", "No key.")
    ran = run("tools", "list", "--url", server.url)
    assert ran.code == 1
    assert "TOOLYARD_API_KEY" in ran.err
    assert "authorization" not in server.asked[0].headers


def test_when_to_try_again_is_told(ask: Run, server: Server):
    server.refuse("GET", "/v1/tools", 503, "unavailable", "The broker is away.", headers={"Retry-After": "2"})
    assert "Try again in 2 s." in ask("tools", "list").err


def test_when_nothing_listens_it_says_what_to_start(run: Run):
    ran = run("calls", "list", "--url", f"http://127.0.0.1:{free_port()}")
    assert (ran.code, ran.out) == (1, "")
    assert "unavailable: Nothing answers at http://127.0.0.1:" in ran.err
    assert "toolyard dev" in ran.err


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, b"<html>Bad Gateway</html>", "text/html"),
        (200, b"<html>Welcome</html>", "text/html"),
        (200, b"", "text/plain"),
        (200, b"[]", "application/json"),
        (200, b'{"hello": "world"}', "application/json"),
        (200, b'{"items": NaN}', "application/json"),
        (500, b"[1]", "application/problem+json"),
        (500, b"{}", "application/problem+json"),
        (302, b"", "text/html"),
    ],
)
def test_another_program_at_the_address_is_told_apart(ask: Run, server: Server, status: int, body: bytes, kind: str):
    server.tell("GET", "/v1/tools", body=body, status=status, kind=kind)
    ran = ask("tools", "list")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("internal: ")


def test_a_connection_that_breaks_is_told(ask: Run, server: Server):
    server.tell("GET", "/v1/tools", body=b"{}", headers={"Content-Length": "10"})
    ran = ask("tools", "list")
    assert (ran.code, ran.out) == (1, "")
    assert "failed" in ran.err or "No answer" in ran.err


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://[::1", "http://a:b:c/"])
def test_an_address_that_is_no_url_is_wrong_usage(run: Run, url: str):
    ran = run("tools", "list", "--url", url)
    assert ran.code == 2
    assert "--url" in ran.err


@pytest.mark.parametrize("key", ["with blank", "grüße", "line\nbreak"])
def test_a_key_that_is_none_is_wrong_usage_and_is_not_shown(run: Run, server: Server, key: str):
    ran = run("tools", "list", "--url", server.url, "--key", key)
    assert (ran.code, server.asked) == (2, [])
    assert key not in ran.err


EMPTY = [
    (("call", ""), "TOOL"),
    (("call", "weather", "--conversation", ""), "--conversation"),
    (("call", "weather", "--user", " "), "--user"),
    (("call", "weather", "--not-before", ""), "--not-before"),
    (("calls", "get", ""), "CALL"),
    (("calls", "cancel", ""), "CALL"),
    (("calls", "cancel", "  "), "CALL"),
    (("calls", "cancel", "--conversation", ""), "--conversation"),
    (("calls", "list", "--conversation", ""), "--conversation"),
    (("calls", "list", "--since", ""), "--since"),
    (("events", "tail", ""), "CALL"),
    (("tools", "get", ""), "TOOL"),
    (("tools", "delete", ""), "TOOL"),
    (("tools", "test", ""), "TOOL|PATH"),
    (("tools", "pause", ""), "TOOL"),
    (("tools", "resume", ""), "TOOL"),
    (("tools", "create", ""), "FILE"),
    (("pools", "pause", ""), "POOL"),
    (("pools", "resume", ""), "POOL"),
    (("schedules", "create", "", "weather", "--every", "5"), "NAME"),
    (("schedules", "create", "often", "", "--every", "5"), "TOOL"),
    (("schedules", "show", ""), "NAME"),
    (("schedules", "pause", ""), "NAME"),
    (("schedules", "resume", ""), "NAME"),
    (("schedules", "delete", ""), "NAME"),
    (("keys", "create", ""), "NAME"),
    (("keys", "create", "name", "--role", ""), "--role"),
    (("keys", "revoke", ""), "KEY"),
    (("dead-letters", "show", ""), "LETTER"),
    (("dead-letters", "replay", ""), "LETTER"),
]


@pytest.mark.parametrize(
    ("words", "hint"), EMPTY, ids=lambda value: " ".join(value) if isinstance(value, tuple) else value
)
def test_what_is_empty_is_wrong_usage_before_anything_is_asked(
    ask: Run, server: Server, words: tuple[str, ...], hint: str
):
    ran = ask(*words)
    assert (ran.code, ran.out, server.asked) == (2, "", [])
    assert f"Invalid value for {hint}: is empty; give one" in ran.err


@pytest.mark.parametrize("option", ["--url", "--key"])
def test_an_empty_address_or_key_does_not_stand_for_another_one(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, option: str
):
    monkeypatch.setenv("TOOLYARD_PORT", server.url.rpartition(":")[2])
    monkeypatch.setenv("TOOLYARD_API_KEY", "ty_env")
    ran = run("tools", "list", option, "")
    assert (ran.code, server.asked) == (2, [])
    assert f"Invalid value for {option}: is empty; give one, or leave it out" in ran.err


def test_an_address_of_the_settings_that_is_no_url_names_the_settings(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOOLYARD_PORT", "abc")
    ran = run("tools", "list")
    assert ran.code == 2
    assert "Invalid value for TOOLYARD_HOST, TOOLYARD_PORT: 'http://127.0.0.1:abc' is no URL" in ran.err


# ---- where and with which key -------------------------------------------------------------------


def test_address_and_key_come_from_the_settings(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch):
    server.tell("GET", "/v1/tools", {"items": [], "next_cursor": None})
    monkeypatch.setenv("TOOLYARD_HOST", "0.0.0.0")
    monkeypatch.setenv("TOOLYARD_PORT", server.url.rpartition(":")[2])
    monkeypatch.setenv("TOOLYARD_API_KEY", "ty_env")
    assert run("tools", "list").code == 0
    assert server.asked[0].headers["authorization"] == "Bearer ty_env"


@pytest.mark.parametrize("folder", [".toolyard", "elsewhere"])
def test_the_key_that_dev_keeps_is_found(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
):
    server.tell("GET", "/v1/tools", {"items": [], "next_cursor": None})
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "key").write_text("ty_kept\n")
    if folder != ".toolyard":
        monkeypatch.setenv("TOOLYARD_DATA", str(tmp_path / folder))
    assert run("tools", "list", "--url", server.url).code == 0
    assert server.asked[0].headers["authorization"] == "Bearer ty_kept"


def test_the_key_that_dev_keeps_never_leaves_this_machine(tmp_path: Path):
    from toolyard.client.where import default_key

    (tmp_path / ".toolyard").mkdir()
    (tmp_path / ".toolyard" / "key").write_text("ty_kept")
    assert default_key("http://localhost:8080") == default_key("http://[::1]:8080") == "ty_kept"
    assert default_key("https://tools.example.com") is default_key("http://10.0.0.7:8080") is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
        ("gw", "http://gw:8080"),
        ("", "http://127.0.0.1:8080"),
    ],
)
def test_the_address_is_the_one_the_gateway_listens_on(monkeypatch: pytest.MonkeyPatch, host: str, url: str):
    from toolyard.client.where import default_url

    monkeypatch.setenv("TOOLYARD_HOST", host)
    assert default_url() == url


def test_a_proxy_is_not_asked_for_this_machine(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    server.tell("GET", "/v1/tools", {"items": [], "next_cursor": None})
    assert run("tools", "list", "--url", server.url).code == 0


def test_what_would_steer_the_terminal_is_not_printed(ask: Run, server: Server):
    server.tell("GET", "/v1/tools", {"items": [_tool("\x1b]0;owned\x07 [red]plain[/red]")], "next_cursor": None})
    ran = ask("tools", "list")
    assert "\x1b" not in ran.out
    assert "[red]plain[/red]" in ran.out


def _tool(description: str) -> dict[str, object]:
    return {"name": "t", "version": 1, "binding": {"type": "http"}, "description": description}
