"""Arcade itself: a tool that runs, a user who has not consented, a key that is none. It needs a project's key."""

import json
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import pytest
from tests.live.conftest import needed
from tests.unit.executors.making import a_tool, an_attempt

from toolyard.arcade_names import ARCADE_URL
from toolyard.consent import arcade, nango
from toolyard.contracts.tools import ARCADE_KEY, ArcadeBinding
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.arcade import ArcadeExecutor

URL = os.environ.get("TOOLYARD_ARCADE_URL", ARCADE_URL)
#: A tool that needs nobody's consent, with its arguments; and one that does.
TOOL = os.environ.get("TOOLYARD_TEST_ARCADE_TOOL", "Math.Add")
ARGUMENTS = json.loads(os.environ.get("TOOLYARD_TEST_ARCADE_ARGUMENTS", '{"a": "2", "b": "40"}'))
CONSENT_TOOL = os.environ.get("TOOLYARD_TEST_ARCADE_CONSENT_TOOL", "Gmail.ListEmails")


class Live(NamedTuple):
    """An executor, and the key of the project."""

    executor: ArcadeExecutor
    key: str

    async def run(self, name: str, arguments: Mapping[str, Any], *, key: str = "", user: str = "") -> Finished:
        attempt = an_attempt(
            self.executor,
            a_tool(ArcadeBinding(tool_name=name)),
            secrets={ARCADE_KEY: key or self.key},
            arguments=dict(arguments),
            user=user or f"toolyard-{uuid.uuid4()}",
            pool="arcade",
        )
        return await self.executor.run(attempt)


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    (key,) = needed("ARCADE_API_KEY", why="Arcade")
    executor = ArcadeExecutor(concurrency=4, url=URL)
    await executor.open()
    yield Live(executor, key)
    await executor.close()


async def test_a_tool_runs(live: Live):
    finished = await live.run(TOOL, ARGUMENTS)

    assert finished.error is None, finished.error
    assert finished.effect == "done"
    assert finished.result is not None


async def test_a_user_who_has_not_consented_is_sent_somewhere_and_nothing_runs(live: Live):
    user = f"toolyard-{uuid.uuid4()}"
    finished = await live.run(CONSENT_TOOL, {}, user=user)

    assert finished.authorization is not None, finished
    assert finished.effect == "none"
    async with nango.new_client() as http:
        told = await arcade.told(http, URL, live.key, finished.authorization.authorization_id)
    assert told.status in ("not_started", "pending")


async def test_a_key_that_is_none_is_refused(live: Live):
    finished = await live.run(TOOL, ARGUMENTS, key="arc_this-is-no-key")

    assert finished.error is not None
    assert (finished.error.code, finished.effect) == ("permission_denied", "none")


async def test_a_tool_that_is_not_there(live: Live):
    finished = await live.run("Toolyard.NoSuchTool", {})

    assert finished.error is not None
    assert finished.effect == "none"
