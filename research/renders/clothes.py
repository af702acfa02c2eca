"""Clothes on a posed figure: shells around its skin, and tubes that hang from it."""

import numpy as np
from base_mesh import Flags, Floats, normals
from outfits import Outfit
from poses import SIDES, Figure, arm_joints
from surfaces import Surface, surface
from tubes import TURN, Axis, around, evened, hanging, levels, radii, tube, waves


def dress(figure: Figure, outfit: Outfit, rng: np.random.Generator) -> tuple[list[Surface], Flags]:
    """All clothes, and which vertices of the skin they hide."""
    worn, hidden = _top(figure, outfit, rng)
    if outfit.bottom != "dress":
        legs, under = _legs(figure, outfit, hidden, rng)
        worn, hidden = worn + legs, hidden | under
    if outfit.bottom == "skirt":
        worn.append(_skirt(figure, outfit, rng))
    if outfit.shoes:
        feet = (figure.part("foot") > 0.4) & (figure.rest_skin[:, 1] < 0.055 * figure.stature)
        shoes = figure.base.smooth(figure.skin + figure.normals * 0.7, feet, 3)
        faces = figure.base.faces[feet[figure.base.faces].all(1)]
        worn.append(surface(shoes, faces, outfit.shoes, rest=figure.rest_skin))
    return worn, hidden


def _outside(figure: Figure, shell: Floats, chosen: Flags, gap: float, edge: float) -> Floats:
    """The shell kept outside the skin by a gap in cm where chosen, and drawn in to an edge elsewhere."""
    depth = ((shell - figure.skin) * figure.normals).sum(1)
    kept = shell + figure.normals * np.maximum(gap - depth, 0)[:, None]
    return np.where(chosen[:, None], kept, figure.skin + figure.normals * edge)


def _axis(figure: Figure) -> Axis:
    """Half way between the front and the back of trunk and legs."""
    low, high = figure.crotch - 20, figure.base.head(figure.rest, "upperarm01.L")[1]
    heights = np.linspace(low, high, 24)
    points = figure.skin[~figure.arms]
    near = [points[np.abs(points[:, 1] - height) < 3, 2] for height in heights]
    middle = [(z.max() + z.min()) / 2 if z.size else 0.0 for z in near]
    return lambda y: np.stack([np.zeros_like(y), np.interp(y, heights, middle)], axis=-1)


def _along_arms(figure: Figure) -> Floats:
    """Where each vertex is along its side's arm: 0 at the shoulder, 1 at the elbow, 2 at the wrist."""
    found = []
    for side in SIDES:
        shoulder, elbow, wrist = arm_joints(figure.base, figure.rest, side)
        upper, lower = elbow - shoulder, wrist - elbow
        first = (figure.rest_skin - shoulder) @ upper / (upper @ upper)
        second = 1 + (figure.rest_skin - elbow) @ lower / (lower @ lower)
        found.append(np.where(first < 0.95, first, np.maximum(second, 0.95)))
    return np.where(figure.rest_skin[:, 0] > 0, *found)


def _under_top(figure: Figure, outfit: Outfit) -> Flags:
    """Vertices of the skin that the top covers."""
    rest, heights = figure.rest_skin, figure.rest_skin[:, 1]
    neck = figure.base.head(figure.rest, "neck01")
    neckline = neck[1] + outfit.neckline
    opening = np.hypot(rest[:, 0], rest[:, 2] - neck[2]) <= outfit.collar
    shoulders = (heights < neckline) & (figure.part("neck") < 0.6) & (figure.part("head") < 0.1) & ~opening
    below_neck = shoulders | (heights < neckline - 6)
    trunk = figure.trunk | ((figure.part("leg") > 0.3) & (heights > figure.crotch))
    sleeves = figure.arms & (_along_arms(figure) < outfit.sleeve)
    covered = trunk & (heights > max(outfit.hem, figure.crotch - 1)) & below_neck | sleeves
    return np.asarray(covered & (figure.part("head") <= 0.2))


