"""Charts as shops have them, in twenty layouts of our own making, and four of children's clothes."""

from pathlib import Path
from typing import Any

import pytest

from wearon.chart_files import Told, UnusableFile, check_chart, draw_chart
from wearon.sizing.chart import MeasuredOn, Unit

CHARTS = Path(__file__).parents[2] / "data" / "charts"

LAYOUTS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    # File: unit, measured on, the names (of both parts), and one line of the chart that is sent.
    "bra_bands_and_cups.csv": (
        "cm",
        "body",
        "65 70 75 80 85 90 A B C D E",
        {"name": "C", "cup": {"min": 16, "max": 18}},
    ),
    "bra_uk_list.csv": ("in", "body", "30 32 34 A B C", {"name": "B", "cup": {"min": 5.5, "max": 6.5}}),
    "coat_garment_round.csv": (
        "in",
        "garment",
        "S M L XL",
        {"name": "S", "chest": 43.25, "shoulder": 17.5, "sleeve": 24.75, "length": 38.5},
    ),
    "eu_women_letters.csv": (
        "cm",
        "body",
        "XS S M L XL XXL",
        {"name": "XXL", "chest": {"min": 107}, "waist": {"min": 89}, "hip": {"min": 115}},
    ),
    "hoodie_unisex_laid_flat.csv": (
        "cm",
        "garment",
        "XS S M L XL 2XL",
        {"name": "S", "chest": 55, "length": 69, "sleeve": 62.5},
    ),
    "jacket_body.json": (
        "cm",
        "body",
        "S M L XL",
        {"name": "S", "chest": {"min": 90, "max": 98}, "waist": {"min": 76, "max": 84}},
    ),
    "jeans_one_list.csv": ("cm", "body", "30 32 34 30 32 34", {"name": "34", "inseam": 86}),
    "jeans_waist_and_length.csv": (
        "in",
        "body",
        "W28 W30 W32 W34 W36 W38 L30 L32 L34 L36",
        {"name": "W28", "waist": {"min": 28, "max": 29}, "hip": {"min": 34, "max": 35}},
    ),
    "leggings_stretch.csv": ("cm", "garment", "XS S M L XL", {"name": "M", "waist": 33, "hip": 40, "inseam": 68}),
    "men_tops_unicode_text.csv": (
        "cm",
        "body",
        "XS S M L XL XXL",
        {"name": "S", "chest": {"min": 86, "max": 91}, "waist": {"min": 71, "max": 76}, "sleeve": 82.5},
    ),
    "own.json": ("in", "body", "S M L", {"name": "L", "chest": {"min": 38}, "waist": {"min": 31}}),
    "polo_garment_graph.json": ("in", "garment", "S M L XL", {"name": "M", "chest": 41, "sleeve": 8.5, "length": 28}),
    "robe_francaise.csv": (
        "cm",
        "body",
        "34 36 38 40 42 44 46",
        {"name": "36", "chest": 84, "waist": 64, "hip": 92},
    ),
    "shirt_collar.csv": (
        "in",
        "body",
        "14½ 15 15½ 16 16½ 17 17½",
        {"name": "15½", "chest": {"min": 40, "max": 42}, "waist": {"min": 34, "max": 36}, "sleeve": 25.5},
    ),
    "skirt_upper_limits.csv": (
        "cm",
        "body",
        "XS S M L XL",
        {"name": "S", "waist": {"max": 68}, "hip": {"max": 94}},
    ),
    "suits_eu_figures.csv": ("cm", "body", "46 48 50 52 54 56", {"name": "54", "chest": 108, "waist": 97}),
    "t_shirt_side_by_side.csv": (
        "cm",
        "garment",
        "S M L XL 2XL",
        {"name": "M", "chest": 51, "length": 72, "shoulder": 45, "sleeve": 21},
    ),
    "tallas_es.csv": (
        "cm",
        "body",
        "XS S M L XL",
        {"name": "M", "chest": {"min": 86, "max": 90}, "waist": {"min": 66, "max": 70}, "hip": {"min": 94, "max": 98}},
    ),
    "uk_women_both_units.csv": (
        "cm",
        "body",
        "6 8 10 12 14 16 18",
        {"name": "12", "chest": 91, "waist": 73.5, "hip": 98.5},
    ),
    "us_women_inches.csv": (
        "in",
        "body",
        "0 2 4 6 8 10 12 14",
        {"name": "2", "chest": 33.5, "waist": 26, "hip": 36},
    ),
    "women_petite.csv": (
        "cm",
        "body",
        "XXS XS S M L",
        {"name": "S", "waist": {"min": 66, "max": 69}, "hip": {"min": 90, "max": 93}, "inseam": 71},
    ),
    "women_plus_excel.csv": (
        "in",
        "body",
        "1X 2X 3X 4X 5X",
        {"name": "5X", "chest": {"min": 58}, "waist": {"min": 51}, "hip": {"min": 60}},
    ),
}


