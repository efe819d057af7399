"""The functions of the Lambda server: each runs in a real runtime, in a process of its own. They know only Lambda."""

import os
import time


def echo(event, context):
    return event


def about(event, context):
    """What a function sees of its invocation."""
    given = context.client_context
    return {
        "event": event,
        "custom": None if given is None else given.custom,
        "request_id": context.aws_request_id,
        "version": context.function_version,
        "milliseconds": context.get_remaining_time_in_millis(),
    }


def prints(event, context):
    for line in event["lines"]:
        print(line)
    return len(event["lines"])


class OutOfStockError(Exception):
    pass


def raises(event, context):
    print("looking for", event.get("sku"))
    raise OutOfStockError(event.get("text", "there is none"))


def sleeps(event, context):
    time.sleep(event.get("seconds", 3600))
    return "slept"


def waits(event, context):
    """Until there is this file."""
    while not os.path.exists(event["for"]):  # noqa: PTH110 - it knows little
        time.sleep(0.02)
    return "waited"


def many(event, context):
    """A text of so many bytes."""
    return "x" * event["bytes"]


def odd(event, context):
    return {"text": "a\0b \ud800 c"}


def exits(event, context):
    os._exit(event.get("status", 3))


def dies(event, context):
    os.kill(os.getpid(), 9)


def not_json(event, context):
    """What is no JSON cannot be returned."""
    return {1, 2}
