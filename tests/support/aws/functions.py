"""The functions that tests invoke, by name; their code is in `handlers`."""

from typing import Final

from tests.support.aws.lambda_server import Function

FUNCTIONS: Final[dict[str, Function]] = {
    "echo": Function("handlers.echo", environments=4),
    "about": Function("handlers.about"),
    "prints": Function("handlers.prints"),
    "prints-json": Function("handlers.prints", json_logs=True),
    "raises": Function("handlers.raises"),
    "raises-handled": Function("handlers.raises", handled=True),
    "sleeps": Function("handlers.sleeps", timeout=900),
    "naps": Function("handlers.sleeps"),
    "waits": Function("handlers.waits", timeout=900),
    "too-slow": Function("handlers.sleeps", timeout=0.5),
    "many": Function("handlers.many"),
    "odd": Function("handlers.odd"),
    "exits": Function("handlers.exits"),
    "dies": Function("handlers.dies"),
    "not-json": Function("handlers.not_json"),
    "does-not-load": Function("does_not_load.handler"),
    "no-handler": Function("handlers.no_such_handler"),
}
