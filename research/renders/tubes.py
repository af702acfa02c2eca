"""Cloth that hangs around an axis as a tube: radii by level (from the top down) and by angle."""

from collections.abc import Callable

import numpy as np
from base_mesh import Floats, Ints

Axis = Callable[[Floats], Floats]
"""From levels (y) to the tube's centre there (x, z)."""

ANGLES = 72
TURN = np.arange(ANGLES) / ANGLES * 2 * np.pi
STEP = 1.5
"""Between two levels, in cm."""


def levels(top: float, bottom: float) -> Floats:
    return np.arange(top, bottom, -STEP)


def around(points: Floats, axis: Axis) -> tuple[Floats, Floats, Floats]:
    """Offsets (x, z) of points from the axis, their radii, and their angles in steps of the tube."""
    offsets = points[:, [0, 2]] - axis(points[:, 1])
    angles = np.arctan2(offsets[:, 1], offsets[:, 0]) / (2 * np.pi) * ANGLES
    return offsets, np.hypot(offsets[:, 0], offsets[:, 1]), angles


def radii(points: Floats, axis: Axis, heights: Floats, inner: float) -> Floats:
    """The farthest point by level and angle; gaps are filled from beside, then from above, first from `inner`."""
    _, radius, angle = around(points, axis)
    row = ((heights[0] - points[:, 1]) / STEP).round().astype(int)
    inside = (row >= 0) & (row < len(heights))
    table = np.zeros((len(heights), ANGLES))
    np.maximum.at(table, (row[inside], angle.round().astype(int)[inside] % ANGLES), radius[inside])
    for _ in range(12):
        beside = np.stack([np.roll(table, 1, 1), np.roll(table, -1, 1)])
        mean = beside.sum(0) / np.maximum((beside > 0).sum(0), 1)
        table = np.where(table == 0, mean, table)
    for i, line in enumerate(table):
        table[i] = np.where(line == 0, table[i - 1] if i else inner, line)
    return table


def hanging(table: Floats, *, narrower: float = 0.0) -> Floats:
    """Radii of cloth that falls straight from what sticks out above, narrower by a share at each level."""
    fallen = table.copy()
    for i in range(1, len(fallen)):
        fallen[i] = np.maximum(table[i], fallen[i - 1] * (1 - narrower))
    return fallen


def evened(table: Floats, times: int) -> Floats:
    """Radii smoothed around the axis."""
    for _ in range(times):
        table = 0.5 * table + 0.25 * (np.roll(table, 1, 1) + np.roll(table, -1, 1))
    return table


def tube(table: Floats, axis: Axis, heights: Floats) -> tuple[Floats, Ints]:
    """Points and triangles of a tube with these radii."""
    centres = axis(heights)
    x, z = centres[:, :1] + table * np.cos(TURN), centres[:, 1:] + table * np.sin(TURN)
    points = np.stack([x, np.broadcast_to(heights[:, None], table.shape), z], axis=-1).reshape(-1, 3)
    first = np.arange(len(heights) - 1)[:, None] * ANGLES
    one, other = first + np.arange(ANGLES), first + (np.arange(ANGLES) + 1) % ANGLES
    upper, lower = np.stack([one, other, one + ANGLES], -1), np.stack([other, other + ANGLES, one + ANGLES], -1)
    return points, np.concatenate([upper.reshape(-1, 3), lower.reshape(-1, 3)])


def waves(points: Floats, rng: np.random.Generator, length: float) -> Floats:
    """Smooth noise of about -1 to 1 at points, in three octaves from a length in cm down."""
    found = np.zeros(len(points))
    for octave in (1, 2, 4):
        for _ in range(4):
            across = rng.normal(0, 1, 3) / length * octave
            found += np.sin(points @ across + rng.uniform(0, 2 * np.pi)) / octave
    return found / 4
