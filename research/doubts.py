"""How much larger the errors are when the photo coach finds a fault: what DOUBT in `wearon.sizing.coach` comes from.

    uv run python research/doubts.py

Reads research/data (features.csv.gz and the spoilt pictures of distorted.csv.gz). Every picture is measured by a model
that was fitted without its person. The factors of all codes are fitted together, by the likelihood of the errors under
the model's own covariance, and judged on people left out. Prints the table: if you agree, write it into the coach.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import train

from wearon.sizing.coach import DOUBT
from wearon.sizing.features import Frame
from wearon.sizing.photo_model import FARTHEST
from wearon.sizing.warnings import WarningCode

LARGEST = 4.0
STEPS = np.round(np.arange(1.0, LARGEST + 0.01, 0.05), 2)
SWEEPS = 4
FEWEST = 15
"""Pictures with a code below which its factor is not fitted."""
MEASURES = 4
LEFT_ALONE = ("stretched", "dress", "coat")
"""Spoilt in ways that other means than a factor answer for, or that no code is meant to find."""


@dataclass(frozen=True)
class Case:
    person: int
    variant: str
    codes: tuple[WarningCode, ...]
    distance: float
    """Squared, of the error, in standard errors of the model without any doubt."""


def main() -> None:
    truth = train.read_truth()
    cases = measured(truth, train.read_rows(truth))
    counts = {code: sum(code in case.codes for case in cases) for code in WarningCode}
    fitted = fit(cases, counts)
    print(f"{len(cases)} pictures of {len({case.person for case in cases})} people, plain and spoilt")
    print(f"{'code':26}{'pictures':>9}{'in coach':>9}{'fitted':>8}")
    for code, count in counts.items():
        value = f"{fitted[code]:8.2f}" if code in fitted else "       -"
        print(f"{code:26}{count:9}{DOUBT[code]:9.2f}{value}")
    print("mean log-likelihood of errors of people left out, per picture")
    print(f"no doubt at all {likelihood(cases, {}):8.3f}")
    print(f"as in the coach {likelihood(cases, DOUBT):8.3f}")
    print(f"fitted          {left_out_likelihood(cases, counts, len(truth)):8.3f}")
    print("errors by what was done, in standard errors after the coach's doubt (1 is honest, less is cautious)")
    for variant in dict.fromkeys(case.variant for case in cases):
        part = [case for case in cases if case.variant == variant]
        print(f"{variant:18}{len(part):5}{float(np.sqrt(np.mean([_scaled(case, DOUBT) for case in part]))):8.2f}")


def measured(truth: Sequence[Mapping[str, str]], rows: Mapping[Frame, train.Rows]) -> list[Case]:
    wanted = train.targets(truth)
    fold = train.folds(len(truth), 0)
    cases = []
    for frame, table in rows.items():
        model = train.fit_frame(table, truth, frame)
        for number in range(train.FOLDS):
            left_out = fold[table.people] == number
            girths, shoulder = train.fit_regressions(table, truth, frame, ~left_out)
            for i in map(int, np.flatnonzero(left_out)):
                if not table.is_answered_in(i, frame) or table.kinds[i][0].startswith(LEFT_ALONE):
                    continue
                mean, leverage = girths.predict(table.values[i])
                off = np.append(mean, shoulder.predict(table.values[i])[0]) - wanted[table.people[i]]
                covariance = model.covariance * max(1.0, leverage / model.girths.usual_leverage)
                distance = float(off @ np.linalg.solve(covariance, off))
                codes = tuple(WarningCode(code) for code in table.codes[i])
                cases.append(Case(int(table.people[i]), table.kinds[i][0], codes, distance))
    return cases


def fit(cases: Sequence[Case], counts: Mapping[WarningCode, int]) -> dict[WarningCode, float]:
    """One code after the other, several times over: the factor of the largest likelihood, never below 1."""
    factors = {code: 1.0 for code, count in counts.items() if count >= FEWEST}
    for _ in range(SWEEPS):
        for code in factors:
            of_code = [case for case in cases if code in case.codes]
            scores = [likelihood(of_code, {**factors, code: float(step)}) for step in STEPS]
            factors[code] = float(STEPS[int(np.argmax(scores))])
    return factors


def left_out_likelihood(cases: Sequence[Case], counts: Mapping[WarningCode, int], people: int) -> float:
    fold = train.folds(people, 0)
    total = 0.0
    for number in range(train.FOLDS):
        inside = [case for case in cases if fold[case.person] != number]
        outside = [case for case in cases if fold[case.person] == number]
        total += likelihood(outside, fit(inside, counts)) * len(outside)
    return total / len(cases)


def likelihood(cases: Sequence[Case], factors: Mapping[WarningCode, float]) -> float:
    """Mean over the cases, up to a constant; errors beyond what a normal distribution knows count no further."""
    doubts = np.array([_doubt(case, factors) for case in cases])
    scaled = np.minimum([_scaled(case, factors) for case in cases], MEASURES * FARTHEST**2)
    return float(np.mean(-MEASURES * np.log(doubts) - MEASURES * np.asarray(scaled) / 2))


def _scaled(case: Case, factors: Mapping[WarningCode, float]) -> float:
    return case.distance / MEASURES / _doubt(case, factors) ** 2


def _doubt(case: Case, factors: Mapping[WarningCode, float]) -> float:
    return min(LARGEST, math.prod(factors.get(code, 1.0) for code in case.codes))


if __name__ == "__main__":
    main()
