"""How legs and arms are held: bent, raised, reaching towards the camera, before the body."""

import math
from collections.abc import Sequence

import numpy as np

from wearon.pose import Joint, Pose
from wearon.sizing.features import BANDS, Sighting

KNEES_OF_SITTING = (0.40, 0.56)
"""Hip to knee over trunk length below which somebody squats or sits, and may; standing 0.62 to 0.97."""
STRAIGHT_LEG = 0.95
"""Hip to ankle over hip to knee to ankle, of the more bent leg, below which somebody may sit or walk; the synthetic
people's have 0.997, and standing ones in photographs, legs crossed, 0.96."""
BENT_LEG = 0.75
"""Straightness of the more bent leg below which nobody stands: kneeling 0.2, sitting 0.3 to 0.74. A knee bent by 83
degrees."""
SHORT_SHIN = 0.5
"""Knee to ankle over hip to knee, with the feet in the picture, below which a shin points away from the camera; 0.57
and more when standing, whatever the camera's height."""
HIDDEN_ARM = 0.6
"""Share of the waist's levels at which an arm touches the trunk without a gap."""
HIDDEN_HAND = 0.3
"""Share of the hips' levels at which a hand or forearm touches without a gap: 4 of the 162 synthetic people, held-out
arms, and 12 of 17 whose arms hang at rest."""
RAISED_ELBOW = 0.1
"""Level of an elbow, shoulders to hips, above which the arm is raised, and with it the shoulder; 0.45 and more when it
hangs, 0.3 when both are held out as asked for."""
PHONE_LEVEL = -0.45
HOLDING_LEVEL = 0.1
HIP_LEVEL = 0.85
HAND_REACH = 0.65
"""Levels, and distance from the axis over trunk length, at which a wrist is before the body or close beside it: with a
phone before the face, in crossed arms, at something that is held, on a hip. Arms that hang have the wrist at 0.88 and
lower, arms held out have it 0.8 and more from the axis."""
SHORT_FOREARM = 0.76
"""Forearm over upper arm, on the side with more of it, below which both reach towards the camera; 0.81 and more when
they hang."""

ARMS = (
    (Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_WRIST),
    (Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST),
)
LEGS = (
    (Joint.LEFT_HIP, Joint.LEFT_KNEE, Joint.LEFT_ANKLE),
    (Joint.RIGHT_HIP, Joint.RIGHT_KNEE, Joint.RIGHT_ANKLE),
)


def knees(sighting: Sighting) -> float:
    """How far below the hips they are, over trunk length."""
    return (sighting.heights["knees"] - sighting.heights["hips"]) / sighting.axis.length


def knees_are_in(pose: Pose) -> bool:
    """Whether the knees are in the picture, or so close below that the model's guess of them is as good."""
    down = pose.landmarks[[Joint.LEFT_KNEE, Joint.RIGHT_KNEE], 1]
    return bool(down.mean() < 1.03)


def straightness(pose: Pose) -> float:
    """Hip to ankle over the way by the knee, of the more bent leg: 1 when straight, 0 when folded up."""
    legs = [[pose.point(joint) for joint in leg] for leg in LEGS]
    return min(
        math.dist(hip, ankle) / max(math.dist(hip, knee) + math.dist(knee, ankle), 1e-6) for hip, knee, ankle in legs
    )


def second_over_first(pose: Pose, limbs: Sequence[tuple[Joint, Joint, Joint]]) -> list[float]:
    """Length of the limbs' second part over their first one's, as seen: little when it points at the camera."""
    places = [[pose.point(joint) for joint in limb] for limb in limbs]
    return [math.dist(middle, end) / max(math.dist(start, middle), 1e-6) for start, middle, end in places]


def hides_hips(sighting: Sighting) -> bool:
    """Whether a hand or forearm lies at the hips, on either side, with no gap to be seen."""
    hips = sighting.profile.between(BANDS["hip"][0], BANDS["seat"][1])
    return bool(sighting.profile.hidden[:, hips].mean(axis=1).max() > HIDDEN_HAND)


def holds_something(pose: Pose, sighting: Sighting) -> bool:
    """Whether both hands are before the trunk or on it, or both forearms reach towards the camera."""
    reach = max(second_over_first(pose, ARMS))
    return reach < SHORT_FOREARM or hands_before(pose, sighting, HOLDING_LEVEL) == 2


def hands_before(pose: Pose, sighting: Sighting, highest: float) -> int:
    """How many hands are before the body, or close beside it and above the hips, and not above the level `highest`."""
    axis, outline = sighting.axis, sighting.profile
    count = 0
    for wrist in (Joint.LEFT_WRIST, Joint.RIGHT_WRIST):
        place = np.array(pose.point(wrist)) - axis.start
        level, offset = place @ axis.along / axis.length, place @ axis.across
        index = int(np.abs(outline.levels - level).argmin())
        before = 0.1 < level < 0.95 and abs(offset) < 0.8 * outline.trunk[int(offset > 0), index]
        count += bool(before or (highest < level < HIP_LEVEL and abs(offset) < HAND_REACH * axis.length))
    return count


def levels_of(pose: Pose, sighting: Sighting, *joints: Joint) -> list[float]:
    """How far down the trunk's axis the joints lie: 0 at the shoulders, 1 at the hips."""
    axis = sighting.axis
    return [float((np.array(pose.point(joint)) - axis.start) @ axis.along) / axis.length for joint in joints]
