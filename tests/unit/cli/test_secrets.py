"""The group `secrets`: where a value comes from, what is asked, and that nothing is printed that should not be."""

import os
import pty
import subprocess
from pathlib import Path
from typing import Any

from tests.support.processes import console_script
from tests.unit.cli.conftest import Run, Server

SECRET: dict[str, Any] = {"name": "TOKEN", "version": 1, "created_at": "2026-01-31T12:00:00.000Z", "created_by": "k7"}
PATH = "/v1/secrets/TOKEN"


def test_a_secret_from_stdin_is_made_where_there_is_none(ask: Run, server: Server):
    server.refuse("PUT", PATH, 404, "not_found", "There is none.")
    server.tell("POST", "/v1/secrets", SECRET, status=201)
    ran = ask("secrets", "set", "TOKEN", stdin=b"hunter2 \xc3\xbc\n")
    assert (ran.code, ran.out, ran.err) == (0, "", "TOKEN is kept as version 1.\n")
    assert [asked.method for asked in server.asked] == ["PUT", "POST"]
    assert server.asked[1].body == {"name": "TOKEN", "value": "hunter2 \u00fc"}


def test_a_secret_that_is_there_gets_another_value(ask: Run, server: Server):
    server.tell("PUT", PATH, SECRET | {"version": 2})
    assert ask("secrets", "set", "TOKEN", "--json", stdin=b"new").json()["version"] == 2
    assert server.asked[0].body == {"value": "new"}
    assert "if-match" not in server.asked[0].headers


def test_a_value_is_read_from_a_file(ask: Run, server: Server, tmp_path: Path):
    (tmp_path / "key.pem").write_text("-----BEGIN-----\nabc\n-----END-----\n")
    server.tell("PUT", PATH, SECRET)
    assert ask("secrets", "set", "TOKEN", "--from-file", "key.pem").code == 0
    assert server.asked[0].body == {"value": "-----BEGIN-----\nabc\n-----END-----"}


def test_somebody_at_a_terminal_is_asked_and_what_they_type_is_not_shown(server: Server):
    server.tell("PUT", PATH, SECRET)
    ours, theirs = pty.openpty()
    command = console_script("toolyard", "secrets", "set", "TOKEN", "--url", server.url, "--key", "ty_k_secret")
    with subprocess.Popen(command, stdin=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        shown = b""
        while b"The value: " not in shown:  # the blank comes once nothing is echoed any more
            shown += os.read(ours, 1024)
        os.write(ours, b"hunter2\n")
        while b"is kept" not in shown:
            shown += os.read(ours, 1024)
        assert process.wait(30) == 0
    os.close(ours)
    assert b"hunter2" not in shown
    assert server.asked[0].body == {"value": "hunter2"}


def test_a_value_is_never_an_argument(ask: Run, server: Server):
    ran = ask("secrets", "set", "TOKEN", "hunter2")
    assert (ran.code, server.asked) == (2, [])
    assert "hunter2" not in ran.out + ran.err
    assert "the value is no argument" in " ".join(ran.err.split())


def test_a_value_beside_the_name_is_neither_sent_nor_shown(ask: Run, server: Server):
    """It would stand in the path of a request, and so in the logs of what lies on its way."""
    for command in ("set", "show", "delete"):
        ran = ask("secrets", command, "TOKEN=hunter2", stdin=b"")
        assert (ran.code, server.asked) == (2, [])
        assert "hunter2" not in ran.out + ran.err
        assert "the value is no argument" in " ".join(ran.err.split())


def test_a_version_may_be_asked_for(ask: Run, server: Server):
    server.refuse("PUT", PATH, 404, "not_found", "There is none.")
    ran = ask("secrets", "set", "TOKEN", "--if-version", "3", stdin=b"v")
    assert (ran.code, ran.err) == (1, "not_found: There is none.\n")
    assert [(asked.method, asked.headers["if-match"]) for asked in server.asked] == [("PUT", '"3"')]


def test_secrets_and_versions_are_listed(ask: Run, server: Server):
    server.tell("GET", "/v1/secrets", {"items": [SECRET], "next_cursor": None})
    heading, row = ask("secrets", "list").out.splitlines()
    assert heading.split() == ["SECRET", "VERSION", "SET", "BY"]
    assert row.split() == ["TOKEN", "1", SECRET["created_at"], "k7"]
    assert ask("secrets", "list", "--json").json()["items"] == [SECRET]

    versions = [SECRET | {"version": 2}, SECRET]
    server.tell("GET", PATH, SECRET | {"version": 2, "versions": versions, "next_cursor": None})
    assert [line.split()[0] for line in ask("secrets", "show", "TOKEN").out.splitlines()] == ["VERSION", "2", "1"]
    assert len(ask("secrets", "show", "TOKEN", "--json").json()["versions"]) == 2


def test_a_secret_is_deleted(ask: Run, server: Server):
    server.tell("DELETE", PATH, body=b"", status=204)
    assert ask("secrets", "delete", "TOKEN").err == "TOKEN is deleted.\n"
    assert ask("secrets", "delete", "TOKEN", "--if-version", "2", "--json").json() == {"deleted": "TOKEN"}
    assert ["if-match" in asked.headers for asked in server.asked] == [False, True]


def test_sealing_anew_goes_on_to_the_end(ask: Run, server: Server):
    page = {"resealed": 50, "unreadable": {}, "damaged": [], "next_cursor": "c"}
    server.tell("POST", "/v1/secrets/reseal", page)
    server.tell("POST", "/v1/secrets/reseal", page | {"resealed": 3, "next_cursor": None})
    ran = ask("secrets", "reseal")
    assert (ran.code, ran.err) == (0, "53 secrets were sealed anew.\n")
    assert server.asked[1].path == "/v1/secrets/reseal?cursor=c"


def test_what_stays_is_told_and_is_a_failure(ask: Run, server: Server):
    page = {"resealed": 1, "unreadable": {"old": 2}, "damaged": ["default/A"], "next_cursor": None}
    server.tell("POST", "/v1/secrets/reseal", page)
    ran = ask("secrets", "reseal")
    assert ran.code == 1
    assert "2 stay as they are: the gateway does not have the key 'old'" in ran.err
    assert "default/A cannot be opened" in ran.err
    assert ask("secrets", "reseal", "--json").json() == {
        "resealed": 1,
        "unreadable": {"old": 2},
        "damaged": ["default/A"],
    }
