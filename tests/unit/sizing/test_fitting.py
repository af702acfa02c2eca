"""A chart and a body with known errors: which size, how sure, and how it sits."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearon.sizing import DEFAULT_CHART, Column, Fit, OutsideCode, SizeChart, SizeEstimate, SizeRange
from wearon.sizing.estimate import conclude
from wearon.sizing.fitting import Chances, Fitting
from wearon.sizing.measure import MEASURES, Measured
from wearon.sizing.request import EstimateRequest

SMALL, LARGE = OutsideCode.TOO_SMALL_FOR_CHART, OutsideCode.TOO_LARGE_FOR_CHART
NAMES = ("chest", "waist", "hip", "shoulder")


def _chart(*sizes: dict[str, Any], **other: Any) -> SizeChart:
    return SizeChart.model_validate({"sizes": sizes, **other})


def _body(chest: float = 96, waist: float = 80, hip: float = 98, error: float = 2.0, shoulder: float = 40) -> Measured:
    return Measured(np.array([chest, waist, hip, shoulder]), np.eye(4) * error**2, 0.5, 0.0)


def _answer(chart: SizeChart, preference: Fit = Fit.REGULAR, **body: float) -> SizeEstimate:
    return conclude(_body(**body), EstimateRequest(172, size_chart=chart, fit_preference=preference))


def _place(chart: SizeChart, *girths: float) -> int:
    return int(Fitting(chart, MEASURES).place(np.array([girths]).T)[0])


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
    assert DEFAULT_CHART.names[_place(DEFAULT_CHART, *girths)] == size


def test_only_the_girths_of_the_garment_count() -> None:
    sizes = (
        {"name": "36", "chest_cm": 88, "waist_cm": 72, "hip_cm": 94},
        {"name": "38", "chest_cm": 92, "waist_cm": 76, "hip_cm": 98},
    )
    found = {garment: _place(_chart(*sizes, garment=garment), 85, 71, 97) for garment in ("top", "bottom", "full")}
    assert found == {"top": 0, "bottom": 1, "full": 1}


def test_probabilities_follow_the_errors() -> None:
    body, spread = np.array([96.0, 80.0, 90.0]), np.diag([9.0, 9.0, 4.0])
    fitting = Fitting(DEFAULT_CHART, MEASURES)
    sure, unsure = (fitting.chances(body, spread * factor).sizes for factor in (0.01, 1))
    at = DEFAULT_CHART.names.index("M")
    assert sure[at] == 1
    # Chest alone decides here, 4 cm (1.33 standard errors) from both limits of M.
    assert unsure[at] == pytest.approx(0.8176, abs=0.02)
    assert unsure[0] == 0
    assert (unsure == fitting.chances(body, spread).sizes).all()


RANGES = _chart(
    {"name": "S", "chest": {"min": 84, "max": 90}},
    {"name": "M", "chest": {"min": 94, "max": 102}},
    {"name": "L", "chest": {"min": 100, "max": 112}},
)


@pytest.mark.parametrize(
    ("chest", "size"),
    [(83.9, 3), (84, 0), (91.9, 0), (92.1, 1), (101.9, 1), (102, 1), (102.1, 2), (112, 2), (112.1, 4)],
)
def test_in_a_gap_the_nearer_size_and_in_an_overlap_the_nearer_middle_is_told(chest: float, size: int) -> None:
    """M and L overlap from 100 to 102, and their middles, 98 and 106, are as far from 102."""
    assert _place(RANGES, chest, 60, 60) == size


@pytest.mark.parametrize(
    ("chest", "code"), [(74, OutsideCode.TOO_SMALL_FOR_CHART), (120, OutsideCode.TOO_LARGE_FOR_CHART), (96, None)]
)
def test_outside_of_the_chart_there_is_no_size(chest: float, code: OutsideCode | None) -> None:
    answer = _answer(RANGES, chest=chest)
    assert (answer.outside_chart.code if answer.outside_chart else None) == code
    if answer.outside_chart:
        assert (answer.recommended_size, answer.size_range, answer.confidence) == (None, None, 0)
        assert answer.outside_chart.column == Column.CHEST
        assert answer.outside_chart.probability == pytest.approx(1 - sum(answer.size_probabilities.values()), abs=0.01)
    else:
        assert answer.recommended_size == "M"


def test_the_short_form_gives_its_last_size_to_all_above_and_says_so() -> None:
    chart = _chart({"name": "S", "chest_cm": 90}, {"name": "M", "chest_cm": 100}, garment="top")
    answer = _answer(chart, chest=120)
    assert (answer.recommended_size, answer.confidence) == ("M", 1)
    assert answer.outside_chart is not None
    assert answer.outside_chart.code == OutsideCode.TOO_LARGE_FOR_CHART
    assert _answer(_chart({"name": "S", "chest_cm": 90}, {"name": "M"}, garment="top"), chest=120).outside_chart is None


SHIRTS = _chart(
    {"name": "S", "chest": 50, "length": 70},
    {"name": "M", "chest": 53, "length": 72},
    {"name": "L", "chest": 56, "length": 74},
    garment="t_shirt",
    measured_on="garment",
    laid_flat=True,
    ease={"chest": {"min": 4, "max": 14}},
)


def test_a_garment_laid_flat_sits_with_the_ease_that_is_meant() -> None:
    answer = _answer(SHIRTS, chest=97)
    assert answer.recommended_size == "M"
    sits = {one.size: one.columns[0] for one in answer.fit}
    assert [(size, one.ease_cm, one.room_cm, one.word) for size, one in sits.items()] == [
        ("S", 3.0, -1.0, Fit.TIGHT),
        ("M", 9.0, 5.0, Fit.REGULAR),
        ("L", 15.0, 11.0, Fit.LOOSE),
    ]
    length = answer.fit[1].columns[1]
    assert (length.column, length.garment_cm, length.word) == (Column.LENGTH, 72, None)


def test_the_intended_ease_is_in_the_chart_s_unit() -> None:
    inches = _chart({"name": "M", "chest": 40}, measured_on="garment", unit="in", ease={"chest": {"min": 1, "max": 3}})
    ((rule,),) = inches.parts()
    assert (rule.steps[0].low, rule.steps[0].high) == pytest.approx((37 * 2.54, 39 * 2.54))


def test_a_preference_moves_the_size_and_neither_the_words_nor_the_ends() -> None:
    sizes = {like: _answer(SHIRTS, like, chest=97) for like in Fit}
    assert {like: answer.recommended_size for like, answer in sizes.items()} == {
        Fit.TIGHT: "S",
        Fit.REGULAR: "M",
        Fit.LOOSE: "L",
    }
    words = [{one.size: one.columns for one in answer.fit}["M"] for answer in sizes.values()]
    assert words[0] == words[1] == words[2]
    assert {_answer(SHIRTS, like, chest=120).recommended_size for like in Fit} == {None}
    assert _answer(SHIRTS, Fit.LOOSE, chest=105).recommended_size == "L"


def test_what_stretches_fits_larger_bodies() -> None:
    stiff, soft = (
        _chart({"name": "S", "hip": 80}, {"name": "M", "hip": 88}, garment="leggings", measured_on="garment", stretch=s)
        for s in (0.0, 0.4)
    )
    assert _answer(stiff, hip=95).outside_chart is not None
    assert _answer(soft, hip=95).recommended_size == "M"


def test_a_measurement_that_matters_half_may_be_over_by_half_a_size() -> None:
    sizes = [{"name": n, "chest": {"min": c - 8, "max": c}, "waist": {"min": c - 20, "max": c - 12}} for n, c in
             (("S", 92), ("M", 100), ("L", 108))]  # fmt: skip
    whole, half = (_chart(*sizes, matters={"chest": 1, "waist": weight}) for weight in (1, 0.5))
    assert (_place(whole, 90, 83.9, 90), _place(half, 90, 83.9, 90)) == (1, 0)
    assert _place(half, 90, 84.1, 90) == 1
    # Relative to what decides most: what decides alone decides wholly.
    assert _place(_chart(*sizes, matters={"waist": 0.5}), 90, 83.9, 90) == 1


JEANS = {
    "garment": "jeans",
    "unit": "in",
    "sizes": [{"name": f"W{inch}", "waist": inch} for inch in (30, 32, 34)],
    "second_sizes": [{"name": f"L{inch}", "hip": inch + 6} for inch in (30, 32, 34)],
    "matters": ["waist", "hip"],
}
"""The hip stands for whatever the second part of a size may be about."""


def test_a_size_of_two_parts_is_told_part_by_part_and_only_what_is_sold() -> None:
    body: dict[str, Any] = {"waist": 32.2 * 2.54, "hip": 40 * 2.54}
    every, some = (
        SizeChart.model_validate({**JEANS, **pairs}) for pairs in ({}, {"pairs": [["W30", "L30"], ["W32", "L30"]]})
    )
    found = _answer(every, **body, error=0.5)
    assert found.recommended_size == "W32/L34"
    assert [one.size for one in found.fit] == ["W30/L34", "W32/L32", "W32/L34", "W34/L34"]
    unsure = _answer(every, **body, error=2.5)
    assert unsure.size_range == SizeRange(lower="W30/L32", upper="W34/L34")
    refused = _answer(some, **body, error=0.5).outside_chart
    assert refused is not None
    assert refused.code == OutsideCode.SIZE_NOT_SOLD


def test_a_column_that_nobody_has_measured_does_not_decide_and_is_said() -> None:
    sizes: list[dict[str, Any]] = [
        {"name": "S", "waist": {"max": 80}, "inseam": {"max": 76}},
        {"name": "M", "waist": {"max": 95}, "inseam": 80},
    ]
    fitting = Fitting(_chart(*sizes, garment="trousers"), ("chest_cm", "waist_cm", "hip_cm"))
    assert fitting.not_measured == [Column.INSEAM]
    assert int(fitting.place(np.array([[90.0], [70.0], [90.0]]))[0]) == 0
    blind = Fitting(_chart(*sizes, matters=["inseam"]), ("chest_cm", "waist_cm", "hip_cm"))
    assert blind.chances(np.array([90.0, 70, 90]), np.eye(3)).sizes == pytest.approx([0.5, 0.5])


STEP = st.floats(0.0, 12.0)


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Any]:
    """Charts of any layout: ranges with gaps and overlaps, garments, open ends, several columns, two parts."""
    on_garment = draw(st.booleans())
    columns = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    parts = {"sizes": columns[:2], "second_sizes": columns[2:]}
    found: dict[str, Any] = {"matters": {column: draw(st.floats(0.05, 1)) for column in columns}}
    for part, names in parts.items():
        rows: list[dict[str, Any]] = [
            {"name": f"{part[:2]}{at}"} for at in range(draw(st.integers(1, 6)) if names else 0)
        ]
        for column in names:
            low = draw(st.floats(50, 100))
            high = low + draw(st.floats(0, 15))
            for row in rows:
                row[column] = {"min": low, "max": high}
                low += draw(STEP)
                high = max(low, high + draw(STEP))
            if not on_garment and draw(st.booleans()):
                del rows[0][column]["min"]
            if not on_garment and draw(st.booleans()) and len(rows) > 1:
                del rows[-1][column]["max"]
        found[part] = rows
    return {**found, "measured_on": "garment", "stretch": 0} if on_garment else found


def _changed(layout: dict[str, Any], factor: float, shift: float) -> dict[str, Any]:
    def row(size: dict[str, Any]) -> dict[str, Any]:
        spans = {
            column: {end: cm * factor + shift for end, cm in size[column].items()}
            for column in size
            if column != "name"
        }
        return {"name": size["name"], **spans}

    return {**layout, **{part: [row(size) for size in layout[part]] for part in ("sizes", "second_sizes")}}


@st.composite
def bodies(draw: st.DrawFn) -> Measured:
    mean = np.array([draw(st.floats(40, 160)) for _ in NAMES])
    spread = np.array([[draw(st.floats(-4, 4)) for _ in NAMES] for _ in NAMES])
    return Measured(mean, spread @ spread.T + np.eye(4) * draw(st.floats(0.01, 4)), 0.5, 0.0)


def _chances(layout: dict[str, Any], body: Measured, like: Fit = Fit.REGULAR, shift: float = 0.0) -> Chances:
    fitting = Fitting(SizeChart.model_validate(layout), MEASURES, like)
    wanted = [MEASURES.index(name) for name in fitting.measures]
    return fitting.chances(body.mean[wanted] + shift, body.covariance[np.ix_(wanted, wanted)])


A_FEW_POINTS = 8 / 4096
"""Points that stand on a boundary fall to either side of it by rounding."""


@given(layouts(), bodies(), st.sampled_from(Fit))
def test_probabilities_of_all_sizes_and_of_none_add_up_to_one(
    layout: dict[str, Any], body: Measured, like: Fit
) -> None:
    chances = _chances(layout, body, like)
    assert chances.sizes.min() >= 0
    assert chances.sizes.sum() + sum(chances.none.values()) == pytest.approx(1)
    answer = conclude(body, EstimateRequest(172, size_chart=SizeChart.model_validate(layout), fit_preference=like))
    assert (answer.recommended_size is None) == (max(chances.none.values()) > 0.5) == (answer.outside_chart is not None)
    if answer.recommended_size:
        assert answer.size_probabilities[answer.recommended_size] == answer.confidence
        assert answer.recommended_size in {size.size for size in answer.fit}


@given(layouts(), bodies(), st.lists(st.floats(0, 30), min_size=4, max_size=4), st.sampled_from(Fit))
def test_a_larger_person_never_gets_a_smaller_size(
    layout: dict[str, Any], body: Measured, more: list[float], like: Fit
) -> None:
    """Neither part of a size gets smaller, for any body that the errors allow."""
    for part in ("sizes", "second_sizes"):
        if not layout[part]:
            continue
        alone = {**layout, "sizes": layout[part], "second_sizes": []}
        alone["matters"] = {column: weight for column, weight in layout["matters"].items() if column in layout[part][0]}
        larger = Measured(body.mean + more, body.covariance, 0.5, 0.0)
        one, other = (_chances(alone, who, like) for who in (body, larger))
        ladders = [[each.none[SMALL], *each.sizes, each.none[LARGE]] for each in (one, other)]
        assert (np.cumsum(ladders[1]) <= np.cumsum(ladders[0]) + 1e-9).all()


@given(layouts(), bodies(), st.floats(-30, 100))
def test_a_chart_that_is_shifted_with_the_person_answers_the_same(
    layout: dict[str, Any], body: Measured, shift: float
) -> None:
    one, other = _chances(layout, body), _chances(_changed(layout, 1, shift), body, shift=shift)
    assert other.sizes == pytest.approx(one.sizes, abs=A_FEW_POINTS)


@given(layouts(), bodies(), st.floats(0, 30))
def test_a_chart_for_larger_people_never_gives_a_larger_size(
    layout: dict[str, Any], body: Measured, shift: float
) -> None:
    layout = {**layout, "second_sizes": []}
    layout["matters"] = {column: 1 for column in layout["matters"] if column in layout["sizes"][0]}
    one, other = (_chances(_changed(layout, 1, by), body) for by in (0, shift))
    ladders = [[each.none[SMALL], *each.sizes, each.none[LARGE]] for each in (one, other)]
    assert (np.cumsum(ladders[1]) >= np.cumsum(ladders[0]) - A_FEW_POINTS).all()


@given(layouts(), bodies())
def test_a_chart_in_inches_answers_as_the_same_chart_in_cm(layout: dict[str, Any], body: Measured) -> None:
    inches = {**_changed(layout, 1 / 2.54, 0), "unit": "in"}
    assert _chances(inches, body).sizes == pytest.approx(_chances(layout, body).sizes, abs=A_FEW_POINTS)
