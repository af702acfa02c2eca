"""A folder that cannot be evaluated says all that it lacks."""

from pathlib import Path

import pytest

from wearon.sizing.truth import COLUMNS, MOST_TOLD, UnusableTruth, read_truth

HEAD = ",".join(COLUMNS)
LINE = "a.jpg,170,96,80,90,40,M"


def problem_of(folder: Path, *lines: str) -> str:
    (folder / "truth.csv").write_text("\n".join(lines))
    (folder / "a.jpg").touch()
    with pytest.raises(UnusableTruth) as error:
        read_truth(folder)
    return str(error.value)


def test_a_folder_without_a_truth_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(UnusableTruth, match=r"there is no truth\.csv, with the columns image, height_cm, chest_cm"):
        read_truth(tmp_path)


def test_all_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    assert "has no column waist_cm, hip_cm, shoulder_cm" in problem_of(tmp_path, "image,height_cm,chest_cm,size", LINE)


def test_a_truth_about_nobody_is_none(tmp_path: Path) -> None:
    assert "names no pictures" in problem_of(tmp_path, HEAD)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("b.jpg,170,96,80,90,40,M", "person 2: there is no b.jpg"),
        (",170,96,80,90,40,M", "person 2: no image is named"),
        ("a.jpg,tall,96,80,90,40,M", "person 2: height_cm is not a number"),
        ("a.jpg,170,nan,80,90,40,M", "person 2: chest_cm is not a number"),
        ("a.jpg,170,96,80", "person 2: shoulder_cm is not a number"),
        ("a.jpg,170,96,80,90,40,", "person 2: size is none of XS, S, M"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, told: str) -> None:
    assert told in problem_of(tmp_path, HEAD, LINE, line)


def test_of_many_problems_some_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    told = problem_of(tmp_path, HEAD, *["b.jpg,170,96,80,90,40,M"] * 500)
    assert told.count("there is no b.jpg") == MOST_TOLD
    assert "and 490 more" in told


def test_what_is_no_csv_is_told(tmp_path: Path) -> None:
    assert "is no CSV in UTF-8" in problem_of(tmp_path, "x" * 200_000)
    (tmp_path / "truth.csv").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UnusableTruth, match="is no CSV in UTF-8"):
        read_truth(tmp_path)


def test_a_good_truth_is_read_with_all_its_columns(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "truth.csv").write_text(f"{HEAD},skin\n{LINE},dark\n", encoding="utf-8-sig")
    (truth,) = read_truth(tmp_path)
    assert (truth["image"], truth["skin"]) == ("a.jpg", "dark")
