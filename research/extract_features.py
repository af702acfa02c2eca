"""Step 1 of 2: pictures with known truth become the table of features that `train.py` fits.

    uv run python research/extract_features.py PICTURES

PICTURES holds the pictures and their truth.csv (the columns of the synthetic pictures, see docs/sizing.md). Each is
looked at as it is, mirrored, and cut at the knees and thighs, so that the model learns what the detector's whims do
to the features. Writes research/data/features.csv.gz, and research/data/truth.csv with the tone of the skin added, and
whether it is the mirror image that an estimate looks at.
"""

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tables import DATA, write_packed

from wearon.pictures.decode import decode
from wearon.pose import Detector, Joint, Pose
from wearon.sizing.coach import inspect
from wearon.sizing.evaluate import skin_tone
from wearon.sizing.features import Frame, features, look
from wearon.sizing.refusal import NoPerson
from wearon.sizing.request import EstimateRequest
from wearon.sizing.sight import PHOTO_EDGE, seen_mirrored

SEED = 20261124
TEXTS = ("image", "variant", "frame", "warnings")
"""Columns that are no features. `warnings`: the photo coach's, with spaces between."""


def main(pictures: Path) -> None:
    detector = Detector()
    rng = np.random.default_rng(SEED)
    rows: list[dict[str, object]] = []
    with (pictures / "truth.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    for person in truth:
        data = (pictures / person["image"]).read_bytes()
        plain = decode(data, PHOTO_EDGE)
        person["skin"] = skin_tone(plain, detector.detect(plain)[0])
        person["seen_mirrored"] = "yes" if seen_mirrored(np.asarray(plain)) else "no"
        whole = person["category"] != "knee_crop"
        for variant, picture in variants(data, detector, rng, whole=whole):
            rows += feature_rows(detector, picture, person, variant)
    write_packed("features.csv.gz", TEXTS, rows)
    write_truth(truth)
    print(f"{len(rows)} rows from {len(truth)} pictures")


def variants(
    data: bytes, detector: Detector, rng: np.random.Generator, *, whole: bool
) -> Iterator[tuple[str, Image.Image]]:
    plain = decode(data, PHOTO_EDGE)
    yield "plain", plain
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        yield "mirrored", through_jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        pose = detector.detect(plain)[0]
        if whole:
            yield "cut_at_knees", through_jpeg(image.crop(_cut(pose, image.size, rng, 0.85, 1.25)))
        yield "cut_at_thighs", through_jpeg(image.crop(_cut(pose, image.size, rng, 0.3, 0.7)))


def _cut(
    pose: Pose, size: tuple[int, int], rng: np.random.Generator, lowest: float, highest: float
) -> tuple[int, int, int, int]:
    """A box from a little above the head to somewhere between hips (0) and knees (1), three quarters as wide."""
    y = pose.landmarks[:, 1] * size[1]
    knees, hips = y[[Joint.LEFT_KNEE, Joint.RIGHT_KNEE]].mean(), y[[Joint.LEFT_HIP, Joint.RIGHT_HIP]].mean()
    bottom = min(size[1], int(hips + rng.uniform(lowest, highest) * (knees - hips)))
    top = max(0, int(y[Joint.LEFT_EYE] - (hips - y[Joint.LEFT_EYE]) * rng.uniform(0.25, 0.45)))
    width = min(size[0], int((bottom - top) * 0.75))
    left = int(np.clip(pose.landmarks[Joint.LEFT_HIP, 0] * size[0] - width / 2, 0, size[0] - width))
    return left, top, left + width, bottom


def through_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=90)
    return decode(buffer.getvalue(), PHOTO_EDGE)


def feature_rows(
    detector: Detector, picture: Image.Image, person: dict[str, str], variant: str
) -> list[dict[str, object]]:
    """Rows for the frames that the variant is made for, whatever the coach would say."""
    poses = detector.detect(picture)
    if not poses:
        return []
    pixels, height = np.asarray(picture), float(person["height_cm"])
    sighting = look(poses[0], pixels)
    if variant == "cut_at_thighs":
        frames: tuple[Frame, ...] = (Frame.TO_THIGHS,)
    elif variant == "cut_at_knees" or person["category"] == "knee_crop":
        frames = (Frame.TO_KNEES, Frame.TO_THIGHS)
    else:
        frames = tuple(Frame)
    try:
        warnings = " ".join(inspect(poses, pixels, EstimateRequest(height)).warnings)
    except NoPerson:
        warnings = ""
    names = {"image": person["image"], "variant": variant, "warnings": warnings}
    return [{**names, "frame": frame.value, **_rounded(features(sighting, frame, height))} for frame in frames]


def spoilt_row(detector: Detector, picture: Image.Image, person: dict[str, str], variant: str) -> dict[str, object]:
    """The row for the frame that the coach finds; without features when it refuses."""
    pixels, height = np.asarray(picture), float(person["height_cm"])
    names = {"image": person["image"], "variant": variant}
    try:
        scene = inspect(detector.detect(picture), pixels, EstimateRequest(height))
    except NoPerson as refusal:
        return {**names, "frame": "", "warnings": refusal.code.value}
    found = _rounded(features(scene.sighting, scene.frame, height))
    return {**names, "frame": scene.frame.value, "warnings": " ".join(scene.warnings), **found}


def write_truth(truth: list[dict[str, str]]) -> None:
    with (DATA / "truth.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(truth[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(truth)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in values.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
