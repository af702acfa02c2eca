"""Clothes that hide the body: what hangs off it, and what hangs where legs would be seen."""

import numpy as np

from wearon.pose import Pose
from wearon.sizing.features import BANDS, Sighting, garment_over_hips, hem_step
from wearon.sizing.limbs import knees, knees_are_in

LOOSE_HEM = 0.0105
"""Step of the hem over trunk length: fitting tops up to 0.008 and, in poor pictures, 0.01; loose ones 0.02."""
FITTED_HEM = 0.02
"""The loose tops of the fitted pictures hang off by 2 to 3.5 cm. What hangs off more hides more: the factor for loose
clothes grows in proportion."""
SKIRT = 1.0
"""Breadth above the knees over the hips': touching thighs have up to 0.99 (2 of 162 people 1.1), flared dresses 1.15 to
1.3, and half of the long coats and dresses without a hem that are not refused have more than 1."""
STOUT_SKIRT = (0.8, 0.93)
"""Hips so broad, over trunk length, and what stands for SKIRT then: thighs of broad hips taper more. 1 of the 162
people is beyond both."""
STRAIGHT_DOWN = (0.7, 1.03)
"""Hip breadth over trunk length, and the thighs' half way down over the hips', beyond which it is a coat that ends
above the knees: none of the 162 people, 4 of 263 of another renderer, and half of the coats there."""
BROAD_COAT = (0.8, 1.06)
"""Hips and thighs, as above, beyond which nearly everything is hidden: nobody is beyond both but in coats, which were
read as XXL with up to 1.00."""
SKIRT_DOUBT = 2.0
BROAD_SKIRT_DOUBT = 2.9
"""The latter from BROAD_HIPS on. With the factor for loose clothes, long coats and dresses are then wrong by about what
is claimed; without any, by 3 standard errors."""
STRAIGHT_GARMENT = 0.95
"""Breadth just above the knees over the hips' from which what hangs there is no legs: touching thighs taper to 0.88."""
BROAD_HIPS = 0.75
"""Hip breadth over trunk length beyond which such a garment hides more than a factor can say: a long tunic over an
average body looks like an XXL for sure. Close-fitting dresses have 0.6, and show the hips."""


def hang_loose(sighting: Sighting) -> bool:
    """Whether the shopper is to be told that the clothes are too loose."""
    return hem_step(sighting.profile) > LOOSE_HEM * sighting.axis.length or wears_skirt(sighting)


def hide_everything(pose: Pose, sighting: Sighting) -> bool:
    """Whether they hide so much of a broad figure that what is measured is doubted most."""
    return hangs_straight(pose, sighting) or hangs_broad(sighting, BROAD_COAT)


def looseness(sighting: Sighting) -> float:
    """How much looser than the loose clothes of the fitted pictures: a factor of 1 or more on the doubt."""
    hem = hem_step(sighting.profile) / (FITTED_HEM * sighting.axis.length)
    if not wears_skirt(sighting):
        return max(1.0, hem)
    broad = sighting.profile.breadth(*BANDS["hip"]) > BROAD_HIPS * sighting.axis.length
    return max(hem, BROAD_SKIRT_DOUBT if broad else SKIRT_DOUBT)


def wears_skirt(sighting: Sighting) -> bool:
    """Whether a skirt, dress or coat hangs where legs would taper: it flares, or the hips are too broad for legs."""
    hips = sighting.profile.breadth(*BANDS["hip"])
    share = hips / sighting.axis.length
    limit = STOUT_SKIRT[1] if share > STOUT_SKIRT[0] else SKIRT
    return sighting.skirt > limit or hangs_broad(sighting, STRAIGHT_DOWN)


def hangs_broad(sighting: Sighting, limits: tuple[float, float]) -> bool:
    """Whether the hips over trunk length, and the thighs over the hips, are beyond the limits."""
    hips = sighting.profile.breadth(*BANDS["hip"])
    return hips > limits[0] * sighting.axis.length and sighting.thighs > limits[1] * hips


def hangs_straight(pose: Pose, sighting: Sighting) -> bool:
    """Whether something broad hangs down from the hips to the knees, as broad there, with no legs to be seen."""
    hips = sighting.profile.breadth(*BANDS["hip"])
    if hips < BROAD_HIPS * sighting.axis.length or not knees_are_in(pose):
        return False
    ends_at = 1 + knees(sighting)
    levels = np.linspace(ends_at - 0.15, ends_at - 0.03, 7)
    return garment_over_hips(pose, sighting.axis, levels, hips) > STRAIGHT_GARMENT