@pytest.mark.parametrize(("file", "said"), LAYOUTS.items())
def test_a_shops_layout_becomes_the_chart_that_it_means(file: str, said: tuple[str, str, str, dict[str, Any]]) -> None:
    checked = check_chart((CHARTS / file).read_bytes())
    assert (checked.problems, checked.chart is None) == ([], False)
    assert checked.size_chart is not None
    lines = [*checked.size_chart["sizes"], *checked.size_chart.get("second_sizes", [])]
    unit, side, names, line = said
    assert (checked.unit, checked.measured_on, " ".join(one["name"] for one in lines)) == (unit, side, names)
    assert line in lines
    assert draw_chart(checked, file).startswith(b"\x89PNG")


def test_every_file_is_one_of_the_layouts() -> None:
    files = {path.name for path in CHARTS.iterdir()}
    assert {file for file in files if not file.startswith("children")} == LAYOUTS.keys()
    assert len(LAYOUTS) >= 20


@pytest.mark.parametrize("file", sorted(CHARTS.glob("children*")), ids=lambda path: path.name)
def test_childrens_charts_are_refused_with_a_clear_word(file: Path) -> None:
    with pytest.raises(UnusableFile, match="children's chart"):
        check_chart(file.read_bytes())


def test_what_is_said_of_the_whole_garment_goes_with_it() -> None:
    flat = check_chart((CHARTS / "leggings_stretch.csv").read_bytes()).size_chart
    assert flat is not None
    assert (flat["garment"], flat["laid_flat"], flat["stretch"]) == ("leggings", True, 0.4)
    told = Told(stretch=0.2, laid_flat=False)
    round_ = check_chart((CHARTS / "leggings_stretch.csv").read_bytes(), told).size_chart
    assert round_ is not None
    assert (round_["laid_flat"], round_["stretch"]) == (False, 0.2)


def test_one_of_several_size_systems_is_chosen() -> None:
    data = (CHARTS / "uk_women_both_units.csv").read_bytes()
    assert [line.name for line in check_chart(data, names="EU").lines] == ["34", "36", "38", "40", "42", "44", "46"]
    with pytest.raises(UnusableFile, match=r"“JP”; there are “UK”, “EU”"):
        check_chart(data, names="JP")


def test_pairs_that_are_not_sold_are_left_out() -> None:
    chart = check_chart((CHARTS / "jeans_one_list.csv").read_bytes()).chart
    assert chart is not None
    assert (len(chart.sizes), len(chart.second_sizes)) == (3, 3)
    assert chart.names == ("30/30", "30/32", "32/32", "32/34", "34/32", "34/34")


@pytest.mark.parametrize("unit", Unit)
def test_a_file_in_the_apis_own_json_is_given_back_as_it_was(unit: Unit) -> None:
    data = (CHARTS / "own.json").read_bytes()
    checked = check_chart(data, Told(unit=unit))
    assert checked.size_chart is not None
    assert checked.size_chart["unit"] == unit
    assert checked.measured_on is MeasuredOn.BODY
