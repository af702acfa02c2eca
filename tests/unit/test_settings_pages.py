"""`.env.example` and README's table have the settings that there are, with the defaults that they have."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from wearon.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]

LINE = re.compile(r"^(#?)([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
ROW = re.compile(r"^\| (`[A-Z][^|]*)\| ([^|]*) \|", re.MULTILINE)
NAME = re.compile(r"`([A-Z][A-Z0-9_]*)`")

NOT_OURS = {"GRAFANA_PASSWORD"}
"""Read by compose.yaml, not by the worker."""

CHOSEN_BY_THE_MACHINE = {"PICTURE_PROCESSES", "POSE_PROCESSES"}
EXAMPLES = {"STORE_WEIGHTS"}
"""Settings whose line shows a form, because the default is nothing."""

WITHIN_ANOTHER = {"SPOOL_DIR": ".wearon/spool"}
"""A default that is made from another setting."""

IN_WORDS = {"required¹", "by what is set", "by cores, quota and memory, at most 2", "in it", "the one in the package"}
"""What README says instead of a value."""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def is_default(monkeypatch: pytest.MonkeyPatch, name: str, written: str) -> bool:
    """Whether the setting is the same with this variable as without."""
    monkeypatch.setenv("WEARON_MODE", "local")  # which asks for no further settings
    default: Any = getattr(load_settings(), name.lower())
    if not written or written == "none":
        return default in (None, (), {})
    if name in WITHIN_ANOTHER:
        return written == WITHIN_ANOTHER[name] == str(load_settings().spool_folder)
    monkeypatch.setenv(name, written)
    same = bool(getattr(load_settings(), name.lower()) == default)
    monkeypatch.delenv(name)
    return same


def test_the_example_has_every_setting_once_and_no_other() -> None:
    names = [name for _, name, _ in LINE.findall((ROOT / ".env.example").read_text())]
    assert sorted(names) == sorted({name.upper() for name in Settings.model_fields} | NOT_OURS)


def test_what_the_example_has_commented_out_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = LINE.findall((ROOT / ".env.example").read_text())
    shown = {name: value for comment, name, value in lines if comment and name not in NOT_OURS}
    assert len(shown) > 30
    wrong = {
        name: value
        for name, value in shown.items()
        if name not in CHOSEN_BY_THE_MACHINE | EXAMPLES and not is_default(monkeypatch, name, value)
    }
    assert wrong == {}


def test_the_example_filled_in_is_what_the_worker_starts_with(monkeypatch: pytest.MonkeyPatch) -> None:
    filled = (ROOT / ".env.example").read_text().replace("<password>@<host>", "pw@redis").replace("<project>", "p")
    filled = re.sub(r"^(SUPABASE_SERVICE_ROLE_KEY|OPENAI_API_KEY)=$", r"\1=a-key", filled, flags=re.MULTILINE)
    Path(".env").write_text(filled)
    assert load_settings().openai_api_key is not None


def test_sentences_of_the_code_name_settings_that_there_are() -> None:
    there = {name.upper() for name in Settings.model_fields}
    first_words = sorted({name.partition("_")[0] for name in there if "_" in name})
    like_a_setting = re.compile(rf"(?<![\w.])(?:{'|'.join(first_words)})_[A-Z0-9_]+\b")
    wrong = {
        (path.name, name)
        for path in (ROOT / "src/wearon").rglob("*.py")
        if path.name != "misspelt.py"  # which quotes names that are wrong
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in like_a_setting.findall(node.value)
        if name not in there
    }
    assert wrong == set()


def test_readmes_table_has_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    table = (ROOT / "README.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = [(NAME.findall(names), cell.replace("`", "")) for names, cell in ROW.findall(table)]
    assert len(rows) > 25
    wrong = []
    for names, cell in rows:
        assert {name.lower() for name in names} <= set(Settings.model_fields), names
        values = cell.split(", ") if len(names) > 1 and cell not in IN_WORDS else [cell]
        values = values * len(names) if len(values) == 1 else values
        assert len(values) == len(names), names
        wrong += [
            (name, value)
            for name, value in zip(names, values, strict=True)
            if value not in IN_WORDS and not is_default(monkeypatch, name, value)
        ]
    assert wrong == []
