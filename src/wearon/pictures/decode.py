"""Hostile picture bytes in, a plain upright sRGB picture out.

    PictureError   no picture comes out of these bytes: its reason

Where this process lacks memory or descriptors it says nothing about the picture: MemoryError and OSError go up as they
are.

Nothing here may run on the event loop: see `wearon.pictures.pool`. Kept free of other large imports than Pillow, so
that the processes which decode stay small.
"""

import io
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from PIL import Image, ImageCms, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from wearon.pictures.bare import Bare, Damaged, TooMuchWork
from wearon.pictures.bare_jpeg import JPEG, MAX_SCANS, bare_jpeg
from wearon.pictures.bare_png import PNG, bare_png
from wearon.pictures.bare_webp import bare_webp
from wearon.pictures.cut_off import MAX_WORK_S, TooMuchMissing, load_cut_off
from wearon.pictures.jpeg_scans import Scans
from wearon.processes.answers import raises
from wearon.resources.shortage import is_shortage

FORMATS = (
    JpegImagePlugin.JpegImageFile.format,
    PngImagePlugin.PngImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
)
"""What the bucket and the image model take. Naming the plug-ins spares Pillow loading all forty to find them."""

_JPEG_END = b"\xff\xd9"
_JPEG_PADDING = bytes(16)
"""libjpeg's bit buffer reads up to 8 bytes ahead of the last pixel."""

_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
"""Brands of its file type box (ISO/IEC 23008-12, annex B)."""

ORDINARY_BYTES = 256 * 1024 * 1024
"""More than a picture of 24 megapixels takes on its way through. Who fails with that much left wanted too much, or is
damaged."""

MAX_PIXELS = 50_000_000
"""The largest phone pictures in use; 200 MB decoded. Of most PNGs and WebPs it is fewer: see `Bare.work_s`."""

MAX_EDGE = 65_535
"""Pixels of the longest edge that a JPEG can have. A PNG of one column of 50 million pixels costs seconds, and shows no
person."""

PREPARED_EDGE = 1024
"""What the image model looks at: more is scaled down on its side."""

PREPARED_QUALITY = 75

ALMOST = 0.95
"""Share of the largest size that will do as well: neither people nor models miss five pixels in a hundred."""

_ANSWER_EDGE = 4096
"""Larger than any picture that an image model makes."""

_ANSWER_QUALITIES = (95, 90, 80, 70, 60)
"""The first with which it can be stored. Noise of 4096 x 4096 pixels, the worst there is, can be with the last."""

STORED_BYTES = 10 * 1024 * 1024
"""The bucket takes no larger object: a picture that is paid for would wait for ever."""

ENOUGH_ROWS = 0.75
"""Of a picture that was cut off. People stand in the middle: the last quarter holds their feet (or, in a photo stored
lying, what is beside them), which a try-on can do without. With less, a garment's hem or a half of the body is gone."""

_TOO_LITTLE = "is cut off: less than three quarters of it are there"

_TOO_SLOW = "would take too long to decode"

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright that has this EXIF orientation (EXIF 2.32, 4.6.4 A)."""


_PREMULTIPLIED = {"LA": "La", "RGBA": "RGBa"}
"""How transparent pixels are shrunk: invisible colours must not shine through."""

Size = tuple[int, int]
"""Width and height in pixels."""


class PictureError(ValueError):
    """These bytes are not a picture that we take. `reason` is fit for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@raises(PictureError)
def prepare(data: bytes) -> bytes:
    """A picture as the image model gets it: JPEG, upright, sRGB, no metadata, at most `PREPARED_EDGE` pixels long.

    Raises PictureError.
    """
    return to_jpeg(decode(data, PREPARED_EDGE))


@raises(PictureError)
def ensure_jpeg(data: bytes) -> bytes:
    """The bytes as they are when they are a whole JPEG of at most `STORED_BYTES`, else such a JPEG made from them.

    (A JPEG without end marker is made anew: not every viewer shows it.) For the image model's answers: what is cut
    off is refused, the customer has paid for all of it.

    Raises PictureError.
    """
    with _decoding():
        bare = _bare(data)
        if data.startswith(JPEG) and _JPEG_END in data and len(data) <= STORED_BYTES:
            image = _open(bare)
            image.draft("L", (1, 1))  # all of it is read; drawing it small and grey takes a third of the time
            image.load()
            return data
        picture = _finish(_whole(bare, _ANSWER_EDGE), bare, _ANSWER_EDGE)
        for quality in _ANSWER_QUALITIES:
            jpeg = to_jpeg(picture, quality)
            if len(jpeg) <= STORED_BYTES:
                break
        return jpeg


