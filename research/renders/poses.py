"""People on their feet: bodies in cm with arms, legs, back and neck turned as people stand before a phone."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from base_mesh import TURNED, BaseMesh, Flags, Floats, normals
from outfits import Outfit

SIDES = {"L": 1, "R": -1}
"""The person's sides, and the sign of their x."""


@dataclass(frozen=True)
class Pose:
    """How the arms are held, in degrees from vertical."""

    view: str
    """`front` or `side`: where the camera will stand."""
    outwards: dict[str, float]
    """Of each upper arm, as far as trunk and clothes let it."""
    forwards: float
    """Of both arms in a side picture."""
    phone: str
    """The side whose hand holds the phone before the shoulder, if any."""
    on_hip: str
    """The sides whose hand is on the hip, if any."""


@dataclass(frozen=True)
class Figure:
    """A posed body: at rest and as posed, in cm, feet at y = 0."""

    base: BaseMesh
    rest: Floats
    posed: Floats

    @cached_property
    def skin(self) -> Floats:
        return self.posed[: self.base.skin]

    @cached_property
    def rest_skin(self) -> Floats:
        return self.rest[: self.base.skin]

    @cached_property
    def normals(self) -> Floats:
        return normals(self.skin, self.base.faces)

    @cached_property
    def stature(self) -> float:
        return float(self.rest_skin[:, 1].max())

    @property
    def crotch(self) -> float:
        """Its level, at rest."""
        return float(self.rest[self.base.crotch, 1])

    def part(self, name: str) -> Floats:
        """How far each vertex of the skin belongs to a part."""
        return self.base.parts[name][: self.base.skin]

    @cached_property
    def arms(self) -> Flags:
        return self.part("arm") > 0.5

    @cached_property
    def trunk(self) -> Flags:
        return ~self.arms & (self.part("leg") < 0.5)


def standing(base: BaseMesh, body: Floats) -> Floats:
    """The body moved so that its feet are at y = 0 and its crotch at x = z = 0."""
    floor = body[: base.skin, 1].min()
    return np.asarray(body - [body[base.crotch, 0], floor, body[base.crotch, 2]])


def turn(axis: int, degrees: float) -> Floats:
    """Rotation about x (0), y (1) or z (2)."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    one, other = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[one, one, other, other], [one, other, one, other]] = cos, -sin, sin, cos
    return matrix


def arm_joints(base: BaseMesh, rest: Floats, side: str) -> list[Floats]:
    """Shoulder, elbow and wrist."""
    return [base.head(rest, f"{bone}.{side}") for bone in ("upperarm01", "lowerarm01", "wrist")]


def _onto(start: Floats, end: Floats) -> Floats:
    """The shortest rotation of one direction onto another."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    x, y, z = np.cross(a, b)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + a @ b))


def stand(base: BaseMesh, rest: Floats, pose: Pose, outfit: Outfit, rng: np.random.Generator) -> Figure:
    """Pose a standing body."""
    turns: dict[str, Floats] = {}
    for side in SIDES:
        arm = _Arm(base, rest, side, outfit, rng)
        upper, lower = arm.directions(pose)
        shoulder = turns["upperarm01." + side] = _onto(arm.upper, upper)
        turns["lowerarm01." + side] = _onto(shoulder @ arm.lower, lower) @ shoulder
    apart = rng.uniform(0.55, 1.15)
    for side, sign in SIDES.items():
        hip, ankle = base.head(rest, "upperleg01." + side), base.head(rest, "foot." + side)
        step = abs(hip[0]) * apart + outfit.leg_ease * 0.4 - abs(ankle[0])
        out = sign * float(np.degrees(np.arctan2(step, hip[1] - ankle[1])))
        turns["upperleg01." + side] = turn(2, out + rng.normal(0, 0.4)) @ turn(0, rng.normal(0, 1.0))
        turns["lowerleg01." + side] = turn(0, rng.uniform(0, 2))
        turns["foot." + side] = turn(2, -out)
    turns["neck01"] = turn(0, rng.normal(0, 3)) @ turn(1, rng.normal(0, 4)) @ turn(2, rng.normal(0, 2))
    turns["spine03"] = turn(0, rng.normal(0, 1.2)) @ turn(2, rng.normal(0, 0.7))
    posed = _skinned(base, rest, turns)
    posed[:, 1] -= posed[: base.skin, 1].min()
    return Figure(base, rest, posed)


