"""What of a file gets to a decoder: the picture, in a table of a few entries, and no more work than is allowed."""

import re
import struct
import zlib
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from support import lossless_webp
from support import odd_pictures as odd
from support import picture_zoo as zoo
from support.examples import examples
from wearon.pictures import cut_off
from wearon.pictures.bare import Bare, Damaged, TooMuchWork
from wearon.pictures.bare_jpeg import MAX_SCANS, bare_jpeg
from wearon.pictures.bare_png import bare_png
from wearon.pictures.bare_webp import bare_webp
from wearon.pictures.cut_off import MAX_WORK_S
from wearon.pictures.decode import PictureError, decode
from wearon.pictures.metadata import MAX_PROFILE_BYTES, checked_profile, orientation_in, unpacked_profile


def bare(data: bytes) -> Bare:
    if data.startswith(b"\xff\xd8"):
        return bare_jpeg(data)
    return bare_png(data) if data.startswith(b"\x89PNG") else bare_webp(data)


def entries(data: bytes) -> int:
    """How many chunks, or segments and scans, a decoder finds in a file."""
    if data.startswith(b"\xff\xd8"):
        return len(re.findall(rb"\xff[^\x00\xff\xd0-\xd7]", data, re.DOTALL))
    if data.startswith(b"\x89PNG"):
        return _count(data, 8, ">I4x", 12)
    return _count(data, 12, "<4xI", 8)


def _count(data: bytes, at: int, head: str, around: int) -> int:
    count = 0
    while at + 8 <= len(data):
        at += around + struct.unpack_from(head, data, at)[0]
        count += 1
    return count


@pytest.mark.parametrize("name", odd.all_work())
def test_what_is_all_work_is_refused_or_becomes_little_work(name: str) -> None:
    data = odd.all_work()[name]()
    assert len(data) <= odd.LIMIT
    try:
        picture = bare(data)
    except (Damaged, TooMuchWork):
        return
    assert len(picture.profile or b"") <= MAX_PROFILE_BYTES
    assert entries(picture.data) <= 10 * MAX_SCANS
    if picture.work_s > MAX_WORK_S:
        with pytest.raises(PictureError, match="too long to decode"):
            decode(data, 1024)
    elif max(picture.size) < 1000:  # all that was large about it was not the picture
        assert zoo.alike(zoo.quarters(decode(data, 1024)), zoo.COLOURS) or "pixels of" in name


def test_codes_that_stand_before_the_pixels_of_a_webp_count_as_work() -> None:
    flat = bare(zoo.saved(Image.new("RGB", (1024, 1024)), "WEBP", lossless=True))
    assert bare(lossless_webp.many_groups()).work_s > flat.work_s + 0.5
    assert decode(lossless_webp.many_groups(), 64).size == (64, 64)
    assert bare(lossless_webp.alpha_of_many_groups()).work_s > MAX_WORK_S
    with pytest.raises(PictureError, match="is cut off, and would take too long"):
        decode(lossless_webp.many_groups_cut_off(), 64)


def test_a_cut_picture_that_took_longer_than_it_says_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = zoo.saved(zoo.scene(), "JPEG", quality=95)
    cut = whole[: int(len(whole) * 0.97)]
    assert decode(cut, 1024).width == zoo.WIDTH
    seconds = count(0.0, MAX_WORK_S)
    monkeypatch.setattr(cut_off, "process_time", lambda: next(seconds))
    with pytest.raises(PictureError, match="is cut off, and would take too long"):
        decode(cut, 1024)


@pytest.mark.parametrize("specimen", [*zoo.healthy(), *odd.odd_but_good()], ids=lambda specimen: specimen.name)
def test_nothing_but_the_picture_is_left(specimen: zoo.Healthy) -> None:
    left = bare(specimen.data).data
    assert len(left) <= len(specimen.data) + 20
    assert entries(left) <= 300
    for metadata in (b"Exif", b"ICC_PROFILE", b"XMP", b"xmp", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", zoo.SECRET):
        assert metadata not in left
    assert bare(left).data == left


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("order", "start"), [("<", b"II*\0"), (">", b"MM\0*")])
@pytest.mark.parametrize(("kind", "form"), [(1, "B3x"), (3, "H2x"), (4, "I")])
def test_an_orientation_is_read_in_every_form(orientation: int, order: str, start: bytes, kind: int, form: str) -> None:
    entry = struct.pack(order + "HHI" + form, 0x0112, kind, 1, orientation)
    other = struct.pack(order + "HHII", 0x010F, 2, 4, 0)
    block = start + struct.pack(order + "I", 10) + b"??" + struct.pack(order + "H", 2) + other + entry
    assert orientation_in(block) == orientation
    assert orientation_in(b"Exif\0\0" + block) == orientation


@given(st.binary(max_size=60), st.sampled_from([b"", b"II*\0", b"MM\0*", b"Exif\0\0II*\0\x08\0\0\0"]))
def test_any_exif_block_has_an_orientation(rest: bytes, start: bytes) -> None:
    assert orientation_in(start + rest) in range(1, 9)


def test_a_profile_is_unpacked_no_further_than_the_largest_honest_one() -> None:
    head = bytes(36) + b"acsp" + bytes(88 + 4)
    assert unpacked_profile(zlib.compress(head)) == head
    assert unpacked_profile(zlib.compress(head.ljust(MAX_PROFILE_BYTES, b"\0"))) is not None
    assert unpacked_profile(zlib.compress(head.ljust(MAX_PROFILE_BYTES + 1, b"\0"))) is None
    assert unpacked_profile(zlib.compress(head)[:-6]) is None


