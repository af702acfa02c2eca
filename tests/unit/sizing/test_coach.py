"""What is said about a photo, and when it is refused: on drawn figures."""

import dataclasses
import pickle

import cv2
import numpy as np
import pytest

from support.figures import Figure
from wearon.pose import Joint, Pose
from wearon.sizing.coach import COAT, DOUBT, SKIRT, Scene, inspect, second_thoughts
from wearon.sizing.features import Frame
from wearon.sizing.measure import Front
from wearon.sizing.reader import Observation
from wearon.sizing.refusal import NoPerson, RefusalCode
from wearon.sizing.request import EstimateRequest
from wearon.sizing.silhouette import Pixels
from wearon.sizing.warnings import ADVICE, WarningCode

REQUEST = EstimateRequest(height_cm=170)


def _inspect(figure: Figure, request: EstimateRequest = REQUEST) -> Scene:
    pose, picture = figure.draw()
    return inspect([pose], picture, request)


def _moved(pose: Pose, **places: tuple[float, float]) -> Pose:
    """The pose with joints, by name, at other places (shares of the picture)."""
    landmarks = pose.landmarks.copy()
    for name, place in places.items():
        landmarks[Joint[name.upper()], :2] = place
    return dataclasses.replace(pose, landmarks=landmarks)


def _refusal(poses: list[Pose], picture: Pixels) -> RefusalCode:
    with pytest.raises(NoPerson) as refused:
        inspect(poses, picture, REQUEST)
    return refused.value.code


def test_a_good_photo_has_nothing_said_about_it() -> None:
    scene = _inspect(Figure())
    assert scene.frame is Frame.FULL
    assert scene.warnings == ()
    assert scene.doubt == 1


@pytest.mark.parametrize(
    ("figure", "frame", "warnings"),
    [
        (Figure(pixels=650, top=30, width=480), Frame.TO_KNEES, {WarningCode.FEET_OUT_OF_FRAME}),
        (Figure(pixels=760, top=30, width=560), Frame.TO_THIGHS, {WarningCode.FEET_OUT_OF_FRAME}),
        (Figure(top=-50), Frame.NO_HEAD, {WarningCode.HEAD_OUT_OF_FRAME}),
        (Figure(pixels=150), Frame.FULL, {WarningCode.TOO_SMALL}),
        (Figure(hem=0.02), Frame.FULL, {WarningCode.LOOSE_CLOTHING}),
        (Figure(arm_angle=0.0, trunk=0.2), Frame.FULL, {WarningCode.ARMS_AGAINST_BODY}),
        (Figure(width=200, centre=0.1), Frame.FULL, {WarningCode.BODY_PARTLY_HIDDEN}),
    ],
)
def test_table_of_faults(figure: Figure, frame: Frame, warnings: set[WarningCode]) -> None:
    scene = _inspect(figure)
    assert scene.frame is frame
    assert warnings <= set(scene.warnings)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_bag_before_one_side_of_the_body(side: int) -> None:
    pose, picture = Figure().draw()
    x, y = (round(value) for value in pose.point(Joint.RIGHT_HIP if side < 0 else Joint.LEFT_HIP))
    rows, columns = slice(y - 60, y + 10), slice(min(x, x + side * 60), max(x, x + side * 60))
    mask, with_bag = pose.mask.copy(), picture.copy()
    mask[rows, columns], with_bag[rows, columns] = 1.0, (160, 40, 40)
    assert WarningCode.BODY_PARTLY_HIDDEN in inspect([dataclasses.replace(pose, mask=mask)], with_bag, REQUEST).warnings


def test_a_dark_and_a_blurred_photo_are_told_apart() -> None:
    pose, picture = Figure().draw()
    dark = (picture * 0.3).astype(np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), 4), dtype=np.uint8)
    assert inspect([pose], dark, REQUEST).warnings == (WarningCode.TOO_DARK,)
    assert WarningCode.BLURRED in inspect([pose], blurred, REQUEST).warnings


