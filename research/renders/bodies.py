"""Bodies with known measurements: morphs of MakeHuman's base mesh, fitted to wanted girths and measured on the mesh."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from base_mesh import BaseMesh, Floats, Ints

SIZES = (
    "bust-circ", "waist-circ", "hips-circ", "underbust-circ", "thigh-circ", "upperarm-circ", "knee-circ", "calf-circ",
    "neck-circ", "shoulder-dist", "frontchest-dist", "napetowaist-dist", "waisttohip-dist", "upperleg-height",
    "lowerleg-height", "upperarm-length", "lowerarm-length", "neck-height",
)  # fmt: skip
SHAPES = (
    "hip/hip-scale-horiz", "hip/hip-scale-depth", "hip/hip-scale-vert", "torso/torso-scale-horiz",
    "torso/torso-scale-depth", "torso/torso-scale-vert", "torso/torso-vshape", "torso/torso-muscle-dorsi",
    "torso/torso-muscle-pectoral", "stomach/stomach-pregnant", "stomach/stomach-tone", "buttocks/buttocks-volume",
    "pelvis/pelvis-tone", "head/head-scale-horiz", "head/head-scale-vert", "head/head-scale-depth", "head/head-fat",
)  # fmt: skip
MODIFIERS = (*(f"measure/measure-{name}" for name in SIZES), *SHAPES)
"""Targets of MakeHuman that change one thing, each with one to increase and one to decrease it."""
FITTED = (
    "bust", "waist-circ", "hips-circ", "thigh", "shoulder-dist", "napetowaist", "upperleg", "lowerleg",
    "hip-scale", "torso-scale", "vshape", "pregnant", "buttocks",
)  # fmt: skip
"""Parts of the names of the modifiers that a fit may change; the others stay as drawn."""

COLUMNS = {
    # A measurement of the fit, its column in the set that is imitated, and how far off it may be (share).
    "chest": ("chest_cm", 0.004),
    "navel": ("waist_navel_cm", 0.004),
    "hip": ("hip_cm", 0.004),
    "navel_breadth": ("waist_navel_breadth_cm", 0.015),
    "navel_depth": ("waist_navel_depth_cm", 0.015),
    "hip_breadth": ("hip_breadth_cm", 0.015),
    "hip_depth": ("hip_depth_cm", 0.015),
    "chest_breadth": ("chest_breadth_cm", 0.015),
    "chest_depth": ("chest_depth_cm", 0.015),
    "crotch": ("crotch_level_cm", 0.01),
    "chest_level": ("chest_level_cm", 0.012),
    "joints": ("shoulder_joint_cm", 0.012),
}
GIRTHS = ("chest", "navel", "hip")
FARTHEST_GIRTH = 0.05
"""A fit whose girths are farther off, as a share, is not used."""
STATURES = (145, 205)
"""Statures that are rendered, in cm."""


@dataclass(frozen=True)
class Person:
    """A body in cm, standing as MakeHuman's mesh does, and its measurements."""

    sex: str
    vertices: Floats
    measured: Mapping[str, float]
    """In cm, by name: of the mesh, and `shoulder`, which no landmark of the mesh shows."""

    @property
    def stature(self) -> float:
        return self.measured["stature"]


@dataclass(frozen=True)
class Statistics:
    """Logarithms of the shares of stature of one sex, then of the shoulders' share and of the stature in cm."""

    mean: Floats
    covariance: Floats


def statistics(rows: Sequence[Mapping[str, str]], sex: str) -> Statistics:
    people = {row["person"]: row for row in rows if row["sex"] == sex}
    columns = [column for column, _ in COLUMNS.values()] + ["shoulder_cm"]
    table = np.array([[float(row[column]) for column in [*columns, "stature_cm"]] for row in people.values()])
    table[:, :-1] /= table[:, -1:]
    covariance = np.cov(np.log(table).T)
    # Wider than the few people of the set, so that their edges are not the edges of what is rendered.
    return Statistics(np.log(table).mean(0), (covariance + 0.05 * np.diag(np.diag(covariance))) * 1.15)


