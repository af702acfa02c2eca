"""Fit the readers of views from the front and the side, and say how wrong they are on people they have not seen.

    uv run python research/views.py [--search]

Reads research/data (views.csv.gz, people.csv and renders.csv.gz, see extract_views.py), writes
src/wearon/sizing/views.json, and prints tables of all kinds of pictures. Every figure is of people left out: of a
Gaussian process that answer has a closed form, so each person is left out alone. `--search` looks for better scales of
the groups of features, by the likelihood of the errors on people left out, and prints them: if you agree, write them
into SCALES. Same inputs, same numbers.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tables import Table, population, read_people, read_renders, read_table

from wearon.sizing import evaluate, reader
from wearon.sizing.coach import DOUBT, READ
from wearon.sizing.estimate import conclude
from wearon.sizing.measure import Front, combine
from wearon.sizing.reader import FARTHEST, Linear, Observation, People, Reader, readers
from wearon.sizing.request import EstimateRequest
from wearon.sizing.silhouette import Array
from wearon.sizing.warnings import WarningCode

SEED = 20261129
FOLDS = 10
"""Of the gate alone: what it says of a picture must come from people other than its own."""
GATE_RIDGE = 0.1
"""Of the standardised features' weights, a feature: tried 0.03 to 0.3, the likelihood is the same."""
DOUBT_RIDGE = 40.0
LEAST_SPREAD = 0.005
"""Standard deviation below which a feature is the same in all pictures."""
LEAST_ERROR = 0.15
"""Variance of a kind's errors over that of all pictures', in any direction, at least."""

GROUPS = {
    "front": {
        "lengths": r"chest|ribs|waist|narrowest|hip_joints|hip|seat|thighs|upper_arms|deltoids|shoulder|ears|hip_span|"
        r"upper_arm|forearm|hem|arms_close|yaw2|camera_tilt|nose_at|shoulders_at|hips_at|knees_at",
        "trunk": r"trunk_\d+",
        "outer": r"outer_\d+",
        "hidden": r"hidden_.*|joined_waist",
        "legs": r"legs_\d+",
        "bones": r"bones_.*",
        "joints": r".*_apart|shoulder_joints|mouth|.*s_long",
    },
    "side": {
        "depth": r"(front|back)_\d+",
        "parts": r"(chest|waist|hip|belly)_(least|most|deep)",
        "legs": r"legs_\d+",
        "bones": r"bones_.*",
        "joints": r".*_apart|shoulder_joints|mouth|.*s_long",
        "places": r".*_down|trunk_long|toes_below",
        "posture": r"(elbow|wrist|knee|ankle|heel|head|nose)_(front|back)|lean|.*_turned|hem_.*",
    },
}
"""Which features a group holds: those of a group are as telling as one another."""
GATE_ONLY = (
    r".*_down|trunk_long|toes_below|.*_deep|edge_soft|area|folds_.*|brightness|bulge|skirt|(elbow|wrist)_.*er|"
    r"least_visible"
)
"""Features by which the front's gate tells the kinds apart, besides all of the above."""
DOUBTS = {
    "front": ("hidden_waist", "hidden_hips", "hem", "skirt", "bulge", "yaw2"),
    "side": ("shoulders_turned", "lean", "wrist_front", "elbow_front", "edge_soft"),
}

SCALES: dict[str, dict[str, float]] = {
    "front": {
        "line lengths": 1.143, "line trunk": 0.2857, "line outer": 0.01786, "line hidden": 0.1429,
        "line legs": 0.2857, "line bones": 2.286, "line joints": 0.03571, "reach lengths": 0.2857,
        "reach trunk": 1.143, "reach outer": 0.2857, "reach hidden": 0.2857, "reach legs": 0.2857,
        "reach bones": 0.00446, "reach joints": 0.01786, "bend": 0.5, "noise": 0.4, "person": 0.05, "picture": 0.05,
        "clean": 0.075, "shared": 0.5, "apart": 2.4, "own": 0.8, "own noise": 0.8,
    },
    "side": {
        "line depth": 0.2857, "line parts": 0.1429, "line legs": 0.01786, "line bones": 0.1429,
        "line joints": 0.1429, "line places": 0.03571, "line posture": 0.2857, "reach depth": 1.143,
        "reach parts": 0.00446, "reach legs": 0.00223, "reach bones": 0.00446, "reach joints": 0.1429,
        "reach places": 0.00446, "reach posture": 0.1429, "bend": 0.5, "noise": 0.2, "person": 0.05, "picture": 0.05,
        "clean": 1, "shared": 1, "apart": 0, "own": 0.8, "own noise": 0.8,
    },
}  # fmt: skip
"""Found by --search, but for "own" and "own noise", which were the best of 0.5, 0.8, 0.95 by 0.4, 0.8: how much our own
renders say of others' pictures, and the variance of what is left open in ours."""
OWN_APART = 0.5
"""Variance of what differs throughout between both makers' pictures."""