def test_a_body_seen_from_behind() -> None:
    pose, picture = Figure().draw()
    landmarks = pose.landmarks.copy()
    landmarks[[Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER]] = landmarks[[Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER]]
    scene = inspect([dataclasses.replace(pose, landmarks=landmarks)], picture, REQUEST)
    assert WarningCode.BACK_VIEW in scene.warnings
    facing = dataclasses.replace(
        scene, warnings=tuple(code for code in scene.warnings if code is not WarningCode.BACK_VIEW)
    )
    assert scene.doubt >= 1.29 * facing.doubt


def test_a_turned_body() -> None:
    pose, picture = Figure().draw()
    landmarks = pose.landmarks.copy()
    landmarks[[Joint.LEFT_SHOULDER, Joint.LEFT_HIP], 2] = 0.4
    scene = inspect([dataclasses.replace(pose, landmarks=landmarks)], picture, REQUEST)
    assert WarningCode.TURNED_AWAY in scene.warnings


@pytest.mark.parametrize("height", [120, 139, 215])
def test_unusual_heights_widen(height: float) -> None:
    assert _inspect(Figure(), EstimateRequest(height_cm=height)).doubt > 1


def test_whom_only_the_height_tells_from_an_adult() -> None:
    """A ten-year-old's proportions are within what adults have."""
    assert WarningCode.CHILD_LIKE_PROPORTIONS in _inspect(Figure(), EstimateRequest(138)).warnings
    assert _inspect(Figure(), EstimateRequest(145)).warnings == (WarningCode.UNUSUAL_PROPORTIONS,)
    assert _inspect(Figure(), EstimateRequest(149)).warnings == ()


def test_other_people() -> None:
    pose, picture = Figure(width=600, centre=0.3).draw()
    behind, _ = Figure(width=600, centre=0.75, pixels=190, top=60).draw()
    beside, _ = Figure(width=600, centre=0.75, pixels=400).draw()
    again = dataclasses.replace(pose, mask=pose.mask * 0.9)
    assert inspect([pose, behind], picture, REQUEST).warnings == (WarningCode.SEVERAL_PEOPLE,)
    assert inspect([pose, again], picture, REQUEST).warnings == ()
    assert _refusal([pose, beside], picture) is RefusalCode.SEVERAL_PEOPLE


def test_nobody() -> None:
    assert _refusal([], np.zeros((10, 10, 3), np.uint8)) is RefusalCode.NO_PERSON


def test_a_silhouette_that_does_not_hold_the_trunk_is_nobody() -> None:
    pose, picture = Figure().draw()
    assert _refusal([dataclasses.replace(pose, mask=pose.mask * 0)], picture) is RefusalCode.NO_PERSON


@pytest.mark.parametrize(
    ("figure", "code"),
    [
        (Figure(pixels=1100, top=30, width=600), RefusalCode.BODY_OUT_OF_FRAME),  # cut at the hips
        (Figure(pixels=700, top=-60, width=480), RefusalCode.BODY_OUT_OF_FRAME),  # neither head nor feet
        (Figure(shoulders=0.07), RefusalCode.SIDE_VIEW),
        (Figure(pixels=70), RefusalCode.NO_PERSON),
    ],
)
def test_table_of_refusals(figure: Figure, code: RefusalCode) -> None:
    pose, picture = figure.draw()
    assert _refusal([pose], picture) is code


def test_somebody_who_sits_or_lies() -> None:
    pose, picture = Figure().draw()
    knees = {"left_knee": (0.57, 0.53), "right_knee": (0.43, 0.53)}
    assert _refusal([_moved(pose, **knees)], picture) is RefusalCode.NOT_UPRIGHT
    bent = {"left_knee": (0.57, 0.6), "right_knee": (0.43, 0.6)}
    assert WarningCode.SITTING in inspect([_moved(pose, **bent)], picture, REQUEST).warnings
    lying = {"left_shoulder": (0.1, 0.45), "right_shoulder": (0.1, 0.55)}
    assert _refusal([_moved(pose, **lying)], picture) is RefusalCode.NOT_UPRIGHT


