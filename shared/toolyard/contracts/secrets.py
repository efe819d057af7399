"""How a worker gets the values of secrets: a question to the schedulers, and an answer that only its process can read.

Neither is in the log. The question holds no value, and the answer holds them sealed (docs/decisions/0021).
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from toolyard.contracts.bounds import Attempt, Label, Name, Number, Pool, Time, Word

#: Names in one question: a definition lists no more.
MOST_NAMES: Final = 128

#: Why nothing is told. ``stale``: the clocks differ, or the question was long on its way. ``not_held``: the asker does
#: not show that it holds the call, or the call is over. ``not_named``: the tool's version is not there, is another
#: pool's, or does not name these secrets. ``unreadable``: a value is kept and cannot be opened. ``too_large``: all
#: values together are more than one message takes.
Reason = Literal["stale", "not_held", "not_named", "unreadable", "too_large"]

Names = Annotated[tuple[Name, ...], Meta(max_length=MOST_NAMES)]


class Held(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The message of a call, as it came to whoever holds it: its signature shows that it is no invention.

    Attributes:
        key: the routing key that it was published with.
        body: as it was signed; base64 in JSON.
    """

    key: Label
    message_id: Word
    signature: Label
    body: bytes
    expiration: Word = ""


class SecretsAsked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worker asks for the values of secrets that the tool of a call names, for an attempt that it is about to run.

    Attributes:
        worker: whose own queue gets the answer.
        public_key: of this very process (X25519): the answer is sealed to it.
        nonce: tells this question apart from all others.
    """

    v: int
    worker: Name
    pool: Pool
    org: Name
    call_id: Name
    attempt: Attempt
    tool: Name
    version: Number
    names: Names
    public_key: bytes
    nonce: Name
    time: Time
    held: Held


class SecretsTold(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `SecretsAsked`.

    Attributes:
        sealed: the values by name, as JSON, in a box for the asker alone; a name without a value is left out of it.
        refused: why nothing is told; ``message`` says more, and names no value.
    """

    v: int
    worker: Name
    pool: Pool
    org: Name
    nonce: Name
    time: Time
    sealed: bytes = b""
    refused: Reason | None = None
    message: Label = ""


def box_words(asked: SecretsAsked) -> tuple[str, ...]:
    """What the box of an answer is bound to: the question, and for whom and what it was."""
    return ("secrets", asked.nonce, asked.worker, asked.org, asked.tool, str(asked.version), *asked.names)
