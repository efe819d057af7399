"""Publishing from the gateway, with the refusals that callers see when it does not succeed.

The transport bounds every publish in time. Called by the door's last step and by the registry's operations; it knows
nothing of what is published.
"""

import asyncio
from collections.abc import Coroutine
from typing import Final, Literal

from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION, Call, CallMessage
from toolyard.contracts.control import (
    Authorized,
    Cancel,
    Control,
    LogLevel,
    LogLevelSet,
    Pause,
    Resume,
    ToolChanged,
)
from toolyard.contracts.events import Withdrawn, about, sequence
from toolyard.errors import Refused, TransportError, Unavailable
from toolyard.telemetry import logs, spans, tracing
from toolyard.telemetry.logs import logger
from toolyard.telemetry.tracing import Span
from toolyard.transport.base import Delivery, Transport
from toolyard.transport.envelope import Envelope

log = logger("publishing")

#: Seconds after which a caller may try again.
RETRY_AFTER: Final = 1


class Publisher:
    """Sends calls and what belongs to them."""

    def __init__(self, transport: Transport, envelope: Envelope, clock: Clock, gateway_id: str) -> None:
        self._transport = transport
        self._envelope = envelope
        self._clock = clock
        self._gateway_id = gateway_id
        self._background: set[asyncio.Task[None]] = set()

    async def call(self, message: CallMessage, *, repeatable: bool, span: Span | None = None) -> None:
        """Publish a call; returns once the pool's queue and the log both have it, or the log alone if it is put off.

        Args:
            message: the call.
            repeatable: a repeat of the request is the same call. Any other one is withdrawn where it may have been
                taken: its caller would ask for one more (docs/decisions/0016).
            span: ends with this.

        Raises:
            Refused: ``unavailable``; where the call may have been taken, with its id.
        """
        call = message.call
        event = "accepted" if call.not_before is None else "scheduled"
        sealed = self._envelope.call(message, event=event)
        if span is not None:
            spans.sending(span, call.call_id, message_id=sealed.message_id, key=sealed.key, size=len(sealed.body))
        try:
            with tracing.lasting(span):
                await self._transport.publish(sealed)
        except Unavailable as error:
            log.warning("a call was not sent", **logs.of(call), error=str(error))
            reason = self._transport.health.reason or "the broker is away"
            detail = f"Calls cannot be taken at the moment: {reason}."
            raise Refused("unavailable", detail, retry_after=RETRY_AFTER) from None
        except TransportError as error:
            log.warning("a call was not confirmed", **logs.of(call), error=str(error))
            if not repeatable:
                self._later(self._withdraw(call))
            what = "may have been taken: repeat the request as it was" if repeatable else "is withdrawn"
            detail = f"The broker did not confirm the call in time; it {what}."
            raise Refused(
                "unavailable", detail, retry_after=RETRY_AFTER, extra={"call_id": call.call_id, "unconfirmed": True}
            ) from None

    async def cancel_call(self, call: Call) -> None:
        """Ask for the end of a call, wherever it is; raises `Refused` (unavailable) if that is not confirmed."""
        message = Cancel(v=VERSION, sender=self._gateway_id, time=self._clock.now(), org=call.org, call_id=call.call_id)
        await self._confirmed(message, "cancel", pool=call.pool, org=call.org, tool=call.tool)

    async def cancel_conversation(self, org: str, conversation: str) -> None:
        """Ask for the end of all calls of a conversation that were accepted before; raises as `cancel_call` does."""
        now = self._clock.now()
        message = Cancel(v=VERSION, sender=self._gateway_id, time=now, org=org, conversation=conversation)
        await self._confirmed(message, "cancel", org=org)

    async def pause(self, kind: Literal["tool", "pool", "org"], org: str, name: str, *, paused: bool) -> None:
        """Pause or resume; ``org`` is ``-`` for a pool. Raises as `cancel_call` does."""
        change = Pause if paused else Resume
        message = change(v=VERSION, sender=self._gateway_id, time=self._clock.now(), kind=kind, org=org, name=name)
        key = {"org": org} if kind == "org" else {"org": org, kind: name}
        await self._confirmed(message, "pause" if paused else "resume", **key)

    async def log_level(self, org: str, tool: str, level: LogLevel, seconds: float) -> None:
        """Tell everybody from which level on to log what is about this; raises as `cancel_call` does."""
        message = LogLevelSet(
            v=VERSION,
            sender=self._gateway_id,
            time=self._clock.now(),
            org=org,
            tool=tool,
            level=level,
            seconds=seconds,
        )
        await self._confirmed(message, "log level", org=org, **({"tool": tool} if tool else {}))

    async def authorized(self, org: str, provider: str, authorization_id: str) -> None:
        """Tell that a user has consented; raises as `cancel_call` does."""
        message = Authorized(
            v=VERSION,
            sender=self._gateway_id,
            time=self._clock.now(),
            org=org,
            provider=provider,
            authorization_id=authorization_id,
            status="completed",
        )
        await self._confirmed(message, "webhook", org=org)

    async def _confirmed(self, message: Control, what: str, **key: str) -> None:
        try:
            await self._transport.publish(self._envelope.control(message, gateway=self._gateway_id, **key))
        except TransportError as error:
            log.warning("a control message was not confirmed", message=what, error=str(error))
            detail = f"The broker did not confirm this {what}; repeat it."
            raise Refused("unavailable", detail, retry_after=RETRY_AFTER) from None

    async def tool_changed(self, org: str, tool: str, version: int) -> None:
        """Tell everybody who keeps this tool that it was changed; who misses it asks again within seconds."""
        now = self._clock.now()
        message = ToolChanged(v=VERSION, sender=self._gateway_id, time=now, org=org, tool=tool, version=version)
        key = {"org": org, "gateway": self._gateway_id, "tool": tool}
        try:
            await self._transport.publish(self._envelope.control(message, **key))
        except TransportError as error:
            log.warning("others were not told of a changed tool", tool=tool, error=str(error))

    def put_away(self, delivery: Delivery, reason: str) -> None:
        """Quarantine what does not verify or decode, in the background; it is settled when that is over."""
        log.warning("quarantined a message", reason=reason, queue=delivery.queue)
        self._later(self._put_away(delivery, reason))

    async def _put_away(self, delivery: Delivery, reason: str) -> None:
        try:
            await self._transport.publish(self._envelope.quarantined(delivery, reason))
        except TransportError as error:
            log.warning("a message was not quarantined", error=str(error))
            delivery.release()
        else:
            delivery.ack()

    async def _withdraw(self, call: Call) -> None:
        event = Withdrawn(**about(call), attempt=0, sequence=sequence(0, 1), time=self._clock.now())
        try:
            await self._transport.publish(self._envelope.event(event))
        except TransportError as error:
            log.warning("a call was not withdrawn", **logs.of(call), error=str(error))

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def finish(self) -> None:
        """Let what goes on in the background end; each part of it is bounded in time."""
        await asyncio.gather(*self._background, return_exceptions=True)