def decode(data: bytes, max_edge: int) -> Image.Image:
    """An RGB picture (8 bits, sRGB), upright, its longer edge at most `max_edge` pixels, never enlarged.

    JPEG, PNG and WebP by content. Of an animated picture the first frame, which is what a shop's page shows
    before it moves; what is transparent becomes white, as on that page. Of a file that was cut off, the rows that
    are there, if they are `ENOUGH_ROWS`; a progressive JPEG lacks detail then instead. Raises PictureError.
    """
    with _decoding():
        bare = _bare(data)
        return _finish(_if_whole(bare, max_edge) or _what_is_left(bare, max_edge), bare, max_edge)


def to_jpeg(image: Image.Image, quality: int = PREPARED_QUALITY) -> bytes:
    """An RGB picture as JPEG, without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd EXIF and the like: not worth a line each in our log
            yield
    except Exception as error:
        # Its frames hold pictures, and the process holds the error until the next picture is there.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, PictureError) or is_shortage(error):
            raise
        if not memory_is_left():  # decoders in C have words of their own for it
            raise MemoryError from error
        raise PictureError(_reason(error)) from error


def memory_is_left() -> bool:
    """Whether this process could get what ordinary pictures need. Nothing of it is used."""
    try:
        bytes(ORDINARY_BYTES)  # unlike a bytearray, it is zeroed by the kernel when it is touched
    except MemoryError:
        return False
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"has more than {MAX_PIXELS // 1_000_000} megapixels"
    if isinstance(error, TooMuchMissing):
        return f"is cut off, and {_TOO_SLOW}"
    if isinstance(error, Damaged | OSError | EOFError | SyntaxError):  # what we and Pillow raise on purpose
        return "is truncated or damaged"
    return f"is damaged ({type(error).__name__})"  # and by accident: bytes made to break it can raise anything


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A picture that may be decoded smaller than it is, and its full size."""

    image: Image.Image
    full_size: Size


def _bare(data: bytes) -> Bare:
    """The picture without what need not be decoded. Raises PictureError, Damaged."""
    bare = _walked(data)
    width, height = bare.size
    if width * height > MAX_PIXELS:
        raise PictureError(f"has more than {MAX_PIXELS // 1_000_000} megapixels")
    if max(width, height) > MAX_EDGE:
        raise PictureError(f"is longer than {MAX_EDGE} pixels")
    if bare.work_s > MAX_WORK_S:
        raise PictureError(_TOO_SLOW)
    return bare


def _walked(data: bytes) -> Bare:
    if data.startswith(JPEG):
        try:
            return bare_jpeg(data)
        except TooMuchWork:
            raise PictureError(f"is a JPEG in more than {MAX_SCANS} scans, or in countless segments") from None
    if data.startswith(PNG):
        return bare_png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return bare_webp(data)
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        raise PictureError("is HEIC, which cannot be read")  # what iPhones make: worth a word of its own
    raise PictureError("is not a JPEG, PNG or WebP picture" if data else "is empty")


def _open(bare: Bare) -> ImageFile.ImageFile:
    image = Image.open(io.BytesIO(bare.data), formats=FORMATS)
    if image.size != bare.size:
        raise Damaged  # whatever it is, it is not what was looked at
    if bare.scans is not None:
        _expect_all(image, bare.scans)
    return image


def _open_shrunk(bare: Bare, max_edge: int) -> ImageFile.ImageFile:
    """The picture, ready to be loaded at about that size."""
    image = _open(bare)
    # JPEG can be decoded at 1/2, 1/4 or 1/8 for a fraction of the work; it stays at least as large as is asked for.
    image.draft(None, _fitting(bare.size, max_edge))
    return image


