"""WebP, chunk by chunk (RFC 9649): the picture is kept; of an animated one the first frame, where it lies."""

import struct
from dataclasses import dataclass

from wearon.pictures.bare import Bare, Damaged
from wearon.pictures.metadata import checked_profile, orientation_in

_HEAD = struct.Struct("<4sI")
"""Before a chunk's content: its kind and length. An odd one has a byte behind it."""

_FILE_HEAD = 12
"""RIFF, how much follows, WEBP."""

_CANVAS = 10
"""Bytes of VP8X: flags, three reserved, width and height less one, three bytes each."""

_FRAME = 16
"""Bytes of ANMF before its chunks."""

_ANIMATION = 6
"""Bytes of ANIM: background and repeats."""

_PICTURE = frozenset({b"VP8 ", b"VP8L"})
_OF_USE = _PICTURE | {b"VP8X", b"ALPH", b"ANMF", b"ICCP", b"EXIF"}
_LOSSLESS = frozenset({b"VP8L", b"ALPH"})
_ALPHA_FLAG, _EXIF_FLAG, _ANIMATION_FLAG = 0x10, 0x08, 0x02

_PIXEL_S = 15e-9
_LOSSLESS_PIXEL_S = 20e-9
_ALPHA_PIXEL_S = 13e-9
_BYTE_S = 75e-9
_LOSSLESS_BYTE_S = 8e-9
"""Seconds for each pixel and for each byte, measured from flat pictures to noise, at 20 megapixels."""

_GROUP_S = 8e-6
_MOST_GROUPS = 1 << 16
_GROUP_PIXELS = 16
_GROUP_BITS = 36
"""A lossless picture, or alpha, may have a group of codes for each 4 x 4 pixels, which takes 16 bits to name and 20 to
tell. Their number stands behind much that would have to be decoded, so it is taken for the most that there can be."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    length: int
    """Bytes that the chunk says it has; the last one of a file may have fewer."""
    content: bytes

    @property
    def is_cut_off(self) -> bool:
        return len(self.content) < self.length

    @property
    def whole_length(self) -> int:
        """In a file, were it not cut off."""
        return _HEAD.size + self.length + (self.length & 1)

    @property
    def file(self) -> bytes:
        filled = b"" if self.is_cut_off else b"\0" * (self.length & 1)
        return _HEAD.pack(self.kind, self.length) + self.content + filled


def bare_webp(data: bytes) -> Bare:
    """Take the bare picture out of a WebP. Raises Damaged."""
    found = _first_of_each(data, _FILE_HEAD)
    first = next(iter(found.values()), None)
    if first is not None and first.kind in _PICTURE:
        return _plain(first)
    if first is None or first.kind != b"VP8X" or len(first.content) < _CANVAS:
        raise Damaged
    return _extended(found, is_short=_missing(data) > 0)


def _plain(picture: _Chunk) -> Bare:
    size, has_alpha = _look_at(picture)
    return Bare(
        data=_file(picture),
        size=size,
        work_s=_work_s(size, [picture], has_alpha=has_alpha),
        is_cut_off=picture.is_cut_off,
    )


def _extended(found: dict[bytes, _Chunk], *, is_short: bool) -> Bare:
    flags, canvas = found[b"VP8X"].content[0], found[b"VP8X"].content[4:_CANVAS]
    exif = found.get(b"EXIF")
    if flags & _EXIF_FLAG and is_short and (exif is None or exif.is_cut_off):
        raise Damaged  # what tells the orientation is behind the picture, and was cut off
    pixels, animation = _first_frame(found) if flags & _ANIMATION_FLAG else (_still(found), [])
    size = (1 + int.from_bytes(canvas[:3], "little"), 1 + int.from_bytes(canvas[3:], "little"))
    has_alpha = bool(flags & (_ALPHA_FLAG | _ANIMATION_FLAG))
    kept = bytes([flags & (_ALPHA_FLAG | _ANIMATION_FLAG), 0, 0, 0]) + canvas
    profile = found.get(b"ICCP")
    return Bare(
        data=_file(_Chunk(b"VP8X", _CANVAS, kept), *(animation or pixels)),
        size=size,
        work_s=_work_s(size, pixels, has_alpha=has_alpha),
        orientation=orientation_in(exif.content if exif else b""),
        profile=checked_profile(profile.content) if profile else None,
        is_cut_off=any(chunk.is_cut_off for chunk in (*pixels, *animation)),
    )


def _still(found: dict[bytes, _Chunk]) -> list[_Chunk]:
    """The picture, its alpha before it."""
    lossless, lossy, alpha = (found.get(kind) for kind in (b"VP8L", b"VP8 ", b"ALPH"))
    if lossy is not None:
        return [lossy] if alpha is None else [alpha, lossy]
    if lossless is None:
        raise Damaged
    return [lossless]


def _first_frame(found: dict[bytes, _Chunk]) -> tuple[list[_Chunk], list[_Chunk]]:
    """The first frame's picture, and the chunks that make a file of it."""
    frame = found.get(b"ANMF")
    if frame is None or len(frame.content) < _FRAME:
        raise Damaged
    pixels = _still(_first_of_each(frame.content, _FRAME))
    content = frame.content[:_FRAME] + b"".join(chunk.file for chunk in pixels)
    length = _FRAME + sum(chunk.whole_length for chunk in pixels)
    return pixels, [_Chunk(b"ANIM", _ANIMATION, bytes(_ANIMATION)), _Chunk(b"ANMF", length, content)]


