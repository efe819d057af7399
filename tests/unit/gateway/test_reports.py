"""What a worker noted of a call is shown wherever the call is, and to no model."""

from typing import Any

import msgspec
import pytest
from tests.unit.gateway.rig import Rig, Worker, row_of

from toolyard.contracts.calls import CallMessage, Report
from toolyard.contracts.events import Event
from toolyard_gateway.api.models import CallModel, ReportModel

REPORT = Report(
    logs="one\ntwo\n",
    isolation="full",
    cpu_seconds=0.25,
    peak_memory_bytes=7,
    output_bytes=2,
    requests=0,
    memory_limit_bytes=9,
    run_seconds=0.5,
    init_seconds=0.125,
    billed_seconds=0.75,
    executed_version="7",
    request_id="r1",
)
SHOWN: dict[str, Any] = msgspec.to_builtins(REPORT)


async def noted(worker: Worker, message: CallMessage) -> Event:
    """Ends as the argument says, with a report."""
    if message.call.arguments["text"] == "fail":
        return worker.failed(message, report=REPORT)
    return worker.succeeded(message, message.call.arguments, report=REPORT)


@pytest.mark.parametrize("text", ["fine", "fail"])
async def test_a_call_shows_what_its_worker_noted_however_it_ended(rig: Rig, text: str):
    rig.worker.answer = noted
    await rig.tool()

    made = (await rig.call(arguments={"text": text})).json()
    read = (await rig.client.get(f"/v1/calls/{made['call_id']}")).json()

    assert (made["report"], read["report"]) == (SHOWN, SHOWN)


async def test_the_ledger_has_it_too(rig: Rig):
    rig.worker.answer = noted
    await rig.tool()
    made = (await rig.call()).json()
    row = row_of(rig.worker.seen[0], rig.worker.succeeded(rig.worker.seen[0]), report=REPORT)
    rig.stores.calls.rows[made["call_id"]] = row

    (listed,) = (await rig.client.get("/v1/calls")).json()["items"]

    assert listed["report"] == SHOWN


async def test_what_was_not_noted_is_not_shown(rig: Rig):
    await rig.tool()

    assert "report" not in (await rig.call()).json()


async def test_a_model_is_told_nothing_of_it(rig: Rig):
    rig.worker.answer = noted
    await rig.tool()
    function = {"name": "echo", "arguments": '{"text": "fine"}'}
    asked = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": function}]}

    answer = await rig.client.post("/v1/turns", json={"format": "openai", "message": asked})

    assert answer.json()["messages"][0]["content"] == '{"text":"fine"}'
    assert "two" not in answer.text


def test_all_of_it_is_described():
    assert set(ReportModel.model_fields) == {field.name for field in msgspec.structs.fields(Report)}
    assert CallModel.model_fields["report"].annotation == ReportModel | None