class Process:
    """The Gaussian process of one view, without any person in turn."""

    def __init__(self, view: str, table: Table) -> None:
        self.view, self.table = view, table
        self.groups = {group: table.columns(pattern) for group, pattern in GROUPS[view].items()}
        standard, self.centre, self.scale = table.standard()
        self.used = sorted(number for columns in self.groups.values() for number in columns)
        self.renders = renders = read_renders(view, table)
        standard = self.standard = np.concatenate([standard, renders.like(self.centre, self.scale)])
        self.own = np.arange(len(standard)) >= len(table.rows)
        self.lines, self.distances = {}, {}
        for group, columns in self.groups.items():
            part = standard[:, columns]
            products = part @ part.T
            squares = np.diag(products)
            self.lines[group] = products / len(columns)
            self.distances[group] = np.maximum(squares[:, None] + squares - 2 * products, 0) / len(columns)
        people = np.concatenate([table.people, renders.people])
        self.same_person = (people[:, None] == people).astype(float)
        pictures = np.array([row["set"] + row["image"] for row in [*table.rows, *renders.rows]])
        self.same_picture = (pictures[:, None] == pictures).astype(float)
        self.middle, self.spread = table.targets.mean(axis=0), table.targets.std(axis=0)
        self.wanted = (np.concatenate([table.targets, renders.targets]) - self.middle) / self.spread
        self.gate: Linear | None = None
        self.kinds = table.phones
        if view == "front":
            self.gate, self.kinds = fit_gate(table, self.used)
        self.all_kinds = np.concatenate([self.kinds, renders.phones])
        self.blocks = [np.flatnonzero(people == person) for person in np.unique(people)]

    def kernel(self, scales: Mapping[str, float]) -> Array:
        line = sum(scales[f"line {group}"] * part for group, part in self.lines.items())
        far = sum(scales[f"reach {group}"] * part for group, part in self.distances.items())
        alike = np.outer(self.all_kinds, self.all_kinds) + np.outer(1 - self.all_kinds, 1 - self.all_kinds)
        near = line + scales["bend"] * np.exp(-0.5 * np.asarray(far))
        noise = np.where(self.own, scales["own noise"], scales["noise"])
        noise[: len(self.table.rows)] *= np.where(self.table.phones > 0, 1.0, scales["clean"])
        same_maker = self.own[:, None] == self.own
        return np.asarray(
            (near * (scales["shared"] + (1 - scales["shared"]) * alike) + scales["apart"] * alike)
            * np.where(same_maker, 1.0, scales["own"])
            + OWN_APART * same_maker
            + scales["person"] * self.same_person
            + scales["picture"] * self.same_picture
            + np.diag(noise)
        )

    def left_out(self, scales: Mapping[str, float]) -> Array:
        """Best guesses of each row without its person, our own renders last."""
        inverse, wanted = np.linalg.inv(self.kernel(scales)), self.wanted
        pulls, found = inverse @ wanted, np.empty_like(wanted)
        for block in self.blocks:
            found[block] = wanted[block] - np.linalg.solve(inverse[np.ix_(block, block)], pulls[block])
        return np.asarray(found * self.spread + self.middle)

    def errors(self, scales: Mapping[str, float]) -> Array:
        """Of those guesses, but for our own renders."""
        return np.asarray(self.left_out(scales)[~self.own] - self.table.targets)

    def likelihood(self, scales: Mapping[str, float]) -> float:
        """Of the girths' errors on people left out, a row, for the likeliest covariance of each kind."""
        off = self.errors(scales)[:, :3] / self.spread[:3]
        total = 0.0
        for kind in np.unique(self.table.phones):
            part = off[self.table.phones == kind]
            total -= 0.5 * len(part) * float(np.linalg.slogdet(part.T @ part / len(part))[1])
        return total / len(off)

    def search(self, scales: Mapping[str, float], sweeps: int = 2) -> dict[str, float]:
        """One scale after the other, by factors of 2 and 4."""
        best, found = self.likelihood(scales), dict(scales)
        for _ in range(sweeps):
            for name in found:
                for factor in (0.25, 0.5, 2.0, 4.0):
                    tried = {**found, name: found[name] * factor}
                    if tried["shared"] > 1:
                        continue
                    score = self.likelihood(tried)
                    if score > best + 1e-4:
                        best, found = score, tried
            print(f"{self.view}: {best:.4f}", flush=True)
        return found

    def fit(self, scales: Mapping[str, float]) -> Reader:
        pulls = np.linalg.solve(self.kernel(scales), self.wanted)
        middle = self.middle + self.spread * OWN_APART * pulls[~self.own].sum(axis=0)
        pulls[self.own] *= scales["own"]
        line, reach = np.zeros(len(self.table.names)), np.zeros(len(self.table.names))
        for group, columns in self.groups.items():
            line[columns] = scales[f"line {group}"] / len(columns)
            reach[columns] = scales[f"reach {group}"] / len(columns)
        off = self.errors(scales)
        kinds = np.stack([1 - self.kinds, self.kinds])
        kinds = kinds if self.gate else np.ones_like(kinds)
        errors = mixed_errors(kinds, off)
        doubt = fit_doubt(
            self.table, DOUBTS[self.view], off, np.einsum("kn,kij->nij", kinds / kinds.sum(axis=0), errors)
        )
        used = self.used
        return Reader(
            features=tuple(self.table.names[number] for number in used),
            centre=self.centre[used], scale=self.scale[used],
            line=line[used], reach=reach[used], bend=scales["bend"], examples=self.standard[:, used],
            kinds=self.all_kinds,
            pulls=pulls, shared=scales["shared"], apart=scales["apart"], middle=middle, spread=self.spread,
            errors=errors, gate=self.gate, doubt=doubt,
        )  # fmt: skip


