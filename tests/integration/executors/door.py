"""What a gateway does, as far as a worker sees it."""

from typing import Any

from tests.support.waiting import async_wait_until
from tests.unit.executors.making import a_call, a_message, a_tool

from toolyard import ids
from toolyard.contracts.calls import Call
from toolyard.contracts.events import Ended, Event
from toolyard.contracts.tools import Binding
from toolyard.security.signing import Keyring
from toolyard.transport import topology
from toolyard.transport.base import Delivery
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope

#: Seconds that the tests wait for what must come.
WITHIN = 60.0


class Door:
    """Publishes calls, and hears what becomes of them."""

    def __init__(self, url: str, keys: str) -> None:
        self.name = f"g{ids.new_id()[-6:]}"
        self.envelope = Envelope(Keyring.parse(keys))
        self.transport = connect(url, name="test", declare=True, publish_timeout=WITHIN)
        self.events: list[Event] = []

    async def open(self) -> None:
        await self.transport.open()
        queue = topology.reply_queue(self.name)
        await self.transport.own_queue(queue, topology.reply_bindings(self.name))
        await self.transport.consume(queue, self._heard, prefetch=100)

    def _heard(self, delivery: Delivery) -> None:
        if delivery.exchange == topology.EVENTS:
            self.events.extend(self.envelope.open_events(delivery))
        delivery.ack()

    async def call(self, binding: Binding, **options: Any) -> Call:
        call = a_call(gateway=self.name, **options)
        await self.transport.publish(self.envelope.call(a_message(call, a_tool(binding))))
        return call

    async def again(self, call: Call, binding: Binding) -> None:
        """Somebody publishes a copy."""
        await self.transport.publish(self.envelope.call(a_message(call, a_tool(binding))))

    async def end_of(self, call: Call) -> Ended:
        async def ended() -> Ended | None:
            ends = [each for each in self.events if isinstance(each, Ended) and each.call_id == call.call_id]
            return ends[0] if ends else None

        end = await async_wait_until(ended, within=WITHIN, what=f"the end of {call.call_id}")
        assert end is not None
        return end
