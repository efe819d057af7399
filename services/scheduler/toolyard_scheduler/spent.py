"""Claims that hold nothing any more: they were given back, or told that they do not hold. Pure.

A repeat of such a claim may be on its way, and must never be granted: nobody is there to start it. What is remembered
of them stands in `LedgerRow.spent`, as long as the attempt is the newest one.
"""

from typing import Final

#: Processes whose claims of one attempt are remembered; the one that was heard of longest ago goes first.
MOST_SPENT: Final = 64


def is_spent(spent: str | None, claim_id: str) -> bool:
    """Whether this claim, or a later one of its process, is remembered.

    A process counts its claims, so its highest number stands for all before it. One of those that was never answered is
    refused with them, and its message dropped: no harm, because wherever a claim was spent, the call went on without
    its message. It was held, parked or about to end, or the message of the later claim went back into the queue.
    """
    process, number = _parts(claim_id)
    return any(number <= highest for each, highest in map(_parts, _words(spent)) if each == process)


def with_spent(spent: str | None, claim_id: str) -> str:
    """What is remembered from here on."""
    process, number = _parts(claim_id)
    words = _words(spent)
    highest = max((known for each, known in map(_parts, words) if each == process), default=number)
    others = [word for word in words if _parts(word)[0] != process]
    return " ".join([*others, claim_id if number >= highest else f"{process}:{highest}"][-MOST_SPENT:])


def _words(spent: str | None) -> list[str]:
    return [] if spent is None else spent.split(" ")


def _parts(claim_id: str) -> tuple[str, int]:
    """The process and its count; a claim without one counts as the only one of its kind."""
    process, _, number = claim_id.rpartition(":")
    return (process, int(number)) if number.isascii() and number.isdigit() else (claim_id, 0)
