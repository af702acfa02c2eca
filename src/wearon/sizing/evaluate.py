"""How good the running code is: its estimates against pictures of people whose measurements are known.

A folder holds pictures and a truth.csv with one line a picture: `image`, `height_cm`, `chest_cm`, `waist_cm`,
`hip_cm`, `shoulder_cm`, `size`, and optionally `category`, `sex`, `weight_kg`, `side_image` (a second picture of the
same person, from the side), `skin`, `person` (who has several lines). An ANSUR file has that survey's columns, in cm
and kg, as in research/data/ansur2.csv.gz.
"""

import csv
import gzip
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from wearon.pose import Detector, Joint, Pose
from wearon.sizing import bodies
from wearon.sizing.bodies import Population, girths_from_breadths
from wearon.sizing.chart import DEFAULT_CHART
from wearon.sizing.estimate import Examination, examine
from wearon.sizing.measure import MEASURES
from wearon.sizing.refusal import NoPerson
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.result import SizeEstimate
from wearon.sizing.silhouette import Array
from wearon.sizing.truth import Truth, read_truth

CONFIDENCE_BINS = 3
"""Of equally many pictures each: the goal for calibration is stated over three."""

SURE = 0.6
"""Confidence from which an answer is counted as a sure one."""

ANSUR_CASES: Mapping[str, tuple[bool, bool]] = {
    "breadths and height": (False, False),
    "with sex": (False, True),
    "with weight": (True, False),
    "with weight and sex": (True, True),
}
"""What is known besides breadths and height: weight, sex."""

SKIN_TONES: Mapping[str, float] = {"dark": -90.0, "medium": 10.0, "light": 41.0}
"""Lower limits of the individual typology angle, in degrees: the usual six classes, two by two (Del Bino and
Bernerd 2013, British Journal of Dermatology 169:33)."""

SEXES: Mapping[str, Sex] = {"F": Sex.FEMALE, "M": Sex.MALE}


