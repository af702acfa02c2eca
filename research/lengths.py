"""Fit inseam and sleeve, and say how wrong they are on people they have not seen.

    uv run python research/lengths.py

Reads research/data: ANSUR's rows (ansur2.csv.gz; its sleeves are from join_sleeves.py) for what goes with girths and
stature, and the synthetic people's pictures (views.csv.gz and people.csv) for what a photo says of the inseam. Writes
src/wearon/sizing/lengths.json. The synthetic people's truth has the level of the crotch, but no arm: a sleeve has been
checked without a photo only. Same inputs, same numbers.
"""

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from tables import Table, population, read_packed, read_people, read_table
from views import SCALES, Process, left_out_views

from wearon.sizing import evaluate, legs
from wearon.sizing.bodies import GIRTHS, STATURE
from wearon.sizing.legs import Legs
from wearon.sizing.lengths import LENGTHS, Regression, with_lengths
from wearon.sizing.lengths import regressions as regressions_as_shipped
from wearon.sizing.measure import Front, combine
from wearon.sizing.reader import Linear
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.silhouette import Array

SEED = 20261130
FOLDS = 9
RIDGE = 50.0
"""Of the standardised features: 10 to 100 are as good."""

SURVEYED = ("crotchheight_cm", "sleeveoutseam_cm")
"""ANSUR's names of LENGTHS."""
KNOWN = (*GIRTHS, "biacromialbreadth_cm", STATURE)
FEATURES = (
    r".*_down|trunk_long|toes_below|camera_tilt|fills_picture|.*_in_picture|.*_deep|bones_.*|.*_at|.*_long|.*_apart|"
    r"shoulder_joints|mouth|legs_.*|hip|seat|hip_joints|waist|thighs|skirt|yaw2"
)
"""Joints, limbs, the camera, and how broad hips and legs are; trunk and arms by level add nothing."""

Regressions = Mapping[Sex | None, Regression]


def main() -> None:
    table, sexes = read_survey()
    regressions = fit_regressions(table, sexes)
    people = read_people()
    pictures = read_table("front", people)
    process = Process("front", pictures)
    open_ = left_open(process, regressions)
    guesses = cross_validated(pictures, open_)
    fitted = {
        "provenance": {
            "script": "research/lengths.py",
            "data": "ANSUR II (research/data/ansur2.csv.gz); 312 synthetic people (CC0), views.csv.gz and people.csv",
        },
        "regressions": {
            sex.value if sex else "all": {
                "constant": np.round(one.constant, 6).tolist(),
                "gain": np.round(one.gain, 6).tolist(),
                "covariance": np.round(one.covariance, 9).tolist(),
            }
            for sex, one in regressions.items()
        },
        "legs": fit_legs(pictures, open_, guesses),
    }
    legs.FILE.write_text(json.dumps(fitted, separators=(",", ":")) + "\n")
    regressions_as_shipped.cache_clear()
    print_survey(table, sexes)
    print_pictures(people, process, guesses, stays(pictures, open_, guesses))


def read_survey() -> tuple[dict[str, Array], list[Sex]]:
    rows = read_packed("ansur2.csv.gz")
    table = {name: np.array([float(row[name]) for row in rows]) for name in (*KNOWN, *SURVEYED, "weightkg")}
    return table, [evaluate.SEXES[row["sex"]] for row in rows]


def fit_regressions(table: Mapping[str, Array], sexes: Sequence[Sex]) -> Regressions:
    """Least squares; of those who do not say their sex, half are taken to be women."""
    known, wanted = (np.log(np.stack([table[name] for name in names], axis=1)) for names in (KNOWN, SURVEYED))
    rows = np.column_stack([np.ones(len(known)), known])
    found: dict[Sex | None, Regression] = {}
    for sex in (*Sex, None):
        share = np.array([sexes.count(one) if sex is None else float(one is sex) for one in sexes], np.float64)
        weights = np.divide(1.0, share, out=np.zeros(len(share)), where=share > 0)
        root = np.sqrt(weights)[:, None]
        fit = np.linalg.lstsq(rows * root, wanted * root, rcond=None)[0]
        off = wanted - rows @ fit
        found[sex] = Regression(fit[0], fit[1:].T, (off * weights[:, None]).T @ off / weights.sum())
    return found


def left_open(process: Process, regressions: Regressions) -> Array:
    """What of each picture's inseam, in logarithms, its girths and the stature leave open; read without its person."""
    everybody, guesses = population(process.table.rows), process.left_out(SCALES["front"])[~process.own]
    errors = process.fit(SCALES["front"]).errors
    found = []
    for guess, kind, row in zip(guesses, process.kinds, process.table.rows, strict=True):
        request = EstimateRequest(float(row["height_cm"]))
        said = everybody.unmixed(guess, (1 - kind) * errors[0] + kind * errors[1])
        whole = with_lengths(combine(Front(said, 0.0, 0.0), None, request), request, model=regressions)
        found.append(np.log(float(row["crotch_level_cm"]) / whole.of(LENGTHS[:1])[0][0]))
    return np.array(found)


