"""Centimetres to sizes."""

import numpy as np
import pytest
from pydantic import ValidationError

from wearon.sizing.chart import DEFAULT_CHART, Garment, SizeChart


@pytest.mark.parametrize(
    ("girths", "size"),
    [
        ((84, 70, 80), "XS"),
        ((84.01, 70, 80), "S"),
        ((80, 70, 92), "S"),
        ((80, 92.5, 80), "M"),
        ((100, 100, 100), "M"),
        ((101, 60, 60), "L"),
        ((60, 60, 116), "XL"),
        ((60, 117, 60), "XXL"),
    ],
)
def test_the_contract_s_chart_goes_by_the_largest_girth(girths: tuple[float, ...], size: str) -> None:
    assert DEFAULT_CHART.names[int(DEFAULT_CHART.size_for(np.array(girths, dtype=float)))] == size


def _chart(garment: str, *sizes: dict[str, object]) -> SizeChart:
    return SizeChart.model_validate({"garment": garment, "sizes": sizes})


def test_only_the_girths_of_the_garment_count() -> None:
    sizes = (
        {"name": "36", "chest_cm": 88, "waist_cm": 72, "hip_cm": 94},
        {"name": "38", "chest_cm": 92, "waist_cm": 76, "hip_cm": 98},
    )
    body = np.array([85.0, 71.0, 97.0])
    assert _chart("top", *sizes).size_for(body) == 0
    assert _chart("bottom", *sizes).size_for(body) == 1
    assert _chart("full", *sizes).size_for(body) == 1


def test_whoever_is_above_the_last_limit_gets_the_last_size() -> None:
    chart = _chart("top", {"name": "S", "chest_cm": 90}, {"name": "M", "chest_cm": 100})
    assert chart.size_for(np.array([140.0, 60.0, 60.0])) == 1


@pytest.mark.parametrize(
    ("garment", "sizes", "complaint"),
    [
        ("full", [], "at least 1"),
        ("full", [{"name": str(i), "chest_cm": 80 + i} for i in range(21)], "at most 20"),
        ("full", [{"name": "S", "chest_cm": 90}, {"name": "S", "chest_cm": 95}], "names must differ"),
        ("full", [{"name": "S", "chest_cm": 90}, {"name": "M", "chest_cm": 85}], "must not fall"),
        ("full", [{"name": "S", "chest_cm": 90}, {"name": "M"}, {"name": "L", "chest_cm": 99}], "for every size"),
        ("bottom", [{"name": "S", "chest_cm": 90}], "needs limits for waist_cm or hip_cm"),
        ("top", [{"name": "S", "bust_cm": 90}], "bust_cm"),
        ("top", [{"name": "S", "chest_cm": -1}], "greater than 0"),
        ("top", [{"name": "", "chest_cm": 90}], "at least 1 character"),
        ("hat", [{"name": "S", "chest_cm": 90}], "'full', 'top' or 'bottom'"),
    ],
)
def test_charts_that_make_no_sense_are_refused(garment: str, sizes: list[object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SizeChart.model_validate({"garment": garment, "sizes": sizes})


def test_probabilities_add_up_and_follow_the_errors() -> None:
    body, spread = np.array([96.0, 80.0, 90.0]), np.diag([9.0, 9.0, 4.0])
    sure = DEFAULT_CHART.probabilities(body, spread * 0.01)
    unsure = DEFAULT_CHART.probabilities(body, spread)
    assert sure.sum() == pytest.approx(1)
    assert unsure.sum() == pytest.approx(1)
    assert sure[DEFAULT_CHART.names.index("M")] == 1
    # Chest alone decides here, 4 cm (1.33 standard errors) from both limits of M.
    assert unsure[DEFAULT_CHART.names.index("M")] == pytest.approx(0.8176, abs=0.02)
    assert unsure[0] == 0


def test_a_photo_always_gets_the_same_probabilities() -> None:
    body, spread = np.array([92.0, 91.0, 91.5]), np.eye(3) * 8
    assert (DEFAULT_CHART.probabilities(body, spread) == DEFAULT_CHART.probabilities(body, spread)).all()


def test_garments_name_what_matters() -> None:
    assert {garment.value for garment in Garment} == {"full", "top", "bottom"}
