"""The shell of the SDK over a queue: what `Client` asks over HTTP, published to `toolyard.requests`.

The steps are those of `Asking`; they are taken on the line's own thread, so that as many calls may be under way as one
likes. pika is loaded when the first client is made.
"""

import functools
import json
import os
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from toolyard.client import answers, values
from toolyard.client.amqp_line import Answer, Line, Post
from toolyard.client.asking import Asking
from toolyard.client.errand import Steps
from toolyard.client.errors import Unexpected, Unreachable
from toolyard.client.patience import Pause
from toolyard.client.requests import Request
from toolyard.errors import FieldError, FieldsRefused, Refused, ToolyardError

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds that an answer may take beside the wait that was asked for: queues may be long.
TIMEOUT: Final = 30.0
RETRY_FOR: Final = 30.0
_KINDS: Final = {"/v1/calls": "call", "/v1/turns": "turn"}


def _begun(steps: Callable[Concatenate[Asking, P], Steps[T]]) -> "Callable[Concatenate[AmqpClient, P], Future[T]]":
    """A method that takes these steps beside whatever else is under way."""

    @functools.wraps(steps)
    def method(self: "AmqpClient", /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        return self._begin(steps(self._asking, *args, **kwargs))

    return method


def _taken(steps: Callable[Concatenate[Asking, P], Steps[T]]) -> "Callable[Concatenate[AmqpClient, P], T]":
    """A method that takes these steps and waits for their end."""

    @functools.wraps(steps)
    def method(self: "AmqpClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._begin(steps(self._asking, *args, **kwargs)).result()

    return method


class AmqpClient:
    """Publishes calls and turns to one broker; threads may share it.

    `call` and `turn` have the parameters, the results and the errors of `Client`. `submit` and `submit_turn` do the
    same and give a `concurrent.futures.Future` at once.

    Args:
        url: of the broker, as in ``amqp://user:password@127.0.0.1:5672/``; that of ``TOOLYARD_TRANSPORT_URL`` where
            none is given.
        key: an API key; that of ``TOOLYARD_API_KEY`` where none is given. An empty one sends none: the broker's user
            stands for one then.
        timeout: seconds that an answer may take beside the wait that was asked for.
        retry_for: seconds for which what failed is asked again, where that does no harm; 0 never does.
        reply_queue: the name of the queue for answers, of this client alone; ``answers.<user>.`` and an id where none
            is given. It is durable, outlives a lost connection by five minutes, and must not begin with ``toolyard.``.

    Raises:
        ModuleNotFoundError: pika is not installed; names the extra.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        retry_for: float = RETRY_FOR,
        reply_queue: str | None = None,
    ) -> None:
        address = os.environ.get("TOOLYARD_TRANSPORT_URL", "") if url is None else url
        if not address:
            raise FieldsRefused((FieldError("url", "is missing; give the broker's, or set TOOLYARD_TRANSPORT_URL"),))
        chosen = os.environ.get("TOOLYARD_API_KEY", "") if key is None else key
        self._headers = {"authorization": f"Bearer {chosen}"} if chosen else {}
        self._timeout = timeout
        self._asking = Asking(retry_for=retry_for)
        self._begun: set[Future[Any]] = set()
        self._closed = False
        self._line = Line(address, reply_queue, as_user=not chosen)

    call = _taken(Asking.call)
    turn = _taken(Asking.turn)
    submit = _begun(Asking.call)
    submit_turn = _begun(Asking.turn)

    def close(self) -> None:
        """Leave the broker; what is not answered fails with `Unreachable`."""
        self._closed = True
        self._line.close()
        for future in tuple(self._begun):  # their line is gone: nobody else ends them
            future.set_exception(_gone())

    # ---- steps, on the line's thread ------------------------------------------------------------
    def _begin(self, steps: Steps[T]) -> "Future[T]":
        if self._closed:
            raise _gone()
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._begun.add(future)
        future.add_done_callback(self._begun.discard)
        self._line.run(lambda: self._step(steps, future))
        return future

    def _step(self, steps: Steps[T], future: "Future[T]", answer: Any = None, error: Exception | None = None) -> None:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            future.set_result(end.value)
        except Exception as failed:  # noqa: BLE001 - it is whose who waits
            future.set_exception(failed)
        else:
            if isinstance(step, Pause):
                self._line.later(step.seconds, lambda: self._step(steps, future))
            else:
                self._post(step, functools.partial(self._step, steps, future))

    def _post(self, request: Request, go_on: Callable[[Any, Exception | None], None]) -> None:
        kind = _KINDS.get(request.path)
        if kind is None or request.method != "POST":
            # Only what was published can be asked for again, by its key: `Errand` does so for a call that is not found.
            go_on(None, Refused("not_found", "A queue has no way to read a call by its id; read it over HTTP."))
            return

        def done(outcome: Answer | ToolyardError) -> None:
            try:
                go_on(_read(outcome), None)
            except ToolyardError as error:
                go_on(None, error)

        headers = self._headers | {name.lower(): text for name, text in request.headers.items()}
        try:
            post = Post(values.body(request.body), kind, headers, done)
        except FieldsRefused as refused:
            go_on(None, refused)
        else:
            self._line.post(post, within=request.patience + self._timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _gone() -> Unreachable:
    return Unreachable("The client was closed.", how="refused")


def _read(outcome: Answer | ToolyardError) -> Any:
    """The JSON value of an answer; raises what it tells, or what befell it."""
    if isinstance(outcome, ToolyardError):
        raise outcome
    try:
        value = json.loads(outcome.body)
    except (ValueError, RecursionError):
        raise Unexpected("The answer is not that of a gateway: it is no JSON.") from None
    if outcome.kind != "problem":
        return value
    after = outcome.headers.get("retry-after")
    raise answers.refusal(value, retry_after=float(after) if after else None)