def test_a_profile_keeps_no_conversions_without_end() -> None:
    table = b"A2B0" + struct.pack(">II", 156, 8) + b"D2B0" + struct.pack(">II", 156, 8)
    profile = bytes(36) + b"acsp" + bytes(88) + struct.pack(">I", 2) + table + b"mpet" + bytes(4)
    assert checked_profile(profile) == profile.replace(b"D2B0", b"none")
    assert checked_profile(profile.replace(struct.pack(">I", 2), struct.pack(">I", 2_000_000), 1)) is None


def walked(walk: Callable[[bytes], Bare], data: bytes) -> None:
    """Whatever comes in, what comes out is not longer, and is itself such a file, which nothing is taken from."""
    try:
        picture = walk(data)
    except (Damaged, TooMuchWork):
        return
    assert len(picture.data) <= len(data) + 40
    assert 1 <= picture.orientation <= 8
    try:
        again = walk(picture.data)
    except Damaged:
        return  # what lies in its chunks is no picture: the decoder, which is given this, says so
    assert (again.data, again.size) == (picture.data, picture.size)
    assert (again.orientation, again.profile) == (1, None)


@st.composite
def png_tables(draw: st.DrawFn) -> bytes:
    """PNGs of any chunks in any order, some with wrong lengths, checksums and names; some cut."""
    kinds = st.sampled_from(
        [b"IDAT", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"IEND", b"tEXt", b"acTL", b"fdAT", b"\0\1\2\3"]
    )
    header = struct.pack(
        ">IIBBBBB", draw(st.integers(1, 9)), draw(st.integers(1, 9)), 8, draw(st.integers(0, 7)), 0, 0, 0
    )
    data = bytearray(b"\x89PNG\r\n\x1a\n" + zoo.chunk(b"IHDR", header))
    for kind, content in draw(st.lists(st.tuples(kinds, st.binary(max_size=40)), max_size=12)):
        piece = bytearray(zoo.chunk(kind, content))
        if draw(st.integers(0, 5)) == 0:
            piece[draw(st.integers(0, len(piece) - 1))] ^= draw(st.integers(0, 255))
        data += piece
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@given(png_tables())
@settings(max_examples=examples(3))
def test_any_table_of_a_png_can_be_walked(data: bytes) -> None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        walked(bare_png, data)


@st.composite
def jpeg_tables(draw: st.DrawFn) -> bytes:
    """JPEGs of any segments in any order, with what may and may not stand between them."""
    frame = b"\x08" + struct.pack(">HH", draw(st.integers(1, 9)), draw(st.integers(1, 9))) + b"\1\1\x11\0"
    kinds = st.sampled_from(
        [0xC0, 0xC2, 0xC4, 0xC9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE, 0xD8, 1, 2]
    )
    contents = st.one_of(
        st.binary(max_size=20),
        st.just(frame),
        st.just(b"\1\1\0\0\x3f\0"),
        st.sampled_from([b"JFIF\0", b"Adobe", b"Exif\0\0II*\0", b"ICC_PROFILE\0\1\1"]).flatmap(
            lambda start: st.binary(max_size=20).map(lambda rest: start + rest)
        ),
    )
    between = st.one_of(st.just(b""), st.binary(max_size=5), st.just(b"\xff" * 9), st.just(b"\xff\xd0\xff\0"))
    data = bytearray(b"\xff\xd8")
    for kind, content, behind in draw(st.lists(st.tuples(kinds, contents, between), max_size=12)):
        data += bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content + behind
    data += draw(st.sampled_from([b"", b"\xff\xd9", b"\xff", b"\xff\xd9more"]))
    return bytes(data)


@given(jpeg_tables())
@settings(max_examples=examples(5))
def test_any_table_of_a_jpeg_can_be_walked(data: bytes) -> None:
    walked(bare_jpeg, data)


@st.composite
def webp_tables(draw: st.DrawFn) -> bytes:
    """WebPs of any chunks in any order, frames with chunks in them, and lengths that are wrong."""
    kinds = st.sampled_from([b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ", b"what"])
    picture = b"\0\0\0\x9d\x01\x2a\5\0\5\0"
    content = st.one_of(st.binary(max_size=30), st.just(picture), st.just(bytes(16) + odd.riff_chunk(b"VP8 ", picture)))
    data = b"".join(odd.riff_chunk(*each) for each in draw(st.lists(st.tuples(kinds, content), max_size=8)))
    if draw(st.booleans()):
        data = odd.riff_chunk(b"VP8X", bytes([draw(st.integers(0, 255))]) + bytes(9)) + data
    file = bytearray(odd.riff(data))
    if draw(st.integers(0, 3)) == 0 and len(file) > 16:
        file[draw(st.integers(4, len(file) - 1))] ^= draw(st.integers(0, 255))
    return bytes(file[: draw(st.integers(12, len(file)))] if draw(st.integers(0, 3)) == 0 else file)


@given(webp_tables())
@settings(max_examples=examples(5))
def test_any_table_of_a_webp_can_be_walked(data: bytes) -> None:
    walked(bare_webp, data)