@dataclass(frozen=True)
class Tape:
    """Measures bodies as the truth of synthetic_dev2 is measured: hulls of horizontal slices of the trunk."""

    base: BaseMesh
    nipples: tuple[int, int]
    navel: int

    @classmethod
    def of(cls, base: BaseMesh, data: Path) -> "Tape":
        moved = [
            np.linalg.norm(_target(base, data, name)[: base.skin], axis=1)
            for name in ("breast/nipple-point-incr", "stomach/stomach-navel-out")
        ]
        left = base.vertices[: base.skin, 0] > 0
        return cls(base, (int(np.argmax(moved[0] * left)), int(np.argmax(moved[0] * ~left))), int(np.argmax(moved[1])))

    @cached_property
    def _edges(self) -> Ints:
        base = self.base
        trunk = base.faces[(base.parts["arm"][base.faces] <= 0.5).all(1)]
        edges, height = base.edges(trunk), base.vertices[:, 1]
        low, high = height[base.crotch] - 1.2, base.head(base.vertices, "upperarm01.L")[1] + 1.2
        inside = ((height[edges] > low) & (height[edges] < high)).all(1)
        return np.asarray(edges[inside])

    def _slice(self, body: Floats, level: float) -> tuple[float, float, float]:
        """Girth, breadth and depth of the trunk at a level."""
        below, above = body[self._edges[:, 0]], body[self._edges[:, 1]]
        down, up = below[:, 1] - level, above[:, 1] - level
        cut = down * up < 0
        share = (down[cut] / (down[cut] - up[cut]))[:, None]
        points = (below[cut] + (above[cut] - below[cut]) * share)[:, [0, 2]]
        hull = cv2.convexHull(points.astype(np.float32))
        breadth, depth = np.ptp(points, axis=0)
        return cv2.arcLength(hull, closed=True), float(breadth), float(depth)

    def measure(self, body: Floats) -> dict[str, float]:
        """All measurements, in the body's own unit."""
        base, heights = self.base, body[: self.base.skin, 1]
        floor, stature = heights.min(), float(np.ptp(heights))
        bust, navel, crotch = body[list(self.nipples), 1].mean(), body[self.navel, 1], body[base.crotch, 1]
        hips = (base.head(body, "upperleg01.L")[1] + base.head(body, "upperleg01.R")[1]) / 2
        chest, waist = self._slice(body, bust), self._slice(body, navel)
        # 5 cm at a stature of 170 above the navel for the natural waist; as little above the hip joints for the hips.
        narrow = min(self._slice(body, level) for level in navel + np.linspace(0, 5 / 170, 9) * stature)
        hip = max(self._slice(body, y) for y in np.linspace(crotch + stature / 850, hips + stature / 68, 15))
        shoulders = base.head(body, "upperarm01.L") - base.head(body, "upperarm01.R")
        return {
            "stature": stature, "waist": narrow[0],
            "chest": chest[0], "chest_breadth": chest[1], "chest_depth": chest[2], "chest_level": bust - floor,
            "navel_level": navel - floor, "navel": waist[0], "navel_breadth": waist[1], "navel_depth": waist[2],
            "hip": hip[0], "hip_breadth": hip[1], "hip_depth": hip[2],
            "crotch": crotch - floor, "joints": float(np.linalg.norm(shoulders)),
        }  # fmt: skip


@dataclass(frozen=True)
class Morph:
    """Settings of the targets that make a body."""

    origins: Floats
    muscle: float
    weight: float
    height: float
    cup: float
    modifiers: Floats


class Morphs:
    """Fits bodies of one sex to wanted measurements."""

    def __init__(self, base: BaseMesh, tape: Tape, data: Path, sex: str) -> None:
        self._base, self._tape, self._data, self._sex = base, tape, data, sex
        name = {"F": "female", "M": "male"}[sex]
        young = f"macrodetails/universal-{name}-young"
        height = f"macrodetails/height/{name}-young-averagemuscle-averageweight"
        grades = ("min", "average", "max")
        self._origins = np.stack(
            [self._read(f"macrodetails/{origin}-{name}-young") for origin in ("caucasian", "african", "asian")]
        )
        self._grid = np.stack([self._read(f"{young}-{m}muscle-{w}weight") for m in grades for w in grades])
        self._heights = [self._read(f"{height}-{grade}height") for grade in ("min", "max")]
        self._cups = [
            self._read(f"breast/female-young-averagemuscle-averageweight-{grade}cup-averagefirmness")
            for grade in ("min", "max")
        ]
        self._ways = np.stack([self._read(f"{each}-{way}") for each in MODIFIERS for way in ("incr", "decr")])
        self._free = [i for i, each in enumerate(MODIFIERS) if any(part in each for part in FITTED)]
        self._slopes: dict[int, Floats] = {}

    def _read(self, name: str) -> Floats:
        return _target(self._base, self._data, name)

    def build(self, morph: Morph) -> Floats:
        body = self._base.vertices + np.tensordot(morph.origins, self._origins, 1)
        body += np.tensordot(np.outer(_grades(morph.muscle), _grades(morph.weight)).ravel(), self._grid, 1)
        body += self._heights[morph.height > 0] * abs(morph.height)
        if self._sex == "F":
            body += self._cups[morph.cup > 0] * abs(morph.cup)
        ways = np.stack([np.maximum(morph.modifiers, 0), np.maximum(-morph.modifiers, 0)], axis=1).ravel()
        return np.asarray(body + np.tensordot(ways, self._ways, 1))

    def fit(self, rng: np.random.Generator, wanted: Floats, weight: float) -> Floats:
        """A body from a random start, drawn to wanted logarithms of shares of stature by six chord steps."""
        start = _random_morph(rng, weight)
        slopes = self._slopes_near(start.weight)
        loose = np.array([off for _, off in COLUMNS.values()])
        prior = np.diag(1 / np.append(np.full(len(self._free), 0.35), 0.4) ** 2)
        moved, bodies, costs = np.zeros(len(prior)), [], []
        for _ in range(6):
            bodies.append(self.build(self._moved(start, moved)))
            off = wanted - self._shares(bodies[-1])
            girths = 60 * np.abs(off[: len(GIRTHS)]).sum()
            costs.append(float(((off / loose / 4) ** 2).clip(0, 25).sum() + girths))
            scaled = slopes / loose[:, None]
            aim = np.linalg.solve(scaled.T @ scaled + prior, scaled.T @ ((off + slopes @ moved) / loose))
            moved = np.clip(moved + 0.8 * (aim - moved), -1.3, 1.3)
        return bodies[int(np.argmin(costs))]

    def _moved(self, start: Morph, moved: Floats) -> Morph:
        modifiers = start.modifiers.copy()
        modifiers[self._free] += moved[:-1]
        return replace(start, weight=start.weight + moved[-1], modifiers=modifiers)

    def _shares(self, body: Floats) -> Floats:
        measured = self._tape.measure(body)
        return np.log([measured[name] / measured["stature"] for name in COLUMNS])

    def _slopes_near(self, weight: float) -> Floats:
        """What the measurements gain by each free setting, at an average body of about this weight."""
        step, around = 0.05, int(np.clip(round(weight / 0.4), -3, 4))
        if around not in self._slopes:
            average = Morph(np.full(3, 1 / 3), 0, 0.4 * around, 0, -0.2, np.zeros(len(MODIFIERS)))
            shifts = np.eye(len(self._free) + 1) * step
            still = self._shares(self.build(average))
            gains = [self._shares(self.build(self._moved(average, shift))) - still for shift in shifts]
            self._slopes[around] = np.stack(gains, axis=1) / step
        return self._slopes[around]


