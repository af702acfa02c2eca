"""JPEG, segment by segment (ISO 10918-1, B): tables and scans are kept, and what tells how colours are stored."""

import re
import struct
from dataclasses import dataclass, field

from wearon.pictures.bare import Bare, Damaged, TooMuchWork
from wearon.pictures.jpeg_scans import Scan, Scans, read_scan
from wearon.pictures.metadata import MAX_PROFILE_BYTES, checked_profile, orientation_in

JPEG = b"\xff\xd8"

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""What ends a scan's data, or what stands between two segments (fill bytes, anything): not a 0xFF that is data, nor a
restart."""

_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive: what browsers show. Arithmetic coding is ten times as slow to read."""

_PROGRESSIVE = 0xC2
_OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = frozenset({0xC4, 0xDB, 0xDD})
"""Huffman codes, quantization, restart interval."""

_JFIF, _EXIF, _PROFILE, _ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
_WITHOUT_LENGTH = frozenset({0x01, 0xD8})

_METADATA = frozenset({*range(0xE0, 0xF0), 0xFE})
"""Applications' segments and comments."""

MAX_SCANS = 32
"""Encoders make 10 of them, a few 20."""

_MAX_TABLE_BYTES = 64 * 1024
"""Optimized codes before each of 20 scans are 10 KB. Pillow reads tables in Python."""

_MAX_SEGMENTS = 2000
"""Other than metadata. An honest picture has some fifty."""

_MAX_READ = 1000
"""Segments of metadata that are looked at. A profile and an EXIF block are at most 256; millions fit into 10 MB."""

_MAX_SKIPPED = 100_000
"""Runs of metadata with something else between them."""

_PIXEL_S = 2e-9
_SCANNED_PIXEL_S = 0.6e-9
_BYTE_S = 15e-9
_SCANNED_BYTE_S = 30e-9
"""Seconds for each pixel and each byte, and for each pixel of each scan and each byte where there are several scans:
measured at 20 and 49 megapixels, shrunk as they are read."""


@dataclass(slots=True)
class _Found:
    """What has been seen of a file so far."""

    kept: list[bytes] = field(default_factory=lambda: [JPEG])
    length: int = len(JPEG)
    frame: bytes = b""
    is_progressive: bool = False
    scans: list[Scan] = field(default_factory=list)
    tables_length: int = 0
    jfif: bytes = b""
    adobe: bytes = b""
    exif: bytes = b""
    profile: dict[int, bytes] = field(default_factory=dict)
    profile_count: int = 0

    def keep(self, piece: bytes) -> None:
        self.kept.append(piece)
        self.length += len(piece)


def bare_jpeg(data: bytes) -> Bare:
    """Take the bare picture out of a JPEG: the file's first. Raises Damaged, TooMuchWork."""
    found = _Found()
    _walk(data, found)
    if len(found.frame) < 6:
        raise Damaged
    height, width = struct.unpack_from(">HH", found.frame, 1)
    scans = Scans(found.frame[6::3], tuple(found.scans))
    return Bare(
        data=b"".join(found.kept),
        size=(width, height),
        work_s=_work_s(width * height, found),
        orientation=orientation_in(found.exif),
        profile=_profile(found),
        is_cut_off=True,
        scans=scans,
    )


def _walk(data: bytes, found: _Found) -> None:
    at, read = len(JPEG), 0
    for _ in range(_MAX_SEGMENTS):
        while (marker := _MARKER.search(data, at)) and marker[1][0] in _METADATA:
            start, at = marker.end(), _end(data, marker.end())
            if read < _MAX_READ:
                _read_metadata(found, marker[1][0], data[start + 2 : at])
            else:
                at = _behind_metadata(data, at)
            if (read := read + 1) > _MAX_SKIPPED:
                raise TooMuchWork
        if marker is None:
            return
        kind, start = marker[1][0], marker.end()
        if kind == _END_OF_IMAGE:
            found.keep(marker[0])
            return
        at = start if kind in _WITHOUT_LENGTH else _end(data, start)
        at = _take(data, found, kind, start, at)
    raise TooMuchWork


def _end(data: bytes, start: int) -> int:
    return start + max(2, int.from_bytes(data[start : start + 2]))


def _behind_metadata(data: bytes, at: int) -> int:
    """Past all segments of metadata that follow at once: a loop that takes half a second for 2.6 million."""
    last = len(data) - 4
    while at <= last and data[at] == 0xFF and data[at + 1] in _METADATA:
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    return at


def _take(data: bytes, found: _Found, kind: int, start: int, end: int) -> int:
    """Keep a segment that is of use, a scan with its data: where what is behind it begins."""
    content = data[start + 2 : end]
    if kind in _OTHER_FRAMES or (kind in _FRAMES and found.frame):
        raise Damaged
    if kind == _START_OF_SCAN:
        return _take_scan(data, found, start, end)
    if kind in _FRAMES:
        found.frame, found.is_progressive = content, kind == _PROGRESSIVE
    elif kind in _TABLES:
        found.tables_length += len(content)
        if found.tables_length > _MAX_TABLE_BYTES:
            raise TooMuchWork
    else:
        return end
    found.keep(data[start - 2 : end])
    return end


def _take_scan(data: bytes, found: _Found, start: int, end: int) -> int:
    if len(found.scans) == MAX_SCANS:
        raise TooMuchWork
    marker = _MARKER.search(data, end)
    behind = marker.start() if marker else len(data)
    if not found.scans:
        found.keep(found.jfif + found.adobe)
    found.keep(data[start - 2 : behind])
    found.scans.append(read_scan(data[start + 2 : end], found.length, is_whole=marker is not None))
    return behind


def _read_metadata(found: _Found, kind: int, content: bytes) -> None:
    if kind == _JFIF and content.startswith(b"JFIF\0"):
        found.jfif = b"\xff\xe0\0\x10" + content[:12].ljust(12, b"\0") + bytes(2)  # without its small picture
    elif kind == _ADOBE and content.startswith(b"Adobe") and len(content) >= 12:
        found.adobe = b"\xff\xee\0\x0e" + content[:12]
    elif kind == _EXIF and content.startswith(b"Exif\0\0"):
        found.exif = found.exif or content
    elif kind == _PROFILE and content.startswith(b"ICC_PROFILE\0") and len(content) > 14 and not found.frame:
        found.profile.setdefault(content[12], content[14:])
        found.profile_count = found.profile_count or content[13]


def _profile(found: _Found) -> bytes | None:
    """Put together from its numbered pieces, if all are there."""
    pieces = [found.profile.get(number) for number in range(1, found.profile_count + 1)]
    whole = [piece for piece in pieces if piece is not None]
    if not whole or len(whole) < len(pieces) or sum(map(len, whole)) > MAX_PROFILE_BYTES:
        return None
    return checked_profile(b"".join(whole))


def _work_s(pixels: int, found: _Found) -> float:
    if not found.is_progressive and len(found.scans) < 2:
        return pixels * _PIXEL_S + found.length * _BYTE_S
    return pixels * (_PIXEL_S + len(found.scans) * _SCANNED_PIXEL_S) + found.length * _SCANNED_BYTE_S
