"""Content-Encoding: how an answer's body is compressed, and how it is decompressed up to a limit.

Only gzip is asked for, and only of services. Whatever else would have to be unpacked is refused, also gzip in gzip:
3 KB of it become 3 GB. Names that are no compression (`identity`, `utf-8`, `aws-chunked`: what clients of object
stores write there) change nothing about the bytes.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable

ASKED_FOR = "gzip"
"""Accept-Encoding of the services' clients: httpx would ask for all that it can unpack without a bound."""

_COMPRESSIONS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi"})
"""IANA's registry of content codings, without those that leave the bytes as they are."""

_GZIP = (["gzip"], ["x-gzip"])

_GZIP_WINDOW = 16 + zlib.MAX_WBITS

_PIECE_BYTES = 256 * 1024
"""Unpacked at once: half a millisecond of the loop's time."""


class Unreadable(Exception):
    """The body cannot be unpacked, or not without what it may cost."""


def compressions(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The names of all compressions that the headers tell, in the order in which they were applied."""
    values = [value for name, value in headers if name.lower() == b"content-encoding"]
    names = b",".join(values).decode("latin-1").lower().split(",")
    return [name.strip() for name in names if name.strip() in _COMPRESSIONS]


async def unpacked(pieces: AsyncIterator[bytes], packed_in: list[str]) -> AsyncIterator[bytes]:
    """The body in pieces of bounded size, each unpacked when it is asked for. Raises Unreadable."""
    if packed_in not in _GZIP:
        raise Unreadable(f"the answer came in an encoding that was not asked for ({', '.join(packed_in[:3])})")
    unpacking = zlib.decompressobj(_GZIP_WINDOW)
    async for piece in pieces:
        if unpacking.eof:
            break  # the rest is not asked for: it could go on without an end
        while piece and not unpacking.eof:
            try:
                out = unpacking.decompress(piece, _PIECE_BYTES)
            except zlib.error:
                raise Unreadable("the answer cannot be unpacked") from None
            piece = unpacking.unconsumed_tail
            if out:
                yield out
                await asyncio.sleep(0)  # what arrived together can be megabytes of it
    if not unpacking.eof:
        raise Unreadable("the answer broke off while it was unpacked")
