"""`wearon estimate` with a shop's chart: what a terminal tells of it. From height and weight, which need no process."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from wearon.cli.app import app

LETTERS = Path(__file__).parents[2] / "data" / "charts" / "eu_women_letters.csv"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def estimate(*arguments: object) -> Result:
    words = ["estimate", "--height", "170", "--weight", "70", "--sex", "female", *map(str, arguments)]
    return CliRunner().invoke(app, words)


def test_a_chart_is_answered_with_how_its_sizes_sit_and_all_that_was_measured() -> None:
    told = estimate("--chart", LETTERS).stdout
    assert "L sits: chest regular, waist" in told
    for name in ("inseam", "sleeve", "underbust"):
        assert f"  {name:9}" in told
    sizes = [
        json.loads(estimate("--chart", LETTERS, "--fit-preference", fit, "--json").stdout)["recommended_size"]
        for fit in ("tight", "loose")
    ]
    assert sizes == ["L", "XL"]


def test_what_the_shop_should_know_and_a_body_outside_are_told(tmp_path: Path) -> None:
    (tmp_path / "small.csv").write_text("Size;Chest (cm)\nsmall;70-74\nmedium;78-82\n")
    told = estimate("--chart", "small.csv").stdout
    assert "No size of this chart\n  too_large_for_chart: The largest size is likely too small." in told
    assert "gap_between_sizes" in told
    assert "size_name_refused" in told


def test_a_chart_that_is_wrong_is_not_estimated_with(tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("Size;Chest (cm)\nS;96\nM;92\nL;104\n")
    refused = estimate("--chart", "wrong.csv")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "must not fall" in refused.stderr
