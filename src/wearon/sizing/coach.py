"""The photo coach: who in the photo is measured, how much of them it shows, and what is wrong with it.

A fault either only makes the answer less sure (a warning, and a factor on the standard errors), or leaves nothing to
be measured (NoPerson). The limits were set on the synthetic pictures and on distorted ones made from them: each is
beyond what all standard ones of those show, with the figure given. The factors are fitted where those pictures tell
(`research/doubts.py`), and elsewhere chosen on the safe side.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wearon.pose import Joint, Pose
from wearon.sizing import clothes, limbs
from wearon.sizing.features import BANDS, Frame, Sighting, look
from wearon.sizing.measure import STRETCHED, Front
from wearon.sizing.refusal import NoPerson, RefusalCode
from wearon.sizing.request import EstimateRequest
from wearon.sizing.side import is_side_view
from wearon.sizing.silhouette import INSIDE, Pixels
from wearon.sizing.warnings import WarningCode

DOUBT: Mapping[WarningCode, float] = {
    WarningCode.FEET_OUT_OF_FRAME: 1.0,  # the frame's own model knows its errors; 1.1 today
    WarningCode.HEAD_OUT_OF_FRAME: 1.05,  # fitted; 1.1 today
    WarningCode.TURNED_AWAY: 1.6,
    WarningCode.BACK_VIEW: 2.0,  # rendered backs read one size too large: at 1.3, 0.55 sure and 0.44 of 16 right
    WarningCode.ARMS_AGAINST_BODY: 1.2,  # fitted: 1.0, but on arms that only touch; 1.25 today
    WarningCode.ARMS_RAISED: 1.5,
    WarningCode.TOO_DARK: 1.1,  # fitted
    WarningCode.TOO_SMALL: 1.25,  # fitted; 1.15 today
    WarningCode.BLURRED: 1.4,  # fitted; 1.15 today
    WarningCode.SEVERAL_PEOPLE: 1.3,  # fitted: 1.05, but here it was always the right one who was measured
    WarningCode.LOOSE_CLOTHING: 1.35,  # fitted; 1.25 today
    WarningCode.SITTING: 2.5,
    WarningCode.TILTED: 1.05,  # fitted
    WarningCode.CHILD_LIKE_PROPORTIONS: 2.0,
    WarningCode.BODY_PARTLY_HIDDEN: 1.4,  # fitted: 1.15, but only to bags beside the waist
    WarningCode.STRETCHED: 1.0,  # the measuring widens by as much as the picture seems stretched
    WarningCode.UNUSUAL_PROPORTIONS: 1.3,  # besides, the model widens by how unusual the photo is
    WarningCode.PHOTO_NOT_USED: 1.0,
    WarningCode.SIDE_PHOTO_NOT_USED: 1.0,
    WarningCode.PHOTOS_SWAPPED: 1.0,
}
"""Factors on the standard errors; of several faults they multiply, up to MAX_DOUBT.

The fitted ones were fitted to an earlier model; `today` is what `research/doubts.py` prints. On people left out the
mean log-likelihood of the errors is -2.79 with these and -2.75 with those of today: the cautious ones stay.
"""
MAX_DOUBT = 4.0
READ = (
    WarningCode.ARMS_AGAINST_BODY,
    WarningCode.LOOSE_CLOTHING,
    WarningCode.BODY_PARTLY_HIDDEN,
    WarningCode.TOO_DARK,
    WarningCode.TILTED,
)
"""What the reader of whole pictures has seen in its examples, and knows what it costs."""
SKIRT = 1.2
"""In whole pictures; elsewhere clothes.looseness. Dresses and skirts of the phones' pictures: 1.15 and 1.22."""
COAT = 1.5
"""Chosen: hips, thighs and knees of one breadth are wide trousers in the phones' pictures (1.1), coats elsewhere."""

