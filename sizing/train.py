"""Step 2 of 2: fit the photo model and the body statistics, and print how wrong they are on what they have not seen.

    uv run python sizing/train.py [IMAGES]

Reads sizing/data (see extract_features.py and distort.py; ansur2.csv.gz is a fixed 70 % of ANSUR II, public domain),
writes src/wearon/sizing/photo_model.json and bodies.json, and the plots of docs/sizing.md into the folder IMAGES if one
is named. Same inputs, same numbers: the only chance is the seed of the cross-validation's folds, which are over people:
a person's other pictures are never in another fold.
"""

import csv
import gzip
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wearon.sizing import bodies, evaluate, photo_model
from wearon.sizing.bodies import Population
from wearon.sizing.coach import DOUBT, MAX_DOUBT
from wearon.sizing.estimate import conclude
from wearon.sizing.features import Frame
from wearon.sizing.measure import MEASURES, Measured, measure_features
from wearon.sizing.photo_model import BEND, FrameModel, Regression
from wearon.sizing.report import histograms_png, reliability_png
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.silhouette import Array
from wearon.sizing.warnings import WarningCode

DATA = Path(__file__).parent / "data"
SEED = 20261124
FOLDS = 9
REPEATS = 5
SIMULATED = 1500
"""People of ANSUR on whom a photo is simulated."""
FACTORS = (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2)
"""On the standard errors: whether another one than 1 would make the confidence mean more."""
LEAST_PROBABILITY = 1e-3
"""What a size counts as that none of the chart's points fell into."""
TRUE_WEIGHT_ERROR = 0.02
"""Standard error of the logarithm of the weight they state: rounding, clothes, flattery."""
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


def main(images: Path | None) -> None:
    truth = read_truth()
    rows = read_rows(truth)
    models = {frame: fit_frame(rows[frame], truth, frame) for frame in Frame}
    write_photo_model(models)
    write_bodies()
    print_photo_scores(truth, rows, images)
    print_statement_scores(models[Frame.FULL])
    print_ansur_scores()


