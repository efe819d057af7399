"""`toolyard events replay` and `export`: what is asked, what is printed, and what a file holds, whatever stopped it."""

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Run, Server
from tests.unit.cli.test_events import ACCEPTED_ONE, ALL, FAILED_ONE, sse

from toolyard.cli.event_files import EventFile, Form

FIRST, SECOND = ("1-2", "accepted", ACCEPTED_ONE), ("2-2", "failed", FAILED_ONE)
DOCUMENTS = [{"cursor": "1-2", **ACCEPTED_ONE}, {"cursor": "2-2", **FAILED_ONE}]
UNTIL, END = ("", "until", {"cursor": "9-0"}), ("9-0", "end", {"cursor": "9-0"})
GAP = ("1-0", "gap", {"cursor": "1-0"})


def tells(server: Server, *frames: tuple[str, str, dict[str, Any]], ends: bool = True) -> None:
    server.tell("GET", "/v1/calls", {"items": [], "next_cursor": None})
    body = b": following\n\n" + sse(UNTIL, *frames, *([END] if ends else []))
    server.tell("GET", ALL, body=body, kind="text/event-stream")


def query(server: Server) -> list[str]:
    return [asked.path.partition("?")[2] for asked in server.asked if asked.path.startswith(ALL)]


def test_what_has_happened_is_printed_up_to_now(ask: Run, server: Server):
    tells(server, FIRST, SECOND)
    ran = ask("events", "replay")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[1] for line in ran.out.splitlines()] == ["accepted", "failed"]
    assert query(server) == ["since=0-0&until=now"]


def test_a_replay_is_asked_for_by_filters_and_places(ask: Run, server: Server):
    tells(server, FIRST)
    ran = ask(
        "events", "replay", "--json", "--since", "1-0", "--until", "2-2", "--state", "failed", "--tool", "weather"
    )
    assert [json.loads(line) for line in ran.out.splitlines()] == DOCUMENTS[:1]
    assert query(server) == ["since=1-0&until=2-2&tool=weather&state=failed"]


def test_a_replay_that_is_cut_goes_on_to_the_end_that_was_said_first(ask: Run, server: Server):
    tells(server, FIRST, ends=False)
    server.tell("GET", ALL, body=sse(("", "until", {"cursor": "99-0"}), SECOND, END), kind="text/event-stream")
    ran = ask("events", "replay", "--json")
    assert [json.loads(line)["cursor"] for line in ran.out.splitlines()] == ["1-2", "2-2"]
    assert query(server) == ["since=0-0&until=now", "since=0-0&until=9-0"]
    assert server.asked[-1].headers["last-event-id"] == "1-2"


def test_that_the_beginning_is_not_kept_is_no_news_and_all_else_is(ask: Run, server: Server):
    tells(server, GAP, FIRST)
    assert "gap" not in ask("events", "replay").out
    assert ask("events", "replay", "--since", "0-7").out.startswith("gap  ")


@pytest.mark.parametrize("form", ["lines", "batch"])
def test_an_export_goes_on_behind_what_its_file_holds(ask: Run, server: Server, tmp_path: Path, form: str):
    file = tmp_path / "events"
    for frames, begin, number in (((FIRST,), "7-0", 1), ((SECOND,), "1-2", 1), ((), "2-2", 0)):
        server.asked.clear()
        server._answers.clear()
        tells(server, *frames)
        ran = ask("events", "export", str(file), "--format", form, "--since", "7-0", "--json")
        assert (ran.code, ran.json()["events"], ran.json()["gaps"]) == (0, number, 0)
        assert query(server) == [f"since={begin}&until=now"]
    assert read(file, form) == DOCUMENTS


@pytest.mark.parametrize("form", ["lines", "batch"])
@pytest.mark.parametrize("lost", [1, 2, 3, 40])
def test_an_export_that_was_killed_goes_on_behind_the_last_whole_event(
    ask: Run, server: Server, tmp_path: Path, form: str, lost: int
):
    file = tmp_path / "events"
    tells(server, FIRST, SECOND)
    ask("events", "export", str(file), "--format", form)
    file.write_bytes(file.read_bytes()[:-lost])
    server.asked.clear()
    ask("events", "export", str(file), "--format", form)
    (asked,) = query(server)
    held = ["1-2", "2-2"] if asked.startswith("since=2-2") else ["1-2"]
    assert [one["cursor"] for one in read(file, form)][: len(held)] == held


