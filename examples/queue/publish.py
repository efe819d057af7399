"""Calls by way of a queue, with pika alone: published, answered, and followed on a queue of one's own.

    python publish.py 1000 --tool price --arguments '{"sku": "apple"}'

AMQP_URL names the broker, TOOLYARD_API_KEY the key that may call. FOLLOW_URL signs in as a follower of the org, where
that is another user. It prints what came back; with --replay also whether the org's stream gives the same once more.
"""

import argparse
import json
import os
import sys
import uuid
from collections import Counter

import pika

BROKER = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
ENDS = {"succeeded", "failed", "timed_out", "expired", "cancelled", "rejected"}


def connect(url):
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 600  # neither of the two is served while the other one is
    return pika.BlockingConnection(parameters)


def publish(channel, reply_to, options):
    """All calls, each confirmed; gives their correlation ids."""
    headers = {"authorization": f"Bearer {os.environ['TOOLYARD_API_KEY']}"}
    body = json.dumps({"tool": options.tool, "arguments": json.loads(options.arguments)}).encode()
    asked = set()
    for _ in range(options.number):
        number = str(uuid.uuid4())  # nobody else can guess it, and the same message is the same call
        properties = pika.BasicProperties(
            type="call",
            content_type="application/json",
            delivery_mode=2,
            message_id=number,
            correlation_id=number,
            reply_to=reply_to,
            headers=headers,
        )
        channel.basic_publish("", "toolyard.requests", body, properties, mandatory=True)
        asked.add(number)
    return asked


def answers(connection, channel, queue, asked):
    """The answer to each request; one that comes twice counts once."""
    found = {}

    def take(channel, method, properties, body):
        if properties.correlation_id in asked:
            found[properties.correlation_id] = (properties.type, json.loads(body))
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume(queue, take)
    while len(found) < len(asked):
        connection.process_data_events(time_limit=1)
    return found


def follow(channel, org):
    """A queue that gets all events of the org's calls from now on."""
    queue = f"follow.{org}.{uuid.uuid4()}"
    channel.queue_declare(queue, exclusive=True)
    channel.queue_bind(queue, "toolyard.feed", f"{org}.call.#")
    return queue


def events(connection, channel, queue, complete, **how):
    """Events of the feed in their order, each once, until these are complete."""
    found: dict = {}

    def take(channel, method, properties, body):
        told = {name.removeprefix("cloudEvents_"): value for name, value in properties.headers.items()}
        found.setdefault(told["id"], told)
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=200)
    channel.basic_consume(queue, take, **how)
    while not complete(found):
        connection.process_data_events(time_limit=1)
    return list(found.values())


def ended(told):
    """The calls that have ended, as far as these events tell."""
    return {one["subject"] for one in told if one["type"].split(".")[-2] in ENDS}


def by_call(told, calls):
    """What was told of each of these calls, in order."""
    rows: dict = {call: [] for call in sorted(calls)}
    for one in told:
        if one["subject"] in rows:
            rows[one["subject"]].append((one["id"], one["type"], one["sequence"]))
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("number", type=int)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--arguments", default="{}")
    parser.add_argument("--org", default="default")
    parser.add_argument("--replay", action="store_true", help="read the org's stream, too")
    options = parser.parse_args()

    connection, following = connect(BROKER), connect(os.environ.get("FOLLOW_URL", BROKER))
    channel, feed = connection.channel(), following.channel()
    channel.confirm_delivery()
    followed = follow(feed, options.org)

    reply_to = channel.queue_declare("", exclusive=True).method.queue
    asked = publish(channel, reply_to, options)
    found = answers(connection, channel, reply_to, asked)
    connection.close()
    calls = {body["call_id"] for kind, body in found.values() if kind == "call"}
    states = Counter(body["state"] if kind == "call" else body["code"] for kind, body in found.values())

    live = events(following, feed, followed, lambda known: calls <= ended(known.values()))
    summary = {"published": len(asked), "answers": len(found), "calls": len(calls), "states": states}
    summary["events"] = sum(map(len, by_call(live, calls).values()))
    summary["in_order"] = all(rows == sorted(rows, key=lambda row: row[2]) for rows in by_call(live, calls).values())
    if options.replay:
        wanted, stream = {one["id"] for one in live}, following.channel()
        replayed = events(
            *(following, stream, f"toolyard.feed.{options.org}", lambda known: wanted <= known.keys()),
            arguments={"x-stream-offset": "first"},
        )
        summary["replayed_the_same"] = by_call(replayed, calls) == by_call(live, calls)
    following.close()
    print(json.dumps(summary))
    return 0 if summary["calls"] == options.number else 1


if __name__ == "__main__":
    sys.exit(main())
