"""The events of an org as an iterator that outlives its connections: over HTTP, or over AMQP for who has the broker.

::

    from toolyard.client import events

    with events.over_http(since="first") as feed:
        for event in feed:
            print(event.cursor, event.event, event.call_id)

`over_amqp` gives the same shape. `toolyard.client.events.aio` is the twin of both for event loops. Each event is given
once; a `Gap` says that some are not kept any more; `cursor` tells where to go on in another process.
"""

from toolyard.client.events.amqp import OverAmqp, over_amqp
from toolyard.client.events.http import OverHttp, over_http
from toolyard.client.feed import FeedEvent, Gap

__all__ = ["FeedEvent", "Gap", "OverAmqp", "OverHttp", "over_amqp", "over_http"]
