"""PNG, chunk by chunk (ISO 15948): header, palette, transparency and pixels are kept."""

import struct
import zlib
from collections.abc import Iterator

from wearon.pictures.bare import Bare, Damaged
from wearon.pictures.metadata import orientation_in, unpacked_profile

PNG = b"\x89PNG\r\n\x1a\n"

_HEAD = struct.Struct(">I4s")
"""Before a chunk's content: its length and kind. Behind it is a checksum of 4 bytes."""

_HEADER = struct.Struct(">IIBBBBB")
"""Width, height, bits, colour type, compression, filter, interlace."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values for a pixel, by colour type."""

_OF_USE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"IDAT", b"IEND"})

_PALETTE_TYPE = 3
_WITH_ALPHA = frozenset({4, 6})

_MAX_PALETTE = 3 * 256
_MAX_TRANSPARENCY = 256

_BYTE_S = 5.5e-9
_PIXEL_S = 4e-9
_TRANSPARENT_PIXEL_S = 9e-9
"""Seconds for each byte that is unpacked (with the slowest filter), and for each pixel that is shrunk: measured over
all colour types, 20 megapixels each."""


def bare_png(data: bytes) -> Bare:
    """Take the bare picture out of a PNG. Raises Damaged."""
    chunks = _chunks(data)
    kind, content, checksum = next(chunks, (b"", b"", b""))
    if kind != b"IHDR" or len(content) != _HEADER.size or not _is_right(kind, content, checksum):
        raise Damaged
    header, found, pixels, ended = content, {}, [], False
    for kind, content, checksum in chunks:
        if kind == b"IDAT":
            pixels.append(content)
        elif kind == b"IEND":
            ended = len(checksum) == 4
            break
        elif kind not in found and _is_of_use(kind, content, checksum, before_pixels=not pixels):
            found[kind] = content
    width, height, bits, colour_type, *_ = _HEADER.unpack(header)
    kept = _chunk(b"IHDR", header)
    if colour_type == _PALETTE_TYPE:
        kept += _chunk(b"PLTE", found.get(b"PLTE", b"")[:_MAX_PALETTE])
    if b"tRNS" in found:
        kept += _chunk(b"tRNS", found[b"tRNS"])
    return Bare(
        data=PNG + kept + _pixels(pixels, ended=ended),
        size=(width, height),
        work_s=_work_s(width, height, bits, colour_type, transparent=b"tRNS" in found),
        orientation=orientation_in(found.get(b"eXIf", b"")),
        profile=_profile(found.get(b"iCCP", b"")),
        is_cut_off=not ended,
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Kind, content and checksum of each chunk of use that begins in the file; the last may be cut.

    Where something else stands than the name of a chunk, there are no more. 10 MB have room for 870,000 of them.
    """
    at, read_head = len(PNG), _HEAD.unpack_from
    last = len(data) - _HEAD.size
    while at <= last:
        length, kind = read_head(data, at)
        end = at + 8 + length
        if kind in _OF_USE:
            yield kind, data[at + 8 : end], data[end : end + 4]
        elif not kind.isalpha():
            return
        at = end + 4


def _is_of_use(kind: bytes, content: bytes, checksum: bytes, *, before_pixels: bool) -> bool:
    """Whether it tells how the picture looks. Viewers pass over one that stands too late or has a wrong checksum."""
    if kind == b"PLTE" and before_pixels:
        if not _is_right(kind, content, checksum):
            raise Damaged  # without it there are no colours
        return True
    if kind == b"tRNS" and len(content) > _MAX_TRANSPARENCY:
        return False
    wanted = kind == b"eXIf" or (before_pixels and kind in {b"tRNS", b"iCCP"})
    return wanted and _is_right(kind, content, checksum)


def _is_right(kind: bytes, content: bytes, checksum: bytes) -> bool:
    return zlib.crc32(content, zlib.crc32(kind)).to_bytes(4) == checksum


def _chunk(kind: bytes, content: bytes) -> bytes:
    return _HEAD.pack(len(content), kind) + content + zlib.crc32(content, zlib.crc32(kind)).to_bytes(4)


def _pixels(pieces: list[bytes], *, ended: bool) -> bytes:
    """All pixels in one chunk; of a file that was cut off it is one that goes on, so that its decoder complains."""
    whole = b"".join(pieces)
    if not whole:
        raise Damaged
    if not ended:
        return _HEAD.pack(len(whole) + 1, b"IDAT") + whole
    return _chunk(b"IDAT", whole) + _chunk(b"IEND", b"")


def _profile(chunk: bytes) -> bytes | None:
    name, _, rest = chunk.partition(b"\0")
    return unpacked_profile(rest[1:]) if len(name) < 80 and rest[:1] == b"\0" else None


def _work_s(width: int, height: int, bits: int, colour_type: int, *, transparent: bool) -> float:
    row = 1 + -(-width * bits * _CHANNELS.get(colour_type, 4) // 8)
    with_alpha = transparent or colour_type in _WITH_ALPHA
    return height * row * _BYTE_S + width * height * (_TRANSPARENT_PIXEL_S if with_alpha else _PIXEL_S)
