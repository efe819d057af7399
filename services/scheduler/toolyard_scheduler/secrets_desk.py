"""Answers workers that ask for secrets: to the process that asks alone, and only what the tool of its call names.

Every scheduler does, whether it leads or not: it needs the store and no ledger of its own. Run by the process beside
the scheduler; nothing that it tells is in the log.
"""

import asyncio
from typing import Final

import msgspec

from toolyard import ids
from toolyard.clock import SYSTEM, Clock
from toolyard.contracts import codec
from toolyard.contracts.calls import VERSION, CallMessage
from toolyard.contracts.secrets import SecretsAsked, SecretsTold, box_words
from toolyard.errors import (
    ContractError,
    SecretUnreadable,
    SettingsError,
    ToolyardError,
)
from toolyard.security.aws_secrets import AwsSecrets
from toolyard.security.sealing import box
from toolyard.security.secrets import SecretProvider, Secrets
from toolyard.store.connect import Store
from toolyard.store.crossing import Crossing
from toolyard.telemetry import catalogue
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Board
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.entitlement import NotEntitled, Seen, check_fresh, check_held, check_named, check_open

#: Questions that are answered at a time.
_TOGETHER: Final = 32
#: Bytes of an answer beside its box, which is written in base64.
_ROOM: Final = 4096
_MAX_BOX: Final = (codec.MAX_SECRETS_TOLD - _ROOM) * 3 // 4

log = logger("secrets")


def providers(stored: SecretProvider, aws_prefix: str | None) -> SecretProvider:
    """What a scheduler looks secrets up in: the store first, and then AWS, where that is asked for.

    Raises:
        SettingsError: the library for AWS is missing, or knows neither region nor credentials.
    """
    if aws_prefix is None:
        return stored
    try:
        return Secrets([stored, AwsSecrets(aws_prefix)])
    except ImportError:
        raise SettingsError("TOOLYARD_SECRETS_AWS_PREFIX is set, and boto3 is not installed") from None
    except Exception as error:  # noqa: BLE001 - the library's own kinds, of which none is known here
        raise SettingsError(f"TOOLYARD_SECRETS_AWS_PREFIX is set, but AWS cannot be used: {error}") from None


class SecretsDesk:
    """Consumes `toolyard.secrets`.

    Args:
        secrets: the values of orgs' secrets; asked on a thread of ``crossing``.
        crossing: of its own, so that nobody who keeps the ledger waits for secrets.
        board: where it is shown how it answered.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: Envelope,
        store: Store,
        crossing: Crossing,
        secrets: SecretProvider,
        clock: Clock = SYSTEM,
        board: Board | None = None,
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._store = store
        self._crossing = crossing
        self._secrets = secrets
        self._clock = clock
        self._id = ids.new_id()
        self._seen = Seen()
        self._open: set[asyncio.Task[None]] = set()
        self.answered = (board or Board()).counter(catalogue.SECRETS_ANSWERED, (("told",), ("refused",), ("again",)))

    async def run(self) -> None:
        """Answer for ever.

        Raises:
            Unavailable: there is no such queue (embedded: the transport is closed).
        """
        subscription = await self._transport.consume(topology.SECRETS, self._take, prefetch=_TOGETHER)
        try:
            await asyncio.Event().wait()
        finally:
            for task in self._open:
                task.cancel()
            await subscription.close()

    def _take(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._handle(delivery))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _handle(self, delivery: Delivery) -> None:
        """Answer one; what cannot be answered now is dropped, because a worker without an answer asks again."""
        try:
            asked = self._envelope.open_secrets_asked(delivery)
        except ContractError as error:
            await self._quarantine(delivery, f"{error.code}: {error}")
            delivery.ack()
            return
        try:
            await self._answer(asked)
        except ToolyardError as error:
            log.warning("a question for secrets is not answered now", reason=f"{error.code}: {error}")
        except Exception as error:  # noqa: BLE001 - a defect at one question must not hurt the others
            log.error("a defect at a question for secrets", error=type(error).__name__)  # noqa: TRY400 - no values
        finally:
            delivery.ack()

    async def _answer(self, asked: SecretsAsked) -> None:
        now = self._clock.now()
        if not self._seen.first_time(asked.nonce, now):
            self.answered.add("again")
            log.warning("a question for secrets came again", org=asked.org, worker=asked.worker)
            return
        try:
            check_fresh(asked, now)
            message = self._held(asked)
            check_held(asked, message, now)
            sealed = await self._crossing.run(self._look_up, asked)
            told = self._told(asked, sealed=sealed)
        except NotEntitled as refused:
            told = self._refusal(asked, refused)
        self.answered.add("told" if told.refused is None else "refused")
        await self._transport.publish(self._envelope.secrets_told(told))

    def _held(self, asked: SecretsAsked) -> CallMessage:
        try:
            return self._envelope.open_held(asked.held)
        except ContractError as error:
            raise NotEntitled("not_held", f"the message that came with the question is none of ours: {error}") from None

    def _look_up(self, asked: SecretsAsked) -> bytes:
        """The box with the values; on a thread."""
        check_open(self._store.calls.get(asked.org, asked.call_id))
        check_named(asked, self._store.tools.get(asked.org, asked.tool, asked.version))
        values = {name: value for name in asked.names if (value := self._value(asked.org, name)) is not None}
        content = msgspec.json.encode(values)
        if len(content) > _MAX_BOX:
            raise NotEntitled("too_large", "the tool's secrets together are too large; let it name fewer")
        try:
            return box(asked.public_key, content, *box_words(asked))
        except ValueError:
            raise NotEntitled("not_held", "the question has no public key that can be used") from None

    def _value(self, org: str, name: str) -> str | None:
        try:
            return self._secrets.get(org, name)
        except SecretUnreadable as error:
            log.error("a secret cannot be opened", org=org, name=name, reason=str(error))  # noqa: TRY400 - no values
            raise NotEntitled("unreadable", f"the secret {name!r} cannot be opened by the scheduler") from None

    def _refusal(self, asked: SecretsAsked, refused: NotEntitled) -> SecretsTold:
        log.warning(
            "secrets were not told",
            why=refused.reason,
            reason=str(refused),
            org=asked.org,
            tool=asked.tool,
            call_id=asked.call_id,
            names=asked.names,
            worker=asked.worker,
            pool=asked.pool,
        )
        told = self._told(asked)
        return msgspec.structs.replace(told, refused=refused.reason, message=str(refused)[:300])

    def _told(self, asked: SecretsAsked, *, sealed: bytes = b"") -> SecretsTold:
        return SecretsTold(
            v=VERSION,
            worker=asked.worker,
            pool=asked.pool,
            org=asked.org,
            nonce=asked.nonce,
            time=self._clock.now(),
            sealed=sealed,
        )

    async def _quarantine(self, delivery: Delivery, reason: str) -> None:
        try:
            await self._transport.publish(self._envelope.quarantined(delivery, reason))
        except ToolyardError as error:
            log.warning("what is no message of ours was not quarantined", reason=str(error))
