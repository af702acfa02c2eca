"""The estimate drawn on its photo: what was seen, where it was measured, and how sure the size is."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wearon.pose import Pose
from wearon.sizing.estimate import Examination
from wearon.sizing.measure import Line
from wearon.sizing.result import SizeEstimate
from wearon.sizing.sight import Photo
from wearon.sizing.silhouette import INSIDE

HEIGHT = 1024
"""Pixels of the drawn photo: large enough for readable labels."""

_INK = (20, 24, 36)
_PAPER = (255, 255, 255)
_OUTLINE = (255, 122, 26)
_JOINTS = (64, 220, 120)
_LINES = (0, 168, 255)
_BAR_HEIGHT = 150
_FIRST_BODY_JOINT = 11
"""Landmarks before it are the face's: eleven dots on an inch tell nothing."""


def draw(examination: Examination, *, with_sizes: bool = True) -> tuple[bytes, ...]:
    """JPEGs of the photos that the answer was made from, the front's first; of the first that was sent if of none.

    The first one has the size bar when it is drawn `with_sizes`.
    """
    front, side = examination.front, examination.side
    shown: list[tuple[Photo, Pose | None, Mapping[str, Line]]] = []
    if front:
        shown.append((front.photo, front.scene.pose, examination.lines))
    if side:
        shown.append((side.photo, side.pose, {}))
    if not shown:
        shown.append((examination.photo, None, {}))
    return tuple(
        _draw(photo, pose, lines, examination.estimate, with_sizes=with_sizes and at == 0)
        for at, (photo, pose, lines) in enumerate(shown)
    )


def _draw(
    photo: Photo, pose: Pose | None, lines: Mapping[str, Line], estimate: SizeEstimate, *, with_sizes: bool
) -> bytes:
    scale = HEIGHT / photo.picture.height
    picture = photo.picture.resize((round(photo.picture.width * scale), HEIGHT), Image.Resampling.LANCZOS)
    if pose:
        picture.paste(_OUTLINE, (0, 0), _outline(pose, picture.size))
    sheet = Image.new("RGB", (max(picture.width, 560), HEIGHT + (_BAR_HEIGHT if with_sizes else 0)), _PAPER)
    left = (sheet.width - picture.width) // 2
    sheet.paste(picture, (left, 0))
    canvas = ImageDraw.Draw(sheet)
    if pose:
        _draw_joints(canvas, pose, scale, left)
    _draw_lines(canvas, lines, estimate, scale, left)
    if with_sizes:
        _draw_sizes(canvas, estimate, sheet.width)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _outline(pose: Pose, size: tuple[int, int]) -> Image.Image:
    mask = Image.fromarray(np.round(pose.mask * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    inside = np.asarray(mask) >= INSIDE * 255
    inner = inside.copy()
    for axis in (0, 1):
        for shift in (-2, 2):
            inner &= np.roll(inside, shift, axis)
    return Image.fromarray(((inside & ~inner) * 255).astype(np.uint8))


def _draw_joints(canvas: ImageDraw.ImageDraw, pose: Pose, scale: float, left: int) -> None:
    for x, y, _, visibility in pose.landmarks[_FIRST_BODY_JOINT:].tolist():
        if visibility >= 0.5 and 0 <= x < 1 and 0 <= y < 1:
            px, py = left + x * pose.width * scale, y * pose.height * scale
            canvas.ellipse((px - 4, py - 4, px + 4, py + 4), fill=_JOINTS, outline=_INK)


def _draw_lines(
    canvas: ImageDraw.ImageDraw, lines: Mapping[str, Line], estimate: SizeEstimate, scale: float, left: int
) -> None:
    font = ImageFont.load_default(size=20)
    for name, line in lines.items():
        ends = [(left + x * scale, y * scale) for x, y in (line.start, line.end)]
        canvas.line(ends, fill=_LINES, width=3)
        value = getattr(estimate.measurements, name)
        error = getattr(estimate.standard_errors, name)
        text = f"{name.removesuffix('_cm')} {value:.1f} ± {error:.1f} cm"
        x, y = max(ends)
        box = canvas.textbbox((x + 10, y), text, font=font, anchor="lm")
        # Labels stay on the sheet, however far to the right the body stands.
        shift = min(0.0, canvas.im.size[0] - 6 - box[2])
        canvas.rectangle((box[0] + shift - 5, box[1] - 4, box[2] + shift + 5, box[3] + 4), fill=_INK)
        canvas.text((x + 10 + shift, y), text, font=font, anchor="lm", fill=_PAPER)


def _draw_sizes(canvas: ImageDraw.ImageDraw, estimate: SizeEstimate, width: int) -> None:
    span = estimate.size_range
    title = f"{estimate.recommended_size}   {estimate.confidence:.0%} sure" if span else "No size of this chart fits"
    if span and span.lower != span.upper:
        title += f"   between {span.lower} and {span.upper}"
    canvas.text((20, HEIGHT + 12), title, font=ImageFont.load_default(size=24), fill=_INK)
    font = ImageFont.load_default(size=18)
    cell = (width - 40) / len(estimate.size_probabilities)
    base = HEIGHT + _BAR_HEIGHT - 30
    for index, (name, probability) in enumerate(estimate.size_probabilities.items()):
        x = 20 + index * cell
        chosen = name == estimate.recommended_size
        top = base - 2 - 50 * probability
        canvas.rectangle((x + 4, top, x + cell - 4, base), fill=_LINES if chosen else (176, 186, 200))
        canvas.text((x + cell / 2, base + 4), name, font=font, anchor="ma", fill=_INK)
        if probability >= 0.005:
            canvas.text((x + cell / 2, top - 3), f"{probability:.0%}", font=font, anchor="md", fill=_INK)