def test_somebody_who_kneels_has_the_knees_where_they_are_when_standing() -> None:
    pose, picture = Figure().draw()
    kneeling = _moved(pose, left_ankle=(0.58, 0.55), right_ankle=(0.42, 0.55))
    assert _refusal([kneeling], picture) is RefusalCode.NOT_UPRIGHT


@pytest.mark.parametrize(
    "leg",
    [
        {"left_knee": (0.75, 0.66)},  # out to the side, as on a step or a stool
        {"right_ankle": (0.434, 0.74)},  # the shin away from the camera, as when running
    ],
)
def test_one_bent_leg_is_no_standing(leg: dict[str, tuple[float, float]]) -> None:
    pose, picture = Figure().draw()
    scene = inspect([_moved(pose, **leg)], picture, REQUEST)
    assert WarningCode.SITTING in scene.warnings
    assert scene.doubt >= 2


def test_legs_that_are_crossed_while_standing_are_straight_enough() -> None:
    pose, picture = Figure().draw()
    crossed = _moved(pose, left_knee=(0.5, 0.65), left_ankle=(0.45, 0.84), right_knee=(0.5, 0.66))
    assert WarningCode.SITTING not in inspect([crossed], picture, REQUEST).warnings


@pytest.mark.parametrize(
    "hands",
    [
        {"left_wrist": (0.46, 0.38), "right_wrist": (0.54, 0.38)},  # crossed arms
        {"left_wrist": (0.69, 0.38), "right_wrist": (0.31, 0.38)},  # a board broader than the body
        {"left_wrist": (0.70, 0.45), "right_wrist": (0.30, 0.45)},  # forearms towards the camera
    ],
)
def test_two_hands_that_hold_something_make_more_doubt_than_one(hands: dict[str, tuple[float, float]]) -> None:
    pose, picture = Figure().draw()
    both = inspect([_moved(pose, **hands)], picture, REQUEST)
    one = inspect([_moved(pose, left_wrist=hands["left_wrist"])], picture, REQUEST)
    assert WarningCode.BODY_PARTLY_HIDDEN in both.warnings
    assert both.doubt > 1.5 * one.doubt


def test_a_phone_before_the_face_hides_something_and_is_no_held_board() -> None:
    pose, picture = Figure().draw()
    scene = inspect([_moved(pose, left_wrist=(0.6, 0.2))], picture, REQUEST)
    assert scene.warnings == (WarningCode.BODY_PARTLY_HIDDEN,)
    both = inspect([_moved(pose, left_wrist=(0.6, 0.2), right_wrist=(0.4, 0.2))], picture, REQUEST)
    assert both.doubt == scene.doubt


def test_arms_held_out_hide_nothing() -> None:
    assert _inspect(Figure(arm_angle=55.0, width=480)).warnings == ()


def test_a_raised_arm() -> None:
    pose, picture = Figure().draw()
    scene = inspect([_moved(pose, left_elbow=(0.8, 0.2), left_wrist=(0.9, 0.1))], picture, REQUEST)
    assert WarningCode.ARMS_RAISED in scene.warnings


def _in_a_tunic(figure: Figure) -> tuple[Pose, Pixels]:
    """The figure in something that hangs straight down from the hips to the knees."""
    pose, picture = figure.draw()
    mask = pose.mask.copy()
    x, half = figure.centre * figure.width, figure.trunk / 2 * figure.pixels
    rows = slice(round(figure.top + 0.45 * figure.pixels), round(figure.top + 0.72 * figure.pixels))
    mask[rows, round(x - half) : round(x + half)] = 1.0
    return dataclasses.replace(pose, mask=mask), picture


