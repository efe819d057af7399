"""The values of secrets that an attempt needs: this process's own, and for the rest those that schedulers tell.

Asked once for all attempts of a tool's version that begin meanwhile, kept for a short time and nowhere but in memory.
Called by `runtime` before an attempt runs; the answers come in by `hearing` (docs/decisions/0021).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from toolyard import ids
from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION
from toolyard.contracts.secrets import SecretsAsked, SecretsTold, box_words
from toolyard.errors import SecretUnreadable, ToolyardError
from toolyard.security.sealing import Recipient
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope, held
from toolyard_executors.context import GetSecret
from toolyard_executors.life import Life
from toolyard_executors.sending import send

#: Seconds that values are kept, and those of a tool of which one has none: an author may set it any moment.
KEPT: Final = 60.0
KEPT_INCOMPLETE: Final = 1.0
#: Versions of tools whose values are kept at a time, and characters of these.
MOST_KEPT: Final = 1_000
MOST_SIZE: Final = 16 * 1024 * 1024
#: Seconds that an attempt waits for an answer at the longest, and which part of its time.
PATIENCE: Final = 5.0
_PART: Final = 0.5
#: Refusals that may be none at another try: a clock is put right, a key is given to the schedulers.
_MAY_HEAL: Final = ("stale", "unreadable")
#: Seconds until a question without an answer is repeated: the first pause and the longest.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 2.0

log = logger("secrets")

#: Org, tool, version, and the names that this process does not know itself.
_Key = tuple[str, str, int, tuple[str, ...]]
Values = Mapping[str, str]
_values = msgspec.json.Decoder(dict[str, str])


class SecretsUnavailable(ToolyardError):  # noqa: N818 - a word of the field, not a fault of ours
    """No scheduler answered in time, or it could not open what it has; nothing was run, and another try may do."""

    code = "unavailable"


class SecretsRefused(ToolyardError):  # noqa: N818
    """A scheduler does not tell these secrets for this call."""

    code = "permission_denied"


@dataclass(frozen=True, slots=True)
class _Kept:
    """Values in memory; ``size``: their characters, ``over``: forgets them."""

    values: Values = field(repr=False)
    size: int
    over: asyncio.TimerHandle


@dataclass(slots=True)
class _Asking:
    """A question that is open.

    Attributes:
        key: whose values are asked for.
        call_id: the call for which it is asked.
        questions: each repeat is one; the answer to any of them will do.
    """

    key: _Key
    call_id: str
    answer: "asyncio.Future[Values]" = field(repr=False)
    questions: dict[str, SecretsAsked] = field(default_factory=dict)


class StoredSecrets:
    """Asks the schedulers for the secrets that the store has.

    Args:
        worker_id: whose own queue gets the answers.
    """

    def __init__(self, *, transport: Transport, envelope: Envelope, clock: Clock, worker_id: str) -> None:
        self._transport = transport
        self._envelope = envelope
        self._clock = clock
        self._worker_id = worker_id
        self._recipient = Recipient()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._size = 0
        self._asking: dict[_Key, _Asking] = {}
        self._asked: dict[str, _Asking] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def get(self, life: Life, names: tuple[str, ...]) -> Values:
        """The values of these secrets, for this call; a name without a value is left out.

        Raises:
            SecretsUnavailable: no answer came in time.
            SecretsRefused: they are not told for this call.
        """
        call = life.message.call
        key = (call.org, call.tool, call.version, names)
        while True:
            if (kept := self._kept.get(key)) is not None:
                return kept.values
            if self._closed:
                raise SecretsUnavailable("the worker stops")
            asking = self._asking.get(key) or self._begin(key, life)
            try:
                return await asyncio.shield(asking.answer)
            except (SecretsRefused, SecretsUnavailable):
                if asking.call_id == call.call_id:
                    raise  # else it was another call's fault, or its patience, and we ask for ours

    def answered(self, told: SecretsTold) -> None:
        """An answer came; one that nobody waits for is an answer to a repeat."""
        asking = self._asked.get(told.nonce)
        if asking is None:
            return
        if told.refused in _MAY_HEAL:
            self._end(asking, SecretsUnavailable(told.message))
        elif told.refused is not None:
            self._end(asking, SecretsRefused(told.message))
        else:
            self._take(asking, asking.questions[told.nonce], told)

    def close(self) -> None:
        """Forget everything, and wait for nothing any more."""
        self._closed = True
        for key in list(self._kept):
            self._drop(key)
        for task in self._tasks:
            task.cancel()

    # ---- asking ---------------------------------------------------------------------------------
    def _begin(self, key: _Key, life: Life) -> _Asking:
        asking = _Asking(key, life.message.call.call_id, asyncio.get_running_loop().create_future())
        self._asking[key] = asking
        task = asyncio.create_task(self._ask(asking, life))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return asking

    async def _ask(self, asking: _Asking, life: Life) -> None:
        """Ask until there is an answer, as long as patience lasts."""
        pause, until = _FIRST_PAUSE, self._clock.monotonic() + PATIENCE
        try:
            while not asking.answer.done() and (left := until - self._clock.monotonic()) > 0:
                self._send(asking, life)
                await asyncio.wait({asking.answer}, timeout=min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:  # also where the worker stops
            self._end(asking, SecretsUnavailable("no scheduler answered"))

    def _end(self, asking: _Asking, end: Values | ToolyardError) -> None:
        """It is over, once: whoever comes from here on finds what is kept, or asks anew."""
        if asking.answer.done():
            return
        del self._asking[asking.key]
        for nonce in asking.questions:
            del self._asked[nonce]
        if isinstance(end, ToolyardError):
            asking.answer.set_exception(end)
            asking.answer.exception()  # those who waited may be gone
        else:
            self._keep(asking.key, end)
            asking.answer.set_result(end)

    def _send(self, asking: _Asking, life: Life) -> None:
        call = life.message.call
        question = SecretsAsked(
            v=VERSION,
            worker=self._worker_id,
            pool=call.pool,
            org=call.org,
            call_id=call.call_id,
            attempt=life.number,
            tool=call.tool,
            version=call.version,
            names=asking.key[3],
            public_key=self._recipient.public,
            nonce=ids.new_id(),
            time=self._clock.now(),
            held=held(life.delivery),
        )
        asking.questions[question.nonce] = question
        self._asked[question.nonce] = asking
        send(self._transport, self._envelope.secrets_asked(question))

    def _take(self, asking: _Asking, asked: SecretsAsked, told: SecretsTold) -> None:
        try:
            values = _values.decode(self._recipient.open(told.sealed, *box_words(asked)))
        except (SecretUnreadable, msgspec.DecodeError):  # not an answer; a repeat may get one
            log.warning("an answer with secrets cannot be read", org=asked.org, tool=asked.tool)
        else:
            self._end(asking, {name: value for name, value in values.items() if name in asked.names})

    # ---- keeping --------------------------------------------------------------------------------
    def _keep(self, key: _Key, values: Values) -> None:
        lasts = KEPT if len(values) == len(key[3]) else KEPT_INCOMPLETE
        over = asyncio.get_running_loop().call_later(lasts, self._drop, key)
        kept = self._kept[key] = _Kept(values, sum(map(len, values.values())), over)
        self._size += kept.size
        while len(self._kept) > MOST_KEPT or self._size > MOST_SIZE:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: _Key) -> None:
        kept = self._kept.pop(key)
        kept.over.cancel()
        self._size -= kept.size


class Secrets:
    """What one attempt needs: from this process where it knows them, and else from the store.

    Args:
        get: the value of an org's secret that this process knows itself.
        stored: asks for the others; None where nobody can be asked.
    """

    def __init__(self, get: GetSecret, stored: StoredSecrets | None) -> None:
        self._get = get
        self._stored = stored

    async def needed(self, life: Life, seconds: float) -> Values:
        """The values that the tool of this attempt needs, which may take so many seconds; what has none is left out.

        Raises:
            SecretsUnavailable: some had to be asked for, and no answer came in time.
            SecretsRefused: they are not told for this call.
        """
        org = life.message.call.org
        own = {name: value for name in life.known.secrets if (value := self._get(org, name)) is not None}
        others = tuple(name for name in life.known.secrets if name not in own)
        if not others or self._stored is None:
            return own
        try:
            async with asyncio.timeout(patience(seconds)) as limit:
                return {**await self._stored.get(life, others), **own}
        except TimeoutError:
            if not limit.expired():
                raise
            raise SecretsUnavailable("no scheduler answered in time") from None

    def lookup(self, values: Values) -> GetSecret:
        """How an attempt looks its secrets up: among these, and then in this process."""

        def get(org: str, name: str) -> str | None:
            return values[name] if name in values else self._get(org, name)

        return get


def patience(seconds: float) -> float:
    """Seconds that an attempt with so much time waits for its secrets."""
    return min(PATIENCE, seconds * _PART)