def line(values: Array, wanted: Array) -> Array:
    """Constant and slopes."""
    rows = np.column_stack([np.ones(len(values)), values])
    ridge = RIDGE * np.eye(rows.shape[1])
    ridge[0, 0] = 0
    return np.asarray(np.linalg.solve(rows.T @ rows + ridge, rows.T @ wanted))


def cross_validated(pictures: Table, wanted: Array) -> Array:
    """Best guesses of what is left open, from other people's pictures."""
    values = pictures.standard()[0][:, pictures.columns(FEATURES)]
    folds, found = pictures.folds(SEED, FOLDS), np.empty(len(values))
    for number in range(FOLDS):
        out = folds == number
        fit = line(values[~out], wanted[~out])
        found[out] = fit[0] + values[out] @ fit[1:]
    return found


def stays(pictures: Table, wanted: Array, guesses: Array) -> float:
    """Share of the variance that the best guesses leave."""
    return float(np.mean((guesses - wanted)[pictures.seen] ** 2) / np.mean(wanted[pictures.seen] ** 2))


def fit_legs(pictures: Table, wanted: Array, guesses: Array) -> dict[str, object]:
    standard, centre, scale = pictures.standard()
    columns = pictures.columns(FEATURES)
    fit = line(standard[:, columns], wanted)
    names = tuple(pictures.names[column] for column in columns)
    told = Linear(names, centre[columns], scale[columns], fit[1:], float(fit[0]))
    return {"line": told.to_json(), "open": round(stays(pictures, wanted, guesses), 3)}


def print_survey(table: Mapping[str, Array], sexes: Sequence[Sex]) -> None:
    """Through the code as it runs, with regressions that have not seen the person."""
    fold = np.random.default_rng(SEED).permutation(len(sexes)) % FOLDS
    models = []
    for number in range(FOLDS):
        kept = fold != number
        models.append(
            fit_regressions(
                {name: column[kept] for name, column in table.items()},
                [sex for sex, keep in zip(sexes, kept, strict=True) if keep],
            )
        )
    print(f"ANSUR II, {len(sexes)} people, {FOLDS}-fold: mean absolute error in cm, within one standard error")
    cases: dict[str, Callable[[int], EstimateRequest]] = {
        "height": lambda i: EstimateRequest(table[STATURE][i]),
        "height, sex": lambda i: EstimateRequest(table[STATURE][i], None, sexes[i]),
        "height, weight": lambda i: EstimateRequest(table[STATURE][i], table["weightkg"][i]),
        "height, weight, sex": lambda i: EstimateRequest(table[STATURE][i], table["weightkg"][i], sexes[i]),
    }
    truth = np.stack([table[name] for name in SURVEYED], axis=1)
    for label, asked in cases.items():
        found = []
        for i in range(len(sexes)):
            request = asked(i)
            whole = with_lengths(combine(None, None, request), request, model=models[fold[i]])
            found.append([*whole.of(LENGTHS)[0], *np.sqrt(np.diag(whole.of(LENGTHS)[1]))])
        print_errors(label, np.array(found), truth)


def print_pictures(people: Sequence[dict[str, str]], process: Process, guesses: Array, open_: float) -> None:
    """The inseam of synthetic people left out of both the girths' reader and the legs' line."""
    pictures = process.table
    said = left_out_views(process, process.fit(SCALES["front"]), population(people))
    seen = {
        pictures.rows[i]["set"] + pictures.rows[i]["image"]: Legs(float(guesses[i]), open_)
        for i in np.flatnonzero(pictures.seen)
    }
    print("synthetic people: the inseam alone")
    for kind in ("clean", "phones"):
        for label, photo, weight, told in (
            ("height", False, False, False),
            ("front, legs unread", True, False, False),
            ("front", True, False, True),
            ("weight, sex", False, True, False),
            ("front, weight, sex", True, True, True),
        ):
            found, truth = [], []
            for person in people:
                name = person["set"] + person["image"]
                if person["set"] != kind or name not in said or (weight and not person["weight_kg"]):
                    continue
                request = EstimateRequest(
                    float(person["height_cm"]),
                    float(person["weight_kg"]) if weight else None,
                    evaluate.SEXES[person["sex"]] if weight else None,
                )
                front = Front(said[name], 0.0, 0.0) if photo else None
                whole = with_lengths(combine(front, None, request), request, seen[name] if told else None)
                mean, covariance = whole.of(LENGTHS[:1])
                found.append([*mean, *np.sqrt(np.diag(covariance))])
                truth.append([float(person["crotch_level_cm"])])
            if found:
                print_errors(f"{kind}: {label}", np.array(found), np.array(truth))


def print_errors(label: str, found: Array, truth: Array) -> None:
    count = truth.shape[1]
    off, errors = found[:, :count] - truth, found[:, count:]
    line = "".join(
        f"  {name:10}{one.mean():6.2f}{bias:+7.2f}{held:7.3f}"
        for name, one, bias, held in zip(
            LENGTHS, np.abs(off).T, off.mean(axis=0), (np.abs(off) < errors).mean(axis=0), strict=False
        )
    )
    print(f"{label:28}{len(truth):5}{line}", flush=True)


if __name__ == "__main__":
    main()