def _whole(bare: Bare, max_edge: int) -> _Loaded:
    """The decoded picture. Raises OSError when a part of it is missing."""
    image = _open_shrunk(bare, max_edge)
    image.load()
    return _Loaded(image, bare.size)


def _if_whole(bare: Bare, max_edge: int) -> _Loaded | None:
    """The decoded picture; None when the file was cut off. Raises OSError when a part of it is missing."""
    try:
        return _whole(bare, max_edge)
    except OSError:
        if bare.is_cut_off:
            return None
        raise


def _what_is_left(bare: Bare, max_edge: int) -> _Loaded:
    """The rows that are there."""
    image, share = load_cut_off(bare, lambda completed: _open_shrunk(replace(bare, data=completed), max_edge))
    if share < ENOUGH_ROWS:
        raise PictureError(_TOO_LITTLE)
    width, height = bare.size
    rows = image.crop((0, 0, image.width, round(image.height * share)))
    return _Loaded(rows, (width, round(height * share)))


def _expect_all(image: ImageFile.ImageFile, found: Scans) -> None:
    """Make a JPEG's decoder complain when a part of the picture is missing.

    When the end marker comes too early, libjpeg paints the rest grey without an error. Where there is none it waits
    for more, and then Pillow tells. With several scans it looks for the end before it paints anything, so there the
    marker must stay: then the scans tell.
    """
    assert isinstance(image.fp, io.BytesIO)
    if len(found.scans) == 1 and not image.info.get("progressive"):
        at = image.fp.tell()
        image.fp.seek(found.scans[0].end)
        image.fp.write(_JPEG_PADDING)
        image.fp.truncate()
        image.fp.seek(at)
    elif not found.show_everything:
        raise PictureError(_TOO_LITTLE)


def _finish(loaded: _Loaded, bare: Bare, max_edge: int) -> Image.Image:
    """A loaded picture as `decode` promises it."""
    result = _shrunk(_plain_mode(loaded.image), _fitting(loaded.full_size, max_edge))
    if bare.orientation in _UPRIGHT:
        result = result.transpose(_UPRIGHT[bare.orientation])
    result = _to_srgb(_on_white(result), bare.profile)
    result.info = {}
    return result


def _shrunk(image: Image.Image, size: Size) -> Image.Image:
    # Hamming is as sharp as bicubic when shrinking, for the price of bilinear: a quarter less time.
    if image.mode not in _PREMULTIPLIED:
        return image.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)
    # Pillow does the same, but passes over the gap: half as fast.
    premultiplied = image.convert(_PREMULTIPLIED[image.mode])
    return premultiplied.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0).convert(image.mode)


def _fitting(size: Size, max_edge: int) -> Size:
    """The size to decode to: as large as allowed, or a little smaller where that is a half, a quarter or an eighth.

    Those a JPEG decoder makes by itself, for less than half the time of decoding to the next larger one and resizing;
    and the commonest phone pictures have an edge of 4000 to 4080 pixels, whose quarter just misses 1024.
    """
    width, height = size
    scale = min(1.0, max_edge / max(width, height))
    for part in (2, 4, 8):
        if ALMOST * scale <= 1 / part <= scale:
            return -(-width // part), -(-height // part)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _plain_mode(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized: L, LA, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):
        # 16-bit grey: the upper byte counts; Pillow's own conversion would cut off at 255.
        return image.point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        return image if image.mode in {"LA", "RGBA"} else image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "P":
        return image.convert("RGB")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in {"LA", "RGBA"}:
        return image
    opaque_mode = image.mode.removesuffix("A")
    white = Image.new(opaque_mode, image.size, "white")
    white.paste(image.convert(opaque_mode), mask=image.getchannel("A"))
    return white


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            return _convert_profile(image, profile)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a profile that is broken, or of another kind of picture: ignored, as viewers do
    return image.convert("RGB")


def _convert_profile(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if ImageCms.getProfileDescription(source).startswith("sRGB"):
        return image.convert("RGB")  # nothing to convert: spares 20 ms a megapixel
    if source.profile.xcolor_space == "RGB ":
        image = image.convert("RGB")  # grey pictures often carry the profile of the editor's RGB space
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # as it is not done in place
    return converted
