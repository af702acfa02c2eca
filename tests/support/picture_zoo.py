"""Pictures of every kind that customers and attackers send, made on the spot.

All that can be shown are the same scene, 160 x 120 pixels, in four flat quarters: red, green, blue and yellow. Where
there is transparency, the yellow quarter is the hole.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ExifTags import IFD, Base

Colour = tuple[int, int, int]
Quarters = tuple[Colour, Colour, Colour, Colour]
"""Top left, top right, bottom left, bottom right."""

WIDTH, HEIGHT = 160, 120
COLOURS: Quarters = ((200, 40, 40), (40, 180, 60), (40, 60, 200), (230, 210, 50))
WHITE: Colour = (255, 255, 255)

SECRET = b"52.3702N-4.8952E"
"""Metadata that must not leave with the picture."""


@dataclass(frozen=True)
class Healthy:
    """Comes out upright, with these colours."""

    name: str
    data: bytes
    colours: Quarters = COLOURS


@dataclass(frozen=True)
class CutOff:
    """The first part of the file `whole`: comes out with its first rows."""

    name: str
    data: bytes
    whole: bytes


@dataclass(frozen=True)
class Hopeless:
    """Is refused, for this reason."""

    name: str
    data: bytes
    reason: str


def scene() -> Image.Image:
    """The scene itself, RGB."""
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    for colour, corner in zip(COLOURS, _corners(WIDTH, HEIGHT), strict=True):
        picture.paste(colour, (*corner, corner[0] + WIDTH // 2, corner[1] + HEIGHT // 2))
    return picture


def quarters(picture: Image.Image) -> Quarters:
    """What a picture shows in the middle of its four quarters."""
    width, height = picture.size
    first, second, third, fourth = (
        picture.convert("RGB").getpixel((x + width // 4, y + height // 4)) for x, y in _corners(width, height)
    )
    return first, second, third, fourth  # type: ignore[return-value] # getpixel is typed for all modes


def alike(one: Quarters, other: Quarters, tolerance: int = 10) -> bool:
    """Whether they look the same: JPEG, chroma subsampling and profiles move values by a few."""
    return bool(np.abs(np.array(one) - np.array(other)).max() <= tolerance)


@cache
def healthy() -> Sequence[Healthy]:
    """Everything that must come out."""
    return (*_jpegs(), *_pngs(), *_webps(), *_transparent())


@cache
def hopeless() -> Sequence[Hopeless]:
    """Everything that must be refused."""
    return (*_no_pictures(), *_other_formats(), *_truncated(), *_bombs())


def all_that_come_out() -> Sequence[Healthy | CutOff]:
    """The healthy ones, and those that come out in part."""
    return (*healthy(), *cut_progressive(), *cut_off())


def saved(picture: Image.Image, file_format: str, **options: object) -> bytes:
    """The picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> bytes:
    """The scene as a camera stores it that was held so: EXIF 2.32, 4.6.4 A, `orientation` 1 to 8.

    The tag says where the stored first row and first column lie in the upright picture.
    """
    upright: npt.NDArray[np.uint8] = np.asarray(scene())
    columns_first = upright.transpose(1, 0, 2)
    stored = {
        1: upright,  # top, left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: columns_first,  # left, top
        6: columns_first[::-1],  # right, top
        7: columns_first[::-1, ::-1],  # right, bottom
        8: columns_first[:, ::-1],  # left, bottom
    }[orientation]
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    return saved(Image.fromarray(stored), "JPEG", quality=95, exif=exif)


