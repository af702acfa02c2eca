"""Previews of the sample pictures, drawn by a real pose process."""

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from PIL import ExifTags, Image

from support.image_models import picture_of
from wearon import samples
from wearon.local.preview import PreviewModel
from wearon.metrics import Metrics
from wearon.pictures.decode import prepare
from wearon.pose import PosePool
from wearon.tryon.image_model import ImageRequest, RequestRefused

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def generator() -> AsyncIterator[PreviewModel]:
    pool = PosePool(None, 1, metrics=Metrics(), max_wait_s=30)
    await pool.start()
    yield PreviewModel(pool)
    pool.close()


def blank(*, width: int = 300, height: int = 400) -> bytes:
    return prepare(png(Image.new("RGB", (width, height), (235, 235, 235))))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


async def preview(generator: PreviewModel, *pictures: samples.Sample) -> Image.Image:
    request = ImageRequest("prompt", [prepare(picture.read()) for picture in pictures], "request-1")
    return Image.open(io.BytesIO((await picture_of(generator, request)).jpeg))


def pixels(picture: Image.Image) -> NDArray[np.int_]:
    return np.asarray(picture.convert("RGB")).astype(int)


def original(person: samples.Person) -> Image.Image:
    return Image.open(io.BytesIO(prepare(person.read())))


# Where the samples' people are, of width and height.
CHEST, FACE, WALL = (0.44, 0.3, 0.56, 0.42), (0.47, 0.11, 0.53, 0.15), (0.02, 0.02, 0.2, 0.3)
KNEES, SHINS = (0.42, 0.58, 0.58, 0.62), (0.42, 0.78, 0.58, 0.82)

Box = tuple[float, float, float, float]


def region(picture: Image.Image, box: Box) -> NDArray[np.int_]:
    left, top, right, bottom = box
    width, height = picture.size
    return pixels(picture)[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]


@pytest.mark.parametrize("person", samples.PEOPLE, ids=lambda person: person.file_name)
@pytest.mark.parametrize(
    ("garment", "strongest"), [(samples.DRESS, 0), (samples.JACKET, 1), (samples.TSHIRT, 2)], ids=str
)
async def test_everybody_wears_the_garment_and_is_still_themselves(
    generator: PreviewModel, person: samples.Person, garment: samples.Sample, strongest: int
) -> None:
    before, after = original(person), await preview(generator, person, garment)
    assert after.size == before.size
    assert region(after, CHEST).mean(axis=(0, 1)).argmax() == strongest
    for untouched in (FACE, WALL):
        # Both are JPEGs, compressed differently.
        assert np.abs(region(after, untouched) - region(before, untouched)).mean() < 3


async def test_a_dress_reaches_lower_than_a_top(generator: PreviewModel) -> None:
    before = original(samples.WOMAN_M)
    dress, top = [await preview(generator, samples.WOMAN_M, worn) for worn in (samples.DRESS, samples.TSHIRT)]

    def changed(picture: Image.Image, box: Box) -> bool:
        return bool(np.abs(region(picture, box) - region(before, box)).mean() > 20)

    assert changed(dress, KNEES)
    assert not changed(dress, SHINS)
    assert not changed(top, KNEES)


async def test_the_picture_says_that_no_model_made_it(generator: PreviewModel) -> None:
    picture = await preview(generator, samples.MAN_L, samples.TSHIRT)
    assert picture.format == "JPEG"
    assert "Not made by an image model" in picture.getexif()[ExifTags.Base.ImageDescription]
    assert picture.getexif()[ExifTags.Base.Software] == "WearOn local preview"
    assert b"Not made by an image model" in picture.info["comment"]


async def test_accessories_are_shown_beside_the_person(generator: PreviewModel) -> None:
    plain = await preview(generator, samples.MAN_L, samples.TSHIRT)
    with_bag = await preview(generator, samples.MAN_L, samples.TSHIRT, samples.JACKET, samples.DRESS)
    changed = np.abs(pixels(with_bag) - pixels(plain)).sum(axis=-1) > 60
    assert changed.mean() > 0.03
    assert not changed[:, round(0.35 * plain.width) : round(0.65 * plain.width)].any()


async def test_a_first_picture_without_anybody_is_refused(generator: PreviewModel) -> None:
    request = ImageRequest("prompt", [blank(), prepare(samples.DRESS.read())], "request-1")
    with pytest.raises(RequestRefused, match="no person found in the first picture"):
        await picture_of(generator, request)


async def test_a_second_picture_without_anything_is_refused(generator: PreviewModel) -> None:
    request = ImageRequest("prompt", [prepare(samples.MAN_L.read()), blank()], "request-1")
    with pytest.raises(RequestRefused, match="second picture"):
        await picture_of(generator, request)


async def test_bytes_that_are_no_picture_are_refused(generator: PreviewModel) -> None:
    request = ImageRequest("prompt", [prepare(samples.MAN_L.read()), b"<html>"], "request-1")
    with pytest.raises(RequestRefused, match="is not a"):
        await picture_of(generator, request)


async def test_many_at_once_wait_for_their_turn(generator: PreviewModel) -> None:
    request = ImageRequest("prompt", [prepare(s.read()) for s in (samples.MAN_L, samples.TSHIRT)], "request-1")
    images = await asyncio.gather(*(picture_of(generator, request) for _ in range(5)))
    assert len({image.jpeg for image in images}) == 1


async def test_the_main_process_does_not_load_what_only_the_pose_processes_need() -> None:
    code = "import sys, wearon.local.preview; print({'cv2', 'mediapipe'} & set(sys.modules))"
    result = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


async def test_the_samples_are_small_and_as_they_say() -> None:
    for sample in (*samples.PEOPLE, *samples.GARMENTS):
        assert len(sample.read()) < 120_000
        assert max(Image.open(io.BytesIO(sample.read())).size) <= 900
    for person in samples.PEOPLE:
        assert person.file_name.removesuffix(".jpg").endswith(f"_{person.size.lower()}")
