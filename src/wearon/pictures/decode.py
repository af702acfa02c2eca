"""Hostile picture bytes in, a plain upright sRGB picture out.

    PictureError   no picture comes out of these bytes: its reason

Nothing here may run on the event loop: see `wearon.pictures.pool`. Kept free of other imports than Pillow, so that
the processes which decode stay small.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import (
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

FORMATS = (
    JpegImagePlugin.JpegImageFile.format,
    PngImagePlugin.PngImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
)
"""What the bucket and the image model take. Naming the plug-ins spares Pillow loading all forty to find them."""

JPEG_FORMATS = {"JPEG", "MPO"}
"""MPO: a JPEG with further pictures behind it, as some phones save portraits. The first is the photo."""

_JPEG_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"
_JPEG_MARKER = re.compile(_JPEG_SCAN + b"|" + _JPEG_END)  # three times as fast as bytes.find for each
_JPEG_PADDING = bytes(16)
"""libjpeg's bit buffer reads up to 8 bytes ahead of the last pixel."""

MAX_PIXELS = 50_000_000
"""The largest phone pictures in use; 200 MB decoded."""

PREPARED_EDGE = 1024
"""What the image model looks at: more is scaled down on its side."""

PREPARED_QUALITY = 75

_ANSWER_EDGE = 4096
"""Larger than any picture that an image model makes."""

_ANSWER_QUALITY = 95

_ORIENTATION_TAG = 0x0112
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


class PictureError(ValueError):
    """These bytes are not a picture that we take. `reason` is fit for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def prepare(data: bytes, max_edge: int = PREPARED_EDGE, quality: int = PREPARED_QUALITY) -> bytes:
    """A picture as the image model gets it: JPEG, upright, sRGB, no metadata, at most `max_edge` pixels long.

    Raises PictureError.
    """
    return to_jpeg(decode(data, max_edge), quality)


def ensure_jpeg(data: bytes) -> bytes:
    """The same bytes when they are a whole JPEG, a JPEG made from them when they are another picture.

    (A JPEG without end marker is made anew: not every viewer shows it.)

    Raises PictureError.
    """
    with _decoding():
        image = _open(data)
        if image.format in JPEG_FORMATS and _JPEG_END in data:
            _load(image, data)
            return data
    return prepare(data, _ANSWER_EDGE, _ANSWER_QUALITY)


def decode(data: bytes, max_edge: int) -> Image.Image:
    """An RGB picture (8 bits, sRGB), upright, its longer edge at most `max_edge` pixels, never enlarged.

    JPEG, PNG and WebP by content. Of an animated picture the first frame, which is what a shop's page shows
    before it moves; what is transparent becomes white, as on that page. Raises PictureError.
    """
    with _decoding():
        image = _open(data)
        size = _fitting(image.size, max_edge)
        # JPEG can be decoded at 1/2, 1/4 or 1/8 for a fraction of the work; it stays at least that large.
        image.draft(None, size)
        _load(image, data)
        orientation = _orientation(image)
        profile = image.info.get("icc_profile")
        # Hamming is as sharp as bicubic when shrinking, for the price of bilinear: a quarter less time.
        result = _plain_mode(image).resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)
        if orientation in _UPRIGHT:
            result = result.transpose(_UPRIGHT[orientation])
        result = _to_srgb(_on_white(result), profile)
        result.info = {}
        return result


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
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(f"has more than {MAX_PIXELS // 1_000_000} megapixels") from None
    except (OSError, EOFError, SyntaxError) as error:  # what Pillow raises on purpose
        raise PictureError("is truncated or damaged") from error
    except Exception as error:  # and by accident: bytes made to break it can raise anything
        raise PictureError(f"is damaged ({type(error).__name__})") from error


def _open(data: bytes) -> ImageFile.ImageFile:
    if not data:
        raise PictureError("is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise PictureError("is not a JPEG, PNG or WebP picture") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(f"has more than {MAX_PIXELS // 1_000_000} megapixels")
    return image


def _load(image: ImageFile.ImageFile, data: bytes) -> None:
    """Decode the pixels; an error when some are missing.

    When a JPEG's end marker comes too early, libjpeg paints the rest grey and nobody tells. Where there is none it
    waits for more, and then Pillow tells. (With several scans it looks for the end before it paints anything, so
    there the marker must stay: what is missing then is detail.)
    """
    if image.format in JPEG_FORMATS and isinstance(image.fp, io.BytesIO):
        marker = _JPEG_MARKER.search(data, image.fp.tell())  # from the first scan on, where Pillow stopped reading
        several_scans = image.info.get("progressive") or (marker is not None and marker[0] == _JPEG_SCAN)
        if not several_scans:
            image.fp.seek(len(data) if marker is None else marker.start())
            image.fp.write(_JPEG_PADDING)
            image.fp.truncate()
    image.load()


def _fitting(size: tuple[int, int], max_edge: int) -> tuple[int, int]:
    width, height = size
    scale = min(1.0, max_edge / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - broken metadata is no reason to refuse a picture
        return 1


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
