"""Pictures with odd files around them: good ones that every browser shows, and ones that are made to be all work.

The scene is the zoo's (`support.picture_zoo`).
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from PIL import Image, ImageCms
from PIL.ExifTags import Base

from support.picture_zoo import (
    HEIGHT,
    WIDTH,
    Healthy,
    chunk,
    many_scans,
    png,
    saved,
    scene,
    wide_gamut,
)

LIMIT = 10 * 1024 * 1024
"""Of a download."""

PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7's: the first column and row of each, and how many there are from one to the next."""


@cache
def odd_but_good() -> Sequence[Healthy]:
    """Everything that must come out, whatever stands beside the pixels."""
    return (*_odd_pngs(), *_odd_jpegs(), *_odd_webps())


def _odd_pngs() -> Sequence[Healthy]:
    plain = saved(scene(), "PNG")
    turned = oriented_exif(6)
    lying = saved(scene().transpose(Image.Transpose.ROTATE_90), "PNG")
    black = Image.new("RGB", (WIDTH, HEIGHT))
    beside = saved(scene(), "PNG", save_all=True, append_images=[black], default_image=True, duration=100)
    palette = saved(scene().quantize(4), "PNG")
    files = {
        "a compressed text of 2 MB": with_chunks(plain, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"words " * 350_000))),
        "a text that unpacks to 100 MB": with_chunks(plain, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))),
        "a profile of 1.5 MB": with_chunks(plain, _profile_chunk(_srgb() + bytes(1_500_000))),
        "a profile that is none": with_chunks(plain, chunk(b"iCCP", b"p\0\0" + zlib.compress(b"no profile" * 40))),
        "a profile without a name's end": with_chunks(plain, chunk(b"iCCP", b"p" * 200)),
        "the checksum of a text wrong": with_chunks(plain, chunk(b"tEXt", b"a\0b")[:-4] + bytes(4)),
        "the checksum of a profile wrong": with_chunks(plain, _profile_chunk(_wide())[:-4] + bytes(4)),
        "the checksum of an orientation wrong": with_chunks(plain, chunk(b"eXIf", turned)[:-4] + bytes(4)),
        "the checksum of its transparency wrong": with_chunks(palette, chunk(b"tRNS", b"\0" * 4)[:-4] + bytes(4)),
        "a transparency that is too long": with_chunks(palette, chunk(b"tRNS", b"\0" * 3000)),
        "an empty pHYs": with_chunks(plain, chunk(b"pHYs", b"")),
        "an empty text": with_chunks(plain, chunk(b"iTXt", b"")),
        "a thousand unknown chunks": with_chunks(plain, chunk(b"aaAa", b"?") * 1000),
        "an orientation before the pixels": with_chunks(lying, chunk(b"eXIf", turned)),
        "an orientation behind the pixels": lying[:-12] + chunk(b"eXIf", turned) + lying[-12:],
        "an EXIF block that loops": with_chunks(plain, chunk(b"eXIf", b"MM\0*\0\0\0\x04" + bytes(40))),
        "a wide gamut": _in_wide_gamut("PNG"),
        "pixels in single bytes": _pixels_in_pieces(plain, 1),
        "empty chunks between its pixels": _pixels_in_pieces(plain, 50, between=chunk(b"IDAT", b"") * 20),
        "rows interlaced": interlaced(),
        "a palette that it does not need": with_chunks(plain, chunk(b"PLTE", bytes(range(256)) * 3)),
        "something behind it": plain + b"PK\3\4" * 1000,
        "no end": plain[:-12],
        "an animation beside it": beside,
    }
    return [Healthy(f"PNG with {name}", data) for name, data in files.items()]


