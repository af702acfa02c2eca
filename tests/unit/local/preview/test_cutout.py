"""What is cut out of a picture, and what is left behind: drawn garments on drawn backgrounds."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from wearon.local.preview.cutout import Cutout, NoCutout, cut_out

EDGE = 600
TSHIRT = [
    (200, 100), (270, 120), (330, 120), (400, 100), (520, 235), (460, 285),
    (405, 230), (415, 520), (185, 520), (195, 230), (140, 285), (80, 235),
]  # fmt: skip
Colour = tuple[int, int, int]


def photographed(
    background: Colour, garment: Colour, *, shadow: int = 0, noise: float = 2.0, print_: Colour | None = None
) -> Image.Image:
    """A T-shirt on a background that gets darker to the sides, with a drop shadow, noise and JPEG artefacts."""
    image = Image.new("RGB", (EDGE, EDGE), background)
    cast = Image.new("L", image.size, 0)
    ImageDraw.Draw(cast).polygon([(x + 6, y + 10) for x, y in TSHIRT], fill=shadow)
    image.paste((40, 40, 45), mask=cast.filter(ImageFilter.GaussianBlur(10)))
    image.paste(garment, mask=outline().filter(ImageFilter.GaussianBlur(0.8)))
    if print_ is not None:
        ImageDraw.Draw(image).ellipse((260, 260, 340, 340), fill=print_)
    pixels = np.asarray(image).astype(float)
    y, x = np.mgrid[:EDGE, :EDGE]
    pixels *= (1 - 0.06 * ((x - 200) ** 2 + (y - 270) ** 2) / 400**2)[..., None]
    pixels += np.random.default_rng(7).normal(0, noise, pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=80)
    return Image.open(buffer)


def outline() -> Image.Image:
    mask = Image.new("L", (EDGE, EDGE), 0)
    ImageDraw.Draw(mask).polygon(TSHIRT, fill=255)
    return mask


def agreement(cutout: Cutout) -> float:
    """Intersection over union with the T-shirt as it was drawn."""
    drawn = np.asarray(outline().crop(outline().getbbox()).resize((cutout.width, cutout.height))) > 127
    found = cutout.alpha > 0.5
    return float((drawn & found).sum() / (drawn | found).sum())


@pytest.mark.parametrize(
    ("background", "garment", "shadow"),
    [
        pytest.param((240, 240, 238), (30, 90, 170), 90, id="blue on off-white, with a shadow"),
        pytest.param((240, 238, 230), (60, 60, 62), 120, id="dark grey, with a deep shadow"),
        pytest.param((255, 255, 255), (128, 128, 128), 90, id="grey, like its shadow"),
        pytest.param((255, 255, 255), (245, 240, 228), 40, id="cream on white"),
        pytest.param((235, 235, 235), (255, 255, 255), 0, id="white on light grey"),
        pytest.param((245, 245, 243), (250, 250, 250), 60, id="white on nearly white"),
        pytest.param((30, 30, 30), (60, 60, 64), 0, id="dark on black"),
        pytest.param((200, 60, 60), (220, 200, 40), 90, id="on a coloured background, with a shadow"),
    ],
)
def test_the_garment_and_nothing_else_is_cut_out(background: Colour, garment: Colour, shadow: int) -> None:
    assert agreement(cut_out(photographed(background, garment, shadow=shadow))) > 0.93


def test_a_print_of_the_backgrounds_colour_is_no_hole() -> None:
    cutout = cut_out(photographed((250, 250, 250), (20, 110, 60), print_=(250, 250, 250)))
    assert cutout.alpha[cutout.height // 2, cutout.width // 2] > 0.99


def test_one_sees_through_a_bags_handle() -> None:
    image = Image.new("RGB", (400, 400), (245, 245, 245))
    canvas = ImageDraw.Draw(image)
    canvas.ellipse((130, 60, 270, 260), outline=(90, 50, 20), width=16)
    canvas.rectangle((80, 180, 320, 340), fill=(120, 70, 30))
    bag = cut_out(image, worn=False)
    handle = bag.alpha[bag.height // 5, bag.width // 2]
    assert handle < 0.05
    assert bag.alpha[bag.height * 3 // 4, bag.width // 2] > 0.95


def test_no_background_is_left_at_the_edge() -> None:
    """A dark garment from a white background must not bring a white halo along."""
    cutout = cut_out(photographed((255, 255, 255), (25, 30, 60), noise=0.0))
    visible = cutout.colour[cutout.alpha > 0.1].max(axis=-1)
    assert np.quantile(visible, 0.999) < 110


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(Image.new("RGB", (300, 300), (240, 240, 240)), id="empty"),
        pytest.param(Image.new("RGB", (1, 1)), id="one pixel"),
        pytest.param(Image.new("RGB", (400, 3)), id="a line"),
    ],
)
def test_where_there_is_nothing_it_says_so(picture: Image.Image) -> None:
    with pytest.raises(NoCutout):
        cut_out(picture)
