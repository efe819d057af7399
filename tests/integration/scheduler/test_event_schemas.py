"""What a running scheduler tells is as its schemas say, and a public reader of CloudEvents takes it."""

import asyncio
from typing import Any

import jsonschema_rs
import msgspec
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from tests.integration.scheduler.gateway import Gateway
from tests.support.house import House, a_story
from tests.support.ledger import Story

from toolyard.contracts import schemas
from toolyard.contracts.calls import VERSION, Authorization, Result, error_info
from toolyard.contracts.events import Progress, SoftTimeout, about
from toolyard.contracts.feed import FeedItem
from toolyard.contracts.tools import RetryPolicy
from toolyard.states import State
from toolyard_scheduler import feed

ENDS: tuple[State, ...] = ("succeeded", "failed", "timed_out", "expired", "cancelled", "rejected")
NEEDED = Authorization(
    authorization_id="a1", provider="arcade/x", url="https://accounts.example/a1", scopes=("mail",), expires_at=4e9
)


async def test_every_event_is_as_its_schema_says_and_is_a_cloud_event(house: House):
    await house.leader()
    gateway = await Gateway(house.transport).begin()
    last = await _everything_is_said(house)
    items = await gateway.follow(until=last)

    assert {item.event for item in items} == set(schemas.events()) - {"progress"}
    for item in items:
        _judge(item)


def test_progress_is_as_its_schema_says():
    """It is in no log, and on no page: the broker's followers alone are told."""
    call = a_story(conversation="c-1", user="ada").call
    about_it: dict[str, Any] = {"attempt": 1, "sequence": 1_000_002, "time": call.accepted_at, "worker": "w1"}
    said = Progress(**about(call), **about_it, done=1.5, total=3, message="half", conversation="c-1", user="ada")
    view = feed.progress(said)
    document = msgspec.json.decode(msgspec.json.encode(view))
    whole = jsonschema_rs.Draft202012Validator(schemas.event_schema("progress"), validate_formats=True)
    assert [each.message for each in whole.iter_errors(document)] == []
    assert (document["data"]["done"], document["data"]["total"], document["data"]["message"]) == (1.5, 3, "half")


def _judge(item: FeedItem) -> None:
    document = msgspec.json.decode(item.body)
    whole = jsonschema_rs.Draft202012Validator(schemas.event_schema(item.event), validate_formats=True)
    data = jsonschema_rs.Draft202012Validator(schemas.data_schema(item.event), validate_formats=True)
    assert [each.message for each in whole.iter_errors(document)] == []
    assert [each.message for each in data.iter_errors(document["data"])] == []

    read = JSONFormat().read(CloudEvent, bytes(item.body))
    assert (read.get_id(), read.get_type()) == (item.event_id, schemas.event_type(item.event))
    assert (read.get_subject(), read.get_data()) == (item.call_id, document["data"])


async def _everything_is_said(house: House) -> str:
    """One call for each end, and one for each event on the way; the id of the last event."""
    for state in ENDS:
        story = a_story(state, conversation="c-1", user="ada", traceparent=f"00-{'1' * 32}-{'2' * 16}-01")
        none: dict[str, Any] = {"started_at": None, "effect": "none"} if state in ("expired", "rejected") else {}
        await house.say(story.accepted(), story.ended(state, **_result(state), **none))
    story = a_story("waits", rerunnable=True, retry=RetryPolicy(max_attempts=2, backoff=0.001))
    broke = error_info("upstream_error", "500", retryable=True, retry_after=0.01)
    failed = story.ended("failed", error=broke, effect="unknown", final=False)
    await house.say(story.accepted(), story.started(), _soft_timeout(story), failed)
    asks = a_story("asks", user="ada")
    wants = error_info("authorization_required", "consent", details={"provider": "arcade/x"})
    needs: dict[str, Any] = {"error": wants, "effect": "none", "final": False, "authorization": NEEDED}
    await house.say(asks.accepted(), asks.ended("failed", **needs))
    late = a_story("late")
    await house.say(late.accepted(), late.verdict("timed_out", at=3.0, error=error_info("timed_out", "late")))
    await house.say(late.ended("succeeded", at=5.0))
    await asyncio.wait_for(house.schedulers[-1].reached(house.journal.last() or 0), 60)
    last = a_story("last")
    await house.say(last.accepted())
    return "last/0/accepted"


def _result(state: State) -> dict[str, Any]:
    if state == "succeeded":
        return {"result": Result(structured=msgspec.Raw(b'{"a":[null,"\xc3\xa9"]}'))}
    return {"error": error_info(state if state != "failed" and state != "rejected" else "tool_error", "it did not")}


def _soft_timeout(story: Story) -> SoftTimeout:
    fields = {name: getattr(story.started(), name) for name in ("sequence", "time", "attempt")}
    about = {name: getattr(story.call, name) for name in ("call_id", "org", "tool", "version", "pool", "gateway")}
    ends: dict[str, Any] = {"ends_at": story.call.deadline, "worker": "w1", "body_hash": story.call.body_hash}
    return SoftTimeout(v=VERSION, deadline=story.call.deadline, **about, **fields, **ends)