def _odd_jpegs() -> Sequence[Healthy]:
    plain = saved(scene(), "JPEG", quality=95)
    exif = b"Exif\0\0" + bytes(8)
    lying = saved(scene().transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95)
    turned = b"Exif\0\0" + oriented_exif(6)
    gamut = wide_gamut()
    at = gamut.index(b"ICC_PROFILE\0")
    length = int.from_bytes(gamut[at - 2 : at])
    bare, profile = gamut[: at - 4] + gamut[at - 2 + length :], gamut[at + 14 : at - 2 + length]
    thirds = [profile[:100], profile[100:200], profile[200:]]
    pieces = [_app(2, b"ICC_PROFILE\0" + bytes([number, 3]) + piece) for number, piece in enumerate(thirds, 1)]
    tables = plain[plain.index(b"\xff\xdb") : plain.index(b"\xff\xc0")]
    files = {
        "2000 fill bytes": with_segments(plain, _app(1, exif) + b"\xff" * 2000),
        "9 MB of fill bytes": with_segments(plain, b"\xff" * 9_000_000),
        "zeros behind a segment": with_segments(plain, _app(1, exif) + bytes(3000)),
        "a million comments": with_segments(plain, b"\xff\xfe\0\2" * 1_000_000),
        "a million comments behind its scan": plain[:-2] + b"\xff\xfe\0\2" * 1_000_000 + plain[-2:],
        "150 segments of 64 KB": with_segments(plain, _app(4, bytes(65_000)) * 150),
        "resources of an editor": with_segments(plain, _app(13, b"Photoshop 3.0\0" + b"8BIM\0\1\0\0\0\0\0\0" * 5000)),
        "the same tables a hundred times": with_segments(plain, tables * 100),
        "two EXIF blocks": with_segments(lying, _app(1, turned) + _app(1, b"Exif\0\0" + oriented_exif(3))),
        "XMP before EXIF": with_segments(lying, _app(1, b"http://ns.adobe.com/xap/1.0/\0<x/>") + _app(1, turned)),
        "a profile in pieces out of order": with_segments(bare, pieces[2] + pieces[0] + pieces[1]),
        "a piece of its profile missing": with_segments(plain, pieces[0] + pieces[2]),
        "a comment cut short by the next segment": with_segments(plain, b"\xff\xfe\0\0"),
        "its start twice": plain[:2] + plain,
        "colours stored as they are": saved(scene(), "JPEG", quality=95, keep_rgb=True, subsampling=0),
        "colours stored as they are, and metadata": with_segments(
            saved(scene(), "JPEG", quality=95, keep_rgb=True, subsampling=0), _app(1, exif) * 300
        ),
        "restart markers and fill bytes": with_segments(
            saved(scene(), "JPEG", quality=95, restart_marker_blocks=1), b"\xff" * 100
        ),
    }
    return [Healthy(f"JPEG with {name}", data) for name, data in files.items()]


def _odd_webps() -> Sequence[Healthy]:
    lossy = saved(scene(), "WEBP", quality=95)
    extended = saved(scene(), "WEBP", quality=95, xmp=b"<x/>")
    turned = scene().transpose(Image.Transpose.ROTATE_90)
    lying = saved(turned, "WEBP", quality=95, exif=oriented_exif(6))
    lossless = saved(turned, "WEBP", lossless=True, exif=oriented_exif(6))
    picture = lossy[12:]
    extension = extended[12:30]
    files = {
        "an orientation": lying,
        "an orientation, lossless": lossless,
        "an orientation as JPEGs have it": riff(
            lying[12:30],
            saved(turned, "WEBP", quality=95)[12:],
            riff_chunk(b"EXIF", b"Exif\0\0" + oriented_exif(6)),
        ),
        "an orientation that it only promises": riff(_flagged(extension, 0x08), picture),
        "unknown chunks": riff(extension, riff_chunk(b"what", b"?") * 1000, picture),
        "its header twice": riff(extension * 1000, picture),
        "a length that is too great": lossy[:4] + b"\xff\xff\xff\x7f" + lossy[8:],
        "a length that is too small": lossy[:4] + b"\x10\0\0\0" + lossy[8:],
        "something behind it": lossy + b"PK\3\4" * 1000,
        "a profile that is none": riff(_flagged(extension, 0x20), riff_chunk(b"ICCP", b"none"), picture),
        "a wide gamut": _in_wide_gamut("WEBP", lossless=True),
        "XMP of 9 MB": saved(scene(), "WEBP", quality=95, xmp=bytes(9_000_000)),
    }
    return [Healthy(f"WebP with {name}", data) for name, data in files.items()]


