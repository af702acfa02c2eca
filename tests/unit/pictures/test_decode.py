"""The picture zoo: what can be shown comes out as the same plain picture, the rest is an error with its reason."""

import io
import pickle
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageOps

from support import picture_zoo as zoo
from support.examples import examples
from support.odd_pictures import odd_but_good
from wearon.pictures.decode import (
    MAX_PIXELS,
    ORDINARY_BYTES,
    STORED_BYTES,
    PictureError,
    decode,
    ensure_jpeg,
    prepare,
    to_jpeg,
)
from wearon.platform.base import MAX_PICTURE_BYTES


@pytest.mark.parametrize(
    "specimen", [*zoo.healthy(), *zoo.cut_progressive(), *odd_but_good()], ids=lambda specimen: specimen.name
)
class TestHealthyPictures:
    def test_come_out_upright_in_srgb(self, specimen: zoo.Healthy) -> None:
        picture = decode(specimen.data, 1024)
        assert (picture.mode, picture.size) == ("RGB", (zoo.WIDTH, zoo.HEIGHT))
        assert zoo.alike(zoo.quarters(picture), specimen.colours), zoo.quarters(picture)

    def test_come_out_smaller_when_that_is_asked_for(self, specimen: zoo.Healthy) -> None:
        picture = decode(specimen.data, 40)
        assert (picture.mode, picture.size) == ("RGB", (40, 30))
        assert zoo.alike(zoo.quarters(picture), specimen.colours), zoo.quarters(picture)

    def test_leave_as_plain_jpeg_without_metadata(self, specimen: zoo.Healthy) -> None:
        data = prepare(specimen.data)
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        assert {key for key in picture.info if not str(key).startswith(("jfif", "dpi"))} == set()
        assert len(picture.getexif()) == 0
        assert zoo.SECRET not in data
        assert zoo.alike(zoo.quarters(picture), specimen.colours)


@pytest.mark.parametrize("specimen", [*zoo.healthy(), *odd_but_good()], ids=lambda specimen: specimen.name)
def test_can_be_the_answer_of_the_image_service(specimen: zoo.Healthy) -> None:
    data = ensure_jpeg(specimen.data)
    assert data.startswith(b"\xff\xd8")
    assert b"\xff\xd9" in data
    whole_jpeg = specimen.data.startswith(b"\xff\xd8") and b"\xff\xd9" in specimen.data
    assert (data == specimen.data) is whole_jpeg
    assert zoo.alike(zoo.quarters(decode(data, 1024)), specimen.colours)


