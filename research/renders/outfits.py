"""What a person wears, drawn for a row of synthetic_dev2: cuts in cm, colours, patterns."""

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from base_mesh import Floats


class Pattern(IntEnum):
    """What the shader draws on a surface."""

    MOTTLED = 0
    STRANDS = 1
    STRIPES = 2
    BLOTCHES = 3
    TILES = 4
    PLANKS = 5
    UPRIGHT_STRIPES = 6


@dataclass(frozen=True)
class Finish:
    """Colour (RGB, 0 to 1) and pattern of a surface."""

    colour: Floats
    pattern: Pattern = Pattern.MOTTLED
    size: float = 8.0
    """Of the pattern, in cm."""
    strength: float = 0.1


TOPS = {
    # How far it hangs off the body, depth of its wrinkles, how straight it falls (share), its hem above the crotch; cm
    "fitted": ((0.4, 0.8), (0.0, 0.12), (0.0, 0.0), (2, 12)),
    "regular": ((1.0, 2.6), (0.05, 0.35), (0.1, 0.6), (-6, 9)),
    "loose": ((3, 6), (0.1, 0.6), (0.4, 1.0), (-12, 5)),
}
LEGS = {"slim": (0.1, 0.6), "loose": (1.2, 4.0), "shorts": (0.4, 2.5), "skirt": (0.3, 0.3), "dress": (0.3, 0.3)}
"""How far a garment of the legs hangs off them, in cm."""
SKINS = {
    "light": ([0.93, 0.78, 0.68], [0.86, 0.66, 0.55]),
    "medium": ([0.78, 0.58, 0.44], [0.66, 0.47, 0.35]),
    "dark": ([0.5, 0.34, 0.25], [0.33, 0.22, 0.17]),
}
HAIRS = ([0.1, 0.07, 0.05], [0.25, 0.15, 0.08], [0.6, 0.45, 0.25], [0.4, 0.38, 0.36])


@dataclass(frozen=True)
class Outfit:
    """Clothes, hair and skin of one person; lengths and levels in cm, levels above the floor."""

    bottom: str
    ease: float
    """How far the top hangs off the body."""
    wrinkle: float
    drape: float
    """How straight the top falls from what sticks out, 0 to 1."""
    gathered: bool
    """Drawn in at the hem."""
    flare: float
    hem: float
    sleeve: float
    """Where it ends: 1 is the elbow, 2 the wrist."""
    neckline: float
    """Above the neck's base."""
    collar: float
    """Radius of the opening for the neck."""
    tight: float
    """Room between arm and trunk; negative squeezes."""
    leg_ease: float
    leg_drape: float
    leg_gathered: bool
    leg_hem: float
    waist: float
    """Where a skirt or trousers end above."""
    skirt_flare: float
    top: Finish
    legs: Finish
    shoes: Finish | None
    skin: Floats
    hair: Finish
    hair_cm: float
    """Thickness of the hair."""
    long_hair: bool


def colour(rng: np.random.Generator) -> Floats:
    """A colour as of clothes and furniture: three in ten are greys."""
    if rng.random() < 0.3:
        return np.clip(rng.uniform(0.06, 0.95) + rng.normal(0, 0.03, 3), 0, 1)
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.15, 0.75), rng.uniform(0.2, 0.9)))


def draw_outfit(rng: np.random.Generator, row: Mapping[str, str], measured: Mapping[str, float], knee: float) -> Outfit:
    """An outfit of the categories of a row, cut for a body with these measurements and this level of the knees."""
    stature, crotch, navel = measured["stature"], measured["crotch"], measured["navel_level"]
    draw, bottom, loose = rng.uniform, row["bottom"], row["top"] == "loose"
    ease, wrinkle, drape, hem = (draw(*bounds) for bounds in TOPS[row["top"]])
    hem = crotch + (draw(8, 14) if rng.random() < 0.12 else hem)
    gathered = loose and rng.random() < 0.5
    flare = draw(0, 2.5) if loose and not gathered else 0.0
    if bottom == "dress":
        hem, flare, drape, gathered = draw(0.18, 0.33) * stature, draw(0, 7), max(drape, draw(0.5, 1)), False
    leg_hems = {
        "slim": draw(5, 12),
        "loose": draw(4, 9),
        "shorts": knee + draw(-2, 12),
        "skirt": draw(0.1, 0.28) * stature,
        "dress": 0.0,
    }
    patterns = [Pattern.MOTTLED] * 4 + [Pattern.STRIPES, Pattern.BLOTCHES, Pattern.UPRIGHT_STRIPES]
    bright, deep = (np.array(tone) for tone in SKINS[row["skin"]])
    return Outfit(
        bottom=bottom, ease=ease, wrinkle=wrinkle, drape=drape, gathered=gathered, flare=flare, hem=hem,
        sleeve=rng.choice([draw(0.35, 0.75), draw(0.9, 1.3), 1.93], p=[0.6, 0.1, 0.3]),
        neckline=draw(-1, 2), collar=draw(7, 9.5),
        tight=draw(-1.2, 0.8) if row["arms_close"] == "1" else draw(-0.6, 1.5),
        leg_ease=draw(*LEGS[bottom]),
        leg_drape=draw(0.4, 1) if bottom == "loose" else 0.0,
        leg_gathered=rng.random() < 0.6, leg_hem=leg_hems[bottom],
        waist=navel + draw(0, 8) if bottom == "skirt" else max(navel - 2, hem + 3), skirt_flare=draw(2, 16),
        top=Finish(colour(rng), patterns[rng.integers(len(patterns))], draw(3, 12), draw(0.1, 0.6)),
        legs=Finish(colour(rng) * 0.8, Pattern.MOTTLED, draw(3, 12), draw(0.1, 0.5)),
        shoes=Finish(colour(rng) * 0.7, size=6.0) if row["shoes"] == "1" else None,
        skin=bright + (deep - bright) * rng.random(),
        hair=Finish(np.array(HAIRS[rng.integers(len(HAIRS))]) * draw(0.7, 1.2), Pattern.STRANDS, 1.1, 0.55),
        hair_cm=float(row["hair_cm"] or 0),
        long_hair=row["sex"] == "F" and rng.random() < 0.5,
    )  # fmt: skip
