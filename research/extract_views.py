"""Pictures from the front and from the side become the table that `views.py` fits the readers to.

    uv run python research/extract_views.py CLEAN PHONES RENDERS

Each holds pictures and a truth.csv: the first set (one picture a person, from the front), the second (each person
twice, front and side, as phones take them; see docs/sizing.md), and our own renders of the second's kind
(research/renders). Every picture of the first two is looked at as it is and mirrored. Writes research/data/views.csv.gz
and research/data/people.csv: the truth of both sets, with the tone of the skin, what the coach says, and whether it is
the mirror image that an estimate looks at. Our own are looked at as an estimate does: research/data/renders.csv.gz has
their features and truth.
"""

import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tables import DATA, write_packed

from wearon.pictures.decode import decode
from wearon.pose import Detector
from wearon.sizing.coach import inspect
from wearon.sizing.evaluate import skin_tone
from wearon.sizing.features import Frame, features, look
from wearon.sizing.refusal import NoPerson
from wearon.sizing.request import EstimateRequest
from wearon.sizing.side import look_from_the_side
from wearon.sizing.sight import PHOTO_EDGE, people_in, seen_mirrored

KEPT = (
    "image", "side_image", "person", "visit", "category", "sex", "height_cm", "weight_kg", "chest_cm", "waist_cm",
    "hip_cm", "shoulder_cm", "crotch_level_cm", "size", "skin", "top", "bottom", "hold",
)  # fmt: skip
"""Columns of the truth that are kept; the first set has no clothes, weight or camera among them."""
ADDED = ("set", "refusal", "seen_mirrored", "side_seen_mirrored", "skin")
TEXTS = ("set", "image", "view", "variant", "warnings")
"""Columns of the table that are no features."""

Pixels = NDArray[np.uint8]


def main(clean: Path, phones: Path, renders: Path) -> None:
    detector = Detector()
    rows: list[dict[str, object]] = []
    people: list[dict[str, str]] = []
    for name, folder in (("clean", clean), ("phones", phones)):
        with (folder / "truth.csv").open(newline="") as file:
            for number, person in enumerate(csv.DictReader(file)):
                if person["category"] == "knee_crop":
                    continue
                person = {"person": f"{number}", **person, "set": name}
                rows += list(_rows_of(detector, folder, person))
                people.append(person)
    write_packed("views.csv.gz", TEXTS, rows)
    _write_people(people)
    print(f"{len(rows)} rows from {len(people)} pictures of people from the front")
    seen = list(_rows_of_renders(detector, renders))
    write_packed("renders.csv.gz", (*KEPT, *TEXTS), seen)
    print(f"{len(seen)} rows of our own renders")


def _rows_of(detector: Detector, folder: Path, person: dict[str, str]) -> Iterator[dict[str, object]]:
    for view, column, flag in (
        ("front", "image", "seen_mirrored"),
        ("side", "side_image", "side_seen_mirrored"),
    ):
        if not person.get(column):
            continue
        plain = np.asarray(decode((folder / person[column]).read_bytes(), PHOTO_EDGE))
        person[flag] = "yes" if seen_mirrored(plain) else "no"
        for variant, pixels in (("plain", plain), ("mirrored", np.ascontiguousarray(plain[:, ::-1]))):
            found = _features(detector, view, pixels, person)
            if found:
                yield {"set": person["set"], "image": person[column], "view": view, "variant": variant, **found}


def _rows_of_renders(detector: Detector, folder: Path) -> Iterator[dict[str, object]]:
    with (folder / "truth.csv").open(newline="") as file:
        people = list(csv.DictReader(file))
    for person in people:
        person["set"] = "renders"
        kept = {name: person.get(name, "") for name in KEPT}
        for row in _rows_of(detector, folder, person):
            flag = person["seen_mirrored" if row["view"] == "front" else "side_seen_mirrored"]
            if (row["variant"] == "mirrored") == (flag == "yes") and not person.get("refusal"):
                yield {"warnings": "", **row, **kept}


def _features(detector: Detector, view: str, pixels: Pixels, person: dict[str, str]) -> dict[str, object]:
    poses = people_in(detector, pixels)
    if not poses:
        return {}
    if view == "side":
        return _rounded(look_from_the_side(poses[0], pixels).traits)
    height = float(person["height_cm"])
    person.setdefault("skin", skin_tone(Image.fromarray(pixels), poses[0]))
    try:
        warnings = " ".join(inspect(poses, pixels, EstimateRequest(height)).warnings)
        person.setdefault("refusal", "")
    except NoPerson as refusal:
        warnings = ""
        person.setdefault("refusal", refusal.code)
    return {"warnings": warnings, **_rounded(features(look(poses[0], pixels), Frame.FULL, height))}


def _rounded(values: Mapping[str, float]) -> dict[str, object]:
    return {name: round(value, 4) for name, value in values.items()}


def _write_people(people: list[dict[str, str]]) -> None:
    names = list(dict.fromkeys([*KEPT, *ADDED]))
    with (DATA / "people.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(people)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
