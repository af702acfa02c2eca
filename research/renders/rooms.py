"""Rooms to stand in: a floor, walls, and furniture behind the person, all boxes; and light."""

from dataclasses import dataclass

import numpy as np
from base_mesh import Floats
from outfits import Finish, Outfit, Pattern, colour
from poses import turn
from surfaces import Surface, surface

DARK = Finish(np.array([0.05, 0.05, 0.06]))
FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


@dataclass(frozen=True)
class Light:
    """One lamp far away, and light from everywhere."""

    towards: Floats
    """Direction of the lamp."""
    lamp: float
    ambient: float


def draw_light(rng: np.random.Generator) -> Light:
    around, up = np.radians(rng.uniform(-70, 70)), np.radians(rng.uniform(20, 70))
    towards = np.array([np.sin(around) * np.cos(up), np.sin(up), np.cos(around) * np.cos(up)])
    lamp = rng.uniform(0.25, 0.7)
    return Light(towards, lamp, rng.uniform(0.85, 1.1) - lamp * 0.5)


def box(
    centre: tuple[float, float, float], size: tuple[float, float, float], finish: Finish, yaw: float = 0
) -> Surface:
    """A box of a size in cm, turned about the vertical."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    corners = (signs * np.array(size) / 2)[np.array(FACES)]
    sides = corners.mean(1, keepdims=True)
    outwards = np.broadcast_to(sides / np.linalg.norm(sides, axis=2, keepdims=True), corners.shape)
    first = 4 * np.arange(len(FACES))[:, None, None]
    faces = (first + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    turned = turn(1, yaw).T
    return surface(
        corners.reshape(-1, 3) @ turned + np.array(centre), faces, finish, normals=outwards.reshape(-1, 3) @ turned
    )


def draw_room(rng: np.random.Generator, outfit: Outfit, alike: str) -> list[Surface]:
    """A room; `alike` names what of it has the clothes' colours (wall, floor)."""
    draw = rng.uniform
    wall = colour(rng) if rng.random() < 0.6 else np.clip(draw(0.55, 0.92) + rng.normal(0, 0.04, 3), 0, 1)
    floor = colour(rng) * 0.8
    if "wall" in alike:
        worn = outfit.top if rng.random() < 0.5 else outfit.legs
        wall = np.clip(worn.colour + rng.normal(0, 0.03, 3), 0, 1)
    if "floor" in alike:
        floor = np.clip(outfit.legs.colour + rng.normal(0, 0.03, 3), 0, 1)
    back = -draw(25, 150) if rng.random() < 0.6 else -draw(80, 300)
    floors = (Pattern.TILES, Pattern.PLANKS, Pattern.MOTTLED)
    walls = (*[Pattern.MOTTLED] * 3, Pattern.UPRIGHT_STRIPES)
    paper = Finish(wall, walls[rng.integers(4)], draw(8, 30), draw(0.05, 0.3))
    room = [
        box((0, -1, 0), (1600, 2, 1600), Finish(floor, floors[rng.integers(3)], draw(12, 45), draw(0.1, 0.4))),
        box((0, 200, back - 5), (1600, 500, 10), paper),
    ]
    if rng.random() < 0.3:
        room.append(box((0, draw(235, 290), 0), (1600, 2, 1600), Finish(wall * 0.8)))
    if rng.random() < 0.4:
        aside = colour(rng) if rng.random() < 0.5 else wall * 0.9
        x = rng.choice([-1, 1]) * draw(80, 200)
        room.append(box((x, 200, 0), (10, 500, 1600), Finish(aside, paper.pattern, paper.size, paper.strength)))
    if rng.random() < 0.7:
        room.append(box((0, 5, back + 1), (1600, draw(6, 14), 2), Finish(np.clip(wall + 0.2, 0, 1))))
    if rng.random() < 0.3:
        room.append(box((0, draw(20, 50), back + 0.3), (1600, draw(60, 100), 0.6), Finish(colour(rng))))
    for _ in range(rng.integers(1, 6)):
        room += _furniture(rng, back)
    return room


def _furniture(rng: np.random.Generator, back: float) -> list[Surface]:
    """A picture, a door, a cupboard, a shelf with books or a lamp, before the wall at z = back."""
    draw, x, kind, finish = rng.uniform, rng.uniform(-160, 160), rng.random(), Finish(colour(rng))
    if kind < 0.3:
        painted = Finish(finish.colour, (Pattern.MOTTLED, Pattern.BLOTCHES)[rng.integers(2)], 10.0, 0.4)
        return [box((x, draw(90, 190), back + 1.5), (draw(25, 70), draw(25, 80), 2), painted)]
    if kind < 0.5:
        return [box((x, 100, back + 1), (draw(60, 100), 205, 3), finish)]
    if kind < 0.8:
        height, width = draw(30, 120), draw(25, 90)
        # Beside the person, never in them.
        x = np.sign(x) * max(abs(x), 30 + width / 2)
        size = (width, height, draw(15, 50))
        return [box((x, height / 2, back + draw(15, 40)), size, finish, yaw=draw(-30, 30))]
    if kind < 0.9:
        level = draw(90, 170)
        books = [
            box((x - 45 + i * 6.2, level + height / 2 + 1, back + 10), (draw(2, 5), height, 12), Finish(colour(rng)))
            for i, height in enumerate(draw(12, 26, 14))
        ]
        return [box((x, level, back + 10), (100, 2.5, 18), finish), *books]
    return [box((np.sign(x) * max(abs(x), 45), draw(40, 110), back + 20), (4, draw(80, 220), 4), finish)]
