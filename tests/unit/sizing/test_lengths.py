"""Inseam, sleeve and underbust beside the girths."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from wearon.sizing.chart import SizeChart
from wearon.sizing.estimate import conclude, without_photo
from wearon.sizing.legs import Legs
from wearon.sizing.lengths import LENGTHS, UNDERBUST, with_lengths
from wearon.sizing.measure import MEASURES, Measured, combine
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.result import Question

ANSUR = Path(__file__).parents[3] / "research/data/ansur2.csv.gz"
REQUESTS = [EstimateRequest(height, 72, sex) for height in (101.0, 172.0, 249.0) for sex in (*Sex, None)]


def _whole(request: EstimateRequest, legs: Legs | None = None) -> Measured:
    return with_lengths(combine(None, None, request), request, legs)


@pytest.mark.parametrize("request_", [*REQUESTS, EstimateRequest(172)])
@pytest.mark.parametrize("legs", [None, Legs(0.05, 0.8)])
def test_the_girths_stay_as_they_were_to_the_last_bit(request_: EstimateRequest, legs: Legs | None) -> None:
    girths, whole = combine(None, None, request_), _whole(request_, legs)
    mean, covariance = whole.of(MEASURES)
    assert (mean == girths.mean).all()
    assert (covariance == girths.covariance).all()
    np.linalg.cholesky(whole.covariance)


def test_lengths_are_as_good_as_their_errors_say_on_the_survey_s_people() -> None:
    with gzip.open(ANSUR, "rt", newline="") as file:
        people = list(csv.DictReader(file))[::8]
    off, errors = [], []
    for person in people:
        sex = Sex.FEMALE if person["sex"] == "F" else Sex.MALE
        request = EstimateRequest(float(person["stature_cm"]), float(person["weightkg"]), sex)
        mean, covariance = _whole(request).of(LENGTHS)
        off.append(mean - [float(person["crotchheight_cm"]), float(person["sleeveoutseam_cm"])])
        errors.append(np.sqrt(np.diag(covariance)))
    assert (np.abs(off).mean(axis=0) < (2.0, 1.6)).all()
    assert (np.abs(np.mean(off, axis=0)) < 0.4).all()
    within = (np.abs(off) < np.array(errors)).mean(axis=0)
    assert ((within > 0.62) & (within < 0.78)).all()


def test_lengths_go_together_and_an_underbust_with_the_chest() -> None:
    whole = _whole(EstimateRequest(168, 65, Sex.FEMALE))
    alike = whole.covariance / np.outer(whole.errors, whole.errors)
    row = {name: alike[whole.names.index(name)] for name in (*LENGTHS, UNDERBUST)}
    assert row["inseam_cm"][whole.names.index("sleeve_cm")] > 0.3
    assert row[UNDERBUST][whole.names.index("chest_cm")] > 0.4
    assert abs(row[UNDERBUST][whole.names.index("inseam_cm")]) < 0.2


def test_a_photo_of_long_legs_lengthens_the_sleeve_too_and_a_doubtful_one_does_not() -> None:
    request = EstimateRequest(175, 70, Sex.MALE)
    alone, longer = _whole(request), _whole(request, Legs(0.04, 0.8))
    doubtful = _whole(request, Legs(0.04, 0.8).doubted(1e6))
    for name in LENGTHS:
        (before,), (after,), (same,) = (one.of([name])[0] for one in (alone, longer, doubtful))
        assert after > before + 0.5
        assert same == pytest.approx(before, abs=0.01)
    assert longer.of(["inseam_cm"])[1] < 0.9 * alone.of(["inseam_cm"])[1]


@pytest.mark.parametrize("sex", [Sex.FEMALE, Sex.MALE, None])
def test_the_answer_names_what_callers_know_and_the_rest_beside_it(sex: Sex | None) -> None:
    answer = without_photo(EstimateRequest(170, 68, sex)).model_dump(mode="json")
    assert set(answer["measurements"]) == set(answer["standard_errors"]) == {*MEASURES, "inseam_cm"}
    assert set(answer["more_measurements"]) == ({"sleeve_cm", UNDERBUST} if sex is Sex.FEMALE else {"sleeve_cm"})
    sleeve = answer["more_measurements"]["sleeve_cm"]
    assert 50 < sleeve["value"] < 65
    assert 1 < sleeve["standard_error"] < 3


def _two_parts(garment: str, first: tuple[str, list[float]], second: tuple[str, list[float]]) -> SizeChart:
    """Sizes of two parts, whose upper limits are given; the last of each is open."""
    parts = {
        key: [{"name": f"{column}{at}", column: {"max": limit}} for at, limit in enumerate([*limits, 300])]
        for key, (column, limits) in {"sizes": first, "second_sizes": second}.items()
    }
    return SizeChart.model_validate({"garment": garment, **parts})


def test_a_chart_of_waist_and_inseam_gets_the_chances_of_both_together() -> None:
    chart = _two_parts("jeans", ("waist", [84, 89]), ("inseam", [82, 86]))
    request = EstimateRequest(176, 75, Sex.MALE, chart)
    answer, whole = without_photo(request), _whole(request)
    bodies = np.random.default_rng(1).multivariate_normal(*whole.of(["waist_cm", "inseam_cm"]), 200_000)
    waist, inseam = np.searchsorted([84, 89], bodies[:, 0]), np.searchsorted([82, 86], bodies[:, 1])
    for name, chance in answer.size_probabilities.items():
        parts = name.split("/")
        both = (waist == int(parts[0][-1])) & (inseam == int(parts[1][-1]))
        assert chance == pytest.approx(both.mean(), abs=0.02)
    assert not answer.chart_warnings or all(one.code != "column_not_measured" for one in answer.chart_warnings)
    photo = [one.narrows_range_by for one in answer.ask_next if one.ask is Question.IMAGE_URL]
    assert photo == [] or 0 < photo[0] < 9


@pytest.mark.parametrize("sex", [Sex.FEMALE, Sex.MALE, None])
def test_a_bra_chart_decides_by_the_underbust_of_all_but_men(sex: Sex | None) -> None:
    chart = _two_parts("bra", ("underbust", [73, 78]), ("cup", [14, 16]))
    answer = without_photo(EstimateRequest(168, 64, sex, chart))
    unknown = [one.column for one in answer.chart_warnings if one.code == "column_not_measured"]
    assert unknown == (["underbust", "cup"] if sex is Sex.MALE else [])


def test_who_measured_girths_alone_says_nothing_of_lengths() -> None:
    request = EstimateRequest(170, 68)
    answer = conclude(combine(None, None, request), request).model_dump(mode="json")
    assert set(answer["measurements"]) == set(MEASURES)
    assert answer["more_measurements"] == {}
    with pytest.raises(ValueError, match="alone"):
        with_lengths(_whole(request), request)