def mixed_errors(kinds: Array, off: Array) -> Array:
    """Covariances of a clean and of a phone's picture whose mixtures by `kinds` (2, n) go with the errors (n, 4) best.

    Least squares on the products of errors; no direction of either may be much surer than of all together.
    """
    products = np.einsum("ni,nj->nij", off, off).reshape(len(off), -1)
    if np.ptp(kinds[1]) == 0:
        return np.repeat(products.mean(axis=0).reshape(1, 4, 4), 2, axis=0)
    found = np.linalg.lstsq(kinds.T, products, rcond=None)[0].reshape(2, 4, 4)
    whole = np.linalg.cholesky(products.mean(axis=0).reshape(4, 4))
    inverse = np.linalg.inv(whole)
    for number, one in enumerate(found):
        values, vectors = np.linalg.eigh(inverse @ one @ inverse.T)
        found[number] = whole @ (vectors * np.maximum(values, LEAST_ERROR)) @ vectors.T @ whole.T
    return np.asarray(found)


def fit_gate(table: Table, used: Sequence[int]) -> tuple[Linear, Array]:
    """A line that tells the kinds apart, as a logit; and the kind of each row by a line fitted without its person."""
    told = {*used, *table.columns(GATE_ONLY)}
    columns = sorted(column for column in told if table.values[:, column].std() > LEAST_SPREAD)
    values = table.values[:, columns]
    centre, scale = values.mean(axis=0), values.std(axis=0) + 1e-4
    standard = np.clip((values - centre) / scale, -FARTHEST, FARTHEST)
    folds, found = table.folds(SEED, FOLDS), np.empty(len(standard))
    for number in range(FOLDS):
        out = folds == number
        found[out] = standard[out] @ _line(standard[~out], table.phones[~out])
    slope, constant = _logit(found, table.phones)
    names = tuple(table.names[number] for number in columns)
    gate = Linear(names, centre, scale, slope * _line(standard, table.phones), constant)
    return gate, _logistic(slope * found + constant)


def _line(rows: Array, wanted: Array) -> Array:
    ridge = GATE_RIDGE * rows.shape[1] * np.eye(rows.shape[1])
    return np.asarray(np.linalg.solve(rows.T @ rows + ridge, rows.T @ (wanted - wanted.mean())))


def _logit(line: Array, wanted: Array) -> tuple[float, float]:
    """Slope and constant of the logistic regression on one input."""
    rows, weights = np.stack([line, np.ones(len(line))], axis=1), np.zeros(2)
    for _ in range(30):
        said = _logistic(rows @ weights)
        curvature = (rows * (said * (1 - said))[:, None]).T @ rows
        weights = weights + np.linalg.solve(curvature, rows.T @ (wanted - said))
    return float(weights[0]), float(weights[1])


def _logistic(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values)))


def fit_doubt(table: Table, names: Sequence[str], off: Array, errors: Array) -> Linear:
    """How the errors' size goes with some features: the likeliest weights, held near nothing."""
    columns = [table.names.index(name) for name in names]
    values = table.values[:, columns]
    centre, scale = values.mean(axis=0), values.std(axis=0) + 1e-4
    standard = np.clip((values - centre) / scale, -FARTHEST, FARTHEST)
    girths = np.einsum("ni,nij,nj->n", off[:, :3], np.linalg.inv(errors[:, :3, :3]), off[:, :3]) / 3
    weights = np.zeros(len(names))
    for _ in range(200):
        told = np.minimum(girths * np.exp(-2 * (standard @ weights)), 4.0)
        weights = weights + 0.5 / len(told) * (standard.T @ (told - 1) - DOUBT_RIDGE * weights)
    return Linear(tuple(names), centre, scale, weights)