@dataclass(frozen=True, slots=True)
class Given:
    """What of a truth.csv the estimate is given besides photo and height, where a person has it."""

    side: bool = True
    weight: bool = True
    sex: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """One picture: what is true, and what was answered; None: refused."""

    truth: Truth
    estimate: SizeEstimate | None
    refusal: str | None = None
    skin: str | None = None
    """Tone of the face in the photo, a key of SKIN_TONES."""

    @property
    def errors(self) -> Array:
        """Estimate minus truth, in cm, in the order of MEASURES."""
        assert self.estimate is not None
        found = self.estimate.measurements
        return np.array([getattr(found, name) - float(self.truth[name]) for name in MEASURES])

    @property
    def steps(self) -> int:
        """Sizes between the recommended and the true one; positive when too large."""
        assert self.estimate is not None
        return _index(self.estimate.recommended_size) - _index(self.truth["size"])

    @property
    def covered(self) -> bool:
        """Whether the true size is in the size range."""
        assert self.estimate is not None
        assert self.estimate.size_range is not None
        sizes = self.estimate.size_range
        return _index(sizes.lower) <= _index(self.truth["size"]) <= _index(sizes.upper)

    @property
    def width(self) -> int:
        """Sizes in the size range."""
        assert self.estimate is not None
        assert self.estimate.size_range is not None
        return _index(self.estimate.size_range.upper) - _index(self.estimate.size_range.lower) + 1


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one group of pictures."""

    pictures: int
    answered: int
    mean_absolute_errors: tuple[float, ...]
    biases: tuple[float, ...]
    exact: float
    within_one: float
    covered: float
    width: float
    calibration: tuple[tuple[float, float, int], ...]
    """By bins of confidence: mean confidence, share of right sizes, pictures."""
    sure_and_wrong: float | None
    """Share of wrong sizes among the answers with a confidence of SURE and more; None when there is none."""
    same_again: float | None
    """Share of people in several pictures who get one size in all of them; None when nobody has several."""
    repeats: float
    """How many of those are of the same picture, on average: more than 1 only in a repeated cross-validation."""

    @property
    def calibration_gap(self) -> float:
        """Mean distance between confidence and share of right sizes over the bins."""
        return float(np.mean([abs(confidence - right) for confidence, right, _ in self.calibration]))

    @property
    def gap_by_chance(self) -> float:
        """The gap to be expected of as many people if every confidence were exactly the probability to be right.

        The mean absolute deviation of a share that is nearly normal is the root of 2 / pi of its standard error.
        """
        variances = [said * (1 - said) * self.repeats / count for said, _, count in self.calibration]
        return float(np.sqrt(2 / np.pi) * np.mean(np.sqrt(variances)))


def evaluate_folder(
    folder: Path,
    detector: Detector,
    *,
    given: Given | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Scored]:
    """Score every picture of a folder. Raises UnusableTruth, and OSError when a file cannot be read."""
    given = given or Given()
    people = read_truth(folder)
    scored = []
    for number, truth in enumerate(people):
        scored.append(_score(detector, folder, truth, given))
        if progress:
            progress(number + 1, len(people))
    return scored


def _score(detector: Detector, folder: Path, truth: Truth, given: Given) -> Scored:
    weight, sex, side = truth.get("weight_kg"), truth.get("sex"), truth.get("side_image")
    request = EstimateRequest(
        height_cm=float(truth["height_cm"]),
        weight_kg=float(weight) if weight and given.weight else None,
        sex=SEXES.get(sex[0].upper()) if sex and given.sex else None,
    )
    second = (folder / side).read_bytes() if side and given.side else None
    try:
        seen = examine(detector, (folder / truth["image"]).read_bytes(), request, second)
    except NoPerson as refusal:
        return Scored(truth, None, refusal.code)
    return Scored(truth, seen.estimate, skin=truth.get("skin") or _skin(seen))


def _skin(seen: Examination) -> str | None:
    return skin_tone(seen.front.photo.picture, seen.front.scene.pose) if seen.front else None


def skin_tone(picture: Image.Image, pose: Pose) -> str:
    """Tone of the face between eyes and mouth, a key of SKIN_TONES.

    Light and camera have their part in it, so it is for groups only.
    """
    joints = (Joint.LEFT_EYE, Joint.RIGHT_EYE, Joint.MOUTH_LEFT, Joint.MOUTH_RIGHT)
    x, y = np.array([pose.point(joint) for joint in joints]).T
    box = (int(x.min()), int(y.min()), max(int(x.max()), int(x.min()) + 1), max(int(y.max()), int(y.min()) + 1))
    face = np.asarray(picture.crop(box), dtype=np.float32) / 255
    lightness, _, yellow = np.median(cv2.cvtColor(face, cv2.COLOR_RGB2LAB).reshape(-1, 3), axis=0)
    angle = np.degrees(np.arctan2(lightness - 50, max(float(yellow), 1e-3)))
    return [tone for tone, lowest in SKIN_TONES.items() if angle >= lowest][-1]


def summarise(scored: Sequence[Scored]) -> Summary:
    """The figures of a group; at least one of its pictures must have been answered."""
    answered = [one for one in scored if one.estimate is not None]
    errors = np.array([one.errors for one in answered])
    steps = np.array([one.steps for one in answered])
    confidence = np.array([one.estimate.confidence for one in answered if one.estimate])
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(CONFIDENCE_BINS, len(answered)))
    return Summary(
        pictures=len(scored),
        answered=len(answered),
        mean_absolute_errors=tuple(np.abs(errors).mean(axis=0).tolist()),
        biases=tuple(errors.mean(axis=0).tolist()),
        exact=float((steps == 0).mean()),
        within_one=float((np.abs(steps) <= 1).mean()),
        covered=float(np.mean([one.covered for one in answered])),
        width=float(np.mean([one.width for one in answered])),
        calibration=tuple(
            (float(confidence[part].mean()), float((steps[part] == 0).mean()), len(part)) for part in bins
        ),
        sure_and_wrong=float((steps[confidence >= SURE] != 0).mean()) if (confidence >= SURE).any() else None,
        same_again=_same_again(answered),
        repeats=len(answered) / len({one.truth["image"] for one in answered}),
    )


def _same_again(answered: Sequence[Scored]) -> float | None:
    sizes: dict[str, list[str]] = {}
    for one in answered:
        if one.estimate and one.truth.get("person"):
            sizes.setdefault(one.truth["person"], []).append(str(one.estimate.recommended_size))
    several = [len(set(of_one)) == 1 for of_one in sizes.values() if len(of_one) > 1]
    return float(np.mean(several)) if several else None


def groups(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    """All pictures, then those of each category, sex and size that the truth names."""
    result = {"all": list(scored)}
    for column in ("category", "sex", "size"):
        values = {one.truth[column] for one in scored if one.truth.get(column)}
        order = sorted(values, key=_index) if column == "size" else sorted(values)
        for value in order:
            result[f"{column} {value}"] = [one for one in scored if one.truth.get(column) == value]
    result |= {f"skin {tone}": [one for one in scored if one.skin == tone] for tone in SKIN_TONES}
    return {name: group for name, group in result.items() if any(one.estimate for one in group)}


def as_text(scored: Sequence[Scored]) -> str:
    """The figures as a table for a terminal."""
    if not any(one.estimate for one in scored):
        return f"none of {len(scored)} pictures was answered"
    columns = ["answered", "chest", "waist", "hip", "should.", "exact", "±1", "range", "width", "calib."]
    head = f"{'':22}{columns[0]:>10}" + "".join(f"{name:>8}" for name in columns[1:])
    lines = [head]
    for name, group in groups(scored).items():
        one = summarise(group)
        errors = "".join(f"{error:8.2f}" for error in one.mean_absolute_errors)
        lines.append(
            f"{name:22}{f'{one.answered}/{one.pictures}':>10}{errors}"
            f"{one.exact:8.3f}{one.within_one:8.3f}{one.covered:8.3f}{one.width:8.2f}{one.calibration_gap:8.3f}"
        )
    whole = summarise(scored)
    lines.append("confidence, share right, pictures: " + _calibration_text(whole))
    if whole.sure_and_wrong is not None:
        lines.append(f"wrong among those with a confidence of {SURE} and more: {whole.sure_and_wrong:.3f}")
    if whole.same_again is not None:
        lines.append(f"people with the same size in all their pictures: {whole.same_again:.3f}")
    lines.append(f"calibration gap to be expected by chance of as many people: {whole.gap_by_chance:.3f}")
    return "\n".join(lines)


def _calibration_text(summary: Summary) -> str:
    return "; ".join(f"{said:.2f} {right:.2f} {count}" for said, right, count in summary.calibration)


@dataclass(frozen=True, slots=True)
class AnsurScored:
    """ANSUR's people, and what the girth model says of them in each of ANSUR_CASES: (n, 3) girths in cm."""

    table: Mapping[str, Array]
    guesses: Mapping[str, Array]

    def errors(self, case: str) -> Array:
        """Guess minus truth (n, 3), in cm."""
        truth = np.stack([self.table[name] for name in bodies.GIRTHS], axis=1)
        result: Array = self.guesses[case] - truth
        return result