def test_a_broad_tunic_may_be_wide_trousers_and_is_measured_with_doubt() -> None:
    broad = Figure(trunk=0.235)
    scene = inspect(*_alone(_in_a_tunic(broad)), REQUEST)
    assert WarningCode.LOOSE_CLOTHING in scene.warnings
    assert scene.doubt == COAT
    assert _inspect(broad).doubt == 1  # it is the tunic, not the breadth


def _alone(seen: tuple[Pose, Pixels]) -> tuple[list[Pose], Pixels]:
    return [seen[0]], seen[1]


def test_much_hair_is_no_child_and_a_large_head_is() -> None:
    pose, picture = Figure(top=60).draw()
    mask = pose.mask.copy()
    cv2.ellipse(mask, (160, 70), (34, 50), 0, 0, 360, (1.0,), -1)
    hair = dataclasses.replace(pose, mask=mask)
    assert WarningCode.CHILD_LIKE_PROPORTIONS not in inspect([hair], picture, REQUEST).warnings
    head = _moved(hair, left_ear=(0.58, 0.18), right_ear=(0.42, 0.18))
    assert WarningCode.CHILD_LIKE_PROPORTIONS in inspect([head], picture, REQUEST).warnings


def test_what_shows_only_in_the_measurements() -> None:
    usual = Front(Observation(np.zeros(4), np.eye(4)), strangeness=1.0, stretch=0.0)
    assert second_thoughts(usual) == []
    assert second_thoughts(dataclasses.replace(usual, strangeness=3.0)) == [WarningCode.UNUSUAL_PROPORTIONS]
    for seems in (-3.0, 3.0):
        assert second_thoughts(dataclasses.replace(usual, stretch=seems)) == [WarningCode.STRETCHED]
    for hopeless in (dataclasses.replace(usual, strangeness=6.0), dataclasses.replace(usual, stretch=-8.0)):
        with pytest.raises(NoPerson) as refused:
            second_thoughts(hopeless)
        assert refused.value.code is RefusalCode.UNCLEAR_BODY


@pytest.mark.parametrize("pose", [WarningCode.ARMS_RAISED, WarningCode.BODY_PARTLY_HIDDEN])
def test_a_body_may_look_stranger_where_its_arms_say_why(pose: WarningCode) -> None:
    strange = Front(Observation(np.zeros(4), np.eye(4)), strangeness=8.0, stretch=0.0)
    assert second_thoughts(strange, [pose]) == [WarningCode.UNUSUAL_PROPORTIONS]
    for said, seen in ((strange, [WarningCode.TOO_DARK]), (dataclasses.replace(strange, strangeness=12.0), [pose])):
        with pytest.raises(NoPerson):
            second_thoughts(said, seen)


def test_the_looser_the_clothes_the_greater_the_doubt_where_the_picture_is_cut() -> None:
    loose, baggy = (_inspect(Figure(pixels=650, top=30, width=480, hem=hem)) for hem in (0.012, 0.025))
    assert WarningCode.LOOSE_CLOTHING in loose.warnings
    assert 1 < loose.doubt < baggy.doubt


def test_a_flared_dress_is_loose_clothing() -> None:
    figure = Figure()
    pose, picture = figure.draw()
    mask = pose.mask.copy()
    x, half = figure.centre * figure.width, figure.trunk / 2 * figure.pixels
    waist, knee = (figure.top + share * figure.pixels for share in (0.42, 0.7))
    outline = [(x - half, waist), (x + half, waist), (x + 1.5 * half, knee), (x - 1.5 * half, knee)]
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], (1.0,))
    scene = inspect([dataclasses.replace(pose, mask=mask)], picture, REQUEST)
    assert WarningCode.LOOSE_CLOTHING in scene.warnings
    assert scene.doubt >= SKIRT


