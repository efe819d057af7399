"""The front itself: takes requests from the queue while calls may be accepted, and settles each once it was answered.

A request stays the broker's until its answer is confirmed, so that a gateway's death hands it to another one; what
makes a message the same request then finds the same call. One whose call takes long goes on as a ticket, which comes
back every few seconds: nothing is held for long, and no parked call is in the way of others.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION
from toolyard.contracts.requests import CallTicket, Ticket
from toolyard.errors import ContractError, Refused, StoreError, TransportError
from toolyard.telemetry import catalogue, spans, tracing
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Subscription, Transport
from toolyard.transport.envelope import TICKET, Envelope
from toolyard_gateway.admission import Door
from toolyard_gateway.amqp import addresses, reading
from toolyard_gateway.amqp.telling import Teller, Told, call_told, problem_told, turn_told
from toolyard_gateway.amqp.waiting import LAST, Waiting
from toolyard_gateway.api import problems
from toolyard_gateway.authentication import Authenticator
from toolyard_gateway.metrics import Metrics
from toolyard_gateway.position import LedgerWatch
from toolyard_gateway.publishing import Publisher
from toolyard_gateway.reading import Calls
from toolyard_gateway.turns import Turns

log = logger("requests")

#: Requests that one gateway has in hand at a time.
PREFETCH: Final = 500
#: Seconds for which the end of a call is waited for before its request becomes a ticket.
HOLD: Final = 20.0
#: Seconds after its deadline that a call may be unknown to a ledger that is behind.
LATE: Final = 3_600.0
#: Seconds between two looks at whether calls may be accepted, and two tries of what could not be.
WATCH: Final = 0.5
AGAIN: Final = 1.0
#: Seconds after which a request that cannot be accepted goes back to its queue: well before the broker takes it away.
GIVE_BACK: Final = 600.0
#: Deliveries of one request: whoever has it dies, or cannot accept it for hours.
MOST_DELIVERIES: Final = 100
#: Seconds that a timer may be early.
_EARLY: Final = 0.05
#: Seconds in which a gateway that stops lets go of what it has in hand.
LAST_WORDS: Final = 3.0


class NotNow(Exception):  # noqa: N818 - a finding
    """Calls cannot be accepted, and the request goes back to its queue."""


class Front:
    """Consumes the queue of requests."""

    def __init__(
        self,
        *,
        transport: Transport,
        envelope: Envelope,
        authenticator: Authenticator,
        door: Door,
        calls: Calls,
        turns: Turns,
        waiting: Waiting,
        ledger: LedgerWatch,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._authenticator = authenticator
        self._door = door
        self._calls = calls
        self._turns = turns
        self._waiting = waiting
        self._ledger = ledger
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._teller = Teller(transport, envelope, metrics, clock)
        self._subscription: Subscription | None = None
        self._in_hand: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._left: asyncio.Task[None] | None = None
        self._open = True
        metrics.board.ask(catalogue.IN_HAND, lambda: len(self._in_hand))

    # ---- its life -----------------------------------------------------------------------------
    async def start(self) -> None:
        """Consume the queue."""
        self._subscription = await self._transport.consume(topology.REQUESTS, self.receive, prefetch=PREFETCH)

    @property
    def unready(self) -> str:
        """Why requests are not taken although calls may be accepted; empty where all is well."""
        taking = self._subscription is not None and self._subscription.active
        return "" if taking or not self._open else f"Requests do not come in: {topology.REQUESTS} is not consumed."

    async def watch(self) -> None:
        """Take requests while calls may be accepted, and none else; for ever."""
        while True:
            await asyncio.sleep(WATCH)
            able = self._able()
            if self._stopping.is_set():
                return
            if able != self._open and self._subscription is not None:
                log.info("requests are taken again" if able else "requests stay in their queue", able=able)
                self._open = able
                await (self._subscription.resume() if able else self._subscription.pause())

    def _able(self) -> bool:
        try:
            self._ledger.check()
        except Refused:
            return False
        return self._transport.health.ok

    def leave(self) -> None:
        """Take nothing more: what cannot be accepted any more goes back to the queue."""
        if not self._stopping.is_set():
            self._open = False
            self._stopping.set()
            if self._subscription is not None:
                self._left = asyncio.ensure_future(self._subscription.pause())

    async def stop(self) -> None:
        """Let go of what is in hand, and consume no more; what is not settled then, another gateway gets."""
        self.leave()
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=LAST_WORDS)
        if self._subscription is not None:
            await self._subscription.close()
        ending = [*self._in_hand, *([] if self._left is None else [self._left])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    # ---- deliveries ---------------------------------------------------------------------------
    def receive(self, delivery: Delivery) -> None:
        """Handle one delivery, in a task of its own."""
        work = self._on_ticket(delivery) if delivery.kind == TICKET else self._on_request(delivery)
        task = asyncio.ensure_future(self._settled(delivery, work))
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)

    async def _settled(self, delivery: Delivery, work: Coroutine[Any, Any, bool]) -> None:
        """Ack it once the work is done; what fails is seen, and goes back."""
        try:
            done = await work
        except NotNow:
            if self._left is not None:  # or it came back to us, again and again
                await self._left
            delivery.release()
        except Exception as error:  # noqa: BLE001 - a defect must be seen; its text may hold what was asked
            log.error("a request failed", message_id=delivery.message_id, error=type(error).__name__)  # noqa: TRY400
            delivery.release()
        else:
            if done:
                delivery.ack()

    async def _on_request(self, delivery: Delivery) -> bool:
        given = reading.traceparent_of(delivery)
        context, span = spans.request_from(topology.REQUESTS, given, message_id=delivery.message_id)
        tracing.current.set(context)
        with tracing.lasting(span):
            return await self._answered(delivery)

    async def _answered(self, delivery: Delivery) -> bool:
        kind = delivery.kind if delivery.kind in reading.KINDS else "call" if not delivery.kind else "unknown"
        told = await self._outcome(delivery, kind)
        if told is None:
            self._metrics.request(kind, "accepted")
            return True
        if isinstance(told, Ticket):
            return await self._teller.wait(delivery, told)
        if told.kind == "problem" and (not delivery.reply_to or addresses.why_not(delivery.reply_to)):
            self._metrics.request(kind, "quarantined")
            self._publisher.put_away(delivery, told.reason)
            return False
        return await self._tell(delivery, kind, told, delivery.reply_to, reading.correlation_of(delivery))

    async def _tell(self, delivery: Delivery, kind: str, told: Told, to: str, correlation_id: str) -> bool:
        done = await self._teller.tell(delivery, told, to=to, correlation_id=correlation_id)
        if done:
            self._metrics.request(kind, told.result)
        return done

    async def _outcome(self, delivery: Delivery, kind: str) -> Told | Ticket | None:
        """What becomes of a request: an answer, a ticket, or nothing where nobody asked for an answer.

        Raises:
            NotNow: calls cannot be accepted, or this gateway stops.
        """
        if self._stopping.is_set():
            raise NotNow
        until = self._clock.monotonic() + GIVE_BACK
        while True:
            try:
                self._check(delivery)
                return await (self._turn(delivery) if kind == "turn" else self._call(delivery))
            except (Refused, StoreError, TransportError) as error:
                refused = problems.refusal(error)
            except Exception as error:  # noqa: BLE001 - as over HTTP: a defect is a problem document, too
                log.error("a request failed", message_id=delivery.message_id, error=type(error).__name__)  # noqa: TRY400
                refused = problems.refusal(error)
            if refused.refusal != "unavailable":
                self._metrics.refused(refused.refusal)
                return problem_told(refused)
            await self._pause(delivery, until, refused)

    async def _pause(self, delivery: Delivery, until: float, refused: Refused) -> None:
        """Before another try, where one makes sense."""
        log.debug("a request has to wait", message_id=delivery.message_id, reason=refused.detail)
        if self._stopping.is_set() or self._clock.monotonic() > until or not delivery.alive:
            raise NotNow
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(refused.retry_after or AGAIN):
                await self._stopping.wait()
        if self._stopping.is_set():
            raise NotNow

    def _check(self, delivery: Delivery) -> None:
        """What is refused before anything is read."""
        reading.kind_of(delivery)
        reading.check_texts(delivery)
        why = addresses.why_not(delivery.reply_to)
        if why is not None:
            raise Refused("validation_failed", why)
        if delivery.count >= MOST_DELIVERIES:
            raise Refused("poisoned", f"It was delivered {delivery.count} times, and nobody came to its end.")
        if not self._able():
            raise Refused("unavailable", "Calls cannot be accepted at the moment.")

    # ---- calls --------------------------------------------------------------------------------
    async def _call(self, delivery: Delivery) -> Told | Ticket | None:
        headers = reading.headers_of(delivery)
        principal = await reading.principal_of(self._authenticator, headers, delivery.user_id)
        wanted = reading.call_of(delivery, headers, principal)
        asked_at, began = self._clock.now(), self._clock.monotonic()
        admission = await self._door.admit(wanted.asked)
        self._metrics.accepted()
        if not delivery.reply_to:
            return None
        answer = await self._calls.outcome(admission, HOLD if wanted.wait is None else min(HOLD, wanted.wait))
        pending = admission.pending
        asks = pending is not None and pending.awaits_user
        waited = wanted.wait is not None and (asks or self._clock.monotonic() - began >= wanted.wait - _EARLY)
        if answer.terminal or waited:
            return call_told(answer)
        deadline = asked_at if pending is None else pending.call.deadline
        call = CallTicket(
            call_id=answer.call_id,
            body_hash=answer.body_hash,
            until=deadline + LATE,
            as_it_stands=None if wanted.wait is None else asked_at + wanted.wait,
            deduplicated=admission.repeated,
        )
        return _ticket(principal.org, delivery, call=call)

    # ---- turns --------------------------------------------------------------------------------
    async def _turn(self, delivery: Delivery) -> Told | Ticket | None:
        headers = reading.headers_of(delivery)
        principal = await reading.principal_of(self._authenticator, headers, delivery.user_id)
        asked = reading.turn_of(delivery, headers, principal)
        until = self._clock.now() + asked.seconds
        turned = await self._turns.look(asked, asked.seconds if asked.seconds <= HOLD + LAST else HOLD)
        if turned is not None:
            return turn_told(turned) if delivery.reply_to else None
        if not delivery.reply_to:
            return None
        return _ticket(principal.org, delivery, turn=reading.ticket_of(asked, delivery.body, until))

    # ---- tickets ------------------------------------------------------------------------------
    async def _on_ticket(self, delivery: Delivery) -> bool:
        try:
            ticket = self._envelope.open_ticket(delivery)
        except ContractError as error:
            self._metrics.request("ticket", "quarantined")
            self._publisher.put_away(delivery, str(error))
            return False
        kind = "call" if ticket.turn is None else "turn"
        told = await self._told_for(ticket)
        if told is None:
            return await self._teller.wait(delivery, ticket)
        return await self._tell(delivery, kind, told, ticket.reply_to, ticket.correlation_id)

    async def _told_for(self, ticket: Ticket) -> Told | None:
        try:
            return await self._waiting.look(ticket)
        except (Refused, StoreError, TransportError) as error:
            refused = problems.refusal(error)
        except Exception as error:  # noqa: BLE001 - as of a request
            log.error("a ticket failed", org=ticket.org, error=type(error).__name__)  # noqa: TRY400
            refused = problems.refusal(error)
        if refused.refusal == "unavailable":
            return None
        self._metrics.refused(refused.refusal)
        return problem_told(refused)


def _ticket(org: str, delivery: Delivery, **what: Any) -> Ticket:
    return Ticket(v=VERSION, org=org, reply_to=delivery.reply_to, correlation_id=delivery.correlation_id, **what)
