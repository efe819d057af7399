"""The group `logs`."""

import pytest
import typer
from tests.unit.cli.conftest import Run, Server

from toolyard.cli.logs import seconds_of

LEVEL = {"tool": "weather", "level": "debug", "until": "2026-01-31T12:00:00.000Z"}


def test_a_level_is_set_for_a_tool_and_a_while(ask: Run, server: Server):
    server.tell("PUT", "/v1/log-levels", LEVEL)
    ran = ask("logs", "level", "debug", "--tool", "weather", "--for", "15m")
    assert "the tool weather are logged from debug on, until 2026-01-31T12:00:00.000Z" in ran.err + ran.out
    assert server.asked[-1].body == {"tool": "weather", "level": "debug", "seconds": 900}
    assert ask("logs", "level", "debug", "--json").json() == LEVEL


def test_levels_are_listed(ask: Run, server: Server):
    server.tell("GET", "/v1/log-levels", {"items": [LEVEL], "next_cursor": None})
    assert ask("logs", "list").out.splitlines()[1].split() == ["weather", "debug", "2026-01-31T12:00:00.000Z"]


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7_200)])
def test_times_are_read_as_people_write_them(text: str, seconds: int):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "1d", "-5", "1.5h", "15 m"])
def test_what_is_no_time_is_refused(text: str):
    with pytest.raises(typer.BadParameter, match="as in 15m"):
        seconds_of(text)