SMALLEST_TRUNK = 24.0
"""Pixels from shoulders to hips below which nothing is measured: one pixel of error is then 2 cm."""
SMALL_TRUNK = 50.0
"""Half of what a person has who fills 80 % of the photo's height (110)."""
VISIBLE = 0.5
"""Visibility from which a joint counts as seen; shoulders and hips of the synthetic pictures have 0.99."""
UPRIGHT = np.radians(50)
TILTED = np.radians(10)
"""Twice and a half the largest lean of the synthetic pictures (3.8 degrees)."""
TURNED = np.radians(22)
"""Estimated turn; bodies that are turned by up to 15 degrees look turned by up to 20."""
CHILD_HEAD = 0.92
"""Head top to shoulders over shoulders to hips: adults 0.66 to 0.83, hair included; a six-year-old has about 1."""
CHILD_EARS = 0.34
"""Between the ears over shoulders to hips, beside CHILD_HEAD: much hair makes a head high, not broad. Adults 0.20 to
0.29, up to 0.33 in photographs from near by; a six-year-old has about 0.35 by the usual tables of heads and trunks."""
CHILD_HEIGHT_CM = 140.0
"""A rendered ten-year-old's head is within what adults have: from there on only the height tells. Fewer than one adult
in a thousand is smaller (3.4 standard deviations below the mean woman of 162)."""
DARK = 65.0
"""Mean brightness of the person, of 255: dark pictures 28 to 60, others 74 and more whatever the skin and clothes."""
SHARPNESS = 0.036
"""Mean curvature over slope at the strongest edges: 0.07 and more; after a blur of one pixel 0.034 to 0.06."""
HIDDEN_HIPS = 1.8
"""The hips' edge is then where an arm as thick inwards as outwards of its bone would end: wrong by twice what the bone
is misplaced by, and far too near when the hand is before the hip. Besides ARMS_AGAINST_BODY's own factor."""
BOTH_HANDS = 1.8
"""Chosen: with both hands there, the trunk's edges are those of the arms or of what they hold."""
BULGE = 0.006
"""How far one side sticks out, on average, of the trunk's length: 1 % of the synthetic pictures and 3 % of their mirror
images have more, and 85 % of those in which a bag was put before one side of the waist."""
OTHER_PERSON = 0.1
"""Area of another silhouette, of the main one's, from which it is no passer-by far behind."""
RIVAL = 0.5
"""Area of another silhouette, of the main one's, from which nobody can say who is meant."""
STRANGE = 2.5
"""Strangeness of the features from which the photo is unlike any that the model knows."""
NO_BODY = 5.0
"""Strangeness from which it is no body at all: half a person and the like have 20 and more; a board before it, 6."""
NO_BODY_POSED = 10.0
"""Strangeness from which it is no body although a raised arm or a hand on the body says why. Of 92 rendered people with
hands on their hips or arms held out, 17 were between both: answered with doubt, the range held all of their sizes;
beyond, 4 of 7."""
POSED = frozenset({WarningCode.ARMS_RAISED, WarningCode.BODY_PARTLY_HIDDEN})
IMPOSSIBLE_STRETCH = 6.0
"""Standard errors of seeming stretch from which it is refused: a picture squeezed to 0.7 or stretched to 1.4."""
USUAL_HEIGHT_CM = (149.0, 210.0)
"""Statures that the model was fitted to (149 to 197); a little more above, where there are adults only."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is measured, in what frame, and what is to be said about the photo."""

    pose: Pose
    sighting: Sighting
    frame: Frame
    warnings: tuple[WarningCode, ...]

    @property
    def doubt(self) -> float:
        """Factor on the standard errors."""
        held = BOTH_HANDS if limbs.holds_something(self.pose, self.sighting) else 1.0
        if self.frame is Frame.FULL:
            faults = float(np.prod([DOUBT[code] for code in self.warnings if code not in READ]))
            return min(MAX_DOUBT, faults * held * self._garment)
        faults = float(np.prod([DOUBT[code] for code in self.warnings]))
        hips = HIDDEN_HIPS if limbs.hides_hips(self.sighting) else 1.0
        # What hides the hips' edge may look like a hem, too: the larger of both factors, not their product.
        return min(MAX_DOUBT, faults * held * max(hips, clothes.looseness(self.sighting), self._garment))

    @property
    def _garment(self) -> float:
        if clothes.hide_everything(self.pose, self.sighting):
            return COAT
        return SKIRT if clothes.wears_skirt(self.sighting) else 1.0


def inspect(poses: Sequence[Pose], pixels: Pixels, request: EstimateRequest) -> Scene:
    """Look at the photo (height, width, 3) and the people found in it, the largest first.

    Raises NoPerson when none of them can be measured.
    """
    if not poses:
        raise NoPerson(RefusalCode.NO_PERSON)
    pose = poses[0]
    sighting = look(pose, pixels)
    _refuse_hopeless(pose, sighting)
    other = _largest_other(poses)
    if other > RIVAL:
        raise NoPerson(RefusalCode.SEVERAL_PEOPLE)
    frame = _frame(pose)
    faults = [
        *_frame_faults(frame),
        *_posture_faults(pose, sighting, frame),
        *_picture_faults(pose, pixels, sighting),
        *_body_faults(pose, sighting, request),
        *([WarningCode.SEVERAL_PEOPLE] if other > OTHER_PERSON else []),
    ]
    return Scene(pose, sighting, frame, tuple(faults))