@cache
def all_work() -> Mapping[str, Callable[[], bytes]]:
    """Files of at most 10 MB that decoders spend seconds on: to be answered or refused without. Made when called."""
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**20 - 64), 9))
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(2**20 - 64), 9))
    return {
        "PNG of unknown chunks": lambda: _png_with(_filled(chunk(b"aaAa", b""))),
        "PNG of profiles": lambda: _png_with(_filled(profile)),
        "PNG of texts": lambda: _png_with(_filled(text)),
        "PNG of palettes": lambda: _png_with(_filled(chunk(b"PLTE", bytes(768)))),
        "PNG of empty pixels": lambda: _png_with(_filled(chunk(b"IDAT", b""))),
        "PNG of EXIF blocks": lambda: _png_with(_filled(chunk(b"eXIf", b""))),
        "PNG of EXIF blocks with wrong checksums": lambda: _png_with(
            _filled(chunk(b"eXIf", b"x" * 99)[:-4] + bytes(4))
        ),
        "PNG of suggested palettes": lambda: _png_with(_filled(chunk(b"sPLT", b"x\0\x08"))),
        "PNG of animation frames": lambda: _png_with(_filled(chunk(b"fcTL", bytes(26)))),
        "PNG with a profile of 10 GB": lambda: _png_with(chunk(b"iCCP", b"x\0\0" + _zeros_packed())),
        "PNG with a profile of steps": lambda: with_chunks(
            saved(Image.open(io.BytesIO(wide_gamut())), "PNG", icc_profile=b""), _profile_chunk(_endless_profile())
        ),
        "PNG with pixels of 10 GB": lambda: png(
            (WIDTH, HEIGHT), depth=8, colour_type=2, rows=b"", extra=chunk(b"IDAT", _zeros_packed())
        ),
        "PNG with an EXIF block of entries": lambda: _png_with(chunk(b"eXIf", _entries(LIMIT - 6000))),
        "PNG, 50 megapixels of 16 bits with alpha": lambda: _flat_png(7000, 7000, 16, 6),
        "PNG, 50 megapixels with alpha": lambda: _flat_png(7000, 7000, 8, 6),
        "PNG, 25 megapixels with alpha": lambda: _flat_png(5000, 5000, 8, 6),
        "PNG, 50 megapixels of grey": lambda: _flat_png(7000, 7000, 8, 0),
        "PNG, 50 megapixels of 256 colours, some clear": lambda: with_chunks(
            _flat_png(7000, 7000, 8, 3), chunk(b"PLTE", bytes(range(256)) * 3) + chunk(b"tRNS", bytes(range(256)))
        ),
        "PNG, 36 megapixels": lambda: _flat_png(6000, 6000, 8, 2),
        "PNG, 36 megapixels, interlaced": lambda: _flat_png(6000, 6000, 8, 2, interlaced=True),
        "JPEG of comments": lambda: _jpeg_with(_filled(b"\xff\xfe\0\2")),
        "JPEG of comments apart": lambda: _jpeg_with(_filled(b"\xff\xfe\0\2\0")),
        "JPEG of profiles": lambda: _jpeg_with(_filled(_app(2, b"ICC_PROFILE\0\1\1" + bytes(200)))),
        "JPEG of EXIF blocks": lambda: _jpeg_with(_filled(_app(1, b"Exif\0\0" + _entries(65_000, 5000)))),
        "JPEG of resources": lambda: _jpeg_with(_filled(_app(13, b"Photoshop 3.0\0" + b"8BIM\0\1\0\0\0\0\0\0" * 5000))),
        "JPEG of fill bytes": lambda: _jpeg_with(_filled(b"\xff")),
        "JPEG of starts": lambda: _jpeg_with(_filled(b"\xff\xd8")),
        "JPEG of tables": lambda: _jpeg_with(_filled(b"\xff\xdb\0\x43\0" + bytes([1] * 64))),
        "JPEG of codes": lambda: _jpeg_with(_filled(b"\xff\xc4\0\x14\0\1" + bytes(16))),
        "JPEG of restart intervals": lambda: _jpeg_with(_filled(b"\xff\xdd\0\4\0\1")),
        "JPEG of heights told late": lambda: _jpeg_with(_filled(b"\xff\xdc\0\4\0\1")),
        "JPEG of arithmetic codes": lambda: _jpeg_with(_filled(b"\xff\xcc\0\4\0\1")),
        "JPEG of restarts": lambda: saved(scene(), "JPEG")[:-2] + _filled(b"\xff\xd0"),
        "JPEG of scans": many_scans,
        "JPEG of 32 scans, 49 megapixels": lambda: many_scans(7000, 20),
        "JPEG, progressive, 49 megapixels": lambda: saved(
            Image.new("RGB", (7000, 7000), (9, 99, 30)), "JPEG", progressive=True
        ),
        "WebP of unknown chunks": lambda: riff(
            saved(scene(), "WEBP", xmp=b"<x/>")[12:30], _filled(riff_chunk(b"what", b"")), saved(scene(), "WEBP")[12:]
        ),
        "WebP of alpha planes": lambda: riff(
            saved(scene(), "WEBP", xmp=b"<x/>")[12:30], _filled(riff_chunk(b"ALPH", b"")), saved(scene(), "WEBP")[12:]
        ),
        "WebP of headers": lambda: riff(
            _filled(saved(scene(), "WEBP", xmp=b"<x/>")[12:30]), saved(scene(), "WEBP")[12:]
        ),
        "WebP of frames in frames": _frames_in_frames,
        "WebP with an EXIF block of entries": lambda: saved(scene(), "WEBP", exif=_entries(LIMIT - 6000)),
        "WebP, 49 megapixels with alpha": lambda: saved(
            Image.new("RGBA", (7000, 7000), (9, 99, 30, 70)), "WEBP", lossless=True, method=0
        ),
        "WebP, 24 megapixels": lambda: saved(Image.new("RGB", (6000, 4000), (9, 99, 30)), "WEBP", method=0),
    }