def _top(figure: Figure, outfit: Outfit, rng: np.random.Generator) -> tuple[list[Surface], Flags]:
    base, ease, chosen = figure.base, outfit.ease, _under_top(figure, outfit)
    shoulder = base.head(figure.rest, "upperarm01.L")[1]
    # The cloth lies on the shoulders and hangs off the body below them.
    profile = np.clip((shoulder + 4 - figure.rest_skin[:, 1]) / 16, 0.25, 1)
    off = ease * np.where(figure.arms, 0.55 if ease > 2.5 else 0.7, profile)
    off += waves(figure.rest_skin, rng, 7) * outfit.wrinkle
    shell = figure.skin + figure.normals * np.maximum(off, 0.15)[:, None]
    shell = base.smooth(shell, chosen, int(2 + 4 * min(ease, 3)))
    if ease > 1.2:  # what smoothing took
        shell += normals(shell, base.faces) * 0.2 * min(ease, 3)
    shell = _outside(figure, shell, chosen, 0.2, 0.25)
    worn = [surface(shell, base.faces[chosen[base.faces].any(1)], outfit.top, rest=figure.rest_skin)]
    if ease > 1 or outfit.hem < figure.crotch + 3 or outfit.bottom == "dress":
        armpit = shoulder - 0.085 * figure.stature
        trunk = shell[chosen & ~figure.arms & (figure.skin[:, 1] < armpit + 2)]
        worn.append(_drape(figure, outfit, trunk, armpit, rng))
    return worn, chosen


def _drape(figure: Figure, outfit: Outfit, trunk: Floats, armpit: float, rng: np.random.Generator) -> Surface:
    """The part of a top that hangs from chest, belly and back, down to its hem."""
    heights, axis = levels(armpit - 1, min(outfit.hem, armpit - 20)), _axis(figure)
    legs = (figure.part("leg") > 0.5) & (figure.part("foot") < 0.1)
    body = radii(np.concatenate([trunk, figure.skin[legs] + figure.normals[legs] * 0.8]), axis, heights, 15)
    straight = hanging(body, narrower=0.005)
    table = body + (straight - body) * outfit.drape
    below = np.clip((figure.crotch - heights) / 6, 0, 1)[:, None]  # between the legs, cloth does not follow them
    table = np.maximum(table, straight * below * min(1, outfit.drape + 0.25))
    table = np.maximum(evened(table, int(3 + 2 * outfit.ease)), evened(body, 1) + 0.1)
    down = np.linspace(0, 1, len(heights))[:, None]
    folds = np.sin(rng.integers(5, 12) * TURN + rng.uniform(0, 6) + down * rng.normal(0, 1.5))
    table += down * (outfit.wrinkle * 1.6 * folds + outfit.flare)
    if outfit.gathered:
        drawn = np.clip((heights[-1] + 7 - heights) / 7, 0, 1)[:, None] ** 1.5
        table = table * (1 - drawn) + drawn * np.minimum(table, body + 0.8)
    round_body, faces = tube(np.full_like(table, 20.0), axis, heights)
    table += waves(round_body, rng, 7).reshape(table.shape) * outfit.wrinkle * 0.8
    return surface(tube(table, axis, heights)[0], faces, outfit.top)