def main(*, search: bool) -> None:
    people = read_people()
    everybody = population(people)
    renders: list[dict[str, str]] = []
    said: dict[str, dict[str, Observation]] = {}
    found: dict[str, object] = {
        "provenance": {
            "script": "research/views.py",
            "data": "1312 synthetic people (CC0), research/data: views.csv.gz, people.csv and renders.csv.gz",
            "detector": "pose_landmark_full of mediapipe 0.10.21, on pictures decoded to 512 px or a little less",
        },
        "people": {
            name: {"mean": np.round(one.mean, 5).tolist(), "covariance": np.round(one.covariance, 7).tolist()}
            for name, one in {
                "all": everybody,
                **{
                    sex.value: population([p for p in people if p["sex"] == key]) for key, sex in evaluate.SEXES.items()
                },
            }.items()
        },
    }
    for view in ("front", "side"):
        process = Process(view, read_table(view, people))
        if search:
            print(json.dumps(process.search(start(view)), indent=1))
        fitted = process.fit(SCALES[view])
        found[view] = fitted.to_json()
        said[view] = left_out_views(process, fitted, everybody)
        renders = renders or process.renders.rows
    reader.FILE.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    readers.cache_clear()
    for label, case in CASES.items():
        for kind in ("clean", "phones", "renders"):
            scores = scored([*people, *renders], kind, case, said["front"], said["side"])
            print_scores(f"{label}, {kind}", scores)


@dataclass(frozen=True)
class Case:
    """What is sent with the height."""

    front: bool = False
    side: bool = False
    weight: bool = False
    sex: bool = False


CASES = {
    "front": Case(front=True),
    "front and sex": Case(front=True, sex=True),
    "side": Case(side=True),
    "front and side": Case(front=True, side=True),
    "weight and sex": Case(weight=True, sex=True),
    "weight": Case(weight=True),
    "front and weight": Case(front=True, weight=True),
    "front, weight and sex": Case(front=True, weight=True, sex=True),
    "front, side, weight and sex": Case(front=True, side=True, weight=True, sex=True),
}


def left_out_views(process: Process, fitted: Reader, everybody: People) -> dict[str, Observation]:
    """What each picture that an estimate looks at says by itself, to a reader that has not seen its person."""
    guesses = process.left_out(SCALES[process.view])
    found = {}
    for table, of_table in ((process.table, guesses[~process.own]), (process.renders, guesses[process.own])):
        for i in np.flatnonzero(table.seen):
            values = dict(zip(table.names, table.values[i].tolist(), strict=True))
            kind = process.kinds[i] if table is process.table else fitted.kind(values)
            errors = (1 - kind) * fitted.errors[0] + kind * fitted.errors[1]
            said = everybody.unmixed(of_table[i], errors).doubted(float(np.exp(fitted.doubt.value(values))))
            codes = [WarningCode(code) for code in table.warnings[i]]
            doubt = float(np.prod([DOUBT[code] for code in codes if code not in READ]))
            found[table.rows[i]["set"] + table.rows[i]["image"]] = said.doubted(doubt)
    return found


def scored(
    people: Sequence[dict[str, str]],
    kind: str,
    case: Case,
    front: Mapping[str, Observation],
    side: Mapping[str, Observation],
) -> list[evaluate.Scored]:
    """Every picture of a kind for which the case can be tried."""
    found = []
    for person in people:
        name = person["set"] + person["image"]
        if person["set"] != kind or (case.weight and not person["weight_kg"]) or (case.side and kind == "clean"):
            continue
        request = EstimateRequest(
            float(person["height_cm"]),
            float(person["weight_kg"]) if case.weight else None,
            evaluate.SEXES[person["sex"]] if case.sex else None,
        )
        seen = Front(front[name], 0.0, 0.0) if case.front and name in front else None
        beside = side.get(name) if case.side else None
        if not (seen or beside or case.weight):
            found.append(evaluate.Scored(person, None, "no_person"))
            continue
        estimate = conclude(combine(seen, beside, request), request)
        found.append(evaluate.Scored(person, estimate, skin=person["skin"]))
    return found


def print_scores(label: str, scores: Sequence[evaluate.Scored]) -> None:
    if scores:
        print(label)
        print(evaluate.as_text(scores), flush=True)


def start(view: str) -> dict[str, float]:
    """Where a search begins."""
    groups = GROUPS[view]
    scales = {f"line {group}": 1.0 / len(groups) for group in groups}
    scales |= {f"reach {group}": 1.0 / len(groups) for group in groups}
    scales |= {"bend": 0.5, "noise": 0.2, "person": 0.05, "picture": 0.05, "clean": 0.3, "shared": 0.5, "apart": 0.3}
    return scales


if __name__ == "__main__":
    main(search="--search" in sys.argv)