def second_thoughts(front: Front, seen: Collection[WarningCode] = ()) -> list[WarningCode]:
    """What only shows once the person has been measured, beside what was `seen` before.

    Raises NoPerson when it cannot have been a body.
    """
    strangest = NO_BODY if POSED.isdisjoint(seen) else NO_BODY_POSED
    if front.strangeness > strangest or abs(front.stretch) > IMPOSSIBLE_STRETCH:
        raise NoPerson(RefusalCode.UNCLEAR_BODY)
    stretched, odd = abs(front.stretch) > STRETCHED, front.strangeness > STRANGE
    return [*([WarningCode.STRETCHED] if stretched else []), *([WarningCode.UNUSUAL_PROPORTIONS] if odd else [])]


def _refuse_hopeless(pose: Pose, sighting: Sighting) -> None:
    trunk = [Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, Joint.LEFT_HIP, Joint.RIGHT_HIP]
    levels = sighting.axis.at(1.15)[1] / pose.height, sighting.axis.at(0.0)[1] / pose.height
    if max(levels) > 1.0 or min(levels) < 0.0:
        raise NoPerson(RefusalCode.BODY_OUT_OF_FRAME)
    if min(pose.visibility(joint) for joint in trunk) < VISIBLE or sighting.axis.length < SMALLEST_TRUNK:
        raise NoPerson(RefusalCode.NO_PERSON)
    if abs(sighting.axis.tilt) > UPRIGHT:
        raise NoPerson(RefusalCode.NOT_UPRIGHT)
    if is_side_view(pose):
        raise NoPerson(RefusalCode.SIDE_VIEW)
    if limbs.knees_are_in(pose) and (
        limbs.knees(sighting) < limbs.KNEES_OF_SITTING[0] or limbs.straightness(pose) < limbs.BENT_LEG
    ):
        raise NoPerson(RefusalCode.NOT_UPRIGHT)
    body = sighting.profile.between(BANDS["chest"][0], BANDS["hip"][1])
    if not sighting.profile.trunk[:, body].all():
        raise NoPerson(RefusalCode.NO_PERSON)  # the silhouette does not hold the trunk: it is not a body


def _frame(pose: Pose) -> Frame:
    """Raises NoPerson when both ends of the body are out of the picture."""
    joints = pose.landmarks
    toes = joints[[Joint.LEFT_TOE, Joint.RIGHT_TOE, Joint.LEFT_HEEL, Joint.RIGHT_HEEL], 1].max()
    ankles = min(pose.visibility(Joint.LEFT_ANKLE), pose.visibility(Joint.RIGHT_ANKLE))
    feet = bool(toes < 1.0 and ankles >= VISIBLE and not (pose.mask[-2:] >= INSIDE).any())
    head = not (pose.mask[:2] >= INSIDE).any()
    if not head:
        if not feet:
            raise NoPerson(RefusalCode.BODY_OUT_OF_FRAME)
        return Frame.NO_HEAD
    if feet:
        return Frame.FULL
    return Frame.TO_KNEES if limbs.knees_are_in(pose) else Frame.TO_THIGHS


def _frame_faults(frame: Frame) -> Iterator[WarningCode]:
    if frame in (Frame.TO_KNEES, Frame.TO_THIGHS):
        yield WarningCode.FEET_OUT_OF_FRAME
    if frame is Frame.NO_HEAD:
        yield WarningCode.HEAD_OUT_OF_FRAME


