"""How the tour asks: by the SDK, with what happens to its calls told as it comes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple

import httpx

from toolyard.client import AsyncClient, Call, FeedEvent, Gap, Turn

#: Seconds: a gateway may know of an end later than its followers are told it.
_A_MOMENT: Final = 10.0


class Unlike(Exception):  # noqa: N818 - it is what the tour is there to find
    """What came is not what must come; the text says what came."""


class Seen(NamedTuple):
    """An event as the tour saw it.

    Attributes:
        after: seconds since the step began.
    """

    after: float
    event: FeedEvent


Tell = Callable[[Seen], None]


class Notes:
    """The events of one step: each is noted, and told at once. What a user is asked to consent to is consented to."""

    def __init__(self, tell: Tell) -> None:
        self.seen: list[Seen] = []
        self._tell = tell
        self._begun = time.monotonic()

    async def take(self, events: AsyncIterator[FeedEvent | Gap], *, calls: int) -> None:
        """Note what comes, until so many calls have ended."""
        async for event in events:
            if isinstance(event, Gap):
                raise Unlike("some events of a system that has just begun are not kept any more")
            seen = Seen(time.monotonic() - self._begun, event)
            self.seen.append(seen)
            self._tell(seen)
            if event.authorization is not None:
                await _open(event.authorization.url)
            calls -= event.last
            if not calls:
                return


async def _open(link: str) -> None:
    """As the user would in a browser."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        (await browser.get(link)).raise_for_status()


async def call(client: AsyncClient, body: dict[str, Any], notes: Notes) -> Call:
    """Make a call, follow it to its end, and give it as it stands then.

    Raises:
        ToolyardError: as `AsyncClient.call` and `AsyncClient.follow` do.
    """
    async with client.follow() as events:
        made = await client.call(**body, wait=0)
        await notes.take(events, calls=1)
    return await client.get(made.call_id, wait=_A_MOMENT)


async def turn(client: AsyncClient, body: dict[str, Any], notes: Notes) -> Turn:
    """Take a turn in the format of OpenAI, and follow its calls meanwhile.

    Raises:
        ToolyardError: as `AsyncClient.turn` and `AsyncClient.follow` do.
    """
    try:
        async with client.follow() as events, asyncio.TaskGroup() as group:
            turning = group.create_task(client.turn(**body))
            group.create_task(notes.take(events, calls=len(body["message"]["tool_calls"])))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return turning.result()