@pytest.mark.parametrize("specimen", zoo.cut_off(), ids=lambda specimen: specimen.name)
class TestCutOffPictures:
    def test_come_out_with_the_rows_that_are_there(self, specimen: zoo.CutOff) -> None:
        whole, picture = decode(specimen.whole, 1024), decode(specimen.data, 1024)
        assert picture.width == whole.width
        assert 0.75 * whole.height <= picture.height < whole.height
        sure = (0, 0, picture.width, picture.height - 8)
        assert picture.crop(sure) == whole.crop(sure)

    def test_come_out_smaller_in_their_shape(self, specimen: zoo.CutOff) -> None:
        large, small = decode(specimen.data, 1024), decode(specimen.data, 50)
        assert max(small.size) == 50
        assert small.width / small.height == pytest.approx(large.width / large.height, rel=0.1)

    def test_cannot_be_the_answer_of_the_image_service(self, specimen: zoo.CutOff) -> None:
        with pytest.raises(PictureError):
            ensure_jpeg(specimen.data)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_that_was_cut_off_lacks_a_side(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = zoo.saved(zoo.busy(), "JPEG", quality=90, exif=exif)
    stored = Image.open(io.BytesIO(data))
    picture = decode(data[: len(data) * 9 // 10], 1024)
    rows = picture.height if orientation < 5 else picture.width
    assert 0.75 * stored.height <= rows < stored.height
    left = stored.crop((0, 0, stored.width, rows))
    left.getexif()[0x0112] = orientation
    assert picture.tobytes() == ImageOps.exif_transpose(left).tobytes()


def test_a_picture_of_very_many_rows_can_be_cut_off_too() -> None:
    data = zoo.png((1, 65_535), depth=8, colour_type=0, rows=bytes(65_535))
    assert decode(data[: len(data) * 9 // 10], 1000).size == (1, 1000)


WHOLE_FILES = {
    "baseline": zoo.saved(zoo.busy(40), "JPEG", quality=90),
    "4:4:4": zoo.saved(zoo.busy(40), "JPEG", quality=90, subsampling=0),
    "PNG": zoo.saved(zoo.busy(40), "PNG"),
    "WebP": zoo.saved(zoo.busy(40), "WEBP", quality=70),
    "lossless WebP": zoo.saved(zoo.busy(40), "WEBP", lossless=True),
}


@given(st.sampled_from(sorted(WHOLE_FILES)), st.floats(0, 1))
@settings(max_examples=examples(3))
def test_wherever_a_file_is_cut_the_rows_that_come_out_are_right(kind: str, share: float) -> None:
    whole = decode(WHOLE_FILES[kind], 1024)
    data = WHOLE_FILES[kind]
    try:
        picture = decode(data[: int(len(data) * share)], 1024)
    except PictureError:
        assert share < 0.9
        return
    assert picture.height >= 0.75 * whole.height
    # At the very end of the last row a decoder may have made a few pixels of bits that are none.
    sure = (0, 0, picture.width, picture.height - 8)
    assert picture.crop(sure) == whole.crop(sure)


PROGRESSIVE = zoo.saved(zoo.busy(), "JPEG", quality=90, progressive=True)


@given(share=st.floats(0, 1), ended=st.booleans())
@settings(max_examples=examples(1))
def test_wherever_a_progressive_file_is_cut_the_whole_picture_comes_out_or_none(share: float, *, ended: bool) -> None:
    whole = decode(PROGRESSIVE, 1024)
    data = PROGRESSIVE[: int(len(PROGRESSIVE) * share)] + (b"\xff\xd9" if ended else b"")
    try:
        picture = decode(data, 1024)
    except PictureError:
        assert share < 0.9
        return
    assert picture.size == whole.size
    small, small_whole = (each.resize((20, 20), Image.Resampling.BOX) for each in (picture, whole))
    difference = ImageChops.difference(small, small_whole).convert("L")
    assert difference.getextrema()[1] < 30  # type: ignore[operator] # typed for all modes


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_paid_picture_is_made_small_enough_for_the_bucket(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wearon.pictures.decode.STORED_BYTES", 400_000)
    noise = Image.merge("RGB", [Image.effect_noise((700, 700), 128) for _ in range(3)])
    data = zoo.saved(noise, kind, quality=100)
    made = ensure_jpeg(data)
    assert len(made) <= 400_000 < len(data)
    assert Image.open(io.BytesIO(made)).size == (700, 700)
    assert ensure_jpeg(made) == made


def test_a_paid_picture_is_made_as_small_as_the_platform_takes() -> None:
    assert STORED_BYTES <= MAX_PICTURE_BYTES


@pytest.mark.parametrize("specimen", zoo.hopeless(), ids=lambda specimen: specimen.name)
@pytest.mark.parametrize("function", [prepare, ensure_jpeg])
def test_everything_else_is_refused_with_its_reason(function: object, specimen: zoo.Hopeless) -> None:
    assert callable(function)
    with pytest.raises(PictureError) as caught:
        function(specimen.data)
    # The image model's answer must be whole: how much there is of it does not matter.
    reasons = {specimen.reason} if function is prepare else {specimen.reason, "is truncated or damaged"}
    assert caught.value.reason in reasons
    assert str(caught.value) == caught.value.reason


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_the_zoo_does_carry_the_metadata_that_must_not_leave(file_format: str) -> None:
    data = zoo.with_metadata(file_format)
    assert zoo.SECRET in data
    assert Image.open(io.BytesIO(data)).getexif().get_ifd(0x8825)


def test_the_zoo_does_turn_and_distort_its_pictures() -> None:
    for orientation in range(2, 9):
        stored = Image.open(io.BytesIO(zoo.oriented(orientation)))
        assert not zoo.alike(zoo.quarters(stored), zoo.COLOURS)
    assert not zoo.alike(zoo.quarters(Image.open(io.BytesIO(zoo.wide_gamut()))), zoo.COLOURS)


@pytest.mark.parametrize(
    ("size", "edge", "expected"),
    [
        ((100, 50), 100, (100, 50)),
        ((100, 50), 1024, (100, 50)),
        ((4600, 3450), 1024, (1024, 768)),
        ((3450, 4600), 1024, (768, 1024)),
        # A quarter, which the JPEG decoder makes by itself, and nearly as large as allowed.
        ((4000, 3000), 1024, (1000, 750)),
        ((3024, 4032), 1024, (756, 1008)),
        ((3880, 2910), 1024, (1024, 768)),
        ((2049, 1025), 1024, (1024, 512)),
        ((5000, 2), 1024, (1024, 1)),
        ((1, 1), 1024, (1, 1)),
    ],
)
def test_the_longer_edge_is_brought_down_and_never_up(
    size: tuple[int, int], edge: int, expected: tuple[int, int]
) -> None:
    for file_format in ("JPEG", "PNG"):
        assert decode(zoo.saved(Image.new("RGB", size), file_format), edge).size == expected


def test_a_turned_picture_is_measured_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = zoo.saved(Image.new("RGB", (2000, 1000)), "JPEG", exif=exif)
    assert decode(data, 1000).size == (500, 1000)


def test_shrinking_keeps_the_edges_of_the_picture_in_place() -> None:
    """A JPEG is decoded at a fraction of its size first: what lies in the middle must stay there."""
    picture = Image.new("RGB", (3000, 2000), "white")
    picture.paste((0, 0, 0), (1500, 0, 3000, 2000))
    shrunk = decode(zoo.saved(picture, "JPEG", quality=95), 600).convert("L")
    assert shrunk.crop((0, 0, 298, 400)).getextrema()[0] > 240  # type: ignore[operator] # typed for all modes
    assert shrunk.crop((302, 0, 600, 400)).getextrema()[1] < 15  # type: ignore[operator]


def test_the_largest_picture_that_is_taken_comes_out() -> None:
    data = zoo.png((10_000, MAX_PIXELS // 10_000), depth=1, colour_type=0, rows=b"\xff" * (MAX_PIXELS // 8))
    picture = decode(data, 100)
    assert picture.size == (100, 50)
    assert picture.getpixel((50, 25)) == zoo.WHITE


def test_jpeg_quality_is_obeyed() -> None:
    picture = Image.effect_noise((200, 200), 50).convert("RGB")
    assert len(to_jpeg(picture, 30)) < len(to_jpeg(picture, 75)) < len(to_jpeg(picture, 95))


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(PictureError("is empty")))
    assert (type(error), error.reason, str(error)) == (PictureError, "is empty", "is empty")


SMALL = [specimen.data for specimen in zoo.healthy() if len(specimen.data) < 20_000]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid file with some bytes changed, doubled or cut out, mostly in its header."""
    data = bytearray(draw(st.sampled_from(SMALL)))
    for _ in range(draw(st.integers(1, 8))):
        reach = draw(st.sampled_from([40, 200, len(data)]))
        at = draw(st.integers(0, max(0, min(reach, len(data)) - 1)))
        length = draw(st.integers(0, 6))
        data[at : at + length] = draw(st.binary(max_size=6))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data)


@given(mutated())
@settings(max_examples=examples(4), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_damaged_files_come_out_or_are_refused(data: bytes) -> None:
    try:
        picture = decode(data, 64)
    except PictureError:
        return
    assert picture.mode == "RGB"
    assert max(picture.size) <= 64
    assert picture.info == {}


@given(st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8X"]), st.binary())
def test_arbitrary_bytes_are_refused(start: bytes, rest: bytes) -> None:
    with pytest.raises(PictureError):
        decode(start + rest, 64)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is not to be read")
def test_a_damaged_picture_is_refused_without_memory_being_filled() -> None:
    """Hostile pictures come by the thousand: looking whether memory was short must cost nothing."""
    program = """
from pathlib import Path
from wearon.pictures.decode import PictureError, decode
try:
    decode(b"\\xff\\xd8\\xff", 64)
except PictureError as error:
    print(error, Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
    reason, peak_kb = subprocess.check_output([sys.executable, "-c", program], text=True).rsplit(maxsplit=1)
    assert reason == "is truncated or damaged"
    assert int(peak_kb) * 1024 < ORDINARY_BYTES


def test_the_decoding_processes_load_nothing_but_pillow() -> None:
    # The modules of all functions that the pool has them run.
    listing = "import sys, wearon.pictures.decode, wearon.pictures.suspects; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", listing], capture_output=True, check=True, text=True).stdout.split()
    packages = {name.partition(".")[0] for name in loaded}
    assert "PIL" in packages
    assert not packages & {"numpy", "cv2", "mediapipe", "httpx", "pydantic", "fastapi", "redis", "supabase", "arq"}
