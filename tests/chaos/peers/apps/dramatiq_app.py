"""dramatiq 2.2 at its recommended settings: RabbitMQ with confirms, Redis results, default middleware and retries."""

import os
import sys

import dramatiq
import tools
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.results import ResultFailure, ResultMissing, Results
from dramatiq.results.backends import RedisBackend

broker = RabbitmqBroker(url=os.environ["CHAOS_AMQP_URL"], confirm_delivery=True)
backend = RedisBackend(url=f"{os.environ['CHAOS_REDIS_URL']}?max_connections=2000")
broker.add_middleware(Results(backend=backend))
dramatiq.set_broker(broker)

look = dramatiq.actor(tools.look, store_results=True)
pay = dramatiq.actor(tools.pay, store_results=True)
ACTORS = {"look": look, "pay": pay}


class Dramatiq:
    def make(self, kind, key, delay, after):
        message = ACTORS[kind].message(key, delay, after)
        return message.message_id, lambda: broker.enqueue(message)

    def end(self, kind, message_id):
        message = ACTORS[kind].message().copy(message_id=message_id)
        try:
            backend.get_result(message)
        except ResultMissing:
            return None
        except ResultFailure as failure:
            return "failed", str(failure)[:300]
        return "succeeded", ""


if __name__ == "__main__" and sys.argv[1:] == ["producer"]:
    import producer

    producer.run(Dramatiq())
