"""Cameras as phones are held, drawn for a row of synthetic_dev2 and aimed so that the person is whole in the frame."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from base_mesh import Floats
from poses import turn

NEAR, FAR = 10, 3000
"""What is rendered, in cm from the camera."""


@dataclass(frozen=True)
class Camera:
    """A perspective camera that looks towards -z, upright: lengths in cm, angles in degrees."""

    eye: Floats
    yaw: float
    pitch: float
    roll: float
    fovy: float
    size: tuple[int, int]

    @property
    def aspect(self) -> float:
        return self.size[0] / self.size[1]

    def seen(self, points: Floats) -> tuple[Floats, Floats]:
        """Tangents of points to the right of the axis of the lens, and above it."""
        x, y, z = self._rotation() @ (points - self.eye).T
        return x / -z, y / -z

    def matrix(self) -> Floats:
        """From places in cm to OpenGL's clip space."""
        view = np.eye(4)
        view[:3, :3] = self._rotation()
        view[:3, 3] = -view[:3, :3] @ self.eye
        scale = 1 / np.tan(np.radians(self.fovy) / 2)
        deep, shift = (FAR + NEAR) / (NEAR - FAR), 2 * FAR * NEAR / (NEAR - FAR)
        lens = np.diag([scale / self.aspect, scale, deep, 0])
        lens[2, 3], lens[3, 2] = shift, -1
        return lens @ view

    def _rotation(self) -> Floats:
        return turn(2, -self.roll) @ turn(0, -self.pitch) @ turn(1, -self.yaw)


def aim(rng: np.random.Generator, row: Mapping[str, str], prefix: str, body: Floats) -> Camera:
    """A camera near the row's (its columns have the prefix), turned and zoomed to hold the body."""
    told = {
        name: float(row[prefix + name])
        for name in ("camera_distance_cm", "camera_height_cm", "fill", "pitch_deg", "roll_deg")
    }
    x, distance = rng.normal(0, 6), told["camera_distance_cm"] * rng.uniform(0.94, 1.06)
    camera = Camera(
        eye=np.array([x, told["camera_height_cm"] * rng.uniform(0.94, 1.06), distance]),
        yaw=np.degrees(np.arctan2(x, distance)) + rng.normal(0, 1.2),
        pitch=told["pitch_deg"] + rng.normal(0, 1),
        roll=told["roll_deg"] + rng.normal(0, 0.5),
        fovy=0.0,
        size=(432, 768) if rng.random() < 0.25 else (576, 768),
    )
    for _ in range(2):  # towards the middle of the person, not always all the way
        _, up = camera.seen(body)
        off = np.degrees(np.arctan((up.max() + up.min()) / 2))
        camera = replace(camera, pitch=camera.pitch + off * rng.uniform(0.8, 1))
    aside, up = camera.seen(body)
    fill = np.clip(told["fill"] * rng.uniform(0.97, 1.03), 0.5, 0.95)
    need = max(np.abs(up).max(), np.ptp(up) / fill / 2, np.abs(aside).max() / camera.aspect * 1.02) * 1.02
    return replace(camera, fovy=float(2 * np.degrees(np.arctan(need))))
