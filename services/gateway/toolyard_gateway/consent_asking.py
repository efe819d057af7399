"""Has a user asked for a consent before any call needs it: a question to the scheduler, answered on our own queue.

Called by the operation `api/authorizations`. The keys of providers live with schedulers and workers, not here.
"""

import asyncio
import random
from typing import Final, NamedTuple

from toolyard.contracts.calls import VERSION, Authorization
from toolyard.contracts.consents import ConsentAsked, ConsentTold
from toolyard.errors import CODES, Refused, TransportError
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope

log = logger("consents")

#: Seconds that the scheduler, and the provider behind it, have.
PATIENCE: Final = 12.0
_NUMBERS: Final = 2**31
_AWAY: Final = "No scheduler answered in time; try again."


class _Open(NamedTuple):
    org: str
    told: "asyncio.Future[ConsentTold]"


class ConsentAsker:
    """Asks the scheduler that leads.

    Numbers begin anywhere: an answer to the process that had this queue before is no answer to this one.
    """

    def __init__(
        self, *, gateway_id: str, transport: Transport, envelope: Envelope, patience: float = PATIENCE
    ) -> None:
        self._gateway_id = gateway_id
        self._transport = transport
        self._envelope = envelope
        self._patience = patience
        self._number = random.randrange(_NUMBERS)  # noqa: S311 - it only has to differ
        self._open: dict[int, _Open] = {}

    async def start(self, org: str, user: str, tool: str, version: int) -> Authorization | None:
        """What this user has to consent to before this tool can be run for them; None where nothing is missing.

        Raises:
            Refused: the provider's refusal, or ``unavailable``: no scheduler answered.
        """
        self._number = number = (self._number + 1) % _NUMBERS
        asked = ConsentAsked(
            v=VERSION, gateway=self._gateway_id, number=number, org=org, user=user, tool=tool, version=version
        )
        one = self._open[number] = _Open(org, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(self._patience):
                await self._transport.publish(self._envelope.consent_asked(asked))
                told = await one.told
        except (TimeoutError, TransportError) as error:
            log.warning("a consent was not asked for", org=org, tool=tool, error=str(error) or "no answer")
            raise Refused("unavailable", _AWAY, retry_after=1) from None
        finally:
            del self._open[number]
        if told.refused is not None:
            code = told.refused if told.refused in CODES else "upstream_error"
            raise Refused(code, f"The consent could not be asked for: {told.message}.", retry_after=told.retry_after)
        return told.authorization

    def hear(self, told: ConsentTold) -> None:
        """The scheduler has answered."""
        asked = self._open.get(told.number)
        if asked is not None and asked.org == told.org and not asked.told.done():
            asked.told.set_result(told)
