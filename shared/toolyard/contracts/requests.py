"""Tickets: what stands for a request from outside while its calls are open (`toolyard.requests.waiting`).

A ticket says who is to be told what; it is signed like all messages, and holds no key.
"""

from msgspec import Raw, Struct

from toolyard.contracts.bounds import Label, Name, Time, Word


class CallTicket(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody waits for the end of a call.

    Attributes:
        as_it_stands: from then on the call is told as it stands; at once where it waits for its user.
        until: beyond this time a ledger that does not know the call will not.
        deduplicated: the call was there before it was asked for.
    """

    call_id: Name
    body_hash: Word
    until: Time
    as_it_stands: Time | None = None
    deduplicated: bool = False


class TurnTicket(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody waits for the messages of a turn; it is taken again, and finds its calls.

    Attributes:
        key_id: of the principal; ``roles`` are those that it had.
        request: the request as it came.
        key: its idempotency key.
        delivery: what else makes its calls the same ones.
        until: its deadline.
    """

    key_id: Name
    roles: tuple[Word, ...]
    request: Raw
    until: Time
    key: Label | None = None
    delivery: str | None = None
    traceparent: Word | None = None


class Ticket(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request that is not answered yet; it is for a call or for a turn."""

    v: int
    org: Name
    reply_to: Label
    correlation_id: Label = ""
    call: CallTicket | None = None
    turn: TurnTicket | None = None
