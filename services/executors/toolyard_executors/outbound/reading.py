"""The body of an answer, read as it comes: never more bytes than are wanted, counted after decompression.

Called by the kinds that send requests. It knows bytes and content encodings, nothing of what they mean.
"""

import zlib
from collections.abc import AsyncIterator
from typing import Final

from toolyard.errors import ToolyardError
from toolyard_executors.outbound.connection import Cut, Response

#: Bytes of a decoded answer.
MAX_ANSWER: Final = 1024 * 1024
#: How many times larger than what came an answer may become, once it has grown over `_RATIO_FLOOR`.
MAX_RATIO: Final = 400
_RATIO_FLOOR: Final = 256 * 1024
#: Bytes that compression and its headers may add to what did not compress.
_OVERHEAD: Final = 64 * 1024
#: zlib or gzip, told apart by its header.
_ANY_HEADER: Final = zlib.MAX_WBITS | 32


class AnswerTooLarge(ToolyardError):  # noqa: N818
    """More bytes than an answer may have."""

    code = "output_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes")


class NotDecodable(ToolyardError):  # noqa: N818
    """An answer in a content encoding that was not asked for, or broken in it."""

    code = "output_invalid"


async def read_body(response: Response, limit: int = MAX_ANSWER) -> bytes:
    """The decoded bytes of an answer.

    Raises:
        AnswerTooLarge: over ``limit``, or grown beyond `MAX_RATIO`.
        NotDecodable: not in an encoding that was asked for.
        Cut: the connection broke.
    """
    body = bytearray()
    async for piece in _decoded(response, limit):
        body += piece
        if len(body) > limit:
            raise AnswerTooLarge(limit)
    return bytes(body)


async def read_beginning(response: Response, limit: int) -> bytes:
    """The first decoded bytes of an answer, as far as they can be had: for the text of an error."""
    body = bytearray()
    try:
        async for piece in _decoded(response, limit):
            body += piece
            if len(body) > limit:
                break
    except ToolyardError:
        return bytes(body[:limit])  # the status is known; its text is a courtesy
    return bytes(body[:limit])


def _decoded(response: Response, limit: int) -> AsyncIterator[bytes]:
    raw = response.pieces()
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return raw
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise NotDecodable(f"the content encoding {encoding[:40]!r} was not asked for; gzip was")
    return _inflated(raw, limit)


async def _inflated(raw: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    came = grown = 0
    inflate = zlib.decompressobj(_ANY_HEADER)
    async for piece in raw:
        came += len(piece)
        if came > limit + _OVERHEAD:
            raise AnswerTooLarge(limit)
        while piece:
            if inflate.eof:  # gzip allows one member after another
                inflate = zlib.decompressobj(_ANY_HEADER)
            try:
                more = inflate.decompress(piece, limit + 1)
            except zlib.error:
                raise NotDecodable("the body is not what its content encoding says") from None
            grown += len(more)
            if grown > max(_RATIO_FLOOR, came * MAX_RATIO):
                raise AnswerTooLarge(limit)
            yield more
            piece = inflate.unconsumed_tail or inflate.unused_data
    if came and not inflate.eof:
        raise Cut("the connection broke while the answer came")