def _random_morph(rng: np.random.Generator, weight: float) -> Morph:
    return Morph(
        rng.dirichlet([1.0, 0.6, 0.6]),
        float(np.clip(rng.normal(0, 0.4), -0.9, 0.9)),
        float(np.clip(weight + rng.normal(0, 0.15), -1, 1.3)),
        float(rng.uniform(-0.4, 0.4)),
        float(rng.uniform(-0.9, 0.45)),
        rng.normal(0, 0.15, len(MODIFIERS)),
    )


def _grades(value: float) -> tuple[float, float, float]:
    """Weights of MakeHuman's minimum, average and maximum for a value of about -1 to 1."""
    return max(-value, 0), 1 - abs(value), max(value, 0)


def _target(base: BaseMesh, data: Path, name: str) -> Floats:
    lines = (data / "targets" / f"{name}.target").read_text().splitlines()
    # The target of the average body moves nothing, and has no rows.
    rows = np.array([line.split() for line in lines if line.strip() and line[0] != "#"], float).reshape(-1, 4)
    moved = np.zeros_like(base.vertices)
    moved[rows[:, 0].astype(int)] = rows[:, 1:]
    return moved


def fitted_person(rng: np.random.Generator, morphs: Morphs, tape: Tape, population: Statistics, sex: str) -> Person:
    """A person drawn from the statistics; drawn again while no body comes near."""
    while True:
        wanted = rng.multivariate_normal(population.mean, population.covariance)
        *shares, shoulder, stature = np.exp(wanted)
        aim = dict(zip(COLUMNS, shares, strict=True))
        # A body mass index from the waist's share of stature: 23 at 0.47.
        weight = (23.1 * (aim["navel"] / 0.47) ** 2 - 24.5) / 8
        if not STATURES[0] < stature < STATURES[1]:
            continue
        body = morphs.fit(rng, wanted[: len(COLUMNS)], weight)
        scaled = body * (stature / tape.measure(body)["stature"])
        found = tape.measure(scaled)
        if all(abs(found[name] / stature / aim[name] - 1) <= FARTHEST_GIRTH for name in GIRTHS):
            # The mesh has no acromion: its joints' distance is widened as in the row that was wanted.
            return Person(sex, scaled, found | {"shoulder": shoulder * found["joints"] / aim["joints"]})


def mixed_person(rng: np.random.Generator, people: Sequence[Person], tape: Tape) -> Person:
    """A mix of two fitted people of one sex, up to a quarter beyond either; drawn again while it is not plausible."""
    while True:
        one, other = (people[i] for i in rng.choice(len(people), 2, replace=False))
        share = rng.uniform(-0.25, 1.25)
        body = share * one.vertices / one.stature + (1 - share) * other.vertices / other.stature
        stature = float(np.exp(share * np.log(one.stature) + (1 - share) * np.log(other.stature)))
        scaled = body * (stature / tape.measure(body)["stature"])
        found = tape.measure(scaled)
        if 58 < found["chest"] < 150 and 48 < found["navel"] < 150 and STATURES[0] < stature < STATURES[1]:
            shares = [each.measured["shoulder"] / each.stature for each in (one, other)]
            shoulder = stature * (share * shares[0] + (1 - share) * shares[1])
            return Person(one.sex, scaled, found | {"shoulder": shoulder})


def read_rows(phones: Path) -> list[dict[str, str]]:
    with (phones / "truth.csv").open(newline="") as file:
        return list(csv.DictReader(file))
