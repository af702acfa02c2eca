"""The figures of an evaluation, from answers made up for it."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from wearon.sizing import bodies
from wearon.sizing.bodies import populations
from wearon.sizing.estimate import conclude
from wearon.sizing.evaluate import Scored, ansur_as_text, as_text, evaluate_ansur, groups, summarise
from wearon.sizing.measure import Measured
from wearon.sizing.report import render_report
from wearon.sizing.request import EstimateRequest

TRUTH = {"image": "a.jpg", "chest_cm": "96", "waist_cm": "80", "hip_cm": "90", "shoulder_cm": "40", "size": "M"}


def _scored(chest: float, sex: str = "F", error: float = 3.0, **truth: str) -> Scored:
    measured = Measured(np.array([chest, 80.0, 90.0, 40.0]), np.diag([error**2] * 4), 1.0, 0.0)
    return Scored({**TRUTH, "sex": sex, **truth}, conclude(measured, EstimateRequest(height_cm=170)))


SCORED = [
    _scored(96, error=1),
    _scored(98, error=1),
    _scored(103, sex="M"),
    _scored(115, sex="M", error=1),
    Scored({**TRUTH, "sex": "M"}, None, "no_person"),
]


def test_figures() -> None:
    summary = summarise(SCORED)
    assert (summary.pictures, summary.answered) == (5, 4)
    assert summary.mean_absolute_errors[0] == pytest.approx((0 + 2 + 7 + 19) / 4)
    assert summary.biases[0] == pytest.approx(7)
    assert summary.exact == 0.5
    assert summary.within_one == 0.75
    assert summary.covered == 0.75  # the third's range reaches down to M, the fourth's does not
    assert sum(count for _, _, count in summary.calibration) == 4


def test_calibration_is_the_distance_between_what_was_said_and_what_was_right() -> None:
    summary = summarise([_scored(96, error=0.5)] * 3)
    assert summary.calibration_gap == pytest.approx(0, abs=0.01)
    summary = summarise([_scored(96, error=0.5, size="L")] * 3)
    assert summary.calibration_gap == pytest.approx(1, abs=0.01)


def test_what_chance_alone_makes_of_the_calibration_gap() -> None:
    estimate = _scored(98, error=4).estimate
    assert estimate is not None
    rng = np.random.default_rng(6)
    summaries = []
    for _ in range(200):
        sizes = np.where(rng.random(60) < estimate.confidence, str(estimate.recommended_size), "XXL")
        people = [Scored({**TRUTH, "image": str(i), "size": size}, estimate) for i, size in enumerate(sizes.tolist())]
        summaries.append(summarise(people))
    by_chance = summaries[0].gap_by_chance
    assert np.mean([summary.calibration_gap for summary in summaries]) == pytest.approx(by_chance, rel=0.1)
    assert summarise(people * 5).gap_by_chance == pytest.approx(by_chance)  # the same people again are no new ones


def test_groups_by_what_the_truth_names() -> None:
    assert {name: len(group) for name, group in groups(SCORED).items()} == {
        "all": 5, "sex F": 2, "sex M": 3, "size M": 5,
    }  # fmt: skip
    assert "sex F" in as_text(SCORED)


def test_a_folder_in_which_nobody_could_be_measured_is_told_as_such() -> None:
    assert as_text(SCORED[-1:]) == "none of 1 pictures was answered"
    assert "no_person" in render_report(SCORED[-1:])


def test_the_report_is_one_page_that_needs_nothing_else() -> None:
    page = render_report(SCORED)
    assert page.startswith("<!doctype html>")
    assert page.count("data:image/png;base64,") == 3
    assert "a.jpg: no_person" in page
    assert "http" not in page


def test_a_file_that_is_not_ansurs_names_the_columns_that_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("stature_cm,sex\n170,F\n")
    with pytest.raises(KeyError, match=r"weightkg, .*waistbreadth_cm") as error:
        evaluate_ansur(tmp_path / "rows.csv")
    assert "stature_cm" not in str(error.value)


def test_ansur_rows(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    lines = [",".join([*bodies.COLUMNS, "sex"])]
    for sex, population in populations().items():
        people = np.exp(generator.multivariate_normal(population.mean, population.covariance, 150))
        lines += [",".join([*(f"{value:.2f}" for value in person), sex[0].upper()]) for person in people]
    plain, packed = tmp_path / "rows.csv", tmp_path / "rows.csv.gz"
    plain.write_text("\n".join(lines))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    scored = evaluate_ansur(plain)
    errors = {case: np.abs(scored.errors(case)).mean() for case in scored.guesses}
    assert errors["with weight"] < errors["breadths and height"] < 3
    assert ansur_as_text(scored) == ansur_as_text(evaluate_ansur(packed))
    assert "Girth model" in render_report(ansur=scored)
