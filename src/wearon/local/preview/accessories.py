"""Bags, shoes and the like: shown on small cards at the side where the person leaves more room."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from wearon.local.preview.cutout import NoCutout, cut_out
from wearon.pose import Pose

_CARD = 0.2
"""A card's edge, of the picture's shorter side."""
_PAPER = (250, 250, 248)
_RIM = (190, 190, 186)


def place_beside(picture: Image.Image, pose: Pose, accessories: Sequence[Image.Image]) -> None:
    """Draw the accessories on an RGB picture, in place: as many as fit under each other."""
    edge = round(_CARD * min(picture.size))
    margin = edge // 6
    columns = np.flatnonzero(pose.mask.max(axis=0) > 0.5)
    room_left = columns[0] if columns.size else 0
    room_right = picture.width - 1 - columns[-1] if columns.size else picture.width
    left = margin if room_left > room_right else picture.width - margin - edge
    fitting = (picture.height - margin) // (edge + margin)
    for index, accessory in enumerate(accessories[:fitting]):
        picture.paste(_card(accessory, edge), (left, margin + index * (edge + margin)))


def _card(accessory: Image.Image, edge: int) -> Image.Image:
    card = Image.new("RGB", (edge, edge), _PAPER)
    ImageDraw.Draw(card).rectangle((0, 0, edge - 1, edge - 1), outline=_RIM)
    thing = _alone(accessory)
    thing.thumbnail((round(edge * 0.84), round(edge * 0.84)), Image.Resampling.LANCZOS)
    card.paste(thing, ((edge - thing.width) // 2, (edge - thing.height) // 2), thing)
    return card


def _alone(accessory: Image.Image) -> Image.Image:
    """RGBA; as it is when there is no plain background to cut it from."""
    try:
        cutout = cut_out(accessory, worn=False)
    except NoCutout:
        return accessory.convert("RGBA")
    thing = Image.fromarray(cutout.colour).convert("RGBA")
    thing.putalpha(Image.fromarray(np.round(cutout.alpha * 255).astype(np.uint8)))
    return thing