def _posture_faults(pose: Pose, sighting: Sighting, frame: Frame) -> Iterator[WarningCode]:
    if abs(sighting.yaw) > TURNED:
        yield WarningCode.TURNED_AWAY
    if pose.point(Joint.LEFT_SHOULDER)[0] < pose.point(Joint.RIGHT_SHOULDER)[0]:
        yield WarningCode.BACK_VIEW
    if abs(sighting.axis.tilt) > TILTED:
        yield WarningCode.TILTED
    bent = limbs.knees(sighting) < limbs.KNEES_OF_SITTING[1] or limbs.straightness(pose) < limbs.STRAIGHT_LEG
    feet = frame in (Frame.FULL, Frame.NO_HEAD)
    if (bent and limbs.knees_are_in(pose)) or (
        feet and min(limbs.second_over_first(pose, limbs.LEGS)) < limbs.SHORT_SHIN
    ):
        yield WarningCode.SITTING
    if min(limbs.levels_of(pose, sighting, Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW)) < limbs.RAISED_ELBOW:
        yield WarningCode.ARMS_RAISED
    waist = sighting.profile.between(*BANDS["waist"])
    if sighting.profile.hidden[:, waist].mean(axis=1).max() > limbs.HIDDEN_ARM or limbs.hides_hips(sighting):
        yield WarningCode.ARMS_AGAINST_BODY


def _picture_faults(pose: Pose, pixels: Pixels, sighting: Sighting) -> Iterator[WarningCode]:
    if sighting.axis.length < SMALL_TRUNK:
        yield WarningCode.TOO_SMALL
    # The trunk is enough to judge by: a tenth of the picture.
    rows = slice(max(0, int(sighting.axis.at(0)[1])), max(3, int(sighting.axis.at(1)[1])))
    body = pose.mask[rows] >= INSIDE
    shown = np.flatnonzero(body.any(axis=0))
    columns = slice(max(0, int(shown[0]) - 1), int(shown[-1]) + 2)
    body = body[:, columns]
    grey = np.asarray(cv2.cvtColor(pixels[rows, columns], cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    if grey[body].mean() < DARK:
        yield WarningCode.TOO_DARK
    if _sharpness(grey, body) < SHARPNESS:
        yield WarningCode.BLURRED


def _body_faults(pose: Pose, sighting: Sighting, request: EstimateRequest) -> Iterator[WarningCode]:
    heights, length = sighting.heights, sighting.axis.length
    if clothes.hang_loose(sighting):
        yield WarningCode.LOOSE_CLOTHING
    if not USUAL_HEIGHT_CM[0] <= request.height_cm <= USUAL_HEIGHT_CM[1]:
        yield WarningCode.UNUSUAL_PROPORTIONS
    large_head = heights["shoulders"] - sighting.top > CHILD_HEAD * length and sighting.ears > CHILD_EARS * length
    if large_head or request.height_cm < CHILD_HEIGHT_CM:
        yield WarningCode.CHILD_LIKE_PROPORTIONS
    if _is_hidden(pose, sighting):
        yield WarningCode.BODY_PARTLY_HIDDEN


def _is_hidden(pose: Pose, sighting: Sighting) -> bool:
    """A hand or what it holds before the trunk or beside it, or the trunk cut by the side of the picture."""
    axis, outline = sighting.axis, sighting.profile
    if outline.bulge > BULGE:
        return True
    if limbs.hands_before(pose, sighting, limbs.PHONE_LEVEL) > 0 or limbs.holds_something(pose, sighting):
        return True
    shown = np.r_[outline.between(*BANDS["chest"]), outline.between(*BANDS["hip"])]
    edges = axis.places(outline.levels[shown], outline.trunk[:, shown, None])[0]
    return bool(edges.min() < 1.5 or edges.max() > pose.width - 1.5)


def _largest_other(poses: Sequence[Pose]) -> float:
    """Area of the largest other silhouette, of the main one's; one that is the main one found again is left out."""
    if len(poses) == 1:
        return 0.0
    main = poses[0].mask >= INSIDE
    area = max(1, int(np.count_nonzero(main)))
    others = [pose.mask >= INSIDE for pose in poses[1:]]
    return max(
        (int(np.count_nonzero(mask)) / area for mask in others if np.count_nonzero(mask & main) < 0.5 * mask.sum()),
        default=0.0,
    )


def _sharpness(grey: NDArray[np.uint8], body: NDArray[np.bool_]) -> float:
    """Curvature over slope, where the slope is among the person's steepest tenth: falls when edges are smeared."""
    slope = np.abs(cv2.Sobel(grey, cv2.CV_16S, 1, 0)) + np.abs(cv2.Sobel(grey, cv2.CV_16S, 0, 1))
    places = np.flatnonzero(body)
    inside = slope.ravel()[places]
    steepest = int(0.9 * inside.size)
    steep = inside >= np.partition(inside, steepest)[steepest]
    curvature = np.abs(cv2.Laplacian(grey, cv2.CV_16S).ravel()[places[steep]])
    return float(curvature.mean() / max(inside[steep].mean(), 1e-3))
