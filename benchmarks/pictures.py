"""Photos of any size that weigh and decode like a phone's: a sample enlarged, with grain."""

import io
from functools import cache

import numpy as np
from PIL import Image

from wearon.samples import DRESS, WOMAN_M, Sample

GRAIN = 5.0
"""Standard deviation of the noise, in two-pixel cells. At quality 90 a 12-megapixel photo then has 2.2 MB, and one of
3 megapixels 0.55 MB, which is what phones make of a person before a wall. A smooth enlargement has a fifth of that."""


@cache
def photo(width: int, height: int, sample: Sample = WOMAN_M) -> bytes:
    """A JPEG of that size."""
    with Image.open(io.BytesIO(sample.read())) as small:
        large = np.asarray(small.convert("RGB").resize((width, height), Image.Resampling.BICUBIC), np.float32)
    cells = np.random.default_rng(0).normal(0, GRAIN, (-(-height // 2), -(-width // 2), 3))
    grain = cells.repeat(2, 0).repeat(2, 1)[:height, :width]
    buffer = io.BytesIO()
    Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def twelve_megapixels() -> bytes:
    """A photo as the cameras of most phones make it."""
    return photo(3000, 4000)


def three_megapixels() -> tuple[bytes, bytes]:
    """A person and a garment, as they come through messengers and shop pages."""
    return photo(1500, 2000), photo(1500, 2000, DRESS)


def two_megapixels() -> bytes:
    """What the size widget uploads."""
    return photo(1200, 1700)


def model_answer() -> bytes:
    """A finished picture, as the image model makes it."""
    return photo(1024, 1536)


def tiny() -> bytes:
    """Next to no work: for measuring everything but pictures."""
    return photo(96, 128)
