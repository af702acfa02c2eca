"""A dressed person as surfaces: skin, eyes, hair, clothes, and the phone in a hand."""

import numpy as np
from base_mesh import Floats
from clothes import dress
from outfits import Finish, Outfit
from poses import SIDES, Figure, Pose
from rooms import DARK, box
from surfaces import Surface, surface
from tubes import waves

EYES = ("helper-l-eye", "helper-r-eye")
LIPS = np.array([0.7, 0.25, 0.25])


def dressed(figure: Figure, pose: Pose, outfit: Outfit, rng: np.random.Generator) -> list[Surface]:
    """All surfaces of a person, in cm, feet at y = 0."""
    base = figure.base
    eyes = [figure.rest[np.unique(base.groups[group])].mean(0) for group in EYES]
    eyeballs = np.concatenate([base.groups[group] for group in EYES])
    clothes, hidden = dress(figure, outfit, rng)
    bare = base.faces[~hidden[base.faces].all(1)]
    skin = Finish(outfit.skin, size=9.0)
    worn = [
        surface(figure.posed, eyeballs, Finish(outfit.skin, strength=0), colours=_eye_colours(figure, eyes)),
        *_hair(figure, outfit, eyes, rng),
        *clothes,
        surface(figure.skin, bare, skin, rest=figure.rest_skin, colours=_face_colours(figure, outfit, eyes)),
    ]
    if pose.phone:
        hand = (figure.part("hand") > 0.9) & (figure.rest_skin[:, 0] * SIDES[pose.phone] > 0)
        x, y, z = figure.skin[hand].mean(0)
        worn.append(box((x, y + 4, z + 2.5), (7.5, 15, 1), DARK))
    return worn


def _eye_colours(figure: Figure, eyes: list[Floats]) -> Floats:
    """White, with a dark iris in front."""
    colours = np.full((len(figure.rest), 3), 0.93)
    for eye in eyes:
        x, y, z = (figure.rest - eye).T
        colours[(np.hypot(x, y) < 0.65) & (z > 0)] = [0.15, 0.1, 0.08]
    return colours


def _face_colours(figure: Figure, outfit: Outfit, eyes: list[Floats]) -> Floats:
    """Skin, with eyebrows in the hair's colour and lips."""
    colours = np.repeat(outfit.skin[None], figure.base.skin, 0)
    for eye in eyes:
        x, y, z = (figure.rest_skin - eye).T
        colours[(y > 1.1) & (y < 2) & (np.abs(x) < 2.3) & (z > 0)] = outfit.hair.colour * 0.8
    lips = (figure.part("lips") > 0.5) & (np.abs(figure.rest_skin[:, 0]) < 2.6)
    colours[lips] = 0.55 * colours[lips] + 0.45 * LIPS
    return colours


def _hair(figure: Figure, outfit: Outfit, eyes: list[Floats], rng: np.random.Generator) -> list[Surface]:
    """Short hair as a shell around the scalp; long hair as MakeHuman's helper of hair."""
    base, rest, brow, found = figure.base, figure.rest, float(np.mean([eye[1] for eye in eyes])), []
    middle = figure.rest_skin[figure.part("head") > 0.5, 2].mean()
    _, y, z = figure.rest_skin.T
    if outfit.hair_cm > 0.05:
        scalp = (figure.part("head") > 0.3) & ((y > brow + 3.6) | ((z < middle - 1) & (y > brow - 6)))
        scalp &= ~((z > middle + 5) & (y < brow + 4.4))
        thick = outfit.hair_cm * (1 + 0.25 * waves(figure.rest_skin, rng, 2))
        shell = figure.skin + figure.normals * thick[:, None]
        faces = base.faces[scalp[base.faces].all(1)]
        found.append(surface(shell, faces, outfit.hair, rest=figure.rest_skin))
    if outfit.long_hair:
        behind = ~((rest[:, 2] > middle + 3) & (rest[:, 1] < brow + 5))  # not over the face
        helper = base.groups["helper-hair"]
        found.append(surface(figure.posed, helper[behind[helper].all(1)], outfit.hair, rest=rest))
    return found
