"""From measurements with errors to an answer."""

import numpy as np
import pytest

from wearon.sizing.chart import SizeChart
from wearon.sizing.estimate import conclude, without_photo
from wearon.sizing.likely import narrowest_range
from wearon.sizing.measure import Measured
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.result import Question, Source
from wearon.sizing.warnings import ADVICE, WarningCode


@pytest.mark.parametrize(
    ("probabilities", "best", "expected"),
    [
        ([0, 0, 0.95, 0.05], 2, (2, 2)),
        ([0, 0.3, 0.6, 0.1], 2, (1, 3)),
        ([0, 0.35, 0.6, 0.05], 2, (1, 2)),
        ([0.3, 0.25, 0.25, 0.2], 0, (0, 3)),
        ([1.0], 0, (0, 0)),
        ([0.5, 0.4, 0.0999999], 0, (0, 2)),
    ],
)
def test_the_range_is_the_shortest_that_is_sure_enough(
    probabilities: list[float], best: int, expected: tuple[int, int]
) -> None:
    assert narrowest_range(probabilities, 0.93, best) == expected


def test_of_two_ranges_as_short_the_likelier_one_is_taken() -> None:
    assert narrowest_range([0.05, 0.47, 0.47, 0.01], 0.5, 1) == (1, 2)
    assert narrowest_range([0.3, 0.4, 0.2, 0.1], 0.6, 1) == (0, 1)


def _measured(chest: float = 96.0, waist: float = 80.0, hip: float = 95.0, error: float = 3.0) -> Measured:
    return Measured(np.array([chest, waist, hip, 40.04]), np.diag([error**2] * 3 + [1.0]), 0.5, 0.0)


def test_the_answer_is_the_contract_s_and_more_beside_it() -> None:
    answer = conclude(_measured(), EstimateRequest(height_cm=175), [WarningCode.TOO_DARK]).model_dump(mode="json")
    assert answer["recommended_size"] == "M"
    assert set(answer["measurements"]) == {"chest_cm", "waist_cm", "hip_cm", "shoulder_cm"}
    assert answer["measurements"]["shoulder_cm"] == 40.0
    assert answer["confidence"] == answer["size_probabilities"]["M"]
    assert answer["size_range"] == {"lower": "M", "upper": "M"}
    assert answer["standard_errors"]["chest_cm"] == 3.0
    assert answer["warnings"] == [{"code": "too_dark", "message": ADVICE[WarningCode.TOO_DARK]}]
    assert sum(answer["size_probabilities"].values()) == pytest.approx(1, abs=0.003)


def test_larger_errors_make_less_confident_and_wider_answers() -> None:
    sure, unsure = (conclude(_measured(error=error), EstimateRequest(height_cm=175)) for error in (2.0, 8.0))
    assert unsure.confidence < sure.confidence
    assert unsure.size_range != sure.size_range


def test_the_shop_s_own_chart_names_the_size() -> None:
    chart = SizeChart.model_validate(
        {"garment": "top", "sizes": [{"name": "38", "chest_cm": 90}, {"name": "40", "chest_cm": 99}]}
    )
    answer = conclude(_measured(hip=140), EstimateRequest(height_cm=175, size_chart=chart))
    assert answer.recommended_size == "40"
    assert list(answer.size_probabilities) == ["38", "40"]


def test_without_a_photo_the_statistics_answer_and_say_so() -> None:
    answer = without_photo(EstimateRequest(height_cm=170, weight_kg=70, sex=Sex.FEMALE))
    assert answer.measured_from == (Source.HEIGHT, Source.WEIGHT, Source.SEX)
    assert answer.recommended_size in ("M", "L")
    assert Question.IMAGE_URL in [one.ask for one in answer.ask_next]
    assert Question.WEIGHT_KG not in [one.ask for one in answer.ask_next]


def test_who_does_not_say_the_sex_is_answered_less_surely_without_a_photo() -> None:
    said, unsaid = (without_photo(EstimateRequest(170, 70, sex)) for sex in (Sex.FEMALE, None))
    assert unsaid.standard_errors.hip_cm > said.standard_errors.hip_cm


def test_without_a_photo_nothing_can_be_said_without_a_weight() -> None:
    with pytest.raises(ValueError, match="weight"):
        without_photo(EstimateRequest(height_cm=170))


@pytest.mark.parametrize("weight", [31.0, 55.0, 90.0, 249.0])
@pytest.mark.parametrize("height", [101.0, 160.0, 249.0])
def test_more_weight_is_never_a_smaller_size(height: float, weight: float) -> None:
    lighter, heavier = (without_photo(EstimateRequest(height, kg)) for kg in (weight - 1, weight))
    order = list(lighter.size_probabilities)
    assert order.index(str(heavier.recommended_size)) >= order.index(str(lighter.recommended_size))
    assert heavier.measurements.waist_cm > lighter.measurements.waist_cm
