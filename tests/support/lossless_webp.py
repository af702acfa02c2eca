"""Lossless WebP data, bit by bit (RFC 9649): pictures whose every 4 x 4 pixels have codes of their own."""

import io
import struct

from PIL import Image

from support.odd_pictures import riff, riff_chunk

GROUPS = 1 << 16
"""As many as a picture can name; encoders make 2,600 at most."""

_CACHE_BITS = 11
"""The largest cache of colours: each group's first code has so many symbols more."""

_ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8)
"""In which the lengths of the codes that lengths are written in stand."""


def _bits(value: int, count: int) -> str:
    """A number, its lowest bit first."""
    return f"{value:0{count}b}"[::-1]


_ONE_SYMBOL = "1" + "0" * 3
"""A code of which nothing need be written: it has one symbol, 0."""


def _bytes_as_they_are(symbols: int) -> str:
    """A code in which 256 symbols have eight bits, and further ones none."""
    lengths = "".join(_bits(int(length in {0, 8}), 3) for length in _ORDER)
    return "0" + _bits(len(_ORDER) - 4, 4) + lengths + "0" + "1" * 256 + "0" * (symbols - 256)


def _stream() -> str:
    """1024 x 1024 pixels of one colour, without the header."""
    start = "0" + "1" + _bits(_CACHE_BITS, 4) + "1" + _bits(0, 3)
    names = "0" + _bytes_as_they_are(280) + _bytes_as_they_are(256) + 3 * _ONE_SYMBOL
    name_of_each = "".join(f"{number & 0xFF:08b}{number >> 8:08b}" for number in range(GROUPS))
    return start + names + name_of_each + 5 * GROUPS * _ONE_SYMBOL


def _packed(bits: str) -> bytes:
    return int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little")


def many_groups() -> bytes:
    """A picture of 300 KB that is all codes."""
    return riff(riff_chunk(b"VP8L", b"\x2f" + _packed(2 * _bits(1023, 14) + _bits(0, 4) + _stream())))


def many_groups_cut_off() -> bytes:
    """The same, which says that it goes on."""
    whole = many_groups()
    length = len(whole) + 100_000
    return b"RIFF" + struct.pack("<I", length - 8) + whole[8:16] + struct.pack("<I", length - 20) + whole[20:]


def alpha_of_many_groups() -> bytes:
    """24 megapixels, quick to decode but for their alpha (of which the first megapixel would do)."""
    plain = io.BytesIO()
    Image.new("RGB", (6000, 4000), (9, 99, 30)).save(plain, "WEBP", quality=50, method=0)
    canvas = struct.pack("<I", 5999)[:3] + struct.pack("<I", 3999)[:3]
    alpha = riff_chunk(b"ALPH", b"\x01" + _packed(_stream()))
    return riff(riff_chunk(b"VP8X", b"\x10\0\0\0" + canvas), alpha, plain.getvalue()[12:])
