"""Spoil the pictures of known people in known ways: what the photo coach's factors are fitted to.

    uv run python research/distort.py PICTURES

Each whole picture is darkened, blurred, reduced, recompressed, tilted, cut, stretched, put before clutter, and so on;
what is random in that comes from SEED. Writes research/data/distorted.csv.gz: features and the coach's warnings, as in
features.csv.gz, with the kind of distortion as `variant`.
"""

import csv
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from extract_features import SEED, TEXTS, feature_rows, spoilt_row, through_jpeg
from numpy.typing import NDArray
from PIL import Image
from tables import write_packed

from wearon.pictures.decode import decode
from wearon.pose import Detector, Joint, Pose
from wearon.sizing.features import look
from wearon.sizing.sight import PHOTO_EDGE

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, Pose, np.random.Generator], Pixels]


def main(pictures: Path) -> None:
    detector = Detector()
    rng = np.random.default_rng(SEED)
    rows: list[dict[str, object]] = []
    with (pictures / "truth.csv").open(newline="") as file:
        truth = [person for person in csv.DictReader(file) if person["category"] != "knee_crop"]
    for person in truth:
        plain = decode((pictures / person["image"]).read_bytes(), PHOTO_EDGE)
        pose = detector.detect(plain)[0]
        for kind, change in DISTORTIONS.items():
            spoilt = change(np.asarray(plain), pose, rng)
            picture = through_jpeg(Image.fromarray(spoilt))
            if kind.startswith("stretched"):
                rows += feature_rows(detector, picture, person, kind)
            else:
                rows.append(spoilt_row(detector, picture, person, kind))
    write_packed("distorted.csv.gz", TEXTS, rows)
    print(f"{len(rows)} rows from {len(truth)} pictures and {len(DISTORTIONS)} distortions")


def _stretched(factor: float) -> Change:
    """The picture's breadth times the factor, as a careless upload form does it."""
    return lambda pixels, _pose, _rng: _resized(pixels, factor, 1.0)


def _darker(brightness: float) -> Change:
    """Less light, and so more of the sensor's noise in what there is."""

    def change(pixels: Pixels, _pose: Pose, rng: np.random.Generator) -> Pixels:
        return _bytes(pixels * brightness + rng.normal(0, 4, pixels.shape))

    return change


def _blurred(sigma: float) -> Change:
    return lambda pixels, _pose, _rng: _bytes(cv2.GaussianBlur(pixels, (0, 0), sigma))


def _moved(pixels: Pixels, _pose: Pose, rng: np.random.Generator) -> Pixels:
    """The camera moved by 8 pixels while the picture was taken."""
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((9, 9), np.float32)
    for step in np.linspace(-4, 4, 33):
        kernel[round(4 + step * np.sin(angle)), round(4 + step * np.cos(angle))] += 1
    return _bytes(cv2.filter2D(pixels, -1, kernel / kernel.sum()))


def _reduced(trunk: float) -> Change:
    """So small that the trunk has `trunk` pixels."""

    def change(pixels: Pixels, pose: Pose, _rng: np.random.Generator) -> Pixels:
        share = min(1.0, trunk / _trunk(pose))
        return _resized(pixels, share, share)

    return change


def _recompressed(quality: int) -> Change:
    def change(pixels: Pixels, _pose: Pose, _rng: np.random.Generator) -> Pixels:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)

    return change


