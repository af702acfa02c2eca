"""Step 2 of 2: fit the photo model and the body statistics, and print how wrong they are on what they have not seen.

    uv run python research/train.py

Reads research/data (see extract_features.py, distort.py and extract_views.py; ansur2.csv.gz is a fixed 70 % of ANSUR
II, public domain), writes src/wearon/sizing/photo_model.json and bodies.json. Whole pictures are read by the readers of
views.py; of them this model only tells how strange and how stretched they are. Same inputs, same numbers: the only
chance is the seed of the cross-validation's folds, which are over people: a person's other pictures are never in
another fold.
"""

import csv
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tables import DATA, read_packed, read_people

from wearon.sizing import bodies, evaluate, photo_model
from wearon.sizing.bodies import Population, typical
from wearon.sizing.coach import DOUBT, MAX_DOUBT
from wearon.sizing.estimate import conclude
from wearon.sizing.features import Frame
from wearon.sizing.measure import MEASURES, combine, read_front
from wearon.sizing.photo_model import BEND, FrameModel, Regression
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.silhouette import Array
from wearon.sizing.warnings import WarningCode

SEED = 20261124
FOLDS = 9
REPEATS = 5
SHIFT_RIDGE = 5.0
RIDGE = {Frame.FULL: 2.0, Frame.TO_KNEES: 3.0, Frame.TO_THIGHS: 3.0, Frame.NO_HEAD: 2.0}

GIRTH_FEATURES = (
    "chest", "ribs", "waist", "narrowest", "hip_joints", "hip", "seat", "thighs", "upper_arms", "hem", "arms_close",
    "shoulders_at", "hips_at", "camera_tilt",
)  # fmt: skip
"""No height: a photo has no scale of its own, so 1 % more stature is 1 % more girth."""
SCALE_FEATURES = {
    Frame.TO_KNEES: ("upper_arm", "forearm", "nose_at"),
    Frame.TO_THIGHS: ("upper_arm", "forearm", "nose_at"),
}
"""Where the ground is not in the picture, the lengths of arms and head make the scale surer (0.1 cm of hip each, the
arms 0.05 cm of shoulder); elsewhere they add only noise."""
STRETCH_FEATURES = (
    "shoulder", "ears", "hip_span", "hip", "waist", "nose_at", "shoulders_at", "hips_at", "knees_at",
)  # fmt: skip
"""What is broad about everybody, and what is high. Not the arms: on photographs of bare-armed people their outline is
narrower than on the rendered ones, which looked like a squeezed picture."""
STRETCH_RIDGE = 2.0
SHOULDER_FEATURES = (
    "deltoids", "upper_arms", "shoulder", "hip", "seat", "yaw2", "nose_at", "shoulders_at", "hips_at", "height",
)  # fmt: skip

# How much a row counts, by frame: (variant, whether the picture really ends at the knees).
ROW_WEIGHTS = {
    Frame.FULL: {("plain", False): 1.0, ("mirrored", False): 1.0},
    Frame.NO_HEAD: {("plain", False): 1.0, ("mirrored", False): 1.0},
    # Crops of pictures that were taken from afar are worth less than those taken from near.
    Frame.TO_KNEES: {
        ("plain", True): 1.0, ("mirrored", True): 1.0, ("cut_at_knees", False): 0.6, ("plain", False): 0.2,
    },
    Frame.TO_THIGHS: {
        ("cut_at_thighs", True): 1.0, ("plain", True): 0.5, ("mirrored", True): 0.5, ("cut_at_thighs", False): 0.5,
    },
}  # fmt: skip
TESTED = {
    Frame.FULL: {("plain", False): 1.0},
    Frame.NO_HEAD: {("plain", False): 1.0},
    Frame.TO_KNEES: {("plain", True): 1.0, ("cut_at_knees", False): 0.3},
    Frame.TO_THIGHS: {("cut_at_thighs", True): 1.0, ("cut_at_thighs", False): 0.3},
}


