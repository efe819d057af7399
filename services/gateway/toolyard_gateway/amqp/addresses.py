"""Which addresses are answered: any queue but our own, and the broker's way to reply only under a name that it made.

Under a name of that kind that somebody else made up, RabbitMQ (seen with 3.10.8) ends the connection that publishes
there: one such message would take the connections of all gateways down, for as long as it is tried.
"""

import base64
import binascii
import struct
from typing import Final

from toolyard.transport import topology

#: How the broker begins the names that it makes of `amq.rabbitmq.reply-to`, and how it ends them: a process, and a key.
DIRECT: Final = "amq.rabbitmq.reply-to"
_PARTS: Final = 2
#: What bytes that are no UTF-8 have become.
LOST: Final = "\ufffd"
# A process in Erlang's external term format: its version, the kind, the name of the node as an atom, and numbers.
_VERSION: Final = 131
_NUMBERS: Final = {88: 12, 103: 9}
_ATOMS: Final = {100: ">H", 118: ">H", 115: ">B", 119: ">B"}
_HEAD: Final = 3
_LONGEST_NODE: Final = 255


def is_ours(queue: str) -> bool:
    """Whether a queue is one of Toolyard's own, into which no answer is ever put."""
    return queue.startswith(topology.OWN)


def is_direct(queue: str) -> bool:
    """Whether it stands for the broker's own way to reply."""
    return queue.startswith(DIRECT)


def why_not(queue: str) -> str | None:
    """Why nothing is ever published to this address; None: it may be."""
    if is_ours(queue):
        return f"The reply_to {queue[:100]!r} is a queue of Toolyard's own; name one of yours."
    if LOST in queue:
        return f"The reply_to {queue[:100]!r} holds bytes that are no UTF-8; name a queue in UTF-8."
    if is_direct(queue) and not _is_made_by_a_broker(queue):
        return f"The reply_to {queue[:100]!r} is no name that the broker made; consume {DIRECT}, and give that name."
    return None


def _is_made_by_a_broker(queue: str) -> bool:
    process, *key = queue.removeprefix(f"{DIRECT}.").split(".")
    if len(key) != _PARTS - 1 or not key[0]:
        return False
    try:
        return _is_process(base64.b64decode(process, validate=True))
    except (binascii.Error, ValueError, struct.error):
        return False


def _is_process(term: bytes) -> bool:
    """Raises `struct.error` where it is too short."""
    version, kind, atom = struct.unpack_from("BBB", term)
    if version != _VERSION or kind not in _NUMBERS or atom not in _ATOMS:
        return False
    length = struct.unpack_from(_ATOMS[atom], term, _HEAD)[0]
    begin = _HEAD + struct.calcsize(_ATOMS[atom])
    node = term[begin : begin + length].decode()
    return 0 < len(node) <= _LONGEST_NODE and len(term) == begin + length + _NUMBERS[kind]