def _tilted(degrees: float) -> Change:
    def change(pixels: Pixels, _pose: Pose, rng: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        angle = degrees * rng.choice([-1, 1])
        sine, cosine = abs(np.sin(np.radians(angle))), abs(np.cos(np.radians(angle)))
        size = (int(width * cosine + height * sine), int(width * sine + height * cosine))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        matrix[:, 2] = matrix[:, 2] + (np.array(size) - (width, height)) / 2
        return _bytes(cv2.warpAffine(pixels, matrix, size, borderMode=cv2.BORDER_REPLICATE))

    return change


def _beheaded(pixels: Pixels, pose: Pose, _rng: np.random.Generator) -> Pixels:
    mouth, shoulders = (_height(pose, joint) for joint in (Joint.MOUTH_LEFT, Joint.LEFT_SHOULDER))
    return pixels[int((mouth + shoulders) / 2) :]


def _lens(strength: float) -> Change:
    """Barrel (positive) or pincushion distortion: `strength` is the relative shift at the corners' radius."""

    def change(pixels: Pixels, _pose: Pose, _rng: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = x - width / 2, y - height / 2
        radius = np.square(x) + np.square(y)
        zoom = 1 + strength * radius / (width**2 + height**2) * 4 - max(0.0, strength) * 0.8
        places = [(x * zoom + width / 2).astype(np.float32), (y * zoom + height / 2).astype(np.float32)]
        return _bytes(cv2.remap(pixels, places[0], places[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    return change


def _before_clutter(pixels: Pixels, pose: Pose, rng: np.random.Generator) -> Pixels:
    """Cut out along the silhouette and put before boxes and stripes of all colours."""
    clutter = np.full_like(pixels, rng.integers(60, 220, 3))
    height, width = pixels.shape[:2]
    for _ in range(60):
        x, y = rng.integers(-50, width), rng.integers(-50, height)
        w, h = rng.integers(10, 160, 2)
        cv2.rectangle(clutter, (int(x), int(y)), (int(x + w), int(y + h)), rng.integers(0, 255, 3).tolist(), -1)
    clutter = _bytes(cv2.GaussianBlur(clutter, (0, 0), 1.2) + rng.normal(0, 6, pixels.shape))
    share = np.clip((pose.mask - 0.3) / 0.4, 0, 1)[..., None]
    return _bytes(pixels * share + clutter * (1 - share))


def _with_a_bag(pixels: Pixels, pose: Pose, rng: np.random.Generator) -> Pixels:
    """A box of a trunk's length by half of it before one side of the waist."""
    trunk = _trunk(pose)
    side = Joint(int(rng.choice([Joint.LEFT_HIP, Joint.RIGHT_HIP])))
    x, y = pose.point(side)
    spoilt = pixels.copy()
    top, left = int(y - 0.6 * trunk), int(x - 0.3 * trunk)
    spoilt[max(top, 0) : int(top + 0.7 * trunk), max(left, 0) : int(left + 0.6 * trunk)] = rng.integers(
        0, 255, 3
    ).astype(np.uint8)
    return spoilt


def _with_somebody_behind(pixels: Pixels, _pose: Pose, _rng: np.random.Generator) -> Pixels:
    other = _resized(np.ascontiguousarray(pixels[:, ::-1]), 0.6, 0.6)
    above = np.repeat(other[:1], pixels.shape[0] - other.shape[0], axis=0)
    return np.concatenate([pixels, np.concatenate([above, other])], axis=1)


def _in_a_garment(ease: float, flare: float, end: float) -> Change:
    """A garment without a visible hem over the trunk, `ease` wider on each side, down to the level `end`."""

    def change(pixels: Pixels, pose: Pose, rng: np.random.Generator) -> Pixels:
        sighting = look(pose, pixels)
        axis, outline = sighting.axis, sighting.profile
        levels = np.arange(0.05, end, 0.01)
        halves = [np.interp(levels, outline.levels, side * (1 + ease)) for side in outline.trunk]
        widening = 1 + flare * np.clip(levels - 0.7, 0, None)
        left = [axis.at(level, -half) for level, half in zip(levels, halves[0] * widening, strict=True)]
        right = [axis.at(level, half) for level, half in zip(levels, halves[1] * widening, strict=True)]
        cloth = np.full_like(pixels, rng.integers(40, 230, 3)) + rng.normal(0, 5, pixels.shape)
        share = np.zeros(pixels.shape[:2], np.uint8)
        cv2.fillPoly(share, [np.round(np.array([*left, *right[::-1]]) * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
        part = share[..., None] / 255
        return _bytes(pixels * (1 - part) + cloth * part)

    return change


def _lit_from_the_side(pixels: Pixels, _pose: Pose, rng: np.random.Generator) -> Pixels:
    ramp = np.linspace(0.35, 1.25, pixels.shape[1])[:: rng.choice([-1, 1])]
    return _bytes(pixels * ramp[None, :, None])


DISTORTIONS: Mapping[str, Change] = {
    **{f"stretched {factor}": _stretched(factor) for factor in (0.75, 0.85, 0.92, 1.08, 1.17, 1.33)},
    "darker 0.5": _darker(0.5),
    "darker 0.25": _darker(0.25),
    "blurred 1": _blurred(1.0),
    "blurred 2": _blurred(2.0),
    "blurred 4": _blurred(4.0),
    "moved": _moved,
    "trunk 45 px": _reduced(45),
    "trunk 30 px": _reduced(30),
    "jpeg 25": _recompressed(25),
    "tilted 6": _tilted(6),
    "tilted 14": _tilted(14),
    "head cut off": _beheaded,
    "barrel": _lens(0.12),
    "pincushion": _lens(-0.12),
    "clutter": _before_clutter,
    "bag": _with_a_bag,
    "somebody behind": _with_somebody_behind,
    "dress": _in_a_garment(0.08, 0.35, 1.55),
    "coat": _in_a_garment(0.18, 0.1, 1.6),
    "side light": _lit_from_the_side,
}


def _trunk(pose: Pose) -> float:
    return abs(_height(pose, Joint.LEFT_HIP) - _height(pose, Joint.LEFT_SHOULDER))


def _height(pose: Pose, joint: Joint) -> float:
    return pose.point(joint)[1]


def _resized(pixels: Pixels, across: float, down: float) -> Pixels:
    size = (max(1, round(pixels.shape[1] * across)), max(1, round(pixels.shape[0] * down)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _bytes(values: NDArray[np.generic]) -> Pixels:
    return np.clip(np.round(np.asarray(values, dtype=np.float64)), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