def _in_a_skirt(figure: Figure, *, end: float, breadth: float) -> tuple[Pose, Pixels]:
    """The figure in what hangs from the hips down to `end`, there `breadth` times as broad as the hips."""
    pose, picture = figure.draw()
    mask = pose.mask.copy()
    x, half = figure.centre * figure.width, figure.trunk / 2 * figure.pixels
    hips, hem = (figure.top + share * figure.pixels for share in (0.525, end))
    outline = [(x - half, hips), (x + half, hips), (x + breadth * half, hem), (x - breadth * half, hem)]
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], (1.0,))
    return dataclasses.replace(pose, mask=mask), picture


@pytest.mark.parametrize(
    ("figure", "end", "breadth"),
    [
        (Figure(), 0.72, 1.08),  # a little broader above the knees than at the hips
        (Figure(trunk=0.215), 0.65, 1.1),  # legs show below, but broad hips taper where thighs begin
    ],
)
def test_a_long_coat_without_a_hem_is_loose_clothing(figure: Figure, end: float, breadth: float) -> None:
    pose, picture = _in_a_skirt(figure, end=end, breadth=breadth)
    scene = inspect([pose], picture, REQUEST)
    assert scene.warnings == (WarningCode.LOOSE_CLOTHING,)
    assert scene.doubt >= SKIRT
    assert _inspect(figure).warnings == ()  # it is the coat, not the breadth


def test_thighs_of_broad_hips_taper_more() -> None:
    for figure, doubtful in ((Figure(), False), (Figure(trunk=0.245), True)):
        scene = _inspect(figure)
        dressed = dataclasses.replace(scene, sighting=dataclasses.replace(scene.sighting, skirt=0.95))
        assert (dressed.doubt >= SKIRT) is doubtful


def test_a_coat_that_hangs_off_very_broad_hips_is_the_greatest_doubt_of_clothes() -> None:
    pose, picture = _in_a_skirt(Figure(trunk=0.245), end=0.65, breadth=1.1)
    assert inspect([pose], picture, REQUEST).doubt == COAT


def test_a_hand_that_lies_at_the_hip_hides_its_edge() -> None:
    figure = Figure()
    pose, picture = figure.draw()
    wrist, hand = (0.115, 0.485), (0.113, 0.535)
    joints = [
        (figure.centre * figure.width + x * figure.pixels, figure.top + y * figure.pixels) for x, y in (wrist, hand)
    ]
    mask = pose.mask.copy()
    arm = np.round(joints).astype(np.int32)
    cv2.polylines(mask, [arm], False, (1.0,), round(0.045 * figure.pixels))
    places = [(x / figure.width, y / figure.height) for x, y in joints]
    resting = _moved(dataclasses.replace(pose, mask=mask), left_wrist=places[0], left_index=places[1])
    scene = inspect([resting], picture, REQUEST)
    assert WarningCode.ARMS_AGAINST_BODY in scene.warnings
    assert scene.sighting.traits["hidden_hips"] > 0.25  # which the reader of whole pictures looks at
    assert inspect([_moved(pose, left_wrist=places[0], left_index=places[1])], picture, REQUEST).doubt < 2


def test_a_hidden_hip_that_looks_like_a_hem_is_not_doubted_twice() -> None:
    loose = _inspect(Figure(hem=0.012))
    outline = loose.sighting.profile
    hidden = dataclasses.replace(outline, hidden=np.ones_like(outline.hidden))
    both = dataclasses.replace(loose, sighting=dataclasses.replace(loose.sighting, profile=hidden))
    assert both.doubt == pytest.approx(loose.doubt)


def test_every_code_has_its_advice_and_its_doubt() -> None:
    assert set(ADVICE) == set(DOUBT) == set(WarningCode)
    assert all(NoPerson(code).hint for code in RefusalCode)
    assert all(text.endswith(".") for text in ADVICE.values())


def test_a_refusal_travels_between_processes() -> None:
    refusal = pickle.loads(pickle.dumps(NoPerson(RefusalCode.SIDE_VIEW)))
    assert (refusal.code, refusal.hint) == (RefusalCode.SIDE_VIEW, NoPerson(RefusalCode.SIDE_VIEW).hint)
