"""Celery 5.7 as its users run it for this: RabbitMQ, rpc results, acks_late, publisher confirms.

No-op calls: prefork with one child. HTTP calls: 256 threads.
"""

import itertools
import sys
import threading

import httpx
import load
from celery import Celery

app = Celery("bench", broker=load.AMQP_URL, backend="rpc://")
app.conf.update(
    task_acks_late=True,
    task_default_queue="bench.celery",
    task_default_delivery_mode="persistent",
    broker_transport_options={"confirm_publish": True},
    result_persistent=True,
    broker_connection_retry_on_startup=True,
    broker_heartbeat=0,
    worker_hijack_root_logger=False,
)
_clients: list[httpx.Client] = []
_turn, _lock = itertools.count(), threading.Lock()


def client() -> httpx.Client:
    with _lock:
        if not _clients:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            _clients.extend(httpx.Client(trust_env=False, limits=limits) for _ in range(64))
        return _clients[next(_turn) % 64]


@app.task(name="noop")
def noop(request):
    return load.noop(request)


@app.task(name="http")
def http(request):
    return {"id": request["id"], "status": "ok", "result": client().get(load.UPSTREAM).json()}


if __name__ == "__main__" and sys.argv[1:] == ["client"]:
    tasks = {"noop": noop, "http": http}

    def send(request):
        tasks[request["tool"]].apply_async((request,)).then(lambda _: loop.finished(request["id"]))

    def pump():
        try:
            app.backend.result_consumer.drain_events(timeout=1)
        except TimeoutError:
            print("nothing came for a second", file=sys.stderr)

    loop = load.Callbacks(send, pump)
    loop.run()
