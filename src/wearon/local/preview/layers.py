"""Pieces of a picture: bent into place, laid over the picture, and what is in front of them brought back."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wearon.local.preview.body import Body, Floats
from wearon.local.preview.cutout import disc
from wearon.local.preview.skin import Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Something to lay over the picture, of its size."""

    colour: Pixels
    alpha: NDArray[np.float32]


def sampled(colour: NDArray[np.uint8], alpha: NDArray[np.float32], columns: Floats, rows: Floats) -> Layer:
    """What a cut-out shows at fractional columns and rows (arrays of one shape); nothing outside of it."""
    x, y = columns.astype(np.float32), rows.astype(np.float32)
    return Layer(
        np.asarray(cv2.remap(colour.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)),
        np.asarray(cv2.remap(alpha, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)),
    )


def splat(strip: Layer, target: Floats, shape: tuple[int, ...]) -> Layer:
    """Carry samples to where they belong and average those that meet in a pixel."""
    columns, rows = np.round(target[..., 0]).astype(np.int32), np.round(target[..., 1]).astype(np.int32)
    left, right = max(0, int(columns.min())), min(shape[1], int(columns.max()) + 1)
    top, bottom = max(0, int(rows.min())), min(shape[0], int(rows.max()) + 1)
    whole = np.zeros((*shape[:2], 4), dtype=np.float32)
    if left >= right or top >= bottom:
        return Layer(whole[..., :3], whole[..., 3])
    there = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
    index = ((rows - top) * (right - left) + columns - left)[there]
    size = (right - left) * (bottom - top)
    count = np.maximum(np.bincount(index, minlength=size), 1)
    weights = strip.alpha[there]
    sums = [np.bincount(index, weights * channel[there], minlength=size) / count for channel in _channels(strip)]
    mean = np.stack(sums, axis=-1).reshape(bottom - top, right - left, 4).astype(np.float32)
    # Samples fall on whole pixels: soften the staircase at the outline.
    mean = np.where(mean[..., 3:] > 0.99, mean, cv2.GaussianBlur(mean, (0, 0), 0.8))
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-6)
    whole[top:bottom, left:right] = mean
    return Layer(whole[..., :3], whole[..., 3])


def _channels(layer: Layer) -> tuple[NDArray[np.float32], ...]:
    """Red, green, blue and 1, to be weighted with alpha."""
    return (*np.moveaxis(layer.colour, -1, 0), np.ones_like(layer.alpha))


def lay(canvas: Pixels, layer: Layer, body: Body) -> None:
    """Lay it over the canvas, in place, with a soft shadow on the person."""
    reach = max(1.0, 0.02 * body.trunk_length)
    shadow = np.roll(cv2.GaussianBlur(layer.alpha, (0, 0), reach), round(reach), axis=0)
    shadow = shadow * cv2.GaussianBlur(cv2.erode(body.inside.astype(np.float32), disc(1)), (0, 0), 1.0)
    canvas *= (1 - 0.35 * shadow)[..., None]
    canvas += layer.alpha[..., None] * (layer.colour - canvas)


def bring_back(canvas: Pixels, picture: Pixels, mask: NDArray[np.float32]) -> None:
    """Let the picture show again, in place, where the mask says: what is in front of the garment."""
    alpha = cv2.GaussianBlur(cv2.erode(mask, disc(1)), (0, 0), 1.0)[..., None]
    canvas += alpha * (picture - canvas)
