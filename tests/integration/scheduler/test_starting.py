"""Consents that are asked for before a call needs them: by the scheduler that leads, at stand-ins of providers."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.arcade.engine import KEY as ARCADE_KEY
from tests.support.arcade.engine import ArcadeEngine
from tests.support.house import QUICK, House, opened_at, until
from tests.support.ledger import ENVELOPE
from tests.support.nango.environment import FakeEnvironment
from tests.support.nango.server import FakeNango

from toolyard.consent.nango import authorization_id
from toolyard.contracts.calls import Authorization
from toolyard.contracts.consents import ConsentAsked, ConsentTold
from toolyard.contracts.tools import ArcadeBinding, Authentication, HttpBinding, ToolSpec
from toolyard.store.authorizations import AuthorizationFilter
from toolyard.store.connect import open_store
from toolyard.store.crossing import Crossing
from toolyard.testing.store_suite import a_spec
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Transport
from toolyard.transport.connect import connect
from toolyard_scheduler.app import Scheduler
from toolyard_scheduler.consent_desk import TOGETHER
from toolyard_scheduler.consents import Consents
from toolyard_scheduler.starting import NotStarted

NANGO_KEY = "nango-key-of-the-org-0001"
CONSENT = Authorization(
    authorization_id="a1", provider="arcade/google", url="https://consent.example/a1", expires_at=4e9
)


class Keys:
    """Secrets of the org default."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def get(self, org: str, name: str) -> str | None:
        return self._values.get(name) if org == "default" else None


@pytest.fixture(scope="module")
def nango() -> Iterator[FakeNango]:
    with FakeNango(FakeEnvironment(NANGO_KEY)) as fake:
        yield fake


@pytest.fixture
async def consents(nango: FakeNango, arcade_engine: ArcadeEngine) -> AsyncIterator[Consents]:
    crossing = Crossing(1)
    keys = Keys(NANGO_SECRET_KEY=NANGO_KEY, ARCADE_API_KEY=ARCADE_KEY)
    made = Consents(keys, crossing, arcade_url=arcade_engine.url, nango_url=nango.url)
    yield made
    await made.close()
    await crossing.close()


def signs_in(**more: Any) -> ToolSpec:
    authentication = Authentication(type="nango", integration="github", **more)
    binding = HttpBinding(method="GET", url="https://api.example.com", authentication=authentication)
    return a_spec("issues", binding=binding)


def of_arcade(name: str, **more: Any) -> ToolSpec:
    return a_spec("mail", binding=ArcadeBinding(tool_name=name, **more))


async def refusal(consents: Consents, spec: ToolSpec, org: str = "default") -> tuple[str, str]:
    with pytest.raises(NotStarted) as caught:
        await consents.start(org, "ann", spec, time.time())
    return caught.value.code, str(caught.value)


# ---- what providers are asked ---------------------------------------------------------------------
async def test_at_nango_a_user_gets_a_link_until_they_are_connected(consents: Consents, nango: FakeNango):
    found = await consents.start("default", "cleo", signs_in(), time.time())
    assert found is not None
    assert (found.provider, found.authorization_id) == ("nango/github", authorization_id("default", "cleo", "github"))
    assert "/connect?session_token=" in found.url

    nango.environments[NANGO_KEY].connect("cleo")
    assert await consents.start("default", "cleo", signs_in(), time.time()) is None


async def test_at_arcade_a_user_gets_a_link_until_they_have_consented(consents: Consents, arcade_engine: ArcadeEngine):
    now = time.time()
    found = await consents.start("default", "ann", of_arcade("Yard.SendMail"), now)
    assert found is not None
    assert (found.provider, found.expires_at) == ("arcade/yard-mail", now + 600.0)
    assert found.scopes
    assert await consents.start("default", "ann", of_arcade("Yard.SendMail"), now) is not None
    again = await consents.start("default", "bob", of_arcade("Yard.SendMail"), now)
    assert again is not None
    assert again.authorization_id != found.authorization_id


async def test_of_a_tool_with_a_fallback_nothing_is_missing_once_both_ways_have_their_consent(
    consents: Consents, nango: FakeNango
):
    plain = HttpBinding(method="GET", url="https://api.example.com")
    spec = a_spec("issues", binding=plain, fallback=signs_in().binding)
    found = await consents.start("default", "dora", spec, time.time())
    assert found is not None
    assert found.provider == "nango/github"

    nango.environments[NANGO_KEY].connect("dora")
    assert await consents.start("default", "dora", spec, time.time()) is None


async def test_what_cannot_be_asked_for_says_why(consents: Consents, nango: FakeNango):
    assert (await refusal(consents, of_arcade("Yard.NoSuchTool")))[0] == "not_found"
    assert await refusal(consents, signs_in(), org="other") == (
        "tool_error",
        "the scheduler finds no secret NANGO_SECRET_KEY of this org; set it: toolyard secrets set NANGO_SECRET_KEY",
    )


