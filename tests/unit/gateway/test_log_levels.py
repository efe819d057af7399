"""Log levels over HTTP: who may set one, for what, for how long, and what is published."""

from collections.abc import Iterator

import pytest

from toolyard.contracts.control import LogLevelSet
from toolyard.telemetry.levels import LEVELS

PATH = "/v1/log-levels"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    LEVELS.__init__()  # type: ignore[misc]  # those of the process, as they were


def published(rig) -> list[tuple[str, LogLevelSet]]:
    records = [one for one in rig.journal.read(0, 1_000) if one.key.startswith("control.log_level")]
    return [(record.key, rig.envelope.open_control(record)) for record in records]


async def test_a_level_is_published_to_everybody_and_heard_here_too(rig):
    await rig.tool()
    answer = await rig.client.put(PATH, json={"tool": "echo", "level": "debug", "seconds": 60})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["tool"], answer.json()["level"]) == ("echo", "debug")
    assert answer.json()["until"].endswith("Z")
    ((key, message),) = published(rig)
    assert key == "control.log_level.-.default.gw-1.echo"
    assert (message.org, message.tool, message.level, message.seconds) == ("default", "echo", "debug", 60)
    assert [item["tool"] for item in (await rig.client.get(PATH)).json()["items"]] == ["echo"]
    assert LEVELS.detail


async def test_without_a_tool_all_of_the_org_is_meant_and_only_that(rig):
    await rig.client.put(PATH, json={"level": "error", "seconds": 60})
    ((key, message),) = published(rig)
    assert key == "control.log_level.-.default.gw-1.-"
    assert (message.org, message.tool) == ("default", "")
    assert LEVELS.of("default")
    assert LEVELS.of("another") == []


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"level": "debug", "tool": "nothing"}, "tool_not_found"),
        ({"level": "trace"}, "validation_failed"),
        ({}, "validation_failed"),
        ({"level": "debug", "seconds": 0}, "validation_failed"),
        ({"level": "debug", "seconds": 100_000}, "validation_failed"),
        ({"level": "debug", "org": "another"}, "validation_failed"),
    ],
)
async def test_what_there_is_not_cannot_be_set(rig, wanted, code):
    answer = await rig.client.put(PATH, json=wanted)
    assert answer.json()["code"] == code
    assert published(rig) == []


@pytest.mark.parametrize(
    ("role", "status"), [("operator", 200), ("admin", 200), ("caller", 403), ("author", 403), ("approver", 403)]
)
async def test_operators_may_and_nobody_else(rig, role, status):
    headers = await rig.key(role)
    put = await rig.client.put(PATH, json={"level": "debug", "seconds": 5}, headers=headers)
    assert put.status_code == status
    assert (await rig.client.get(PATH, headers=headers)).status_code == status