@dataclass(frozen=True)
class Rows:
    """The rows of one frame."""

    values: list[dict[str, float]]
    people: Array
    """Index of the person in the truth."""
    kinds: list[tuple[str, bool]]
    codes: list[list[str]]
    """The coach's warnings."""
    doubts: list[float]
    """What the coach multiplies the errors of such a picture with: the covariance is that of faultless ones."""

    def is_answered_in(self, row: int, frame: Frame) -> bool:
        """Whether such a picture, plain or spoilt, is answered in that frame; other rows are there to be fitted to."""
        variant, cropped = self.kinds[row]
        if variant == "plain":
            return frame is (Frame.TO_KNEES if cropped else Frame.FULL)
        return variant not in ("mirrored", "cut_at_knees", "cut_at_thighs") and not variant.startswith("stretched")

    def weights(self, by_kind: Mapping[tuple[str, bool], float]) -> Array:
        return np.array([by_kind.get(kind, 0.0) for kind in self.kinds])


def main() -> None:
    truth = read_truth()
    rows = read_rows(truth)
    models = {frame: fit_frame(rows[frame], truth, frame) for frame in Frame}
    write_photo_model(models)
    write_bodies()
    print_photo_scores(truth, rows)
    print_ansur_scores()


def read_truth() -> list[dict[str, str]]:
    """Of the first set; and of the phones' pictures, that whole pictures of both are usual."""
    with (DATA / "truth.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    return truth + [person for person in read_people() if person["set"] == "phones"]


def read_rows(truth: Sequence[Mapping[str, str]]) -> dict[Frame, Rows]:
    index = {person["image"]: number for number, person in enumerate(truth)}
    found: dict[Frame, list[dict[str, str]]] = {frame: [] for frame in Frame}
    for name in ("features.csv.gz", "distorted.csv.gz"):
        for row in read_packed(name):
            if row["frame"]:
                found[Frame(row["frame"])].append(row)
    phones = [row for row in read_packed("views.csv.gz") if (row["set"], row["view"]) == ("phones", "front")]
    found[Frame.FULL] += [{name: row[name] for name in found[Frame.FULL][0] if name in row} for row in phones]
    texts = {"image", "variant", "frame", "warnings"}
    return {
        frame: Rows(
            [{k: float(v) for k, v in row.items() if k not in texts and v} for row in of_frame],
            np.array([index[row["image"]] for row in of_frame]),
            [(row["variant"], truth[index[row["image"]]]["category"] == "knee_crop") for row in of_frame],
            [row["warnings"].split() for row in of_frame],
            [doubt_of(row["warnings"].split()) for row in of_frame],
        )
        for frame, of_frame in found.items()
    }


def targets(truth: Sequence[Mapping[str, str]]) -> Array:
    return np.log([[float(person[name]) / float(person["height_cm"]) for name in MEASURES] for person in truth])


def fit_regressions(
    rows: Rows, truth: Sequence[Mapping[str, str]], frame: Frame, chosen: Array
) -> tuple[Regression, Regression]:
    """Fit to the chosen rows (a mask)."""
    weights = rows.weights(ROW_WEIGHTS[frame]) * chosen
    used = np.flatnonzero(weights)
    wanted = targets(truth)[rows.people[used]]
    fitted = []
    # Whole pictures are read otherwise; of them only the line's leverage is used.
    girths_bend = 0.0 if frame is Frame.FULL else BEND
    for of_all, columns, bend in ((GIRTH_FEATURES, slice(0, 3), girths_bend), (SHOULDER_FEATURES, slice(3, 4), 0.0)):
        names = dict.fromkeys((*of_all, *SCALE_FEATURES.get(frame, ())))
        present = tuple(name for name in names if name in rows.values[0])
        table = np.array([[rows.values[i][name] for name in present] for i in used])
        fitted.append(Regression.fit(present, table, wanted[:, columns], weights[used], RIDGE[frame], bend))
    return fitted[0], fitted[1]


def folds(people: int, repeat: int) -> Array:
    """Each person's fold."""
    order = np.random.default_rng([SEED, repeat]).permutation(people)
    fold = np.empty(people, dtype=int)
    fold[order] = np.arange(people) % FOLDS
    return fold


def doubt_of(codes: Sequence[str]) -> float:
    known = set(WarningCode)
    return min(MAX_DOUBT, float(np.prod([DOUBT[WarningCode(code)] for code in codes if code in known])))


def fit_stretch(rows: Rows, chosen: Array) -> Regression:
    """Fit to whole pictures (frame FULL) that were stretched and to those that were not."""
    factors = np.array([stretch_of(variant) for variant, _ in rows.kinds])
    used = np.flatnonzero(chosen & ~np.isnan(factors))
    names = tuple(name for name in STRETCH_FEATURES if name in rows.values[0])
    table = np.array([[rows.values[i][name] for name in names] for i in used])
    return Regression.fit(names, table, factors[used, None], np.ones(len(used)), STRETCH_RIDGE)


def stretch_of(variant: str) -> float:
    """The logarithm of what the breadth was multiplied with; NaN: no variant to learn that from."""
    if variant.startswith("stretched"):
        return float(np.log(float(variant.split()[1])))
    return 0.0 if variant in ("plain", "mirrored") else np.nan


def fit_frame(rows: Rows, truth: Sequence[Mapping[str, str]], frame: Frame) -> FrameModel:
    """Fit to everybody; the covariance is of the errors on people left out."""
    wanted = targets(truth)
    tested = rows.weights(TESTED[frame])
    errors, weights, stretches = [], [], []
    for repeat in range(REPEATS):
        fold = folds(len(truth), repeat)
        for number in range(FOLDS):
            left_out = fold[rows.people] == number
            girths, shoulder = fit_regressions(rows, truth, frame, ~left_out)
            stretch = fit_stretch(rows, ~left_out) if frame is Frame.FULL else None
            for i in np.flatnonzero(left_out & (tested > 0)):
                guess = np.append(girths.predict(rows.values[i])[0], shoulder.predict(rows.values[i])[0])
                errors.append((guess - wanted[rows.people[i]]) / rows.doubts[i])
                weights.append(tested[i])
                stretches.append(stretch.predict(rows.values[i])[0][0] if stretch else 0.0)
    off, share = np.array(errors), np.array(weights) / np.sum(weights)
    covariance = (off * share[:, None]).T @ off
    everybody = np.ones(len(rows.people), dtype=bool)
    girths, shoulder = fit_regressions(rows, truth, frame, everybody)
    if frame is not Frame.FULL:
        return FrameModel(girths, shoulder, covariance)
    error = float(np.sqrt(share @ np.square(stretches)))
    return FrameModel(girths, shoulder, covariance, fit_stretch(rows, everybody), error)


def print_photo_scores(truth: Sequence[Mapping[str, str]], rows: Mapping[Frame, Rows]) -> None:
    """Pictures that really end at the knees, of people left out. (Whole ones are read by other means: views.py.)"""
    frame, table = Frame.TO_KNEES, rows[Frame.TO_KNEES]
    whole = fit_frame(table, truth, frame)
    scores = []
    for repeat in range(REPEATS):
        fold = folds(len(truth), repeat)
        for number in range(FOLDS):
            left_out = fold[table.people] == number
            girths, shoulder = fit_regressions(table, truth, frame, ~left_out)
            model = {frame: replace(whole, girths=girths, shoulder=shoulder)}
            for i in np.flatnonzero(left_out):
                if table.kinds[i] == ("plain", True):
                    person = truth[table.people[i]]
                    request = EstimateRequest(float(person["height_cm"]))
                    front = read_front(table.values[i], frame, doubt=table.doubts[i], model=model)
                    found = conclude(combine(front, None, request), request)
                    scores.append(evaluate.Scored(person, found, skin=person["skin"]))
    print(f"cut at the knees: {FOLDS}-fold cross-validation, {REPEATS} times, seed {SEED}")
    print(evaluate.as_text(scores))


def read_ansur() -> tuple[dict[str, Array], list[Sex]]:
    with gzip.open(DATA / "ansur2.csv.gz", "rt", newline="") as file:
        return evaluate.read_ansur(file)


def fit_populations(table: Mapping[str, Array], sexes: Sequence[Sex]) -> dict[Sex, Population]:
    logs = np.log(np.stack([table[name] for name in bodies.COLUMNS], axis=1))
    of = {sex: np.array([one is sex for one in sexes]) for sex in Sex}
    return {sex: Population(logs[mask].mean(axis=0), np.cov(logs[mask].T)) for sex, mask in of.items()}


def fit_shift(sex: Sex) -> Array:
    """What people of known weight have more than ANSUR's rows of their stature and weight say: see Population.shift.

    The slopes are of both sexes, and held near nothing.
    """
    people = [row for row in read_people() if row["weight_kg"] and row["visit"] == "1"]
    heights, weights = (np.array([float(row[name]) for row in people]) for name in ("height_cm", "weight_kg"))
    of = [evaluate.SEXES[row["sex"]] for row in people]
    told = np.array([typical(one, h, w, shifted=False)[0][0] for one, h, w in zip(of, heights, weights, strict=True)])
    off = np.log([[float(row[name]) for name in MEASURES] for row in people]) - told
    inputs = np.stack([np.log(heights / 100), np.log(weights / (heights / 100) ** 2 / 25)], axis=1)
    chosen = np.array([one is sex for one in of])
    means = np.array([off[[o is one for o in of]].mean(axis=0) for one in of])
    centres = np.array([inputs[[o is one for o in of]].mean(axis=0) for one in of])
    centred = inputs - centres
    scale = centred.std(axis=0)
    part = centred / scale
    slopes = np.linalg.solve(part.T @ part + SHIFT_RIDGE * np.eye(2), part.T @ (off - means)) / scale[:, None]
    constant = off[chosen].mean(axis=0) - inputs[chosen].mean(axis=0) @ slopes
    return np.vstack([constant, slopes])


def print_ansur_scores() -> None:
    table, sexes = read_ansur()
    people = len(sexes)
    fold = folds(people, 0)
    guesses = {label: np.empty((people, 3)) for label in evaluate.ANSUR_CASES}
    for number in range(FOLDS):
        out = fold == number
        model = fit_populations(
            {k: v[~out] for k, v in table.items()}, [s for s, o in zip(sexes, out, strict=True) if not o]
        )
        part = evaluate.ansur_guesses(
            {k: v[out] for k, v in table.items()}, [s for s, o in zip(sexes, out, strict=True) if o], model
        )
        for label, guess in part.items():
            guesses[label][out] = guess
    print(f"girth model: {FOLDS}-fold cross-validation over {people} ANSUR rows, seed {SEED}")
    print(evaluate.ansur_as_text(evaluate.AnsurScored(table, guesses)))


def write_photo_model(models: Mapping[Frame, FrameModel]) -> None:
    _write(
        photo_model.FILE,
        {
            "provenance": {
                "script": "research/train.py",
                "data": "162 synthetic people (CC0), research/data/truth.csv and features.csv.gz",
                "detector": "pose_landmark_full of mediapipe 0.10.21, on pictures decoded to 512 px or a little less",
                "seed": SEED,
                "folds": FOLDS,
                "repeats": REPEATS,
            },
            "frames": {
                frame.value: {
                    "girths": model.girths.to_json(),
                    "shoulder": model.shoulder.to_json(),
                    "covariance": np.round(model.covariance, 8).tolist(),
                    **(
                        {"stretch": model.stretch.to_json(), "stretch_error": round(model.stretch_error, 5)}
                        if model.stretch
                        else {}
                    ),
                }
                for frame, model in models.items()
            },
        },
    )


def write_bodies() -> None:
    table, sexes = read_ansur()
    _write(
        bodies.FILE,
        {
            "provenance": {
                "script": "research/train.py",
                "data": "ANSUR II (2012, public domain), a fixed 70 % sample: research/data/ansur2.csv.gz",
                "people": len(sexes),
            },
            "columns": list(bodies.COLUMNS),
            "populations": {
                sex.value: {
                    "mean": np.round(population.mean, 6).tolist(),
                    "covariance": np.round(population.covariance, 9).tolist(),
                    "shift": np.round(fit_shift(sex), 6).tolist(),
                }
                for sex, population in fit_populations(table, sexes).items()
            },
        },
    )


def _write(path: Path, data: Mapping[str, object]) -> None:
    text = json.dumps(data, indent=1)
    # A row of numbers a line, so that a diff can be read.
    rows = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda row: "[" + re.sub(r",\s+", ", ", row[1]) + "]", text)
    path.write_text(rows + "\n")


if __name__ == "__main__":
    main()