async def test_a_tool_that_acts_for_nobody_needs_nothing(consents: Consents):
    assert await consents.start("default", "ann", signs_in(connection="c-1"), time.time()) is None
    assert await consents.start("default", "ann", a_spec("lookup"), time.time()) is None


# ---- through the scheduler ------------------------------------------------------------------------
class Starts:
    """Answers as a test says, once it may."""

    def __init__(self) -> None:
        self.answer: Authorization | NotStarted | None = CONSENT
        self.may = asyncio.Event()
        self.may.set()

    async def start(self, org: str, user: str, spec: ToolSpec, now: float) -> Authorization | None:
        assert (org, user, spec.name) == ("default", "ann", "lookup")
        await self.may.wait()
        if isinstance(self.answer, NotStarted):
            raise self.answer
        return self.answer


class Asker:
    """A gateway that asks."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.told: dict[int, ConsentTold] = {}

    async def begin(self) -> "Asker":
        await self._transport.own_queue(topology.reply_queue("g1"), topology.reply_bindings("g1"))
        await self._transport.consume(topology.reply_queue("g1"), self._take, prefetch=50)
        return self

    def _take(self, delivery: Delivery) -> None:
        if delivery.key.startswith(topology.CONSENT_TOLD):
            told = ENVELOPE.open_consent_told(delivery)
            self.told[told.number] = told
        delivery.ack()

    async def ask(self, number: int, **fields: Any) -> None:
        given: dict[str, Any] = {"org": "default", "user": "ann", "tool": "lookup", "version": 1}
        asked = ConsentAsked(v=1, gateway="g1", number=number, **given | fields)
        await self._transport.publish(ENVELOPE.consent_asked(asked))

    async def answer(self, number: int, **fields: Any) -> ConsentTold:
        await self.ask(number, **fields)
        await until(lambda: number in self.told, f"the answer to {number}")
        return self.told[number]


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with opened_at(database_url) as house:
        house.store.tools.create("default", a_spec("lookup"))
        yield house


async def test_what_a_user_is_asked_for_is_told_and_listed(house: House):
    starts = Starts()
    scheduler = await house.leader(starts=starts)
    asker = await Asker(house.transport).begin()

    told = await asker.answer(7)
    assert (told.org, told.authorization, told.refused) == ("default", CONSENT, None)

    def listed() -> list[Any]:
        page = house.store.authorizations.list("default", AuthorizationFilter(user="ann"), cursor=None, limit=9)
        return list(page.items)

    await until(listed, "the ledger to note it")
    (row,) = listed()
    assert (row.tool, row.call_id, row.status, row.url) == ("lookup", "", "pending", CONSENT.url)
    await until(lambda: scheduler.counts["authorizations opened arcade"] == 1, "it is counted, once it is committed")

    starts.answer = None
    told = await asker.answer(8)
    assert (told.authorization, told.refused) == (None, None)
    assert len(listed()) == 1


async def test_refusals_come_back_with_their_code(house: House):
    starts = Starts()
    starts.answer = NotStarted("rate_limited", "Arcade takes no more", retry_after=3.0)
    await house.leader(starts=starts)
    asker = await Asker(house.transport).begin()

    told = await asker.answer(1)
    assert (told.refused, told.message, told.retry_after) == ("rate_limited", "Arcade takes no more", 3.0)
    assert (await asker.answer(2, version=9)).refused == "version_gone"


async def test_more_than_are_asked_for_at_a_time_are_sent_away(house: House):
    starts = Starts()
    starts.may.clear()
    await house.leader(starts=starts)
    asker = await Asker(house.transport).begin()
    for number in range(TOGETHER + 1):
        await asker.ask(number)
    await until(lambda: asker.told, "the one too many")
    assert [(number, told.refused) for number, told in asker.told.items()] == [(TOGETHER, "rate_limited")]

    starts.may.set()
    await until(lambda: len(asker.told) == TOGETHER + 1, "all others")


async def test_a_scheduler_that_asks_nobody_says_so(house: House):
    await house.leader()
    asker = await Asker(house.transport).begin()
    assert (await asker.answer(1)).refused == "unavailable"


async def test_over_a_real_broker(amqp_url: str, tmp_path: Path):
    transport, crossing = connect(amqp_url, name="test", declare=True), Crossing(4)
    await transport.open()
    with closing(open_store(f"sqlite:///{tmp_path / 'ledger.db'}")) as store:
        store.migrate()
        store.tools.create("default", a_spec("lookup"))
        scheduler = Scheduler(transport, ENVELOPE, store, crossing, options=QUICK, starts=Starts())
        await scheduler.start()
        await until(lambda: scheduler.leading, "the scheduler to lead")
        told = await (await Asker(transport).begin()).answer(7)
        assert (told.authorization, told.refused) == (CONSENT, None)
        await until(lambda: store.authorizations.get("default", "arcade/google", "a1"), "the ledger to note it")
        await scheduler.stop()
        await crossing.close()
    await transport.close()
