"""The pure core: drawn figures of known lengths become centimetres."""

import dataclasses

import cv2
import numpy as np
import pytest

from support.figures import Figure
from wearon.pose import Pose
from wearon.sizing.coach import inspect
from wearon.sizing.features import BANDS, LEVELS, Frame, Sighting, features, look
from wearon.sizing.measure import MEASURES, Measured, combine, read_front
from wearon.sizing.reader import readers
from wearon.sizing.request import EstimateRequest
from wearon.sizing.silhouette import Pixels, profile, trunk_axis, without_leaks

REQUEST = EstimateRequest(height_cm=170)


def measure(sighting: Sighting, frame: Frame, request: EstimateRequest, *, doubt: float = 1.0) -> Measured:
    """Girths and shoulder breadth of the person in one picture from the front."""
    return combine(read_front(features(sighting, frame, request.height_cm), frame, doubt=doubt), None, request)


def _measure(figure: Figure, request: EstimateRequest = REQUEST) -> Measured:
    pose, picture = figure.draw()
    return measure(look(pose, picture), Frame.FULL, request)


@pytest.mark.parametrize(
    ("figure", "chest", "waist", "hip", "shoulder"),
    [
        (Figure(), 89.7, 82.5, 88.1, 37.6),
        (Figure(trunk=0.22), 108.2, 98.3, 103.8, 38.2),
        (Figure(arm_angle=8.0), 90.7, 81.0, 86.9, 35.7),
        (Figure(trunk=0.2, arm_angle=14.0), 98.9, 89.4, 94.6, 36.8),
    ],
)
def test_table_of_figures(figure: Figure, chest: float, waist: float, hip: float, shoulder: float) -> None:
    # Pinned: whoever changes the measuring or refits the model sees here by how much, and renews the table.
    assert _measure(figure).mean == pytest.approx([chest, waist, hip, shoulder], abs=1.5)


@pytest.mark.parametrize("trunk", [0.17, 0.185, 0.2])
@pytest.mark.parametrize("angle", [14.0, 20.0])
def test_the_trunk_is_found_beside_the_arms(trunk: float, angle: float) -> None:
    figure = Figure(trunk=trunk, arm_angle=angle)
    pose, picture = figure.draw()
    outline = profile(pose, picture, trunk_axis(pose), LEVELS)
    assert outline.breadth(0.5, 0.9) == pytest.approx(trunk * figure.pixels, abs=2.5)


def test_a_gap_too_narrow_for_the_mask_still_ends_the_trunk() -> None:
    figure = Figure()
    pose, picture = figure.draw()
    # What the segmentation does to a narrow gap: it only dips.
    closed = dataclasses.replace(pose, mask=np.maximum(pose.mask, 0.7 * _between_the_arms(figure)))
    outline = profile(closed, picture, trunk_axis(pose), LEVELS)
    assert outline.joined[:, outline.between(0.5, 0.9)].all()
    assert not outline.hidden[:, outline.between(0.5, 0.9)].any()
    assert outline.breadth(0.5, 0.9) == pytest.approx(figure.trunk * figure.pixels, abs=4)


def test_background_that_is_taken_for_body_on_one_side_counts_little() -> None:
    figure = Figure()
    pose, picture = figure.draw()
    leak = pose.mask.copy()
    rows = slice(int(figure.top + 0.33 * figure.pixels), int(figure.top + 0.38 * figure.pixels))
    edge = round(figure.centre * figure.width + figure.trunk / 2 * figure.pixels)
    leak[rows, edge - 2 : edge + 12] = 1
    blank = np.full_like(picture, 128)  # or the picture's own edge would mend it
    outline = profile(dataclasses.replace(pose, mask=leak), blank, trunk_axis(pose), LEVELS)
    assert outline.breadth(0.5, 0.6) == pytest.approx(figure.trunk * figure.pixels, abs=5)


@pytest.mark.parametrize("crotch", [0.51, 0.525])
def test_legs_that_part_high_leave_hips_and_seat_as_broad(crotch: float) -> None:
    # The axis then runs through the gap between them, which is no end of the body.
    pose, picture = Figure(crotch=crotch).draw()
    apart = look(pose, picture)
    assert apart.profile.breadth(*BANDS["seat"]) == pytest.approx(Figure().trunk * Figure().pixels, abs=2)
    read = read_front(features(apart, Frame.FULL, 170.0), Frame.FULL)
    assert read.strangeness < 2
    assert combine(read, None, REQUEST).mean == pytest.approx(_measure(Figure()).mean, rel=0.03)


def test_a_body_beside_its_axis_keeps_its_breadth() -> None:
    levels = np.linspace(0, 1.3, 50)
    shifted = np.stack([np.full(50, 50.0), np.full(50, 30.0)])
    assert without_leaks(shifted, levels, 3.0) == pytest.approx(shifted)


def _between_the_arms(figure: Figure) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    pose, _ = figure.draw()
    filled = np.zeros_like(pose.mask)
    for y, row in enumerate(pose.mask):
        inside = np.flatnonzero(row >= 0.5)
        if inside.size:
            filled[y, inside[0] : inside[-1]] = 1
    return filled


