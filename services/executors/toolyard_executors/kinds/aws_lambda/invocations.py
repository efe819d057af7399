"""One invocation, in a thread: the request, and what came back, as bytes. What it means is for `verdicts`.

Called by `executor`. The SDK tells its hooks nothing of who calls; a thread does one thing at a time, so what the hooks
need stands in the thread.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.eventstream import ParserError
from botocore.exceptions import EventStreamError, IncompleteReadError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from toolyard_executors.kinds.aws_lambda.clients import Clients
from toolyard_executors.kinds.aws_lambda.plans import Account, Request
from toolyard_executors.kinds.aws_lambda.threads import Job
from toolyard_executors.outbound.reading import MAX_ANSWER

#: Seconds that a thread waits longer than its attempt: whoever waits for the attempt is told first.
_LONGER: Final = 1.0
_PIECE: Final = 64 * 1024
#: An answer that did not come whole, or cannot be read.
_BROKEN: Final = (HTTPError, IncompleteReadError, EventStreamError, ParserError, ResponseParserError)


class Broken(Exception):  # noqa: N818 - of an answer
    """The connection broke, or the stream ended, while the answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        error: whether the function failed, in Lambda's word; None where it did not.
        details: in a stream, what is said of that.
        too_large: whether it goes on beyond what is read of it.
        log: the end of its log, as it came.
    """

    payload: bytes
    error: str | None = None
    details: str | None = None
    too_large: bool = False
    log: str | None = None
    version: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """One invocation on its way.

    Attributes:
        seconds: that its attempt has left, when it asks.
        reached_out: is told before the request leaves.
    """

    request: Request
    region: str
    account: Account
    seconds: Callable[[], float]
    reached_out: Callable[[], None]


class _Here(threading.local):
    """What this thread does."""

    job: Job[Any] | None = None
    errand: Errand | None = None


_here: Final = _Here()


def prepare(client: Any) -> None:
    """Have a client tell what it is about to send, and wait for as long as the attempt does."""
    client.meta.events.register("before-call.lambda", _before_call)
    client.meta.events.register("before-send.lambda", _before_send)


def _before_call(context: dict[str, Any], **_: Any) -> None:
    if _here.errand is not None:
        context["read_timeout"] = max(_here.errand.seconds(), 0.0) + _LONGER


def _before_send(**_: Any) -> None:
    if _here.job is not None and _here.errand is not None:
        _here.job.commit(_here.errand.reached_out)


def invoke(clients: Clients, errand: Errand, job: Job[Answer]) -> Answer:
    """Invoke the function once.

    Raises:
        BotoCoreError, ClientError: it was not invoked, or nobody knows.
        Broken: it was, and the answer did not come whole.
        GivenUp: nobody waits for it any more.
    """
    client = clients.get(errand.region, errand.account)
    job.check()
    _here.job, _here.errand = job, errand
    try:
        return _streamed(client, errand.request, job) if errand.request.streaming else _whole(client, errand, job)
    except _BROKEN as error:
        raise Broken(type(error).__name__) from None
    finally:
        _here.job = _here.errand = None


def _whole(client: Any, errand: Errand, job: Job[Answer]) -> Answer:
    request = errand.request
    response = client.invoke(**_asked(request), InvocationType=request.kind)
    body = response["Payload"]
    try:
        payload, too_large = _read(iter(lambda: body.read(_PIECE), b""), job)
    finally:
        body.close()  # of a body that was read whole its connection is kept
    return Answer(
        payload,
        error=response.get("FunctionError"),
        too_large=too_large,
        log=response.get("LogResult"),
        version=response.get("ExecutedVersion"),
        request_id=_request_id(response),
    )


def _streamed(client: Any, request: Request, job: Job[Answer]) -> Answer:
    response = client.invoke_with_response_stream(**_asked(request))
    stream = response["EventStream"]
    end: dict[str, Any] = {}

    def pieces() -> Iterator[bytes]:
        for event in stream:
            yield event.get("PayloadChunk", {}).get("Payload", b"")
            if "InvokeComplete" in event:
                end.update(event["InvokeComplete"], complete=True)

    try:
        payload, too_large = _read(pieces(), job)
    finally:
        stream.close()
    if not end and not too_large:
        raise Broken("the stream has no end")
    return Answer(
        payload,
        error=end.get("ErrorCode") or None,
        details=end.get("ErrorDetails"),
        too_large=too_large,
        log=end.get("LogResult"),
        version=response.get("ExecutedVersion"),
        request_id=_request_id(response),
    )


def _asked(request: Request) -> dict[str, Any]:
    asked: dict[str, Any] = {"FunctionName": request.function, "Payload": request.payload}
    if request.qualifier is not None:
        asked["Qualifier"] = request.qualifier
    if request.kind == "RequestResponse":
        asked["LogType"] = "Tail"
    if request.context is not None:
        asked["ClientContext"] = request.context
    return asked


def _read(pieces: Iterator[bytes], job: Job[Answer]) -> tuple[bytes, bool]:
    """What came, and whether it goes on beyond what is read of it."""
    body = bytearray()
    for piece in pieces:
        job.check()
        body += piece
        if len(body) > MAX_ANSWER:
            return b"", True
    return bytes(body), False


def _request_id(response: dict[str, Any]) -> str | None:
    found = response.get("ResponseMetadata", {}).get("RequestId")
    return found if isinstance(found, str) else None
