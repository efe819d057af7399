"""A consent that is asked for before any call needs it: what the gateway asks of the scheduler, and what it answers."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
from tests.unit.gateway.rig import ECHO, Rig
from tests.unit.gateway.test_consents import CONSENT, SHOWN
from tests.unit.gateway.test_unanswered import nango

from toolyard.contracts.consents import ConsentAsked, ConsentTold
from toolyard.transport import topology
from toolyard.transport.base import Delivery

MAIL = {"name": "mail", "description": "x", "parameters": {"type": "object"}, "binding": nango("github")}


class Scheduler:
    """Answers as a test says; keeps what it was asked."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.asked: list[ConsentAsked] = []
        self.told: list[dict[str, Any]] = [{"authorization": CONSENT}]

    async def begin(self) -> "Scheduler":
        await self._rig.transport.consume(topology.SCHEDULER, self._take, prefetch=10)
        return self

    def _take(self, delivery: Delivery) -> None:
        delivery.ack()
        if not delivery.key.startswith(topology.CONSENT_ASKED):
            return
        asked = self._rig.envelope.open_consent_asked(delivery)
        self.asked.append(asked)
        for each in self.told:
            said: dict[str, Any] = {"v": 1, "number": asked.number, "org": asked.org} | each
            self._rig.transport.publish(self._rig.envelope.consent_told(ConsentTold(**said), asked.gateway))


@pytest.fixture
async def scheduler(rig: Rig) -> Scheduler:
    await rig.tool(MAIL)
    return await Scheduler(rig).begin()


async def start(rig: Rig, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return await rig.client.post(
        "/v1/authorizations/start", json={"tool": "mail", "user": "ada"} | body, headers=headers or {}
    )


async def test_the_user_is_asked_for_what_the_tool_needs(rig: Rig, scheduler: Scheduler):
    answer = await start(rig)

    assert answer.status_code == 200
    assert answer.json() == {"status": "pending", "tool": "mail", "user": "ada", "authorization": SHOWN}
    (asked,) = scheduler.asked
    assert (asked.gateway, asked.org, asked.user, asked.tool, asked.version) == ("gw-1", "default", "ada", "mail", 1)


async def test_where_nothing_is_missing_it_says_so(rig: Rig, scheduler: Scheduler):
    scheduler.told = [{}]
    assert (await start(rig)).json() == {"status": "completed", "tool": "mail", "user": "ada"}


@pytest.mark.parametrize(
    ("told", "status", "code"),
    [
        ({"refused": "rate_limited", "message": "Nango takes no more", "retry_after": 7.0}, 429, "rate_limited"),
        ({"refused": "not_found", "message": "Nango has no such integration"}, 404, "not_found"),
        ({"refused": "a code of a later version", "message": "x"}, 502, "upstream_error"),
    ],
)
async def test_a_refusal_is_told_with_its_reason(
    rig: Rig, scheduler: Scheduler, told: dict[str, Any], status: int, code: str
):
    scheduler.told = [told]
    answer = await start(rig)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert told["message"] in answer.json()["detail"]
    assert answer.headers.get("Retry-After") == ("7" if "retry_after" in told else None)


async def test_answers_to_others_are_none(rig: Rig, scheduler: Scheduler):
    wrong = msgspec.structs.replace(CONSENT, url="https://consent.example/of-somebody-else")
    scheduler.told = [
        {"number": 2**31 - 1, "authorization": wrong},
        {"org": "other", "authorization": wrong},
        {"authorization": CONSENT},
        {"authorization": wrong},
    ]
    assert (await start(rig)).json()["authorization"] == SHOWN


async def test_several_are_told_apart(rig: Rig, scheduler: Scheduler):
    users = [f"user-{n}" for n in range(5)]
    answers = await asyncio.gather(*(start(rig, user=user) for user in users))
    assert [answer.json()["user"] for answer in answers] == users
    assert sorted(asked.user for asked in scheduler.asked) == users


async def test_without_a_scheduler_it_is_unavailable(rig: Rig, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch):
    scheduler.told = []
    monkeypatch.setattr(rig.parts.consents, "_patience", 0.01)
    answer = await start(rig)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "Retry-After" in answer.headers


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"user": ""}, "user"),
        ({"user": 7}, "user"),
        ({"tool": "mail@1"}, "tool"),
        ({"scopes": []}, "scopes"),
        ({"tool": "echo"}, "tool"),
    ],
)
async def test_a_wrong_body_is_refused_by_field(rig: Rig, scheduler: Scheduler, body: dict[str, Any], path: str):
    await rig.tool(ECHO)
    answer = await start(rig, **body)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path)
    assert scheduler.asked == []


async def test_a_tool_that_is_not_there_is_not_asked_for(rig: Rig, scheduler: Scheduler):
    answer = await start(rig, tool="mial")
    assert (answer.status_code, answer.json()["code"]) == (404, "tool_not_found")
    assert scheduler.asked == []


async def test_who_may_not_call_may_not_ask(rig: Rig, scheduler: Scheduler):
    operator, caller = await rig.key("operator"), await rig.key("caller")
    assert (await start(rig, operator)).status_code == 403
    assert (await start(rig, caller)).status_code == 200


async def test_another_orgs_tool_is_not_there(rig: Rig, scheduler: Scheduler):
    theirs = await rig.key("caller", org="other")
    assert (await start(rig, theirs)).status_code == 404
    assert scheduler.asked == []