def with_metadata(file_format: str) -> bytes:
    """The scene with a place, a comment and a description in every corner of the file."""
    exif = Image.Exif()
    exif[Base.ImageDescription] = SECRET.decode()
    exif.get_ifd(IFD.GPSInfo)[1] = "N"
    exif.get_ifd(IFD.GPSInfo)[2] = (52.0, 22.0, 12.72)
    options: dict[str, object] = {"exif": exif, "xmp": b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"}
    if file_format == "JPEG":
        options["comment"] = SECRET
    return saved(scene(), file_format, **options)


def animated(file_format: str) -> bytes:
    """The scene, then a black frame."""
    black = Image.new("RGB", (WIDTH, HEIGHT))
    return saved(scene(), file_format, save_all=True, append_images=[black], lossless=True, duration=100)


def wide_gamut() -> bytes:
    """The scene in Display P3 colours (with a plain gamma), as phones save it."""
    srgb = np.array(COLOURS) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    p3 = (linear @ _SRGB_TO_XYZ.T @ np.linalg.inv(_P3_TO_XYZ).T).clip(0, 1) ** (1 / _GAMMA)
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    for colour, corner in zip(p3, _corners(WIDTH, HEIGHT), strict=True):
        values = tuple(round(value * 255) for value in colour.tolist())
        picture.paste(values, (*corner, corner[0] + WIDTH // 2, corner[1] + HEIGHT // 2))
    return saved(picture, "JPEG", quality=95, icc_profile=_matrix_profile(b"Display P3", _P3_TO_XYZ))


def png(size: tuple[int, int], *, depth: int, colour_type: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG from raw rows (big-endian, without filter bytes); `extra` are chunks before the pixels."""
    width, height = size
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    stride = len(rows) // height if rows else 0
    filtered = b"".join(b"\0" + rows[row * stride : (row + 1) * stride] for row in range(height)) if rows else b""
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(filtered, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def many_scans(edge: int = 7000, scans: int = 3000) -> bytes:
    """A small progressive JPEG that keeps a decoder busy: the same scan over 49 megapixels, again and again."""
    data = saved(Image.new("L", (edge, edge), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def _corners(width: int, height: int) -> tuple[tuple[int, int], ...]:
    return (0, 0), (width // 2, 0), (0, height // 2), (width // 2, height // 2)


def _grey(colours: Quarters) -> Quarters:
    first, second, third, fourth = (
        (grey, grey, grey) for grey in (round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in colours)
    )
    return first, second, third, fourth


def _jpegs() -> Sequence[Healthy]:
    picture = scene()
    black = Image.new("RGB", picture.size)
    plain = saved(picture, "JPEG", quality=95)
    return (
        Healthy("JPEG", plain),
        Healthy("progressive JPEG", saved(picture, "JPEG", quality=95, progressive=True)),
        Healthy("JPEG with restart markers", saved(picture, "JPEG", quality=95, restart_marker_blocks=3)),
        Healthy("JPEG without end marker", plain[:-2]),
        Healthy("JPEG with something behind it", plain + b"\0" * 100 + b"motion photo" + b"\xff\xd9\xff\xda"),
        Healthy("grey JPEG", saved(picture.convert("L"), "JPEG", quality=95), _grey(COLOURS)),
        Healthy("CMYK JPEG", saved(picture.convert("CMYK"), "JPEG", quality=95)),
        Healthy("wide-gamut JPEG", wide_gamut()),
        Healthy("JPEG with a broken profile", saved(picture, "JPEG", quality=95, icc_profile=b"no profile")),
        Healthy(
            "grey JPEG with an RGB profile",
            saved(picture.convert("L"), "JPEG", quality=95, icc_profile=_srgb_profile()),
            _grey(COLOURS),
        ),
        Healthy(
            "CMYK JPEG with an RGB profile",
            saved(picture.convert("CMYK"), "JPEG", quality=95, icc_profile=_srgb_profile()),
        ),
        Healthy("JPEG with broken EXIF", saved(picture, "JPEG", quality=95, exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")),
        Healthy("MPO", saved(picture, "MPO", quality=95, save_all=True, append_images=[black])),
        Healthy("JPEG with metadata", with_metadata("JPEG")),
        *(Healthy(f"JPEG with orientation {number}", oriented(number)) for number in range(1, 9)),
        Healthy("JPEG with orientation 0", _with_orientation(0)),
        Healthy("JPEG with orientation 9", _with_orientation(9)),
    )


def _pngs() -> Sequence[Healthy]:
    picture = scene()
    size = picture.size
    mostly_grey = _grey(COLOURS)
    return (
        Healthy("PNG", saved(picture, "PNG")),
        Healthy("palette PNG", saved(picture.quantize(4), "PNG")),
        Healthy("palette PNG of 2 bits", saved(picture.quantize(4), "PNG", bits=2)),
        Healthy("grey PNG", saved(picture.convert("L"), "PNG"), mostly_grey),
        Healthy(
            "16-bit grey PNG", png(size, depth=16, colour_type=0, rows=_sixteen_bits(picture.convert("L"))), mostly_grey
        ),
        Healthy("16-bit PNG", png(size, depth=16, colour_type=2, rows=_sixteen_bits(picture))),
        Healthy("PNG with metadata", with_metadata("PNG")),
        Healthy("animated PNG", animated("PNG")),
        Healthy(
            "black-and-white PNG",
            saved(picture.convert("L").point(lambda value: 255 * (value > 90)).convert("1"), "PNG"),
            ((0, 0, 0), WHITE, (0, 0, 0), WHITE),
        ),
    )


def _webps() -> Sequence[Healthy]:
    exif = Image.Exif()
    exif[Base.Orientation] = 3
    turned = scene().transpose(Image.Transpose.ROTATE_180)
    return (
        Healthy("WebP", saved(scene(), "WEBP", quality=95)),
        Healthy("lossless WebP", saved(scene(), "WEBP", lossless=True)),
        Healthy("animated WebP", animated("WEBP")),
        Healthy("WebP upside down", saved(turned, "WEBP", quality=95, exif=exif)),
        Healthy("WebP with metadata", with_metadata("WEBP")),
    )


def _transparent() -> Sequence[Healthy]:
    alpha = Image.new("L", (WIDTH, HEIGHT), 255)
    alpha.paste(0, (WIDTH // 2, HEIGHT // 2, WIDTH, HEIGHT))
    rgba = scene()
    rgba.paste((0, 0, 0), (WIDTH // 2, HEIGHT // 2, WIDTH, HEIGHT))
    rgba.putalpha(alpha)
    grey = rgba.convert("LA")
    palette = scene().quantize(4)
    hole = palette.getpixel((WIDTH - 1, HEIGHT - 1))
    on_white = (*COLOURS[:3], WHITE)
    grey_on_white = (*_grey(COLOURS)[:3], WHITE)
    yellow = struct.pack(">HHH", *COLOURS[3])
    keyed = png((WIDTH, HEIGHT), depth=8, colour_type=2, rows=scene().tobytes(), extra=chunk(b"tRNS", yellow))
    return (
        Healthy("PNG with alpha", saved(rgba, "PNG"), on_white),
        Healthy("grey PNG with alpha", saved(grey, "PNG"), grey_on_white),
        Healthy("palette PNG with a transparent entry", saved(palette, "PNG", transparency=hole), on_white),
        Healthy("PNG with a transparent colour", keyed, on_white),
        Healthy(
            "16-bit PNG with alpha",
            png(rgba.size, depth=16, colour_type=6, rows=_sixteen_bits(rgba)),
            on_white,
        ),
        Healthy(
            "16-bit grey PNG with alpha",
            png(grey.size, depth=16, colour_type=4, rows=_sixteen_bits(grey)),
            grey_on_white,
        ),
        Healthy("WebP with alpha", saved(rgba, "WEBP", quality=95), on_white),
        Healthy("lossless WebP with alpha", saved(rgba, "WEBP", lossless=True), on_white),
    )


def _no_pictures() -> Sequence[Hopeless]:
    unknown = "is not a JPEG, PNG or WebP picture"
    damaged = "is truncated or damaged"
    return (
        Hopeless("nothing", b"", "is empty"),
        Hopeless("text", b"I am a picture, believe me.", unknown),
        Hopeless("HTML", b"<!doctype html><title>404</title>", unknown),
        Hopeless("SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', unknown),
        Hopeless("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", unknown),
        Hopeless("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "is HEIC, which cannot be read"),
        Hopeless("zeros", bytes(1000), unknown),
        Hopeless("a JPEG's first bytes", b"\xff\xd8\xff", damaged),
        Hopeless("a PNG's first bytes", b"\x89PNG\r\n\x1a\n", damaged),
        Hopeless("a WebP's first bytes", b"RIFF\x10\0\0\0WEBPVP8 ", damaged),
        Hopeless("a WAV", b"RIFF\x24\0\0\0WAVEfmt " + bytes(24), unknown),
    )


def _other_formats() -> Sequence[Hopeless]:
    formats = ("GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF", "TGA", "EPS", "PCX", "DDS")
    return (
        *(
            Hopeless(name, saved(scene(), name), "is not a JPEG, PNG or WebP picture")
            for name in formats
        ),
        Hopeless("animated GIF", animated("GIF"), "is not a JPEG, PNG or WebP picture"),
    )  # fmt: skip


def busy(edge: int = 96) -> Image.Image:
    """A picture with something everywhere, so that all rows need about as many bytes."""
    return Image.effect_noise((edge, edge + 32), 60).convert("RGB").resize((2 * edge, 2 * edge + 64))


@cache
def cut_off() -> Sequence[CutOff]:
    """Files whose transfer broke off after most of their rows."""
    kinds: dict[str, tuple[str, dict[str, object]]] = {
        "JPEG": ("JPEG", {"quality": 90}),
        "JPEG with full colour": ("JPEG", {"quality": 90, "subsampling": 0}),
        "JPEG with restart markers": ("JPEG", {"restart_marker_blocks": 5}),
        "PNG": ("PNG", {}),
        "WebP": ("WEBP", {"quality": 80}),
        "lossless WebP": ("WEBP", {"lossless": True}),
        "WebP with a profile": ("WEBP", {"quality": 80, "icc_profile": _srgb_profile()}),
    }
    whole = {name: saved(busy(), file_format, **options) for name, (file_format, options) in kinds.items()}
    modes = {"grey": "L", "palette": "P", "16-bit grey": "I;16", "transparent": "RGBA", "black-and-white": "1"}
    whole |= {f"{name} PNG": saved(_busy_in(mode), "PNG") for name, mode in modes.items()}
    whole |= {"grey JPEG": saved(_busy_in("L"), "JPEG"), "CMYK JPEG": saved(_busy_in("CMYK"), "JPEG")}
    whole["transparent WebP"] = saved(_busy_in("RGBA"), "WEBP", quality=80)
    early_end = whole["JPEG"][: len(whole["JPEG"]) * 9 // 10] + b"\xff\xd9" + bytes(len(whole["JPEG"]) // 9)
    return (
        CutOff("JPEG with an early end marker", early_end, whole["JPEG"]),
        *(CutOff(name, data[: len(data) * 9 // 10], data) for name, data in whole.items()),
    )


@cache
def cut_progressive() -> Sequence[Healthy]:
    """Progressive JPEGs whose last scans did not come: the whole scene, with less detail."""
    data = saved(scene(), "JPEG", quality=95, progressive=True)
    scans = [match.start() for match in re.finditer(b"\xff\xda", data)]
    return (
        Healthy("progressive JPEG without its last scan", data[: scans[-1]]),
        Healthy("progressive JPEG cut in its last scan", data[: scans[-1] + 12]),
        Healthy("progressive JPEG after half of its scans", data[: scans[5]]),
        Healthy("progressive JPEG after half of its scans that pretends to be whole", data[: scans[5]] + b"\xff\xd9"),
    )


def _busy_in(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray((np.asarray(busy().convert("L")) * 257.0).astype(np.uint16))
    if mode == "RGBA":
        picture = busy()
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
        return picture
    return busy().convert(mode)


def _truncated() -> Sequence[Hopeless]:
    damaged = "is truncated or damaged"
    too_little = "is cut off: less than three quarters of it are there"
    picture = busy()
    jpeg, png_file, webp = (saved(picture, name) for name in ("JPEG", "PNG", "WEBP"))
    progressive = saved(picture, "JPEG", progressive=True)
    scans = [match.start() for match in re.finditer(b"\xff\xda", progressive)]
    # Metadata makes it an extended file; it stands behind the picture.
    turned = saved(picture, "WEBP", quality=80, exif=_orientation_exif(6))
    return (
        Hopeless("half a JPEG", jpeg[: len(jpeg) // 2], too_little),
        Hopeless("half a JPEG that pretends to be whole", jpeg[: len(jpeg) // 2] + b"\xff\xd9", too_little),
        Hopeless("a JPEG's header", jpeg[: jpeg.index(b"\xff\xda") + 14], too_little),
        Hopeless("half a JPEG's header", jpeg[: jpeg.index(b"\xff\xc0") + 5], damaged),
        Hopeless("a progressive JPEG of one scan", progressive[: scans[1]], too_little),
        Hopeless("a progressive JPEG cut in its first scan", progressive[: scans[1] - 100], too_little),
        Hopeless("a blur that pretends to be whole", progressive[: scans[1]] + b"\xff\xd9", too_little),
        Hopeless("half a PNG", png_file[: len(png_file) // 2], too_little),
        Hopeless("half a PNG's header", png_file[:20], damaged),
        Hopeless("half a WebP", webp[: len(webp) * 6 // 10], too_little),
        Hopeless("a WebP's beginning", webp[: len(webp) // 3], damaged),
        Hopeless("a WebP whose picture pretends to be huge", _patch(webp, 16, b"\xff\xff\xff\x7f"), damaged),
        Hopeless("a WebP that lost its orientation", turned[: len(turned) - 60], damaged),
        Hopeless(
            "a cut WebP of 36 megapixels",
            saved(Image.new("RGB", (6000, 6000)), "WEBP", method=0)[:-1000],
            "is cut off, and would take too long to decode",
        ),
        Hopeless("a PNG with a flipped bit", _flip(png_file, png_file.index(b"IDAT") + 100), damaged),
        Hopeless("a PNG without pixels", png((WIDTH, HEIGHT), depth=8, colour_type=2, rows=b""), damaged),
    )


def _bombs() -> Sequence[Hopeless]:
    reason = "has more than 50 megapixels"
    many = "is a JPEG in more than 32 scans, or in countless segments"
    jpeg = saved(scene(), "JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5  # behind marker, length and precision
    webp = saved(scene(), "WEBP", lossless=True, xmp=b"<x/>")  # metadata makes it an extended file
    canvas = webp.index(b"VP8X") + 12  # behind name, size and flags
    return (
        Hopeless("a JPEG of 4 gigapixels", _patch(jpeg, frame, struct.pack(">HH", 65500, 65500)), reason),
        Hopeless("a JPEG a little too large", _patch(jpeg, frame, struct.pack(">HH", 5001, 10_000)), reason),
        Hopeless("a PNG of 10 gigapixels", png((100_000, 100_000), depth=1, colour_type=0, rows=b""), reason),
        Hopeless("a PNG a little too large", png((10_000, 5001), depth=1, colour_type=0, rows=b""), reason),
        Hopeless("a PNG with one endless row", png((2**31 - 1, 1), depth=1, colour_type=0, rows=b""), reason),
        Hopeless("a JPEG that is all work", many_scans(), many),
        Hopeless("a JPEG of a million segments", jpeg[:2] + b"\xff\xdd\0\4\0\0" * 1_000_000 + jpeg[2:], many),
        Hopeless("a JPEG of tables", jpeg[:2] + jpeg[jpeg.index(b"\xff\xdb") : frame - 5] * 1000 + jpeg[2:], many),
        Hopeless("a JPEG with segments behind its scan", jpeg[:-2] + b"\xff\xc4\0\2" * 1_000_000 + jpeg[-2:], many),
        Hopeless("a JPEG in arithmetic coding", _patch(jpeg, frame - 4, b"\xc9"), "is truncated or damaged"),
        Hopeless(
            "a PNG of one column",
            png((1, 50_000_000), depth=1, colour_type=0, rows=b""),
            "is longer than 65535 pixels",
        ),
        Hopeless("a WebP of 268 megapixels", _patch(webp, canvas, b"\xfe\x3f\0\xfe\x3f\0"), reason),
        Hopeless(
            "a PNG of 50 megapixels with alpha",
            png((10_000, 5000), depth=8, colour_type=6, rows=b""),
            "would take too long to decode",
        ),
    )  # fmt: skip


def _sixteen_bits(picture: Image.Image) -> bytes:
    return (np.asarray(picture) * 257.0).astype(">u2").tobytes()


def _patch(data: bytes, at: int, replacement: bytes) -> bytes:
    return data[:at] + replacement + data[at + len(replacement) :]


def _flip(data: bytes, at: int) -> bytes:
    return _patch(data, at, bytes([data[at] ^ 1]))


def _with_orientation(value: int) -> bytes:
    return saved(scene(), "JPEG", quality=95, exif=_orientation_exif(value))


def _orientation_exif(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[Base.Orientation] = value
    return exif


# A minimal ICC profile (v2, matrix and gamma), as the spec ICC.1:2001-04 lays it out. The columns of the matrices
# are the primaries' XYZ, adapted to D50 (Bradford).
_GAMMA = 2.2
_SRGB_TO_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
_P3_TO_XYZ = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])


def _srgb_profile() -> bytes:
    return _matrix_profile(b"an RGB space", _SRGB_TO_XYZ)


def _matrix_profile(name: bytes, to_xyz: npt.NDArray[np.float64]) -> bytes:
    fixed: Callable[[float], bytes] = lambda value: struct.pack(">i", round(value * 65536))  # noqa: E731
    xyz: Callable[[Sequence[float]], bytes] = lambda values: b"XYZ \0\0\0\0" + b"".join(map(fixed, values))  # noqa: E731
    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(_GAMMA * 256)) + b"\0\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(8 + 3 + 67)
    tags = {
        b"desc": description + bytes(-len(description) % 4),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": xyz([0.9642, 1.0, 0.8249]),
        **{channel + b"XYZ": xyz(to_xyz[:, column].tolist()) for column, channel in enumerate((b"r", b"g", b"b"))},
        **{channel + b"TRC": gamma for channel in (b"r", b"g", b"b")},
    }
    offset = 128 + 4 + 12 * len(tags)
    table = struct.pack(">I", len(tags))
    for signature, content in tags.items():
        table += signature + struct.pack(">II", offset, len(content))
        offset += len(content)
    header = struct.pack(">I4sI4s4s4s", offset, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + table + b"".join(tags.values())
