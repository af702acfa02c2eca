"""MakeHuman's base mesh: its faces, bones and landmarks, and what is computed on any body of its topology.

Bodies are arrays of vertices (rows of x, y, z): y points up, the person faces +z, the person's left is +x.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

PARTS = {
    # A part of the body, and how the names of its bones begin.
    "arm": ("upperarm", "lowerarm", "wrist", "metacarpal", "finger"),
    "hand": ("wrist", "metacarpal", "finger"),
    "leg": ("upperleg", "lowerleg", "foot", "toe"),
    "foot": ("foot", "toe"),
    "neck": ("neck",),
    "lips": ("oris",),
    "head": ("head", "jaw", "oculi", "orbic", "oris", "risorius", "temporal", "levator", "special", "tongue", "eye"),
}
TURNED = (
    "spine03",
    "neck01",
    *(
        bone + side
        for bone in ("upperarm01", "lowerarm01", "upperleg01", "lowerleg01", "foot")
        for side in (".L", ".R")
    ),
)
"""The bones that poses turn, parents first; every other bone moves with the next of these above it."""


@dataclass(frozen=True)
class BaseMesh:
    """The mesh that all bodies share, in MakeHuman's decimetres."""

    vertices: Floats
    groups: dict[str, Ints]
    """Triangles by group: the body's own, the eyes, the helper of long hair."""
    parts: dict[str, Floats]
    """How far each vertex belongs to a part, 0 to 1."""
    turned: Floats
    """Skinning weights by vertex: of the root, then of the bones of TURNED."""
    joints: dict[str, Ints]
    """A bone, and the vertices whose centre is its head."""
    parents: dict[str, str]
    """A bone of TURNED, and the one that it hangs from (or the root)."""

    @cached_property
    def faces(self) -> Ints:
        """Triangles of the skin."""
        return self.groups["body"]

    @cached_property
    def skin(self) -> int:
        """Number of vertices of the skin, which come first."""
        return int(self.faces.max()) + 1

    @cached_property
    def crotch(self) -> int:
        middle = np.flatnonzero(np.abs(self.vertices[: self.skin, 0]) < 0.02)
        return int(middle[np.argmin(self.vertices[middle, 1])])

    def head(self, body: Floats, bone: str) -> Floats:
        """Where a bone begins."""
        return np.asarray(body[self.joints[bone]].mean(0))

    def edges(self, faces: Ints) -> Ints:
        pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [0, 2]]])
        return np.unique(np.sort(pairs, axis=1), axis=0)

    @cached_property
    def _neighbours(self) -> tuple[Ints, Floats]:
        """Neighbours of each vertex of the skin, padded with a number behind the last vertex, and how many."""
        edges = self.edges(self.faces)
        one, other = np.concatenate([edges, edges[:, ::-1]]).T
        order = np.argsort(one, kind="stable")
        one, other = one[order], other[order]
        count = np.bincount(one, minlength=self.skin)
        place = np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count)
        table = np.full((self.skin, count.max()), self.skin)
        table[one, place] = other
        return table, np.maximum(count, 1).astype(float)

    def smooth(self, points: Floats, chosen: Flags, times: int) -> Floats:
        """Points of the skin with the chosen ones drawn half way to the mean of their neighbours, some times over."""
        table, count = self._neighbours
        padded = np.concatenate([points, np.zeros((1, 3))])
        columns, shares = table[chosen].T, 1 / count[chosen][:, None]
        where = np.flatnonzero(chosen)
        for _ in range(times):
            total = padded[columns[0]]
            for column in columns[1:]:
                total = total + padded[column]
            padded[where] = 0.5 * padded[where] + 0.5 * total * shares
        return padded[:-1]


def load(data: Path) -> BaseMesh:
    """Read the base mesh and its default rig from makehuman/data."""
    vertices, groups, group = [], dict[str, list[list[int]]](), ""
    for line in (data / "3dobjs/base.obj").read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(number) for number in rest[:3]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            corners = [int(corner.split("/")[0]) - 1 for corner in rest]
            groups.setdefault(group, []).extend([corners[0], *two] for two in pairwise(corners[1:]))
    rig = json.loads((data / "rigs/default.mhskel").read_text())
    weights = json.loads((data / "rigs/default_weights.mhw").read_text())["weights"]
    parents = {name: bone["parent"] for name, bone in rig["bones"].items()}
    return BaseMesh(
        np.array(vertices),
        {name: np.array(faces) for name, faces in groups.items()},
        *_weights(weights, parents, len(vertices)),
        {name: np.array(rig["joints"][bone["head"]]) for name, bone in rig["bones"].items()},
        {bone: _turned_above(parents[bone], parents) for bone in TURNED},
    )


def _weights(
    weights: dict[str, list[tuple[int, float]]], parents: dict[str, str | None], size: int
) -> tuple[dict[str, Floats], Floats]:
    parts = {part: np.zeros(size) for part in PARTS}
    turned = np.zeros((size, 1 + len(TURNED)))
    total = np.zeros(size)
    for bone, rows in weights.items():
        at, weight = np.array([row[0] for row in rows], int), np.array([row[1] for row in rows])
        total[at] += weight
        above = _turned_above(bone, parents)
        turned[at, TURNED.index(above) + 1 if above in TURNED else 0] += weight
        for part, beginnings in PARTS.items():
            if bone.startswith(beginnings):
                parts[part][at] += weight
    turned[total < 1e-6, TURNED.index("neck01") + 1] = 1  # helpers of hair and eyes, which go with the head
    total = np.where(total < 1e-6, 1, total)
    return {part: weight / total for part, weight in parts.items()}, turned / total[:, None]


def _turned_above(bone: str | None, parents: dict[str, str | None]) -> str:
    while bone and bone not in TURNED:
        bone = parents[bone]
    return bone or "root"


def normals(points: Floats, faces: Ints) -> Floats:
    """Unit normals of the vertices, each the mean over its faces weighted by their areas."""
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    found = np.stack(
        [sum(np.bincount(corner, column, len(points)) for corner in faces.T) for column in across.T], axis=1
    )
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))