def with_chunks(png_file: bytes, extra: bytes) -> bytes:
    """Chunks before the pixels (and before or behind a palette: the last chunk before them)."""
    at = png_file.index(b"IDAT") - 4
    return png_file[:at] + extra + png_file[at:]


def with_segments(jpeg: bytes, extra: bytes) -> bytes:
    """Segments behind the first one, JFIF's or Adobe's."""
    at = 4 + int.from_bytes(jpeg[4:6])
    return jpeg[:at] + extra + jpeg[at:]


def riff(*chunks: bytes) -> bytes:
    """A WebP file."""
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def riff_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) & 1)


def oriented_exif(orientation: int) -> bytes:
    """An EXIF block as PNG and WebP have it, big-endian."""
    return b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", Base.Orientation, 3, 1, orientation, 0) + bytes(4)


def interlaced() -> bytes:
    """The scene in the seven passes of Adam7."""
    rows = bytearray()
    pixels = scene().load()
    assert pixels is not None
    for left, top, across, down in PASSES:
        for y in range(top, HEIGHT, down):
            rows += b"\0" + b"".join(bytes(pixels[x, y]) for x in range(left, WIDTH, across))  # type: ignore[arg-type]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _png_with(extra: bytes) -> bytes:
    return with_chunks(saved(scene(), "PNG"), extra)


def _jpeg_with(extra: bytes) -> bytes:
    return with_segments(saved(scene(), "JPEG"), extra)


