"""How large the log may become is what a policy of the broker says, also where it was declared with less.

docs/operations/capacity.md tells operators so: a stream's arguments cannot be changed, and its policy can.
"""

import itertools
import json

import pika
import pytest
from tests.support.rabbit import RabbitNode
from tests.support.waiting import wait_until

from toolyard.transport import topology

SEGMENT = 100_000
SMALL = {"x-max-length-bytes": 2 * SEGMENT, "x-stream-max-segment-size-bytes": SEGMENT}
LARGE = json.dumps({"max-length-bytes": 100 * SEGMENT})
BODY = b"x" * 10_000


@pytest.fixture
def channel(private_broker: RabbitNode):
    with pika.BlockingConnection(pika.URLParameters(private_broker.url())) as connection:
        yield connection.channel()


def first_offset(channel, name: str) -> int:
    """That of the oldest record that a stream still has."""
    channel.basic_qos(prefetch_count=1)
    told = channel.consume(name, arguments={"x-stream-offset": "first"}, inactivity_timeout=10)
    _, properties, _ = next(told)
    channel.cancel()
    return int(properties.headers["x-stream-offset"])


def test_a_policy_lets_the_log_keep_more_than_it_was_declared_with(private_broker: RabbitNode, channel):
    names = [f"{topology.LOG}.{which}" for which in ("declared", "policy")]
    for name in names:
        arguments = topology.queue(topology.LOG).arguments | SMALL
        channel.queue_declare(name, durable=True, arguments=arguments)
    pattern = "^" + names[1].replace(".", r"\.") + "$"
    private_broker.ctl("set_policy", "--apply-to", "queues", "larger-log", pattern, LARGE)
    channel.confirm_delivery()
    for _, name in itertools.product(range(200), names):
        channel.basic_publish("", name, BODY)

    def forgotten() -> bool:
        channel.basic_publish("", names[0], BODY)  # segments are looked at when one is full
        return first_offset(channel, names[0]) > 0

    wait_until(forgotten, within=60, what="the log without a policy to forget its first records")
    assert first_offset(channel, names[1]) == 0
