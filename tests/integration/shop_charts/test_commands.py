"""`wearon chart put|list|show|delete` on a real Redis, with files as shops have them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from support.redis import RedisServer
from wearon.cli.app import app

CHARTS = Path(__file__).parents[2] / "data" / "charts"

Run = Callable[..., Result]


@pytest.fixture
def chart(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `wearon chart ...` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    return lambda *arguments: CliRunner().invoke(app, ["chart", *map(str, arguments)])


def test_a_shops_csv_is_kept_shown_put_again_and_forgotten(chart: Run, tmp_path: Path) -> None:
    put = chart("put", "acme/dress", CHARTS / "eu_women_letters.csv", "--garment", "dress")
    assert (put.exit_code, put.stdout) == (0, "acme/dress is kept, version 1\n"), put.exception
    shown = chart("show", "acme/dress").stdout
    checked = chart("check", CHARTS / "eu_women_letters.csv", "--garment", "dress", "--json").stdout
    for one, kind in ((shown, "chart"), (checked, "size_chart")):
        assert json.loads(one)[kind]["garment"] == "dress"
        (tmp_path / "again.json").write_text(one)
        assert "version 1" in chart("put", "acme/dress", "again.json").stdout, "the same chart"
    second = chart("put", "acme/dress", CHARTS / "eu_women_letters.csv", "--replaces", "1", "--json")
    assert json.loads(second.stdout) == {"chart": "acme/dress", "version": 2}
    assert "has version 2 by now" in str(chart("put", "acme/dress", "again.json", "--replaces", "1").exception)
    assert json.loads(chart("list", "acme", "--json").stdout)["charts"][0]["version"] == 2
    assert json.loads(chart("delete", "acme/dress", "--yes", "--json").stdout) == {
        "chart": "acme/dress",
        "deleted": True,
    }
    assert "there is no chart" in str(chart("show", "acme/dress").exception)
    entries = json.loads(CliRunner().invoke(app, ["audit-log", "--json"]).stdout)["entries"]
    assert {(one["via"], one["about"]) for one in entries} == {("command", "acme/dress")}
    versions = [(one["action"], one["before"], one["after"]) for one in reversed(entries)]
    assert versions == [
        ("put_chart", None, {"version": 1}),
        ("put_chart", {"version": 1}, {"version": 2}),
        ("delete_chart", {"version": 2}, None),
    ]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ('{"sizes": [', "this is no JSON"),
        ("Size;Chest (cm)\nS;96\nM;92\nL;104\n", "wrong: row 2 (S)"),
    ],
)
def test_what_the_check_calls_wrong_is_not_kept(document: str, said: str, chart: Run, tmp_path: Path) -> None:
    (tmp_path / "chart").write_text(document)
    put = chart("put", "acme/x", "chart")
    assert put.exit_code == 1
    assert said in put.stderr + str(put.exception)
    assert json.loads(chart("list", "--json").stdout) == {"stores": {}}
    assert chart("list").stdout == chart("list", "acme").stdout == "There are no charts.\n"
