"""A hand-written request/reply on pika's AsyncioConnection, at equal guarantees.

Durable queue, persistent request and result, publisher confirms, ack after the result was confirmed.
"""

import asyncio
import itertools
import sys

import httpx
import load
import msgspec
import pika
from pika.adapters.asyncio_connection import AsyncioConnection

QUEUE = "bench.pika"
REPLIES = "bench.pika.replies"
PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Confirms:
    def __init__(self, channel):
        self.channel, self.seq, self.low, self.waiting = channel, 0, 1, {}
        channel.confirm_delivery(self.on_confirm)

    def publish(self, queue, body, props, then):
        self.seq += 1
        self.waiting[self.seq] = then
        self.channel.basic_publish("", queue, body, props)

    def on_confirm(self, frame):
        assert isinstance(frame.method, pika.spec.Basic.Ack), "the broker refused a message"
        last = frame.method.delivery_tag
        for tag in range(self.low, last + 1) if frame.method.multiple else (last,):
            then = self.waiting.pop(tag, None)
            if then is not None:
                then()
        if frame.method.multiple:
            self.low = last + 1


async def connect():
    loop = asyncio.get_running_loop()
    opened, channel = loop.create_future(), loop.create_future()
    AsyncioConnection(pika.URLParameters(load.AMQP_URL), on_open_callback=opened.set_result)
    (await opened).channel(on_open_callback=channel.set_result)
    return await channel


async def declare(channel, queue):
    done = asyncio.get_running_loop().create_future()
    channel.queue_declare(queue, durable=True, callback=done.set_result)
    await done


async def worker():
    channel = await connect()
    await declare(channel, QUEUE)
    confirms, tasks = Confirms(channel), set()
    clients = itertools.cycle([httpx.AsyncClient(trust_env=False) for _ in range(64)])

    def finish(tag, props, result):
        reply = pika.BasicProperties(delivery_mode=2, correlation_id=props.correlation_id)
        confirms.publish(props.reply_to, msgspec.json.encode(result), reply, lambda: channel.basic_ack(tag))

    async def fetch(tag, props, request):
        try:
            response = await next(clients).get(load.UPSTREAM)
            finish(tag, props, {"id": request["id"], "status": "ok", "result": response.json()})
        except httpx.HTTPError as error:
            finish(tag, props, {"id": request["id"], "status": "error", "result": repr(error)})

    def on_message(_, method, props, body):
        request = msgspec.json.decode(body)
        if request["tool"] == "noop":
            finish(method.delivery_tag, props, load.noop(request))
        else:
            task = asyncio.ensure_future(fetch(method.delivery_tag, props, request))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    channel.basic_qos(prefetch_count=512)
    channel.basic_consume(QUEUE, on_message)
    await asyncio.Event().wait()


async def client():
    loop = asyncio.get_running_loop()
    channel = await connect()
    await declare(channel, QUEUE)
    await declare(channel, REPLIES)
    confirms, waiting = Confirms(channel), {}

    def on_reply(_, method, props, body):
        channel.basic_ack(method.delivery_tag)
        future = waiting.pop(props.correlation_id, None)
        if future is not None:
            future.set_result(msgspec.json.decode(body))

    channel.basic_qos(prefetch_count=4096)
    channel.basic_consume(REPLIES, on_reply)

    async def ask(tool):
        request = load.call(tool)
        confirmed, result = loop.create_future(), loop.create_future()
        waiting[request["id"]] = result
        props = pika.BasicProperties(delivery_mode=2, reply_to=REPLIES, correlation_id=request["id"])
        confirms.publish(QUEUE, msgspec.json.encode(request), props, lambda: confirmed.set_result(None))
        await confirmed
        return (await result)["status"] == "ok"

    await load.asynchronous(ask)


asyncio.run({"worker": worker, "client": client}[sys.argv[1]]())