def _legs(figure: Figure, outfit: Outfit, top: Flags, rng: np.random.Generator) -> tuple[list[Surface], Flags]:
    """Trousers or shorts; of a skirt, what lies close below the waist."""
    base, ease, crotch, heights = figure.base, outfit.leg_ease, figure.crotch, figure.rest_skin[:, 1]
    chosen = ((figure.part("leg") > 0.3) | figure.trunk) & (figure.part("foot") < 0.35) & ~figure.arms
    chosen &= (heights < outfit.waist) & (heights > outfit.leg_hem)
    if outfit.bottom == "skirt":
        chosen &= heights > crotch
    hips = 0.4 + 0.35 * ease * np.clip((outfit.waist - heights) / 25, 0, 1)
    legs = 0.5 + ease * np.clip((crotch + 8 - heights) / 12, 0.3, 1)
    off = np.where(heights > crotch + 6, hips, legs) + waves(figure.rest_skin, rng, 6) * outfit.wrinkle * 0.9
    shell = base.smooth(figure.skin + figure.normals * off[:, None], chosen, int(2 + 3 * min(ease, 4)))
    if outfit.bottom == "loose":
        for side in SIDES:
            shell = _wide_leg(figure, outfit, shell, chosen, side)
        shell = base.smooth(shell, chosen, 3)
    shell = _outside(figure, shell, chosen, 0.15, 0.2)
    shell[top] = (figure.skin + figure.normals * 0.1)[top]  # closer than any top, which would show holes
    return [surface(shell, base.faces[chosen[base.faces].any(1)], outfit.legs, rest=figure.rest_skin)], chosen


def _wide_leg(figure: Figure, outfit: Outfit, shell: Floats, chosen: Flags, side: str) -> Floats:
    """The shell with one leg widened to hang straight from the thigh, or gathered at the ankle."""
    hip, ankle = (figure.base.head(figure.posed, f"{bone}.{side}") for bone in ("upperleg01", "foot"))

    def axis(y: Floats) -> Floats:
        down = np.clip((hip[1] - y) / (hip[1] - ankle[1]), 0, 1)[:, None]
        return np.asarray(hip[[0, 2]] + down * (ankle - hip)[[0, 2]])

    crotch, rest = figure.crotch, figure.rest_skin
    here = chosen & (rest[:, 0] * SIDES[side] > 0)
    heights = levels(crotch + 2, 2)
    leg = radii(shell[here & (rest[:, 1] < crotch + 6)], axis, heights, 8)
    table = evened(leg + (hanging(leg, narrower=0.006) - leg) * outfit.leg_drape, 3)
    if outfit.leg_gathered:
        drawn = np.clip((16 - heights) / 10, 0, 1)[:, None]
        table = table * (1 - drawn) + drawn * np.minimum(table, 6)
    moved = here & (rest[:, 1] < crotch - 2)
    offsets, radius, angle = around(shell[moved], axis)
    row = np.clip((heights[0] - shell[moved, 1]) / 1.5, 0, len(heights) - 1.01)
    above, column = row.astype(int), np.floor(angle).astype(int) % table.shape[1]
    wide = table[above, column] * (1 - row + above) + table[above + 1, column] * (row - above)
    # Little just below the crotch, where two wide legs would meet.
    blend = np.clip((crotch - 2 - rest[moved, 1]) / 6, 0, 1)
    upper = radius + (np.maximum(wide, radius) - radius) * blend
    wide = np.where(rest[moved, 1] > crotch - 8, upper, np.maximum(wide, radius * 0.9))
    widened = shell.copy()
    x_and_z = axis(shell[moved, 1]) + offsets * (wide / np.maximum(radius, 0.1))[:, None]
    widened[moved, 0], widened[moved, 2] = x_and_z.T
    return widened


def _skirt(figure: Figure, outfit: Outfit, rng: np.random.Generator) -> Surface:
    heights, axis = levels(outfit.waist, outfit.leg_hem), _axis(figure)
    below = ((figure.part("leg") > 0.3) | figure.trunk) & (figure.part("foot") < 0.1) & ~figure.arms
    table = evened(hanging(radii(figure.skin[below], axis, heights, 15) + 0.6), 5)
    down = np.linspace(0, 1, len(heights))[:, None]
    folds = np.sin(rng.integers(6, 14) * TURN + rng.uniform(0, 6))
    table += down * (outfit.skirt_flare + outfit.wrinkle * 2.5 * folds)
    return surface(*tube(table, axis, heights), outfit.legs)
