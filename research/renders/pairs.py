"""A front and a side picture of one person, and the truth about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from base_mesh import BaseMesh, Floats
from bodies import Person
from cameras import aim
from figures import dressed
from outfits import Outfit, draw_outfit
from photos import photo
from poses import Pose, stand, standing, turn
from renderer import Renderer
from rooms import Light, draw_light, draw_room
from surfaces import Surface

COLUMNS = (
    "image", "side_image", "person", "visit", "category", "sex", "height_cm", "weight_kg", "chest_cm", "waist_cm",
    "hip_cm", "shoulder_cm", "crotch_level_cm", "size", "skin", "top", "bottom", "hold",
)  # fmt: skip
"""Of truth.csv, as in synthetic_dev2."""
SIZES = ("XS", "S", "M", "L", "XL", "XXL")
LARGEST = (84, 92, 100, 108, 116)
"""Of the girths in cm, by size."""
HAND_ON_HIP = 0.04
"""Share of the front pictures, which synthetic_dev2 does not have."""


@dataclass(frozen=True)
class Studio:
    """What pairs are rendered with."""

    base: BaseMesh
    renderer: Renderer
    rows: Sequence[Mapping[str, str]]
    """Of synthetic_dev2: each pair takes the categories, pose and cameras of one."""


@dataclass(frozen=True)
class _Scene:
    row: Mapping[str, str]
    outfit: Outfit
    room: list[Surface]
    light: Light


def truth(number: int, person: Person, row: Mapping[str, str]) -> dict[str, str | int]:
    girths = {name: round(person.measured[name], 1) for name in ("chest", "waist", "hip", "shoulder")}
    largest = max(person.measured[name] for name in ("chest", "waist", "hip"))
    return {
        "image": f"{number:04}.jpg", "side_image": f"{number:04}_side.jpg", "person": number, "visit": 1,
        "sex": person.sex, "height_cm": round(person.stature), "weight_kg": "",
        **{f"{name}_cm": str(girth) for name, girth in girths.items()},
        "crotch_level_cm": str(round(person.measured["crotch"], 1)),
        "size": SIZES[int(np.searchsorted(LARGEST, largest))],
        **{name: row[name] for name in ("category", "skin", "top", "bottom", "hold")},
    }  # fmt: skip


def take(studio: Studio, seed: int, number: int, person: Person) -> tuple[dict[str, str | int], list[bytes]]:
    """The truth about a person, and the front and the side picture."""
    rng = np.random.default_rng([seed, number])
    rows = [row for row in studio.rows if row["sex"] == person.sex]
    row = rows[rng.integers(len(rows))]
    body = standing(studio.base, person.vertices)
    knee = studio.base.head(body, "lowerleg01.L")[1]
    outfit = draw_outfit(rng, row, person.measured, knee)
    scene = _Scene(row, outfit, draw_room(rng, outfit, row["alike"]), draw_light(rng))
    return truth(number, person, row), [_picture(studio, scene, body, pose, rng) for pose in _poses(rng, row)]


def _poses(rng: np.random.Generator, row: Mapping[str, str]) -> Iterator[Pose]:
    """Of the front and the side picture."""
    outwards = {side: float(row[f"arm_{side.lower()}_deg"]) + rng.normal(0, 1.5) for side in "LR"}
    forwards = float(row["side_arm_fwd_deg"]) + rng.normal(0, 2)
    if row["arms_close"] == "1":
        outwards = {side: rng.uniform(1, 8) for side in "LR"}
    phone = "LR"[rng.integers(2)] if row["hold"] == "mirror" else ""
    if phone:  # the row's angle of the arm that holds its phone is no angle of a hanging arm
        outwards = {side: out if 1 <= out <= 40 else rng.uniform(4, 15) for side, out in outwards.items()}
    on_hip = ("L", "R", "LR")[rng.choice(3, p=[0.4, 0.4, 0.2])] if rng.random() < HAND_ON_HIP else ""
    yield Pose("front", outwards, 0, phone, on_hip)
    if row["side_arms"] == "back":
        forwards = -abs(forwards)
    yield Pose("side", outwards, forwards, "", "")


def _picture(studio: Studio, scene: _Scene, body: Floats, pose: Pose, rng: np.random.Generator) -> bytes:
    front, row = pose.view == "front", scene.row
    prefix = "" if front else "side_"
    figure = stand(studio.base, body, pose, scene.outfit, rng)
    turned = turn(1, float(row[prefix + "yaw_deg"]) + rng.normal(0, 3))
    worn = [each.turned(turned) for each in dressed(figure, pose, scene.outfit, rng)]
    camera = aim(rng, row, prefix, figure.skin @ turned.T)
    pixels = studio.renderer.render(worn + scene.room, camera, scene.light)
    if pose.phone:  # a mirror shows the left as the right
        pixels = pixels[:, ::-1]
    quality = int(rng.integers(34, 81)) if front else int(row["jpeg_quality"])
    return photo(rng, pixels, low_light=row["low_light"] == "1", quality=quality)