def test_a_broader_trunk_has_larger_girths_and_the_same_shoulders() -> None:
    narrow, broad = _measure(Figure(trunk=0.175)), _measure(Figure(trunk=0.195))
    assert (broad.mean[:3] > narrow.mean[:3] + 3).all()
    assert broad.mean[3] == pytest.approx(narrow.mean[3], abs=0.3)


def test_a_mirrored_figure_measures_the_same() -> None:
    pose, picture = Figure(centre=0.45).draw()
    as_is = measure(look(pose, picture), Frame.FULL, REQUEST)
    other = measure(look(pose.mirrored(), picture[:, ::-1].copy()), Frame.FULL, REQUEST)
    assert other.mean == pytest.approx(as_is.mean, rel=0.005)


def test_a_figure_at_half_the_scale_measures_the_same() -> None:
    half = Figure(pixels=210, top=20, width=160, height=256)
    assert _measure(half).mean == pytest.approx(_measure(Figure()).mean, rel=0.03)


def test_where_the_figure_stands_in_the_picture_does_not_matter() -> None:
    moved = Figure(top=70.5, centre=0.43)
    assert _measure(moved).mean == pytest.approx(_measure(Figure()).mean, rel=0.01)


def test_one_per_cent_more_height_is_one_per_cent_more_girth() -> None:
    taller = _measure(Figure(), EstimateRequest(height_cm=171.7))
    assert taller.mean[:3] / _measure(Figure()).mean[:3] == pytest.approx([1.01] * 3, abs=1e-6)
    assert 1.0 < taller.mean[3] / _measure(Figure()).mean[3] < 1.02


@pytest.mark.parametrize("across", [0.72, 1.4])
def test_a_squeezed_or_stretched_picture_shows_in_the_proportions(across: float) -> None:
    plain = _measure(Figure())
    pose, picture = Figure().draw()
    size = (round(pose.width * across), pose.height)
    mask = np.asarray(cv2.resize(pose.mask, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    pixels = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    stretched = measure(look(Pose(pose.landmarks, mask, *size), pixels), Frame.FULL, REQUEST)
    assert np.sign(stretched.stretch - plain.stretch) == np.sign(across - 1)
    assert abs(stretched.stretch - plain.stretch) > 3
    assert stretched.errors[2] > 1.5 * plain.errors[2]


def test_doubt_widens_up_to_what_people_differ_by() -> None:
    pose, picture = Figure().draw()
    sure, unsure, blind = (measure(look(pose, picture), Frame.FULL, REQUEST, doubt=doubt) for doubt in (1.0, 2.0, 99.0))
    assert (unsure.errors > 1.2 * sure.errors).all()
    assert blind.mean == pytest.approx(170 * np.exp(readers().people.mean), rel=0.01)


def test_a_hem_that_stands_off_is_seen_and_does_not_make_the_body_larger() -> None:
    fitting, loose = (
        features(look(*Figure().draw()), Frame.FULL, 170),
        features(look(*Figure(hem=0.015).draw()), Frame.FULL, 170),
    )
    assert fitting["hem"] < 0.3 < loose["hem"]


def test_frames_agree_on_the_same_figure() -> None:
    pose, picture = Figure().draw()
    sighting = look(pose, picture)
    full = measure(sighting, Frame.FULL, REQUEST)
    for frame in (Frame.TO_KNEES, Frame.NO_HEAD):
        assert measure(sighting, frame, REQUEST).mean == pytest.approx(full.mean, rel=0.15)


def test_covariances_are_usable_whatever_is_known() -> None:
    for request in (
        REQUEST,
        EstimateRequest(height_cm=170, weight_kg=70),
        EstimateRequest(height_cm=100, weight_kg=250),
        EstimateRequest(height_cm=250, weight_kg=30),
    ):
        measured = _measure(Figure(), request)
        assert np.isfinite(measured.mean).all()
        assert len(measured.mean) == len(MEASURES)
        np.linalg.cholesky(measured.covariance)


def test_a_tilted_camera_changes_little() -> None:
    pose, picture = Figure(pixels=330, width=512, top=90).draw()
    straight = inspect([pose], picture, REQUEST)
    angle = np.radians(12)
    turned = _rotated(pose, picture, angle)
    tilted = inspect([turned[0]], turned[1], REQUEST)
    expected = measure(straight.sighting, straight.frame, REQUEST).mean
    assert measure(tilted.sighting, tilted.frame, REQUEST).mean == pytest.approx(expected, rel=0.06)
    assert "tilted" in tilted.warnings


def _rotated(pose: Pose, picture: Pixels, angle: float) -> tuple[Pose, Pixels]:
    middle = (pose.width / 2, pose.height / 2)
    matrix = cv2.getRotationMatrix2D(middle, np.degrees(angle), 1.0)
    size = (pose.width, pose.height)
    mask = np.asarray(cv2.warpAffine(pose.mask, matrix, size), dtype=np.float32)
    turned = np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)
    places = pose.landmarks[:, :2] * np.array(size)
    landmarks = pose.landmarks.copy()
    landmarks[:, :2] = (places @ matrix[:, :2].T + matrix[:, 2]) / np.array(size)
    return dataclasses.replace(pose, landmarks=landmarks, mask=mask), turned