def evaluate_ansur(file: Path) -> AnsurScored:
    """Score the girth model alone. Raises OSError, KeyError or ValueError when it is no such file."""
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", newline="") as lines:
        table, sexes = read_ansur(lines)
    return AnsurScored(table, ansur_guesses(table, sexes))


def read_ansur(lines: Iterable[str]) -> tuple[dict[str, Array], list[Sex]]:
    """The columns that the girth model knows, and the sexes. Raises KeyError with all that are missing."""
    reader = csv.DictReader(lines)
    missing = [column for column in (*bodies.COLUMNS, "sex") if column not in (reader.fieldnames or ())]
    if missing:
        raise KeyError(", ".join(missing))
    rows = list(reader)
    table = {name: np.array([float(row[name]) for row in rows]) for name in bodies.COLUMNS}
    return table, [Sex.FEMALE if row["sex"].upper().startswith("F") else Sex.MALE for row in rows]


def ansur_guesses(
    table: Mapping[str, Array], sexes: Sequence[Sex], model: Mapping[Sex, Population] | None = None
) -> dict[str, Array]:
    """Chest, waist and hip girth (n, 3) in cm, from breadths and height and what else each case knows."""
    guesses = {}
    for label, (weight, sex) in ANSUR_CASES.items():
        names = [*bodies.BREADTHS, bodies.STATURE, *([bodies.WEIGHT] if weight else [])]
        known = {name: table[name] for name in names}
        guesses[label] = girths_from_breadths(known, sexes if sex else [None] * len(sexes), model)
    return guesses


def ansur_as_text(scored: AnsurScored) -> str:
    """Mean absolute errors of the girth model, as a table for a terminal."""
    lines = [f"{'':22}{'chest':>8}{'waist':>8}{'hip':>8}"]
    for case in scored.guesses:
        errors = np.abs(scored.errors(case)).mean(axis=0)
        lines.append(f"{case:22}" + "".join(f"{error:8.2f}" for error in errors))
    return "\n".join(lines)


def _index(size: str | None) -> int:
    assert size is not None  # the default chart is open at both ends
    return DEFAULT_CHART.names.index(size)
