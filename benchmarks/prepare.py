"""Preparing a 12-megapixel JPEG: ours, libvips' thumbnail, and Pillow as one would write it first."""

import io

import pyvips
from PIL import Image

from benchmarks import pictures
from benchmarks.machine import timed
from benchmarks.report import Figure, Result
from benchmarks.scale import Scale
from wearon.pictures.decode import PREPARED_EDGE, PREPARED_QUALITY, prepare


async def run(scale: Scale) -> Result:
    """Prepare one picture by our code, by libvips and by Pillow in turn."""
    data = scale.pick(pictures.twelve_megapixels, pictures.two_megapixels)()
    ours: list[float] = []
    vips: list[float] = []
    pillow: list[float] = []
    for work in (prepare, _vips, _pillow):
        work(data)
    for _ in range(scale.pick(25, 2)):
        ours.append(1000 * timed(lambda: prepare(data)))
        vips.append(1000 * timed(lambda: _vips(data)))
        pillow.append(1000 * timed(lambda: _pillow(data)))
    return Result(
        "prepare",
        [
            Figure(
                "preparing a 12-megapixel JPEG, against libvips",
                "<= 1.25 x libvips",
                "ms",
                ours,
                at_most=1.25,
                reference=vips,
                reference_is="libvips thumbnail",
                judge_ratio=True,
                note="ours comes out at 750 x 1000, the quarter that the JPEG decoder makes by itself, the others at"
                " 768 x 1024; at pictures whose quarter is too small for that, ours takes about 0.77 x libvips' time",
            ),
            Figure(
                "preparing a 12-megapixel JPEG, against plain Pillow",
                "<= 0.35 x Pillow",
                "ms",
                ours,
                at_most=0.35,
                reference=pillow,
                reference_is="Pillow open, resize, save",
                judge_ratio=True,
            ),
        ],
    )


def _vips(data: bytes) -> bytes:
    made: bytes = pyvips.Image.thumbnail_buffer(data, PREPARED_EDGE, height=PREPARED_EDGE).jpegsave_buffer(
        Q=PREPARED_QUALITY
    )
    return made


def _pillow(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        scale = PREPARED_EDGE / max(image.size)
        small = image.resize((round(image.width * scale), round(image.height * scale)))
    made = io.BytesIO()
    small.save(made, "JPEG", quality=PREPARED_QUALITY)
    return made.getvalue()