def _first_of_each(data: bytes, at: int) -> dict[bytes, _Chunk]:
    """The first chunk of each kind of use, in their order; the last may be cut. 10 MB have room for 1.3 million."""
    found: dict[bytes, _Chunk] = {}
    last, read_head = len(data) - _HEAD.size, _HEAD.unpack_from
    while at <= last:
        kind, length = read_head(data, at)
        if kind in _OF_USE and kind not in found:
            found[kind] = _Chunk(kind, length, data[at + 8 : at + 8 + length])
        at += 8 + length + (length & 1)
    return found


def _file(*chunks: _Chunk) -> bytes:
    """A file of these, which says how long it would be, were the last one not cut off."""
    length = len(b"WEBP") + sum(chunk.whole_length for chunk in chunks)
    return _HEAD.pack(b"RIFF", length) + b"WEBP" + b"".join(chunk.file for chunk in chunks)


def _missing(data: bytes) -> int:
    return 8 + int.from_bytes(data[4:8], "little") - len(data)


def _look_at(picture: _Chunk) -> tuple[tuple[int, int], bool]:
    """Width and height in a picture's own header, and whether it says that it has alpha. Raises Damaged."""
    head = picture.content[:10]
    if picture.kind == b"VP8L" and len(head) >= 5:
        bits = int.from_bytes(head[1:5], "little")
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bool(bits >> 28 & 1)
    if picture.kind == b"VP8 " and len(head) == 10:
        return (
            int.from_bytes(head[6:8], "little") & 0x3FFF,
            int.from_bytes(head[8:10], "little") & 0x3FFF,
        ), False
    raise Damaged


def _work_s(canvas: tuple[int, int], pixels: list[_Chunk], *, has_alpha: bool) -> float:
    width, height = canvas
    lossless = pixels[-1].kind == b"VP8L"
    pixel_s = (_LOSSLESS_PIXEL_S if lossless else _PIXEL_S) + (_ALPHA_PIXEL_S if has_alpha else 0)
    bytes_s = sum(len(chunk.content) * (_BYTE_S if chunk.kind == b"VP8 " else _LOSSLESS_BYTE_S) for chunk in pixels)
    packed = sum(len(chunk.content) for chunk in pixels if chunk.kind in _LOSSLESS)
    groups = min(_MOST_GROUPS, width * height // _GROUP_PIXELS, 8 * packed // _GROUP_BITS)
    return width * height * pixel_s + bytes_s + groups * _GROUP_S
