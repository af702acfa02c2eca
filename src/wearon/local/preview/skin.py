"""What of the person is skin, hair or old clothes: new clothes go over the old ones, and under head and hands."""

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from wearon.local.preview.body import Arm, Body, Floats, Mask
from wearon.local.preview.cutout import disc, without_specks
from wearon.pose import Joint

Pixels = NDArray[np.float32]
"""(height, width, 3) RGB, 0..255."""

_WELL_LIT = 130.0
"""Of 255: the brighter channels of any face in a picture that is not too dark."""
_SKIN_TINT = 11.0
"""CIELAB units in a and b around the face's own colour that are still skin."""
_SKIN_DARKER, _SKIN_LIGHTER = 38.0, 14.0
"""CIELAB lightness around the face's own that skin has in shade and in light."""
_NECK_END = 0.35
"""Where a collar begins, of the way from the shoulders up to the chin."""
_COLLAR = 0.75
"""Where the highest old collar ends, on that way: above it what does not look like skin is shade under the chin."""
_DEEPEST_NECKLINE = 0.3
"""Level to which an old neckline is cleared for a new one: the armpits'."""
_HAIR = 16.0
"""CIELAB units around the hair's own colour."""
_CRUMB = 0.1
"""Of the largest piece of a bare arm: smaller ones are prints and shadows of skin's colour."""


