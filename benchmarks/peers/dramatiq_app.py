"""dramatiq 2.2 as its users run it for this: RabbitMQ with confirms, Redis results, default middleware.

No-op calls: 8 threads. HTTP calls: 256 threads. The client waits for results in one thread a call.
"""

import itertools
import sys
import threading

import dramatiq
import httpx
import load
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RabbitmqBroker(url=load.AMQP_URL, confirm_delivery=True)
# 256 threads that wait need as many connections, for longer than redis-py's default patience.
broker.add_middleware(Results(backend=RedisBackend(url=f"{load.REDIS_URL}?socket_timeout=60&max_connections=2000")))
dramatiq.set_broker(broker)
_clients: list[httpx.Client] = []
_turn, _lock = itertools.count(), threading.Lock()


def client() -> httpx.Client:
    with _lock:
        if not _clients:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            _clients.extend(httpx.Client(trust_env=False, limits=limits) for _ in range(64))
        return _clients[next(_turn) % 64]


@dramatiq.actor(queue_name="bench_dramatiq", store_results=True, result_ttl=60_000)
def noop(request):
    return load.noop(request)


@dramatiq.actor(queue_name="bench_dramatiq", store_results=True, result_ttl=60_000)
def http(request):
    return {"id": request["id"], "status": "ok", "result": client().get(load.UPSTREAM).json()}


if __name__ == "__main__" and sys.argv[1:] == ["client"]:
    actors = {"noop": noop, "http": http}

    def ask(tool):
        result = actors[tool].send(load.call(tool)).get_result(block=True, timeout=30_000)
        return result["status"] == "ok"

    load.threaded(ask)
