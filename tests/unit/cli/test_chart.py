"""`wearon chart check`: what a shop sees of its file."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from wearon.cli.app import app

CHARTS = Path(__file__).parents[2] / "data" / "charts"


def check(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["chart", "check", *map(str, arguments)])


def test_a_good_chart_is_shown_drawn_and_given_as_json(tmp_path: Path) -> None:
    drawn = tmp_path / "chart.png"
    shown = check(CHARTS / "eu_women_letters.csv", "--garment", "dress", "--out", drawn)
    assert shown.exit_code == 0
    assert "eu_women_letters.csv: measured on the body, in cm" in shown.stdout
    assert "over 107" in shown.stdout
    assert json.loads(shown.stdout.splitlines()[-1])["garment"] == "dress"
    with Image.open(drawn) as picture:
        assert picture.format == "PNG"
        assert len(picture.getcolors() or ()) > 10


def test_scripts_get_one_document_and_a_status(tmp_path: Path) -> None:
    good = check(CHARTS / "skirt_upper_limits.csv", "--json")
    answer = json.loads(good.stdout)
    assert (good.exit_code, answer["problems"], answer["size_chart"]["sizes"][0]["name"]) == (0, [], "XS")
    bad = check(CHARTS / "children_ages.csv", "--json")
    answer = json.loads(bad.stdout)
    assert (bad.exit_code, answer["size_chart"]) == (1, None)
    assert "children's chart" in answer["problems"][0]


def test_a_hostile_file_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "chart.csv"
    file.write_text("Size;Chest (cm);\x1b]0;title\x07[bold]\nM\x1b[2J;\x1b[31m92;x\n[red]L;99;y\n")
    shown = check(file, "--out", tmp_path / "chart.png")
    assert shown.exit_code == 1
    assert "\\x1b[31m92" in shown.stderr
    assert "[red]L" in shown.stdout
    assert not any(character in shown.stdout + shown.stderr for character in "\x1b\x07")
    assert json.loads(check(file, "--json").stdout)["size_chart"] is None


@pytest.mark.parametrize("out", ["missing/chart.png", "."])
def test_a_picture_that_cannot_be_written_is_told(out: str, tmp_path: Path) -> None:
    told = check(CHARTS / "tallas_es.csv", "--out", tmp_path / out)
    assert "cannot write" in str(told.exception)
