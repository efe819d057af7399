"""Celery 5.7 at its recommended settings for calls that must not be lost.

Quorum queues, confirmed and persistent publishes, late acks that are rejected when the worker is lost, tasks cancelled
when their connection is, results in Redis, where another process may ask for them too.
"""

import os
import sys

import tools
from celery import Celery

app = Celery("chaos", broker=os.environ["CHAOS_AMQP_URL"], backend=os.environ["CHAOS_REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_default_queue="chaos.celery",
    task_default_queue_type="quorum",
    task_default_delivery_mode="persistent",
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
)
look = app.task(name="look")(tools.look)
pay = app.task(name="pay")(tools.pay)
TASKS = {"look": look, "pay": pay}


class CeleryPeer:
    def make(self, kind, key, delay, after):
        return key, lambda: TASKS[kind].apply_async((key, delay, after), task_id=key)

    def end(self, kind, message_id):
        meta = app.backend.get_task_meta(message_id)
        if meta["status"] not in ("SUCCESS", "FAILURE", "REVOKED"):
            return None
        return ("succeeded", "") if meta["status"] == "SUCCESS" else ("failed", repr(meta["result"])[:300])


if __name__ == "__main__" and sys.argv[1:] == ["producer"]:
    import producer

    producer.run(CeleryPeer())
