"""Charts: what is a chart, what is none, and where it is wrong."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from wearon.sizing import ChartWarningCode, Column, Garment, SizeChart, chart_warnings
from wearon.sizing.garments import MATTERS, usual_ease

GARMENT = {"measured_on": "garment"}


def _chart(*sizes: dict[str, Any], **other: Any) -> SizeChart:
    return SizeChart.model_validate({"sizes": sizes, **other})


def _m(**columns: Any) -> dict[str, Any]:
    return {"name": "M", **columns}


def _l(**columns: Any) -> dict[str, Any]:
    return {"name": "L", **columns}


@pytest.mark.parametrize(
    ("sizes", "other", "complaint"),
    [
        ([], {}, "sizes\n.*at least 1"),
        ([{"name": str(i), "chest_cm": 80 + i} for i in range(10_000)], {}, "sizes\n.*at most 40"),
        ([{"name": "S", "chest_cm": 90}, _m(chest_cm=95), _m(chest_cm=99)], {}, "rows 2 and 3 are both 'M'"),
        ([_m(chest_cm=90), _l(chest_cm=85)], {}, r"row 2 \(L\), chest must not fall"),
        ([_m(chest_cm=90), _l(), {"name": "XL", "chest_cm": 99}], {}, r"row 2 \(L\), chest is missing"),
        ([_m(waist=1, chest={"min": 90}), _l(waist=2)], {}, r"row 1 \(M\), chest does not say where it ends"),
        ([_m(chest_cm=90)], {"garment": "bottom"}, "needs limits for waist or hip"),
        ([_m(bust_cm=90)], {}, r"sizes\.0\.bust_cm"),
        ([_m(chest_cm=-1)], {}, r"sizes\.0\.chest_cm\n.*greater than 0"),
        ([_m(chest=90), _l(chest=float("nan"))], {}, r"sizes\.1\.chest\.min\n.*finite"),
        ([_m(chest={"min": 90, "max": float("inf")})], {}, r"sizes\.0\.chest\.max\n.*finite"),
        ([_m(chest=90), _l(chest={"min": 99, "max": 95})], {}, r"sizes\.1\.chest\n.*min 99 is above max 95"),
        ([_m(chest={})], {}, r"sizes\.0\.chest\n.*min, max or both"),
        ([_m(chest=True)], {}, r"sizes\.0\.chest\n"),
        ([{"name": "", "chest_cm": 90}], {}, r"sizes\.0\.name\n.*at least 1 character"),
        ([_m(chest=90)], {"garment": "hat"}, "garment\n"),
        ([_m(chest=90, chest_cm=90)], {}, "stand alone"),
        ([_m(chest_cm=90)], GARMENT, "stand alone"),
        ([_m(chest=90, length=70)], {}, r"row 1 \(M\), length: not in a chart measured on the body"),
        ([_m(chest=90)], {"ease": {"chest": {"min": 2, "max": 5}}}, "need measured_on: garment"),
        ([_m(chest=90)], {**GARMENT, "ease": {"chest": {"min": -2, "max": 5}}}, "chest: ease must not be negative"),
        ([_m(chest=90)], {**GARMENT, "ease": {"chest": {"min": 6, "max": 5}}}, "chest: ease needs min <= aim <= max"),
        ([_m(chest=90)], {**GARMENT, "stretch": float("nan")}, "stretch\n.*finite"),
        ([_m(chest=90), _l(chest={"min": 95})], GARMENT, r"row 2 \(L\), chest is missing"),
        ([_m(chest=90)], {"matters": ["hip"]}, "matters: hip is not in the chart"),
        ([_m(chest=90)], {"matters": {"chest": 0}}, r"matters\.chest\n.*greater than 0"),
        ([_m(chest=90)], {"matters": ["chest"] * 5000}, "matters\n"),
        ([_m(waist=90)], {"second_sizes": [{"name": "L32", "waist": 80}]}, "second_sizes needs a column"),
        ([_m(waist=90)], {"second_sizes": [{"name": "L32", "hip_cm": 80}]}, "are for sizes of one part"),
        ([_m(waist=90)], {"pairs": [["M", "L32"]]}, "pairs needs second_sizes|pair 1 names a size"),
        (
            [{"name": f"W{i}", "waist": 60 + i} for i in range(40)],
            {"garment": "jeans", "second_sizes": [{"name": f"L{i}", "inseam": 60 + i} for i in range(40)]},
            "1600 pairs of sizes: at most 400",
        ),
    ],
)
def test_charts_that_make_no_sense_are_refused_by_row_and_column(
    sizes: list[Any], other: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        _chart(*sizes, **other)


MANY_NAMES = {str(number): 0 for number in range(1500)}
CELLS: dict[str, Any] = {"name": "M", "chest": {}, "waist": {}, "hip": {}, "cup": {}}


@pytest.mark.parametrize(
    "faulty",
    [
        {"sizes": [0] * 8000},
        {"sizes": [{}] * 5000, "second_sizes": [{}] * 300},
        {"sizes": [CELLS] * 300},
        {"sizes": [], "pairs": [[]] * 4000},
        {"sizes": [], "pairs": [[0, 0]] * 400},
        {"sizes": [{**_m(chest=90), **MANY_NAMES}]},
        {"sizes": [_m(chest=MANY_NAMES)]},
        {"sizes": [], **MANY_NAMES},
        {"sizes": [], "ease": MANY_NAMES},
        {"sizes": [], "matters": MANY_NAMES},
    ],
)
def test_a_chart_of_faults_has_few_complaints(faulty: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        SizeChart.model_validate(faulty)
    assert refused.value.error_count() <= 13


def test_the_page_s_example_is_a_chart() -> None:
    example = (Path(__file__).parents[3] / "docs" / "sizing.md").read_text().split("```json")[1].split("```")[0]
    assert SizeChart.model_validate_json(example).names == ("W31/L30", "W32/L32")


def test_a_chart_is_the_same_after_json() -> None:
    chart = _chart(
        {"name": "W30", "waist": {"min": 29, "max": 31}},
        {"name": "W32", "waist": 32},
        garment="jeans",
        unit="in",
        matters=["waist", "inseam"],
        second_sizes=[{"name": "L32", "inseam": 32}],
        pairs=[["W32", "L32"]],
        separator=" x ",
    )
    assert chart.names == ("W32 x L32",)
    assert SizeChart.model_validate_json(chart.model_dump_json()) == chart


@pytest.mark.parametrize("garment", Garment)
def test_every_garment_says_what_matters_and_how_it_sits(garment: Garment) -> None:
    assert max(MATTERS[garment].values()) == 1
    for column in MATTERS[garment]:
        if column is not Column.CUP:
            ease = usual_ease(garment, column)
            assert ease.min <= ease.aimed <= ease.max


def _warned(chart: SizeChart) -> dict[str, tuple[str, ...]]:
    return {warning.code.value: warning.sizes for warning in chart_warnings(chart)}


def test_a_shop_is_warned_of_names_that_the_widget_refuses_and_of_gaps_and_overlaps() -> None:
    whole_numbers = ({"name": "S", "chest": {"min": 84, "max": 91}}, _m(chest={"min": 92, "max": 99}))
    assert _warned(_chart(*whole_numbers)) == {}
    gap = _chart(*whole_numbers, _l(chest={"min": 104, "max": 110}), {"name": "x-l", "chest": {"min": 108}})
    assert _warned(gap) == {
        ChartWarningCode.SIZE_NAME_REFUSED: ("x-l",),
        ChartWarningCode.GAP_BETWEEN_SIZES: ("M", "L"),
        ChartWarningCode.SIZES_OVERLAP: ("L", "x-l"),
    }
