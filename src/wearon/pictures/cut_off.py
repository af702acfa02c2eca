"""Pictures whose transfer was cut: how much of them is there.

Decoders do not say how far they came. So such a file is decoded twice, with different stand-ins for what is missing:
the rows that come out the same both times do not depend on it. (A few pixels at the end of the last one may, when they
look alike by chance.)
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

from PIL import Image, ImageFile

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = b"IDAT"
_PNG_END = b"IEND"

_JPEG = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
"""Of several scans libjpeg shows nothing before it has seen this; of a single one Pillow's decoder is not shown it."""

_WEBP_PADDINGS = (b"\x00", b"\x80", b"\x10", b"\x01", b"\x40")
"""With zeros libwebp's entropy decoders nearly always run on to the end, with the others mostly; two are needed."""

_MOST_PADDING = 1.0
"""Of the bytes that are there. A file of which less than half came does not hold three quarters of the rows."""

_STRIP_PIXELS = 1_000_000
"""Compared at once: two copies of a strip are a few megabytes, of the picture 400."""

_WEBP_HAS_EXIF = 0x08

Open = Callable[[bytes], ImageFile.ImageFile]


def is_cut_off(data: bytes) -> bool:
    """Whether the file ends before the picture does. To be asked of a file whose decoder complained."""
    if data.startswith(_PNG):
        return all(kind != _PNG_END or end > len(data) for kind, end in _png_chunks(data))
    if data.startswith(b"RIFF"):
        return 0 < _missing_webp(data) <= _MOST_PADDING * len(data)
    return True  # a JPEG does not tell its length: damage inside goes unnoticed, only a lack of data is complained of


def load_cut_off(data: bytes, open_picture: Open) -> tuple[Image.Image, float]:
    """The picture decoded as far as it goes, and which part of its rows is real, from the first on: 0.0 to 1.0.

    Raises OSError, or what `open_picture` raises, when it cannot be decoded.
    """
    load_twice = _load_padded if data.startswith(b"RIFF") else _load_over
    one, other = load_twice(data, open_picture)
    return one, _equal_rows(one, other) / one.height


def _load_over(data: bytes, open_picture: Open) -> tuple[Image.Image, Image.Image]:
    """Let the decoder paint over zeros, then over ones, and keep that where it ran out of data."""
    data = data + _JPEG_END if data.startswith(_JPEG) else data[: _end_of_use(data)]
    return _painted_over(0, open_picture(data)), _painted_over(1, open_picture(data))


def _painted_over(value: int, image: ImageFile.ImageFile) -> Image.Image:
    canvas = Image.new(image.mode, image.size, value)
    canvas.info, canvas.palette = image.info, image.palette
    image.im = canvas.im
    with suppress(OSError):
        image.load()
    return canvas


def _load_padded(data: bytes, open_picture: Open) -> tuple[Image.Image, Image.Image]:
    """A WebP is decoded whole or not at all: give the decoder bytes to the end."""
    loaded: list[Image.Image] = []
    for padding in _WEBP_PADDINGS:
        image = open_picture(data + padding * _missing_webp(data))
        if data[12:16] == b"VP8X" and data[20] & _WEBP_HAS_EXIF and not image.info.get("exif"):
            raise OSError("what tells the orientation is behind the picture, and cut off")
        with suppress(OSError):
            image.load()
            if loaded:
                return loaded[0], image
            loaded.append(image.copy())  # which does not hold the decoder and its buffers
    raise OSError("cannot be decoded with anything behind it")


def _equal_rows(one: Image.Image, other: Image.Image) -> int:
    """How many rows are the same, from the first on."""
    strip_rows = max(1, _STRIP_PIXELS // one.width)
    for top in range(0, one.height, strip_rows):
        strip = (0, top, one.width, min(top + strip_rows, one.height))
        first, second = one.crop(strip).tobytes(), other.crop(strip).tobytes()
        if first != second:
            stride = len(first) // (strip[3] - top)
            rows = range(0, len(first), stride)
            return top + next(row for row, at in enumerate(rows) if first[at : at + stride] != second[at : at + stride])
    return one.height


def _end_of_use(png: bytes) -> int:
    """Where the last whole chunk ends, or the file when pixels are in its last chunk."""
    at = len(_PNG)
    for kind, end in _png_chunks(png):
        if end > len(png):
            return len(png) if kind == _PNG_PIXELS else at
        at = end
    return at


def _png_chunks(png: bytes) -> Iterator[tuple[bytes, int]]:
    """Kind and end of each chunk that begins in the file."""
    at = len(_PNG)
    while at + 8 <= len(png):
        kind = png[at + 4 : at + 8]
        at += 12 + int.from_bytes(png[at : at + 4])
        yield kind, at


def _missing_webp(data: bytes) -> int:
    return 8 + int.from_bytes(data[4:8], "little") - len(data)
