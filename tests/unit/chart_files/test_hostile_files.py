"""Files that are wrong, or an attack: each is told by row and column, in bounded time, and nothing is executed."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wearon.chart_files import UnusableFile, check_chart
from wearon.chart_files.csv_tables import MOST_BYTES
from wearon.chart_files.problems import MOST_PROBLEMS, letters

HEAD = "Size;Chest (cm);Waist (cm)\nS;84-91;68-75\n"


def problems_of(text: str) -> list[str]:
    return [str(problem) for problem in check_chart(text.encode()).problems]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("=1+1", "is a formula, and none is worked out here"),
        ("@SUM(A1)", "is a formula"),
        ("-92", "is negative; for an open range write “up to 92”"),
        ("10-Dec", "is a date that a spreadsheet made of a range"),
        ("12. Okt", "is a date"),
        ("99-92", "begins above its end"),
        ("36in / 92 cm", "has both cm and inches"),
        ('36"', "is in inches, its heading in cm"),
        ("920 mm", "is neither in cm nor in inches"),
        ("NaN", "is no measurement"),
        ("inf", "is no measurement"),
        ("1e2", "is no measurement"),
        ("0", "is no measurement of clothes or people"),
        ("9" * 50, "is no measurement"),
        ("ca. " + "x" * 90, "is too long"),
        ("about 92", "write a number, or a range such as 86-91"),
        ("310", "less than or equal to 300"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named_by_row_and_column(cell: str, told: str) -> None:
    (problem,) = problems_of(f"{HEAD}M;{cell};76-83\n")
    assert problem.startswith("row 3 (M), column B (Chest (cm)): ")
    assert told in problem


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("S;92-99;76-83", "row 3 (S), column A: the name “S” stands in row 2, too"),
        (";92-99;76-83", "row 3, column A: this size has no name"),
        ("M;80-83;76-83", "row 3 (M), column B (Chest (cm)): must not fall from one size to the next"),
        ("M;;76-83\nL;100-107;84-91", "row 3 (M), chest: is missing"),
        (f"{'M' * 30};92-99;76-83", f"row 3 ({'M' * 30}), column A: String should have at most 20 characters"),
    ],
)
def test_sizes_that_make_no_chart_are_named_by_row(rows: str, told: str) -> None:
    (problem,) = problems_of(f"{HEAD}{rows}\n")
    assert problem.startswith(told)


def test_rows_are_those_of_the_file_whatever_stands_above() -> None:
    (problem,) = problems_of(f"sep=;\nOur chart\n\n{HEAD}M;80-83;76-83\n")
    assert problem.startswith("row 6 (M), column B")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"PK\x03\x04" + bytes(50), "an Excel or OpenDocument workbook; save it as CSV"),
        (b"%PDF-1.7", "a PDF"),
        (b"<html><table>", "a web page"),
        (b"Size\0;Chest", "no text"),
        (b"\xff\xfeS\0i", "encoding cannot be told"),
        (b"x" * (MOST_BYTES + 1), "larger than 256 kB"),
        (b"Size;Chest (cm)\n" + b"M;90\n" * 300, "more than 200 rows"),
        (b"Size" + b";Chest" * 90, "more than 60 columns"),
        (b"a;b\n1;2\n", "no line of headings is found"),
        (b"Size;Chest (cm)\n", "no size stands below"),
        (b'{"sizes": [' * 20_000, "nested too deep"),
        (b'{"sizes": [{"name": "M", "chest": NaN}]}', "NaN is no number"),
        (b'{"sizes": ' + b"9" * 5000 + b"}", "numbers are too long"),
        (b"[1, 2", "no JSON: line 1"),
        (b"{}", "no SizeSpecification"),
    ],
)
def test_a_file_that_is_no_chart_says_what_to_do_instead(data: bytes, told: str) -> None:
    with pytest.raises(UnusableFile, match=told):
        check_chart(data)


def test_a_garment_without_a_unit_is_asked_for_it() -> None:
    # 50 may be half a T-shirt in cm, or all of a coat in inches.
    (problem,) = problems_of("Size;Pit to pit\nS;50\nM;53\n")
    assert "--unit" in problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "M;92-99;30-33\n", "row 3 (M), column C (Waist (cm)): 32 cm is no adult's waist; it looks like inches"),
        ("Size;Chest (in)\nS;30\nM;45\n", "row 3 (M), column B (Chest (in)): 45 follows on 30 of “S”"),
        ("Size;Chest (in)\nS;36\nM;96\n", "244 cm is no adult's chest; it looks like cm"),
        ("Size;Garment chest (cm)\nS;50\nM;53\n", "measured across the garment laid flat"),
        (
            "Size;Chest (cm)\nS;88\nM;92\nL;91\n",
            "row 4 (L), column B (Chest (cm)): 91 is less than 92 of “M” before it",
        ),
        (HEAD + "M;92-99;82-89\n", "waist has gaps between sizes"),
        (HEAD + "Tall;92-99;76-83\n", "widget shows only size names of 1 to 10 capital letters and digits (Tall)"),
        (
            HEAD + "M;92-99;76-83\n\nAll sizes run small\n",
            "row 5 (All sizes run small): no measurement stands in this row",
        ),
        ("Size;Chest\nS;84-91\nM;92-99\n", "no unit is stated; by their size, the numbers are cm"),
        ("Size;Chest\nS;34-36\nM;37-39\n", "no unit is stated; by their size, the numbers are inches"),
        ("Size;Chest (cm)\nL;100-107\nM;92-99\nS;84-91\n", "the order was turned round"),
    ],
)
def test_what_looks_odd_is_told(text: str, told: str) -> None:
    assert any(told in str(warning) for warning in check_chart(text.encode()).warnings)


def test_cm_and_inches_that_differ_are_a_problem() -> None:
    (problem,) = problems_of("Size;Chest (in);Chest (cm)\nS;34;86\nM;36;101\n")
    assert problem.startswith("row 3 (M), column C (Chest (cm)): 91.44 cm and 101 cm are said of the same size")


def test_a_file_of_rubbish_is_told_by_its_first_problems() -> None:
    assert len(problems_of("Size;Chest (cm);Waist (cm);Hip (cm)\n" + "M;x;y;z\n" * 150)) == MOST_PROBLEMS


@pytest.mark.parametrize(
    ("specification", "told"),
    [
        ({"hasMeasurement": {"name": "Chest", "value": 100, "unitCode": "KGM"}}, "row 1 (M), Chest: the unit “KGM”"),
        ({"hasMeasurement": {"name": "Chest", "value": {"a": 1}, "unitCode": "CMT"}}, "is no number"),
        (
            {"suggestedMeasurement": {"name": "Chest", "minValue": 9, "maxValue": 8, "unitCode": "INH"}},
            "minValue is above",
        ),
        (
            {"suggestedMeasurement": [{"name": "Bust", "value": 90, "unitCode": "CMT"}] * 2},
            "row 1 (M), Bust: chest is given twice",
        ),
    ],
)
def test_what_is_wrong_in_json_ld_is_named_by_size_and_measurement(specification: dict[str, object], told: str) -> None:
    text = json.dumps({"@type": "https://schema.org/SizeSpecification", "name": "M", **specification})
    assert any(told in problem for problem in problems_of(text))


def test_mixed_systems_in_json_ld_must_be_chosen_from() -> None:
    sizes = [
        {
            "@type": "SizeSpecification",
            "name": name,
            "sizeSystem": f"https://schema.org/WearableSizeSystem{system}",
            "suggestedMeasurement": {"name": "Chest", "minValue": low, "maxValue": low + 7, "unitCode": "CMT"},
        }
        for name, system, low in [("38", "Europe", 84), ("10", "UK", 84), ("40", "Europe", 92), ("12", "UK", 92)]
    ]
    with pytest.raises(UnusableFile, match=r"sizeSystem: “Europe”, “UK”"):
        check_chart(json.dumps(sizes).encode())
    assert [line.name for line in check_chart(json.dumps(sizes).encode(), names="uk").lines] == ["10", "12"]


CELLS = st.one_of(
    st.text(max_size=12), st.sampled_from(["86-91", "up to 92", '34"', "M", "Size", "Chest", "-", "½", ""])
)


@given(st.lists(st.lists(CELLS, min_size=1, max_size=5), min_size=1, max_size=8), st.sampled_from(";,\t"))
@example([["", "Chest"], ["", ""]], ";")
def test_any_table_is_a_chart_or_says_why_not(rows: list[list[str]], delimiter: str) -> None:
    text = "\n".join(delimiter.join(row) for row in [["Size", "Chest (cm)", "Waist"], *rows])
    assert_is_told(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_chart_or_say_why_not(data: bytes) -> None:
    assert_is_told(data)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "chest", "min", "max", "sizes", "value", "unitCode", "@id"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
KEYS = (
    "@type",
    "name",
    "sizeGroup",
    "sizeSystem",
    "suggestedAge",
    "suggestedGender",
    "hasMeasurement",
    "suggestedMeasurement",
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON), JSON)
def test_any_json_is_a_chart_or_says_why_not(specification: dict[str, object], other: object) -> None:
    assert_is_told(json.dumps([{**specification, "@type": "SizeSpecification"}, other]).encode())
    assert_is_told(json.dumps({"sizes": [other, specification], "unit": other}).encode())


def assert_is_told(data: bytes) -> None:
    with suppress(UnusableFile):
        checked = check_chart(data)
        assert (checked.chart is None) == bool(checked.problems)


def test_columns_are_named_as_in_a_spreadsheet() -> None:
    assert [letters(number) for number in (1, 26, 27, 52, 703)] == ["A", "Z", "AA", "AZ", "AAA"]