def _filled(piece: bytes) -> bytes:
    """As many of it as there is room for."""
    return piece * ((LIMIT - 6000) // len(piece))


def _app(number: int, content: bytes) -> bytes:
    return bytes([0xFF, 0xE0 + number]) + struct.pack(">H", len(content) + 2) + content


def _flagged(extension: bytes, flags: int) -> bytes:
    return extension[:8] + bytes([flags]) + extension[9:]


def _profile_chunk(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"p\0\0" + zlib.compress(struct.pack(">I", len(profile)) + profile[4:]))


def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _wide() -> bytes:
    profile = Image.open(io.BytesIO(wide_gamut())).info["icc_profile"]
    assert isinstance(profile, bytes)
    return profile


def _in_wide_gamut(file_format: str, **options: object) -> bytes:
    return saved(Image.open(io.BytesIO(wide_gamut())), file_format, icc_profile=_wide(), **options)


def _pixels_in_pieces(png_file: bytes, size: int, between: bytes = b"") -> bytes:
    start = png_file.index(b"IDAT") - 4
    end = png_file.index(b"IEND") - 4
    pixels = zlib.compress(zlib.decompress(png_file[start + 8 : end - 4]))
    pieces = (chunk(b"IDAT", pixels[at : at + size]) for at in range(0, len(pixels), size))
    return png_file[:start] + between.join(pieces) + png_file[end:]


def _zeros_packed() -> bytes:
    """As much as deflate makes 10 MB of."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(64))
    return packed + packer.flush()


def _endless_profile() -> bytes:
    """Conversions in 50,000 steps, all of which are one step of the file."""
    step = b"matf\0\0\0\0" + struct.pack(">HH", 3, 3) + struct.pack(">12f", *[0.9, 0, 0, 0, 0.9, 0, 0, 0, 0.9, 0, 0, 0])
    count = 50_000
    table = struct.pack(">II", 16 + 8 * count, len(step)) * count
    element = b"mpet\0\0\0\0" + struct.pack(">HHI", 3, 3, count) + table + step
    base = _wide()
    tags = int.from_bytes(base[128:132])
    shift = 12 * 1
    entries = b"".join(
        base[at : at + 4] + struct.pack(">I", int.from_bytes(base[at + 4 : at + 8]) + shift) + base[at + 8 : at + 12]
        for at in range(132, 132 + 12 * tags, 12)
    )
    body = base[132 + 12 * tags :]
    entry = b"D2B0" + struct.pack(">II", 132 + 12 * (tags + 1) + len(body), len(element))
    return base[:128] + struct.pack(">I", tags + 1) + entries + entry + body + element


def _entries(size: int, count: int = 65_500) -> bytes:
    """An EXIF block whose entries all hold all of it."""
    rest = size - 8 - 2 - 12 * count - 4 - 64
    entries = b"".join(
        struct.pack("<HHII", index, 7, rest, 8) for index in range(0x200, 0x200 + count) if index < 65536
    )
    return b"II*\0" + struct.pack("<IH", 8, len(entries) // 12) + entries + bytes(4 + rest)


def _flat_png(width: int, height: int, depth: int, colour_type: int, *, interlaced: bool = False) -> bytes:
    """With the filter that is the slowest to undo."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[colour_type]
    packer, pixels = zlib.compressobj(1), bytearray()
    for left, top, across, down in PASSES if interlaced else ((0, 0, 1, 1),):
        row_bytes = -(-(width - left) // across) * channels * depth // 8
        row = (b"\4" + bytes(range(256)) * (row_bytes // 256 + 1))[: 1 + row_bytes]
        for _ in range(top, height, down):
            pixels += packer.compress(row)
    pixels += packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced)))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", bytes(pixels)) + chunk(b"IEND", b"")


def _frames_in_frames() -> bytes:
    picture = saved(scene(), "WEBP", quality=95)[12:]
    head = bytes(6) + struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", HEIGHT - 1)[:3] + bytes(4)
    frame = riff_chunk(b"ANMF", head + picture)
    for _ in range(300):
        frame = riff_chunk(b"ANMF", head + frame)
    canvas = struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", HEIGHT - 1)[:3]
    return riff(riff_chunk(b"VP8X", b"\x02\0\0\0" + canvas), riff_chunk(b"ANIM", bytes(6)), _filled(frame))
