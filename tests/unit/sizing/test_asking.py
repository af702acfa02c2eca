"""What is asked next, and what it is worth."""

import numpy as np
import pytest

from wearon.sizing.asking import Known, expected_width, questions
from wearon.sizing.chart import DEFAULT_CHART
from wearon.sizing.estimate import without_photo
from wearon.sizing.fitting import Fitting
from wearon.sizing.measure import MEASURES, Measured
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.result import Question
from wearon.sizing.warnings import ADVICE, WarningCode

DEFAULT = Fitting(DEFAULT_CHART, MEASURES)


def _measured(error: float) -> Measured:
    return Measured(np.array([96.0, 84.0, 98.0, 40.0]), np.diag([error**2] * 3 + [4.0]), 0.5, 0.0)


def _known(request: EstimateRequest, **other: object) -> Known:
    usual = {"photo": True, "side": False, "doubt": 1.0, "warnings": (), "hint": None}
    return Known(request, **{**usual, **other})  # type: ignore[arg-type]


def _asked(measured: Measured, known: Known, width: int = 4) -> list[Question]:
    return [one.ask for one in questions(measured, known, DEFAULT, width)]


def test_a_weight_is_asked_for_first_by_an_unsure_photo() -> None:
    asked = _asked(_measured(8.0), _known(EstimateRequest(172)))
    assert asked[:2] == [Question.WEIGHT_KG, Question.SIDE_IMAGE_URL]
    assert Question.RETAKE not in asked


def test_what_is_known_is_not_asked_for() -> None:
    known = _known(EstimateRequest(172, 70, Sex.MALE), side=True)
    assert _asked(_measured(8.0), known) == []


def test_who_is_sure_asks_nothing() -> None:
    assert _asked(_measured(0.5), _known(EstimateRequest(172)), width=1) == []


def test_a_faulty_photo_is_to_be_taken_again_as_the_coach_says() -> None:
    known = _known(EstimateRequest(172, 70), doubt=3.0, warnings=(WarningCode.SITTING,))
    found = {one.ask: one.message for one in questions(_measured(8.0), known, DEFAULT, 4)}
    assert found[Question.RETAKE] == ADVICE[WarningCode.SITTING]


def test_a_photo_that_could_not_be_used_is_to_be_taken_again_and_none_is_to_be_sent() -> None:
    refused = _known(EstimateRequest(172, 70), photo=False, hint="Please stand upright.")
    assert {one.ask: one.message for one in questions(_measured(8.0), refused, DEFAULT, 4)}[
        Question.RETAKE
    ] == refused.hint
    assert Question.IMAGE_URL in _asked(_measured(8.0), _known(EstimateRequest(172, 70), photo=False))


@pytest.mark.parametrize("error", [2.0, 5.0, 9.0])
def test_the_most_useful_comes_first_and_nothing_narrows_below_one_size(error: float) -> None:
    found = questions(_measured(error), _known(EstimateRequest(172)), DEFAULT, 4)
    worth = [one.narrows_range_by for one in found]
    assert worth == sorted(worth, reverse=True)
    assert all(0 < one <= 3 for one in worth)


def test_the_range_is_as_wide_as_before_when_nothing_is_learnt() -> None:
    log, spread = np.log([96.0, 84.0, 98.0, 40.0]), np.diag([0.05**2] * 4)
    same = expected_width(log, spread, spread, DEFAULT)
    better = expected_width(log, spread, spread / 9, DEFAULT)
    assert same == int(same)
    assert better < same


@pytest.mark.parametrize(("height", "weight"), [(162, 65), (162, 70), (175, 75), (150, 52)])
def test_without_a_photo_the_sex_is_worth_what_both_answers_to_it_would_be(height: float, weight: float) -> None:
    def width(sex: Sex | None) -> int:
        answer = without_photo(EstimateRequest(height, weight, sex))
        names = list(answer.size_probabilities)
        assert answer.size_range
        return names.index(answer.size_range.upper) - names.index(answer.size_range.lower) + 1

    worth = width(None) - np.mean([width(sex) for sex in Sex])
    asked = {one.ask: one.narrows_range_by for one in without_photo(EstimateRequest(height, weight)).ask_next}
    assert asked.get(Question.SEX, 0) == pytest.approx(max(worth, 0))