def _skinned(base: BaseMesh, rest: Floats, turns: dict[str, Floats]) -> Floats:
    """Linear blend skinning; arms are turned as seen from outside, the rest as seen from the bone above."""
    moves = {"root": (np.eye(3), np.zeros(3))}
    posed = base.turned[:, :1] * rest
    for column, bone in enumerate(TURNED, 1):
        above, shift = moves[base.parents[bone]]
        head = base.head(rest, bone)
        turned = turns[bone] if "arm" in bone else above @ turns[bone]
        shift = above @ head + shift - turned @ head
        moves[bone] = turned, shift
        weight = base.turned[:, column]
        near = weight > 0
        posed[near] += weight[near, None] * (rest[near] @ turned.T + shift)
    return posed


class _Arm:
    """One arm at rest, and the directions of its two bones in a pose."""

    def __init__(self, base: BaseMesh, rest: Floats, side: str, outfit: Outfit, rng: np.random.Generator) -> None:
        self._shoulder, elbow, wrist = arm_joints(base, rest, side)
        self.upper, self.lower = elbow - self._shoulder, wrist - elbow
        self._lengths = [float(np.linalg.norm(bone)) for bone in (self.upper, self.lower)]
        self._side, self._sign, self._outfit, self._rng = side, SIDES[side], outfit, rng
        self._trunk = rest[: base.skin][base.parts["arm"][: base.skin] < 0.5]
        self._crotch = rest[base.crotch, 1]

    def directions(self, pose: Pose) -> tuple[Floats, Floats]:
        """Of upper arm and forearm."""
        if self._side == pose.phone:
            return self._with_phone()
        if self._side in pose.on_hip:
            return self._on_hip()
        if pose.view == "side":
            return self._seen_from_the_side(pose.outwards[self._side], pose.forwards)
        return self._hanging(pose.outwards[self._side])

    def _with_phone(self) -> tuple[Floats, Floats]:
        draw = self._rng.uniform
        upper = np.array([self._sign * draw(0.1, 0.45), -1, draw(0.3, 0.8)])
        return upper, np.array([-self._sign * draw(-0.1, 0.5), draw(0.7, 1.2), draw(0.3, 0.9)])

    def _on_hip(self) -> tuple[Floats, Floats]:
        out = np.radians(self._rng.uniform(38, 55))
        upper = np.array([self._sign * np.sin(out), -np.cos(out), -0.25])
        elbow = self._shoulder + upper / np.linalg.norm(upper) * self._lengths[0]
        level = self._crotch + 0.13 * self._trunk[:, 1].max() - self._rng.uniform(0, 6)  # about the navel
        hand = np.array([self._sign * (self._half_breadth(level) + 1), level, 2.0])
        return upper, hand - elbow

    def _seen_from_the_side(self, outwards: float, forwards: float) -> tuple[Floats, Floats]:
        swing, out = np.radians(forwards + self._rng.normal(0, 2)), np.radians(max(outwards, 6))
        bend = swing + np.radians(self._rng.uniform(3, 15))
        upper = np.array([self._sign * np.sin(out), -np.cos(swing) * np.cos(out), np.sin(swing)])
        return upper, np.array([self._sign * np.sin(out) * 0.5, -np.cos(bend), np.sin(bend)])

    def _hanging(self, outwards: float) -> tuple[Floats, Floats]:
        """Both bones as far out as asked, or farther, so that they are not in trunk or clothes."""
        outfit, (upper, lower) = self._outfit, self._lengths
        (x, y, _), out = self._shoulder * (self._sign, 1, 1), np.radians(outwards)
        for share in (0.5, 1.0):
            need = self._half_breadth(y - share * upper * 0.97) + outfit.tight + 2.2 + outfit.ease * 0.44 - x
            out = max(out, np.arcsin(np.clip(need / (share * upper), -1, 0.9)))
        forwards = np.radians(self._rng.uniform(-4, 6))
        x, y = x + upper * np.sin(out), y - upper * np.cos(out)
        bent = np.radians(outwards * self._rng.uniform(0.3, 1.0))
        for share in (0.6, 1.0, 1.3):
            need = self._half_breadth(y - share * lower * 0.97) + outfit.tight + 1 + outfit.leg_ease * 0.4 - x
            bent = max(bent, np.arcsin(np.clip(need / (share * lower), -1, 0.9)))
        reach = np.radians(self._rng.uniform(3, 20))
        return (
            np.array([self._sign * np.sin(out), -np.cos(out), np.sin(forwards)]),
            np.array([self._sign * np.sin(bent), -np.cos(bent), np.sin(reach)]),
        )

    def _half_breadth(self, level: float) -> float:
        """How far trunk and legs reach to this side within 2.5 cm of a level."""
        near = np.abs(self._trunk[:, 1] - level) < 2.5
        return float((self._trunk[near, 0] * self._sign).max()) if near.any() else 0.0
