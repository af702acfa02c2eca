"""Pictures whose transfer was cut: how much of them is there.

Decoders do not say how far they came. So such a file is decoded twice, with different stand-ins for what is missing:
the rows that come out the same both times do not depend on it. (A few pixels at the end of the last one may, when they
look alike by chance.)
"""

from collections.abc import Callable
from contextlib import suppress
from time import process_time

from PIL import Image, ImageFile

from wearon.pictures.bare import Bare
from wearon.pictures.bare_jpeg import JPEG

_JPEG_END = b"\xff\xd9"
"""Of several scans libjpeg shows nothing before it has seen this; of a single one Pillow's decoder is not shown it."""

_WEBP_PADDINGS = (b"\x00", b"\x80", b"\x10", b"\x01", b"\x40")
"""With zeros libwebp's entropy decoders nearly always run on to the end, with the others mostly; two are needed."""

_MOST_PADDING = 1.0
"""Of the bytes that are there. A file of which less than half came does not hold three quarters of the rows."""

_STRIP_PIXELS = 1_000_000
"""Compared at once: two copies of a strip are a few megabytes, of the picture 400."""

MAX_WORK_S = 0.8
"""Of a processor, for one picture; see `Bare.work_s`. With what is done besides, within a second."""

Open = Callable[[bytes], ImageFile.ImageFile]


class TooMuchMissing(ValueError):
    """Finding out how much of the picture is there would take too long, or has taken too long already."""


def load_cut_off(picture: Bare, open_picture: Open) -> tuple[Image.Image, float]:
    """The picture decoded as far as it goes, and which part of its rows is real, from the first on: 0.0 to 1.0.

    Raises OSError, or what `open_picture` raises, when it cannot be decoded, and TooMuchMissing.
    """
    tries = int(MAX_WORK_S / picture.work_s)
    if tries < 2:
        raise TooMuchMissing
    once_more = _WorkLimit()
    if picture.data.startswith(b"RIFF"):
        one, other = _load_padded(picture.data, open_picture, tries, once_more)
    else:
        one, other = _load_over(picture.data, open_picture, once_more)
    return one, _equal_rows(one, other) / one.height


class _WorkLimit:
    """What a picture is said to take is a guess, what it has taken is known."""

    def __init__(self) -> None:
        self._began = process_time()

    def __call__(self) -> None:
        """To be called before it is decoded again. Raises TooMuchMissing."""
        if process_time() - self._began > MAX_WORK_S / 2:
            raise TooMuchMissing


def _load_over(data: bytes, open_picture: Open, once_more: _WorkLimit) -> tuple[Image.Image, Image.Image]:
    """Let the decoder paint over zeros, then over ones, and keep that where it ran out of data."""
    if data.startswith(JPEG):
        data += _JPEG_END
    one = _painted_over(0, open_picture(data))
    once_more()
    return one, _painted_over(1, open_picture(data))


def _painted_over(value: int, image: ImageFile.ImageFile) -> Image.Image:
    canvas = Image.new(image.mode, image.size, value)
    canvas.info, canvas.palette = image.info, image.palette
    image.im = canvas.im
    with suppress(OSError):
        image.load()
    return canvas


def _load_padded(data: bytes, open_picture: Open, tries: int, once_more: _WorkLimit) -> tuple[Image.Image, Image.Image]:
    """A WebP is decoded whole or not at all: give the decoder bytes to the end."""
    missing = 8 + int.from_bytes(data[4:8], "little") - len(data)
    if missing > _MOST_PADDING * len(data):
        raise OSError("most of it is missing")
    loaded: list[Image.Image] = []
    for padding in _WEBP_PADDINGS[:tries]:
        once_more()
        image = open_picture(data + padding * missing)
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
