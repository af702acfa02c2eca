"""The scans of a JPEG, read without decoding them: how much work it is, and how much of the picture is there.

A baseline JPEG has one scan, from the first row to the last. A progressive one has several over the whole picture,
each adding detail: first the DC values (one for each 8 x 8 pixels), then bands of the 63 AC values (ISO 10918-1, G).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""What ends a scan's data: not a 0xFF that is data, nor a restart."""

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

MAX_SCANS = 32
"""A decoder goes over all pixels once for each scan: 50 ms for 50 megapixels. Encoders make 10 of them, a few 20."""

_MAX_FILL_BYTES = 1024
"""Between two segments; there need not be any. Pillow goes over them one by one: a second for a megabyte."""

_MAX_SEGMENTS = 2000
"""A picture of 10 MB has some 160 at most, when it is mostly metadata in segments of 64 KB."""


class TooMuchWork(ValueError):
    """This file is made to keep a decoder busy."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan's components (their ids) and coefficients (0 is DC); `end` is where its data ends in the file."""

    components: bytes
    first: int
    last: int
    refines: bool
    """Adds a bit to coefficients that an earlier scan brought."""
    end: int
    is_whole: bool
    """Another marker follows: its data was not cut off."""


@dataclass(frozen=True, slots=True)
class Scans:
    """All scans of a JPEG; `components` are the picture's, luma first."""

    components: bytes
    scans: tuple[Scan, ...]

    @property
    def show_everything(self) -> bool:
        """Whether whole scans bring every component's DC values and, on top, AC values of the luma.

        Then only finer detail can be missing. With less the picture is a blur, or grey from where the data ends.
        """
        whole = [scan for scan in self.scans if scan.is_whole and not scan.refines]
        dc = {component for scan in whole if scan.first == 0 for component in scan.components}
        return dc.issuperset(self.components) and any(
            scan.last > 0 and self.components[:1] in scan.components for scan in whole
        )


def read_scans(data: bytes) -> Scans:
    """Find the scans of a JPEG's first picture. Raises TooMuchWork."""
    components = b""
    scans: list[Scan] = []
    for kind, content, end in _segments(data):
        if kind in _START_OF_FRAME:
            components = content[6::3]
        elif kind == _START_OF_SCAN:
            if len(scans) == MAX_SCANS:
                raise TooMuchWork
            scans.append(_scan(content, end, is_whole=end < len(data)))
    return Scans(components, tuple(scans))


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """All segments up to the picture's end, or the file's: kind, content, and where the next marker is."""
    marker = _MARKER.search(data, 2)
    kind, end = 0, 2
    for _ in range(_MAX_SEGMENTS):
        if marker is None or marker[1][0] == _END_OF_IMAGE:
            return
        if kind != _START_OF_SCAN and marker.start() > end + _MAX_FILL_BYTES:
            raise TooMuchWork
        kind, start = marker[1][0], marker.end()
        end = start + max(2, int.from_bytes(data[start : start + 2]))
        marker = _MARKER.search(data, end)
        yield kind, data[start + 2 : end], marker.start() if marker else len(data)
    raise TooMuchWork


def _scan(header: bytes, end: int, *, is_whole: bool) -> Scan:
    count = header[0] if header else 0
    first, last, approximation = header[1 + 2 * count : 4 + 2 * count].ljust(3, b"\0")
    return Scan(
        components=header[1 : 1 + 2 * count : 2],
        first=first,
        last=last,
        refines=approximation >> 4 > 0,
        end=end,
        is_whole=is_whole,
    )