def read(file: Path, form: str) -> list[Any]:
    text = file.read_text()
    found: list[Any] = json.loads(text) if form == "batch" else [json.loads(line) for line in text.splitlines()]
    return found


def test_a_batch_is_one_even_where_nothing_happened_or_the_gateway_refused(ask: Run, server: Server, tmp_path: Path):
    tells(server)
    ask("events", "export", str(tmp_path / "none"), "--format", "batch")
    assert json.loads((tmp_path / "none").read_text()) == []
    server._answers.pop(("GET", ALL))
    server.refuse("GET", ALL, 422, "validation_failed", "since: is no cursor")
    assert ask("events", "export", str(tmp_path / "none"), "--format", "batch").code == 1
    assert json.loads((tmp_path / "none").read_text()) == []


def test_what_is_missing_is_said(ask: Run, server: Server, tmp_path: Path):
    tells(server, FIRST, GAP, SECOND)
    ran = ask("events", "export", str(tmp_path / "events"))
    assert ran.err.splitlines()[1] == "In 1 places some are missing: they are not kept any more."


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ('[\n{"cursor": "1-2"}\n]\n', "it holds batch: say --format batch"),
        ("a diary\n", "its last line is no event of an export"),
        ('{"id": "7"}\n', "its last line is no event of an export"),
    ],
)
def test_a_file_that_is_another_thing_stays_as_it_is(ask: Run, server: Server, tmp_path: Path, held: str, said: str):
    file = tmp_path / "events"
    file.write_text(held)
    tells(server, FIRST)
    ran = ask("events", "export", str(file))
    assert (ran.code, file.read_text()) == (2, held)
    assert said in ran.told


@pytest.mark.parametrize(
    ("form", "held"),
    [
        ("lines", "a diary of one line, which no line end follows"),
        ("lines", '{"name": "x"}'),
        ("batch", "[1,2]"),
        ("batch", "[\n1,2]"),
    ],
)
def test_a_file_without_line_ends_stays_as_it_is(ask: Run, server: Server, tmp_path: Path, form: str, held: str):
    file = tmp_path / "events"
    file.write_text(held)
    tells(server, FIRST)
    ran = ask("events", "export", str(file), "--format", form)
    assert (ran.code, file.read_text()) == (2, held)
    assert "name another file" in ran.told


@pytest.mark.parametrize("form", ["lines", "batch"])
def test_what_a_first_event_left_that_was_cut_anywhere_is_gone_on_with(
    ask: Run, server: Server, tmp_path: Path, form: Form
):
    file = tmp_path / "events"
    tells(server, FIRST)
    ask("events", "export", str(file), "--format", form)
    whole = file.read_bytes()
    (event,) = [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
    for kept in range(whole.index(b"}\n")):
        file.write_bytes(whole[:kept])
        with EventFile(file, form) as held:
            held.add(event)
        assert file.read_bytes() == whole


@pytest.mark.parametrize("form", ["lines", "batch"])
def test_events_of_two_orgs_do_not_come_into_one_file(ask: Run, server: Server, tmp_path: Path, form: str):
    file = tmp_path / "events"
    tells(server, FIRST)
    ask("events", "export", str(file), "--format", form)
    held = file.read_bytes()
    server._answers.clear()
    tells(server, ("2-2", "failed", {**FAILED_ONE, "source": "/orgs/others"}))
    ran = ask("events", "export", str(file), "--format", form)
    assert (ran.code, file.read_bytes()) == (2, held)
    assert "it holds events of" in ran.told


def test_two_exports_do_not_write_to_one_file(ask: Run, server: Server, tmp_path: Path):
    tells(server, FIRST)
    with (tmp_path / "events").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ran = ask("events", "export", str(tmp_path / "events"))
    assert (ran.code, (tmp_path / "events").read_bytes()) == (2, b"")
    assert "another export is writing to it" in ran.told


def test_what_cannot_be_written_is_said(ask: Run, server: Server, tmp_path: Path):
    tells(server, FIRST)
    assert "cannot be opened" in ask("events", "export", str(tmp_path / "no" / "such" / "folder")).told
    assert "is a file" in ask("events", "export", "-").told
    (tmp_path / "full").symlink_to("/dev/full")
    assert "cannot be" in ask("events", "export", str(tmp_path / "full")).told
