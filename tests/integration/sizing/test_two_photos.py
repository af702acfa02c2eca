"""A photo from the front and one from the side, or none, with the real pose model, on rendered people."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from wearon.metrics import Metrics
from wearon.pose import Detector, PosePool
from wearon.sizing import (
    EstimateRequest,
    NoPerson,
    Question,
    RefusalCode,
    Sex,
    SizeEstimate,
    Source,
    WarningCode,
    drawn_estimate_of_two,
    estimate_size,
    estimate_size_of_two,
    estimate_without_photo,
)
from wearon.sizing.evaluate import Given, evaluate_folder, summarise

pytestmark = pytest.mark.slow

PAIRS = Path(__file__).parents[2] / "data" / "sizing" / "pairs"
FRONT, SIDE = ((PAIRS / name).read_bytes() for name in ("pair_001.jpg", "pair_001_side.jpg"))
REQUEST = EstimateRequest(height_cm=168)
HEAVY = EstimateRequest(height_cm=168, weight_kg=79.9)


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    detector = Detector()
    yield detector
    detector.close()


@pytest.fixture(scope="module")
def both(detector: Detector) -> SizeEstimate:
    return estimate_size_of_two(detector, FRONT, SIDE, REQUEST)


def _codes(answer: SizeEstimate) -> list[WarningCode]:
    return [one.code for one in answer.warnings]


def _nobody() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 400), (200, 180, 160)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_second_photo_makes_the_answer_surer(detector: Detector, both: SizeEstimate) -> None:
    alone = estimate_size(detector, FRONT, REQUEST)
    assert both.measured_from == (Source.PHOTO, Source.SIDE_PHOTO, Source.HEIGHT)
    assert both.standard_errors.chest_cm < alone.standard_errors.chest_cm
    assert Question.SIDE_IMAGE_URL in [one.ask for one in alone.ask_next]
    assert Question.SIDE_IMAGE_URL not in [one.ask for one in both.ask_next]


def test_swapped_photos_are_used_the_right_way_round(detector: Detector, both: SizeEstimate) -> None:
    swapped = estimate_size_of_two(detector, SIDE, FRONT, REQUEST)
    assert WarningCode.PHOTOS_SWAPPED in _codes(swapped)
    assert swapped.measurements == both.measurements
    assert swapped.size_probabilities == both.size_probabilities


@pytest.mark.parametrize("side", [b"", b"not a picture", _nobody(), FRONT], ids=["none", "text", "nobody", "front"])
def test_a_side_photo_that_cannot_be_used_is_a_warning_and_the_fronts_answer(detector: Detector, side: bytes) -> None:
    alone = estimate_size(detector, FRONT, REQUEST)
    answer = estimate_size_of_two(detector, FRONT, side, REQUEST)
    assert WarningCode.SIDE_PHOTO_NOT_USED in _codes(answer)
    assert answer.measurements == alone.measurements
    assert answer.measured_from == (Source.PHOTO, Source.HEIGHT)


def test_a_photo_from_the_side_alone_is_refused_without_a_weight_and_used_with_one(detector: Detector) -> None:
    with pytest.raises(NoPerson) as refused:
        estimate_size(detector, SIDE, REQUEST)
    assert refused.value.code is RefusalCode.SIDE_VIEW
    answer = estimate_size(detector, SIDE, HEAVY)
    assert answer.measured_from == (Source.SIDE_PHOTO, Source.HEIGHT, Source.WEIGHT)


def test_with_a_weight_nobody_is_refused_for_an_unclear_photo(detector: Detector) -> None:
    with Image.open(io.BytesIO(FRONT)) as image:
        buffer = io.BytesIO()
        image.crop((0, 0, image.width, int(image.height * 0.45))).save(buffer, "JPEG")
    with pytest.raises(NoPerson):
        estimate_size(detector, buffer.getvalue(), REQUEST)
    answer = estimate_size(detector, buffer.getvalue(), HEAVY)
    typical = estimate_without_photo(detector, HEAVY)
    assert answer.measurements == typical.measurements
    assert answer.measured_from == (Source.HEIGHT, Source.WEIGHT)
    assert WarningCode.PHOTO_NOT_USED in _codes(answer)
    assert Question.RETAKE in [one.ask for one in answer.ask_next]


def test_a_picture_of_nobody_is_refused_whatever_is_known(detector: Detector) -> None:
    with pytest.raises(NoPerson) as refused:
        estimate_size(detector, _nobody(), HEAVY)
    assert refused.value.code is RefusalCode.NO_PERSON


def test_an_evaluation_uses_sides_and_weights(detector: Detector) -> None:
    with (PAIRS / "truth.csv").open(newline="") as file:
        people = len(list(csv.DictReader(file)))
    everything = summarise(evaluate_folder(PAIRS, detector, given=Given(sex=True)))
    fronts = summarise(evaluate_folder(PAIRS, detector, given=Given(side=False, weight=False)))
    assert everything.answered == fronts.answered == people
    assert everything.width < fronts.width
    assert everything.within_one == 1
    assert everything.same_again == 1.0


async def test_all_of_it_comes_back_from_the_pose_processes(both: SizeEstimate) -> None:
    pool = PosePool(None, 1, metrics=Metrics())
    await pool.start()
    try:
        assert await pool.run(estimate_size_of_two, FRONT, SIDE, REQUEST, timeout=60) == both
        answer, pictures = await pool.run(drawn_estimate_of_two, FRONT, SIDE, REQUEST, True, timeout=60)
        assert answer == both
        assert [picture[:2] for picture in pictures] == [b"\xff\xd8"] * 2
        answer, pictures = await pool.run(drawn_estimate_of_two, FRONT, b"", REQUEST, False, timeout=60)
        assert len(pictures) == 1
        typical = await pool.run(estimate_without_photo, EstimateRequest(168, 80, Sex.FEMALE))
        assert typical.measured_from == (Source.HEIGHT, Source.WEIGHT, Source.SEX)
    finally:
        pool.close()
