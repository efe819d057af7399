"""The function of the tour as its author would write it for AWS Lambda, and what runs it once, as a process of its own.

`stand_in_lambda` starts this file by its path, with an isolated interpreter: it knows nothing of Toolyard. The event is
read from stdin, the answer is written to stdout; whatever the function prints goes to stderr, and is its log.
"""

import json
import os
import sys
from types import SimpleNamespace
from typing import Any

PRICES = {"apple": 1.2, "pear": 1.5}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The price of an article."""
    print(f"asked for {event['sku']} by the call {context.client_context.custom['call_id']}")
    return {"sku": event["sku"], "price": PRICES[event["sku"]]}


def main() -> None:
    """Run the handler once."""
    answer = os.dup(1)
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    context = SimpleNamespace(
        aws_request_id=asked["request_id"], client_context=SimpleNamespace(custom=asked["custom"])
    )
    try:
        told = {"answer": handler(asked["event"], context)}
    except Exception as error:  # noqa: BLE001 - Lambda tells whatever a function raises
        told = {"error": {"errorType": type(error).__name__, "errorMessage": str(error)}}
    sys.stdout.flush()
    with os.fdopen(answer, "w") as out:
        json.dump(told, out)


if __name__ == "__main__":
    main()
