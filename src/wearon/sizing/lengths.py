"""Inseam, sleeve and underbust: what follows for them from the girths, the stature and the photo.

Inseam and sleeve go with the stature and a little with the girths, as in ANSUR II (research/lengths.py fits
lengths.json); the photo's joints say a little more of the inseam, and an inseam of the sleeve. All of it is one joint
distribution with the girths, in which these stay as they were: the photo has spoken of them already.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from wearon.sizing.bodies import OTHER_PEOPLE, as_surveyed
from wearon.sizing.legs import FILE, Legs
from wearon.sizing.measure import MEASURES, Measured
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.silhouette import Array

LENGTHS = ("inseam_cm", "sleeve_cm")
"""Floor to crotch, and shoulder point to wrist of a hanging arm: ANSUR's crotch height and sleeve outseam."""

UNDERBUST = "underbust_cm"

UNDERBUST_SHARE = 0.85
"""Underbust over chest girth. Chosen, since no data that we may use has both: an underbust of 75 cm goes with a chest
of 88, at the border of the cups A and B of EN 13402-3."""
UNDERBUST_ERROR = 0.04
"""Standard error of its logarithm for a known chest, chosen: two of them reach from cup AA to cup E at 75 cm."""


@dataclass(frozen=True, eq=False)
class Regression:
    """Logarithms of LENGTHS from those of ANSUR's three girths, biacromial breadth and stature."""

    constant: Array
    gain: Array
    """(2, 5)"""
    covariance: Array
    """(2, 2): of what they leave open."""


@cache
def regressions() -> Mapping[Sex | None, Regression]:
    """Of women, of men, and of as many of both for who does not say."""
    data: dict[str, Any] = json.loads(FILE.read_text())["regressions"]
    fitted = {name: Regression(**{key: np.array(value) for key, value in one.items()}) for name, one in data.items()}
    return {sex: fitted[sex.value if sex else "all"] for sex in (*Sex, None)}


def with_lengths(
    measured: Measured,
    request: EstimateRequest,
    legs: Legs | None = None,
    *,
    model: Mapping[Sex | None, Regression] | None = None,
) -> Measured:
    """The measurements, and after them LENGTHS and, unless the sex is said to be male, the underbust.

    `legs` is what the photo says. Raises ValueError when `measured` holds others than MEASURES.
    """
    if measured.names != MEASURES:
        raise ValueError(f"lengths follow from {', '.join(MEASURES)} alone")
    logs, height = np.log(measured.mean), float(np.log(request.height_cm))
    fitted = (model or regressions())[request.sex]
    body = as_surveyed(logs, request.sex, request.height_cm, request.weight_kg)
    found = fitted.constant + fitted.gain @ np.append(body, height)
    gain, left = fitted.gain[:, : len(MEASURES)], OTHER_PEOPLE * fitted.covariance
    if legs:
        pull = left[:, 0] / left[0, 0]
        found = found + pull * legs.longer
        left = left - np.outer(pull, left[0]) * (1 - legs.open)
    names: tuple[str, ...] = (*MEASURES, *LENGTHS)
    if request.sex is not Sex.MALE:
        names = (*names, UNDERBUST)
        found = np.append(found, logs[0] + np.log(UNDERBUST_SHARE))
        gain = np.vstack([gain, np.eye(1, len(MEASURES))])
        left = np.block([[left, np.zeros((2, 1))], [np.zeros((1, 2)), np.array([[UNDERBUST_ERROR**2]])]])
    mean = np.append(measured.mean, np.exp(found))
    # In logarithms gain and left; in centimetres each row and column times its mean.
    slopes = gain * np.exp(found)[:, None] / measured.mean
    across = slopes @ measured.covariance
    own = across @ slopes.T + left * np.outer(np.exp(found), np.exp(found))
    covariance = np.block([[measured.covariance, across.T], [across, own]])
    return replace(measured, mean=mean, covariance=covariance, names=names)