def read_truth() -> list[dict[str, str]]:
    with (DATA / "truth.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read_rows(truth: Sequence[Mapping[str, str]]) -> dict[Frame, Rows]:
    index = {person["image"]: number for number, person in enumerate(truth)}
    found: dict[Frame, list[dict[str, str]]] = {frame: [] for frame in Frame}
    for name in ("features.csv.gz", "distorted.csv.gz"):
        with gzip.open(DATA / name, "rt", newline="") as file:
            for row in csv.DictReader(file):
                if row["frame"]:
                    found[Frame(row["frame"])].append(row)
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
    for of_all, columns, bend in ((GIRTH_FEATURES, slice(0, 3), BEND), (SHOULDER_FEATURES, slice(3, 4), 0.0)):
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


@dataclass(frozen=True)
class LeftOut:
    """A picture measured by a model that was fitted without its person."""

    person: int
    """Index in the truth."""
    measured: Measured
    request: EstimateRequest


def print_photo_scores(truth: Sequence[Mapping[str, str]], rows: Mapping[Frame, Rows], images: Path | None) -> None:
    seen, unseen = one_or_the_other(truth, measure_left_out(truth, rows), measure_left_out(truth, rows, "mirrored"))
    print(f"photo model: {FOLDS}-fold cross-validation over {len(truth)} people, {REPEATS} times, seed {SEED}")
    print(_as_text(truth, seen))
    if images:
        (images / "sizing-reliability.png").write_bytes(reliability_png(_scored(truth, seen)))
        (images / "sizing-errors.png").write_bytes(histograms_png(_scored(truth, seen)))
    print("the mirror images that are not looked at: as good a test")
    print(_as_text(truth, unseen, lines=6))
    print_changes(seen, unseen)
    print_recalibration(truth, [*seen, *unseen])
    print("the pictures that are looked at, with the sex stated")
    with_sex = [measure_left_out(truth, rows, variant, with_sex=True) for variant in ("plain", "mirrored")]
    print(_as_text(truth, one_or_the_other(truth, *with_sex)[0], lines=6))


def one_or_the_other(
    truth: Sequence[Mapping[str, str]], plain: Sequence[LeftOut], mirrored: Sequence[LeftOut]
) -> tuple[list[LeftOut], list[LeftOut]]:
    """Of each picture and its mirror image the one that an estimate looks at, and the others."""
    seen, unseen = [], []
    for pair in zip(plain, mirrored, strict=True):
        turned = truth[pair[0].person]["seen_mirrored"] == "yes"
        seen.append(pair[turned])
        unseen.append(pair[not turned])
    return seen, unseen


def print_changes(people: Sequence[LeftOut], others: Sequence[LeftOut]) -> None:
    """How much differs between two pictures of the same people, in the same order."""
    pairs = list(zip(people, others, strict=True))
    moved = np.abs([one.measured.mean - other.measured.mean for one, other in pairs])
    sizes = [[conclude(one.measured, one.request).recommended_size for one in pair] for pair in pairs]
    print(f"another size than the picture's: {np.mean([one != other for one, other in sizes]):.3f}")
    for label, values in (("mean", moved.mean(axis=0)), ("95 % below", np.quantile(moved, 0.95, axis=0))):
        print(f"distance from the picture's, {label}:" + "".join(f"{value:8.2f}" for value in values))


def _as_text(truth: Sequence[Mapping[str, str]], people: Sequence[LeftOut], lines: int | None = None) -> str:
    return "\n".join(evaluate.as_text(_scored(truth, people)).splitlines()[:lines])


def _scored(truth: Sequence[Mapping[str, str]], people: Sequence[LeftOut]) -> list[evaluate.Scored]:
    return [
        evaluate.Scored(truth[one.person], conclude(one.measured, one.request), skin=truth[one.person]["skin"])
        for one in people
    ]


def measure_left_out(
    truth: Sequence[Mapping[str, str]], rows: Mapping[Frame, Rows], variant: str = "plain", *, with_sex: bool = False
) -> list[LeftOut]:
    """Every person, as often as the cross-validation is repeated."""
    found = []
    whole = {frame: fit_frame(rows[frame], truth, frame) for frame in (Frame.FULL, Frame.TO_KNEES)}
    for repeat in range(REPEATS):
        fold = folds(len(truth), repeat)
        for frame, cropped in ((Frame.FULL, False), (Frame.TO_KNEES, True)):
            table = rows[frame]
            for number in range(FOLDS):
                left_out = fold[table.people] == number
                girths, shoulder = fit_regressions(table, truth, frame, ~left_out)
                stretch = None if cropped else fit_stretch(table, ~left_out)
                model = {frame: replace(whole[frame], girths=girths, shoulder=shoulder, stretch=stretch)}
                for i in np.flatnonzero(left_out):
                    if table.kinds[i] != (variant, cropped):
                        continue
                    person = truth[table.people[i]]
                    sex = {"F": Sex.FEMALE, "M": Sex.MALE}[person["sex"]] if with_sex else None
                    request = EstimateRequest(height_cm=float(person["height_cm"]), sex=sex)
                    measured = measure_features(table.values[i], frame, request, doubt=table.doubts[i], model=model)
                    found.append(LeftOut(int(table.people[i]), measured, request))
    return found


def print_recalibration(truth: Sequence[Mapping[str, str]], people: Sequence[LeftOut]) -> None:
    """Whether the confidence would mean more with all standard errors times a factor, chosen on other people.

    Judged by the logarithm of the probability that the true size was given.
    """
    surprise = np.array([[_log_probability(truth, one, factor) for factor in FACTORS] for one in people])
    fold = folds(len(truth), 0)[[one.person for one in people]]
    chosen = [int(surprise[fold != number].mean(axis=0).argmax()) for number in range(FOLDS)]
    nested = np.mean([surprise[i, chosen[number]] for i, number in enumerate(fold)])
    print("mean log-probability of the true size with all standard errors times a factor")
    print("; ".join(f"{factor:.2f} {value:.4f}" for factor, value in zip(FACTORS, surprise.mean(axis=0), strict=True)))
    print(f"factors chosen without each fold: {', '.join(f'{FACTORS[i]:.2f}' for i in chosen)}; with them {nested:.4f}")


def _log_probability(truth: Sequence[Mapping[str, str]], one: LeftOut, factor: float) -> float:
    chart = one.request.size_chart
    spread = one.measured.covariance[:3, :3] * factor**2
    probability = chart.probabilities(one.measured.mean[:3], spread)[chart.names.index(truth[one.person]["size"])]
    return float(np.log(max(probability, LEAST_PROBABILITY)))


def print_statement_scores(model: FrameModel) -> None:
    """What a stated weight and sex are worth on real bodies, as if the photo erred on them as on rendered ones.

    The statistics of bodies hold these rows, too, as 1 of 3 of its own; what that flatters is small (34 numbers a sex
    from 2000 people).
    """
    table, sexes = read_ansur()
    rng = np.random.default_rng(SEED)
    people = rng.permutation(len(sexes))[:SIMULATED]
    names = (*bodies.GIRTHS, "biacromialbreadth_cm")
    truth = np.stack([table[name][people] for name in names], axis=1) / [1, bodies.NAVEL_OVER_NATURAL_WAIST, 1, 1]
    told = table[bodies.WEIGHT][people] * np.exp(rng.normal(0, TRUE_WEIGHT_ERROR, SIMULATED))
    print(f"photo's errors put on {SIMULATED} ANSUR rows: mean absolute errors after what is stated, cm")
    for doubt in (1.0, 2.0):
        covariance = model.covariance * doubt**2
        seen = np.log(truth) + rng.multivariate_normal(np.zeros(4), covariance, SIMULATED)
        for weight, sex in ((False, False), (False, True), (True, False), (True, True)):
            guesses = [
                bodies.with_statements(
                    seen[i],
                    covariance,
                    float(table[bodies.STATURE][one]),
                    float(told[i]) if weight else None,
                    sexes[one] if sex else None,
                )[0]
                for i, one in enumerate(people)
            ]
            found = np.exp(guesses if weight or sex else seen)
            label = " and ".join(name for name, said in (("weight", weight), ("sex", sex)) if said) or "nothing"
            errors = np.abs(found - truth).mean(axis=0)
            print(f"errors x {doubt:.0f}, {label:16}" + "".join(f"{error:8.2f}" for error in errors))


def read_ansur() -> tuple[dict[str, Array], list[Sex]]:
    with gzip.open(DATA / "ansur2.csv.gz", "rt", newline="") as file:
        return evaluate.read_ansur(file)


def fit_populations(table: Mapping[str, Array], sexes: Sequence[Sex]) -> dict[Sex, Population]:
    logs = np.log(np.stack([table[name] for name in bodies.COLUMNS], axis=1))
    of = {sex: np.array([one is sex for one in sexes]) for sex in Sex}
    return {sex: Population(logs[mask].mean(axis=0), np.cov(logs[mask].T)) for sex, mask in of.items()}


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
                "script": "sizing/train.py",
                "data": "162 synthetic people (CC0), sizing/data/truth.csv and features.csv.gz",
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
                "script": "sizing/train.py",
                "data": "ANSUR II (2012, public domain), a fixed 70 % sample: sizing/data/ansur2.csv.gz",
                "people": len(sexes),
            },
            "columns": list(bodies.COLUMNS),
            "populations": {
                sex.value: {
                    "mean": np.round(population.mean, 6).tolist(),
                    "covariance": np.round(population.covariance, 9).tolist(),
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
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