class Skin:
    """The person's picture, sorted by what it shows."""

    def __init__(self, body: Body, rgb: Pixels) -> None:
        self._body = body
        self._rgb = rgb
        pose = body.pose
        self._eyes = np.array([pose.point(joint) for joint in (Joint.LEFT_EYE, Joint.RIGHT_EYE)])
        self._mouth = np.array([pose.point(joint) for joint in (Joint.MOUTH_LEFT, Joint.MOUTH_RIGHT)]).mean(axis=0)
        self._nose = np.array(pose.point(Joint.NOSE))
        ears = np.array([pose.point(joint) for joint in (Joint.LEFT_EAR, Joint.RIGHT_EAR)])
        self._head_breadth = max(float(np.linalg.norm(ears[0] - ears[1])), 0.4 * body.shoulder_breadth)
        self.colour = self._face_colour(rgb)
        """The face's own, RGB."""
        # In a dark picture everything is near everything: compare as if it were well lit.
        gain = max(1.0, _WELL_LIT / max(float(self.colour.max()), 8.0))
        self._lab = _to_lab(rgb * gain)
        self._like_skin = self._resembles_skin(_to_lab((self.colour * gain)[None, None])[0, 0])

    @property
    def chin(self) -> Floats:
        """The tip of the chin: below the mouth by the same step as the mouth is below the nose, and a half."""
        return np.asarray(self._mouth + 1.35 * (self._mouth - self._nose))

    @cached_property
    def head(self) -> Mask:
        """Head, hair and neck, which ends in a curve as the front of a neckline does."""
        across, levels = self._body.places
        chin_across, chin_level = self._body.to_frame(*self.chin)
        face = self._body.inside & (levels < chin_level)
        aside = np.abs(across - chin_across / 2) / (0.5 * self._head_breadth)
        neck = self._body.inside & self._like_skin & (levels < chin_level * (_NECK_END + (1 - _NECK_END) * aside**2))
        return np.asarray(face | neck | self._hair(across, levels))

    def arm_in_front(self, arm: Arm, *, sleeve: bool) -> Mask:
        """The arm, as it is in `without_old_sleeves`, where it is in front of the clothes on the trunk.

        That is the forearm; and without a `sleeve` the upper arm too, as far as it is beside the trunk.
        """
        if arm.behind:
            return np.zeros_like(self._body.inside)
        skin = self._body.arm_zone(arm, start=0.5, ease=1.2) & self._like_skin
        was_covered = self._body.arm_zone(arm, start=0.5) & self._old_sleeves
        forearm = without_specks(skin | was_covered, _CRUMB)
        return forearm if sleeve else forearm | (self._body.arm_zone(arm, start=0.1) & self._body.beside_trunk)

    def without_old_sleeves(self) -> Pixels:
        """The picture with the old clothes on arms, shoulders and neckline turned to skin.

        New clothes may be cut wider there, or have no sleeves. Clothes over the trunk stay: they will be covered.
        """
        inside = cv2.dilate(self._body.inside.astype(np.float32), disc(2))
        sleeves = cv2.GaussianBlur(self._old_sleeves.astype(np.float32), (0, 0), 1.5)
        cover = (sleeves * cv2.GaussianBlur(inside, (0, 0), 0.8))[..., None]
        depth = cv2.distanceTransform(self._body.inside.astype(np.uint8), cv2.DIST_L2, 5)
        # Limbs are round: darker towards their outline, over about an arm's radius.
        shade = 0.72 + 0.28 * np.sqrt(np.clip(depth / (0.16 * self._body.shoulder_breadth), 0, 1))
        skin = cv2.GaussianBlur(shade, (0, 0), 2.0)[..., None] * self._bare_colour()
        return np.asarray(self._rgb * (1 - cover) + skin * cover, dtype=np.float32)

    @cached_property
    def _old_sleeves(self) -> Mask:
        across, levels = self._body.places
        body = self._body
        arms = np.any([body.arm_zone(arm, ease=1.1, end=0.97) for arm in body.arms], axis=0) & body.beside_trunk
        chest = body.inside & (levels < _DEEPEST_NECKLINE) & (np.abs(across) < 0.62 * body.shoulder_breadth)
        zone = (arms | chest) & (levels > _COLLAR * body.to_frame(*self.chin)[1]) & ~self.head
        clothes = (zone & ~self._like_skin).astype(np.uint8)
        # Slivers are skin in shade; gaps are stripes and prints that happen to have its colour.
        small, large = round(0.02 * body.shoulder_breadth), round(0.09 * body.shoulder_breadth)
        whole = cv2.morphologyEx(cv2.morphologyEx(clothes, cv2.MORPH_OPEN, disc(small)), cv2.MORPH_CLOSE, disc(large))
        return np.asarray((cv2.dilate(whole, disc(2 * small)) > 0) & zone)

    def _bare_colour(self) -> Floats:
        """The colour of bare skin: of the arms when they are bare, else the face's."""
        body = self._body
        bare = self._like_skin & np.any([body.arm_zone(arm, start=0.3, end=1.0) for arm in body.arms], axis=0)
        if bare.sum() < 0.01 * body.inside.sum():
            return self.colour
        return np.asarray(np.quantile(self._rgb[bare], 0.6, axis=0), dtype=np.float64)

    def _face_colour(self, rgb: Pixels) -> Floats:
        cheeks = (self._eyes + self._mouth) / 2
        radius = max(2, round(0.06 * self._head_breadth))
        spots = np.zeros(self._body.inside.shape, dtype=np.uint8)
        for x, y in (*cheeks.tolist(), self._nose.tolist()):
            cv2.circle(spots, (round(x), round(y)), radius, (1.0,), -1)
        seen = spots > 0 if spots.any() else self._body.inside  # a picture that ends below the head
        return np.asarray(np.median(rgb[seen], axis=0), dtype=np.float64)

    def _resembles_skin(self, own: Pixels) -> Mask:
        difference = self._lab - own
        tint = np.hypot(difference[..., 1], difference[..., 2])
        lightness = difference[..., 0]
        like = (tint < _SKIN_TINT) & (lightness > -_SKIN_DARKER) & (lightness < _SKIN_LIGHTER)
        return np.asarray(cv2.medianBlur(like.astype(np.uint8), 5) > 0)

    def _hair(self, across: Floats, levels: Floats) -> Mask:
        """Hair that falls over the shoulders: what has the colour of the top of the head and hangs together with it."""
        eyes_across, eyes_level = self._body.to_frame(*self._eyes.mean(axis=0))
        crown = self._body.inside & (levels < eyes_level - 0.5 * self._head_breadth / self._body.trunk_length)
        crown &= np.abs(across - eyes_across) < 0.4 * self._head_breadth
        if crown.sum() < 20:
            return np.zeros_like(crown)
        own = np.median(self._lab[crown], axis=0)
        near = np.linalg.norm((self._lab - own) * (0.7, 1, 1), axis=-1) < _HAIR
        zone = self._body.inside & (levels < 0.45) & (np.abs(across - eyes_across) < 0.95 * self._head_breadth)
        hair = _touching(zone & near, crown)
        # Hair falls beside the face; what fills the chest is clothes of the hair's colour.
        chest = self._body.inside & (levels > 0) & (levels < 0.3)
        chest &= np.abs(across) < 0.25 * self._body.shoulder_breadth
        return hair if hair[chest].mean() < 0.3 else hair & (levels < _COLLAR * self._body.to_frame(*self.chin)[1])


def _to_lab(rgb: Pixels | Floats) -> Pixels:
    """Convert colours from 0 to 255 to Lab; what lies beyond counts as 0 or 255."""
    return np.asarray(cv2.cvtColor(np.clip(rgb, 0, 255).astype(np.float32) / 255, cv2.COLOR_RGB2LAB), dtype=np.float32)


def _touching(mask: Mask, seed: Mask) -> Mask:
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8))
    return np.asarray(mask & np.isin(pieces, np.unique(pieces[seed & mask])))
