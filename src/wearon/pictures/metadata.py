"""The two things in a picture's metadata that change how it looks: its orientation and its colour profile."""

import struct
import zlib

MAX_PROFILE_BYTES = 4 * 1024 * 1024
"""Those of presses, the largest in use, have up to 3 MB; those of cameras and screens a few KB."""

_ORIENTATION = 0x0112
_BYTE, _SHORT, _LONG = 1, 3, 4
"""Types of an EXIF value; it should be a short."""

_PROFILE_HEADER = 128
_PROFILE_SIGNATURE = b"acsp"
_MAX_TAGS = 100
"""Little CMS, which reads profiles for us, takes no more."""

_FLOAT_TAGS = frozenset({b"D2B0", b"D2B1", b"D2B2", b"D2B3", b"B2D0", b"B2D1", b"B2D2", b"B2D3"})
"""Conversions in any number of steps, which may all be one step of the file: minutes for 100 KB. No profile is made of
these alone, so they are left out."""


def orientation_in(exif: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1, upright, where there is none to be read."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        entry = struct.Struct(order + "HHI4s")
        for at in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
            tag, kind, _, value = entry.unpack_from(tiff, at)
            if tag == _ORIENTATION:
                return _valid(order, kind, value)
    except struct.error:
        pass
    return 1


def _valid(order: str, kind: int, value: bytes) -> int:
    form = {_BYTE: "B", _SHORT: "H", _LONG: "I"}.get(kind)
    number = struct.unpack_from(order + form, value)[0] if form else 1
    return number if 1 <= number <= 8 else 1


def unpacked_profile(compressed: bytes) -> bytes | None:
    """A profile out of zlib's compression, as PNG has it; None when it is broken, or larger than any honest one."""
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(compressed, MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return checked_profile(profile) if unpacking.eof else None


def checked_profile(profile: bytes) -> bytes | None:
    """A profile that may be given to Little CMS; None for one that is none, or larger than any honest one."""
    if not _PROFILE_HEADER + 4 <= len(profile) <= MAX_PROFILE_BYTES or profile[36:40] != _PROFILE_SIGNATURE:
        return None
    (count,) = struct.unpack_from(">I", profile, _PROFILE_HEADER)
    end = _PROFILE_HEADER + 4 + 12 * count
    if count > _MAX_TAGS or end > len(profile):
        return None
    kept = bytearray(profile)
    for at in range(_PROFILE_HEADER + 4, end, 12):
        if profile[at : at + 4] in _FLOAT_TAGS:
            kept[at : at + 4] = b"none"
    return bytes(kept)
