"""What phones make of a picture: light, noise, sharpening, small sizes, JPEG."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

DARKEST = 0.12
"""Mean brightness, of 1, below which phones do not go: the darkest of synthetic_dev2's pictures in low light."""


def photo(rng: np.random.Generator, pixels: NDArray[np.uint8], *, low_light: bool, quality: int) -> bytes:
    """A JPEG of rendered pixels as a phone would send it."""
    image = pixels.astype(np.float32) / 255
    if low_light:
        tint = np.array([1, rng.uniform(0.85, 1), rng.uniform(0.65, 1)])
        gain = max(rng.uniform(0.24, 0.42), DARKEST / float(image.mean()))
        image = image * (gain * tint).astype(np.float32)
        noise = rng.uniform(0.012, 0.04)
    else:
        tint = np.clip(rng.normal(1, 0.03, 3), 0.9, 1.1)
        image = image * (rng.uniform(0.85, 1.15) * tint).astype(np.float32)
        noise = rng.uniform(0, 0.015)
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(noise)
    height, width, _ = image.shape
    across, down = np.linspace(-1, 1, width)[None] ** 2, np.linspace(-1, 1, height)[:, None] ** 2
    image *= (1 - rng.uniform(0, 0.12) * (across + down))[..., None].astype(np.float32)  # the lens's dark corners
    picture = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    kind = rng.random()
    if kind < 0.35:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.1)))
    elif kind < 0.5:
        picture = picture.filter(ImageFilter.UnsharpMask(2, int(rng.integers(40, 120)), 2))
    if rng.random() < 0.2:
        share = rng.uniform(0.6, 0.9)
        picture = picture.resize((int(width * share), int(height * share)), Image.Resampling.BILINEAR)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=quality)
    return data.getvalue()
