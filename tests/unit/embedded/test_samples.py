"""The sample tools and the small upstream behind them."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from toolyard.contracts.tools import is_rerunnable
from toolyard.store.connect import open_store
from toolyard_embedded.samples import FIRST_TOOL, former_port, sample_tools, save
from toolyard_embedded.upstream import upstream


@pytest.fixture
def tools(tmp_path: Path):
    store = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    store.migrate()
    yield store.tools
    store.close()


@pytest.fixture
async def client():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(upstream), base_url="http://up") as client:
        yield client


def test_the_samples_are_a_lookup_an_effect_and_something_slow():
    specs = {spec.name: spec for spec in sample_tools("http://127.0.0.1:9", with_sandbox=True)}
    assert [is_rerunnable(specs[name]) for name in ("weather", "create_note", "slow_report")] == [True, False, True]
    assert all(spec.parameters["additionalProperties"] is False for spec in specs.values())


def test_without_a_sandbox_there_is_no_sample_for_it():
    with_it, without = (sample_tools("http://127.0.0.1:9", with_sandbox=is_there) for is_there in (True, False))
    assert [spec.name for spec in with_it if spec not in without] == ["count_words"]


def test_saving_them_again_changes_nothing_and_another_port_makes_a_version(tools):
    save(tools, "default", sample_tools("http://127.0.0.1:9000", with_sandbox=True))
    save(tools, "default", sample_tools("http://127.0.0.1:9000", with_sandbox=True))
    assert tools.get("default", FIRST_TOOL).version == 1
    assert former_port(tools, "default") == 9000
    save(tools, "default", sample_tools("http://127.0.0.1:9001", with_sandbox=True))
    assert tools.get("default", FIRST_TOOL).version == 2
    assert former_port(tools, "default") == 9001


def test_a_tool_of_the_same_name_that_is_no_sample_stays(tools):
    mine = msgspec.structs.replace(sample_tools("http://127.0.0.1:9000", with_sandbox=True)[0], toolkit=None)
    tools.create("default", mine)
    save(tools, "default", sample_tools("http://127.0.0.1:9001", with_sandbox=True))
    assert tools.get("default", FIRST_TOOL).version == 1
    assert former_port(tools, "default") is None


async def test_the_weather_is_the_same_each_time(client):
    first, second = await client.get("/weather/Z%C3%BCrich"), await client.get("/weather/Z%C3%BCrich")
    assert first.json() == second.json()
    assert first.json()["city"] == "Zürich"


async def test_a_note_is_created_under_its_key(client):
    note = {"title": "a", "text": "b"}
    answers = [await client.post("/notes", json=note, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["title"] == "a"
    assert (await client.post("/notes", content=b"[1]")).status_code == 400
    assert (await client.post("/notes", content=b"{")).status_code == 400


async def test_a_report_takes_its_time_within_bounds(client):
    assert (await client.get("/report", params={"seconds": 0})).json()["report"] == "all is well"
    for wrong in ("-1", "1e9", "soon", "nan"):
        assert (await client.get("/report", params={"seconds": wrong})).status_code == 400


async def test_a_report_ends_as_soon_as_nobody_waits_for_it_any_more():
    messages = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]
    scope = {"type": "http", "method": "GET", "path": "/report", "query_string": b"seconds=60", "headers": []}
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(60):
        await upstream(scope, receive, send)
    assert sent == []


async def test_one_city_is_not_known_and_the_answer_says_so(client):
    answer = await client.get("/weather/Atlantis")
    assert (answer.status_code, answer.json()) == (404, {"error": "there is no city called Atlantis"})


async def test_anything_else_is_not_found(client):
    assert (await client.get("/nothing")).status_code == 404
    assert (await client.delete("/notes")).status_code == 404
