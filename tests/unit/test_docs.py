"""The pages name only what exists: files, folders, links, and the classes and functions of the walks."""

import ast
import re
from fnmatch import fnmatch
from functools import cache
from inspect import signature
from pathlib import Path

import pytest

from wearon.cli.demo import demo
from wearon.metrics import Metrics
from wearon.sizing import WarningCode

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    {
        page.relative_to(ROOT).as_posix()
        for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/*.md"))
    }
)
FOLDERS = ("src", "tests", "benchmarks", "research", "scripts", "deploy", "monitoring", "docs", ".ci", ".github")

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)")
FILE = re.compile(r"`([\w./-]+\.(?:py|js|lua|sql|sh|yml|task|toml))`")
FOLDER = re.compile(r"`([\w.-]+(?:/[\w.-]+)*/)`")
MODULE = re.compile(r"`wearon(?:\.[a-z_]+)+`")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MADE_AT_RUN_TIME = ".wearon/"
PACKAGE_ROW = re.compile(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", re.MULTILINE)
WORD = re.compile(r"\w+")
NAME_IN_FILE = re.compile(r"`([\w/]+\.py)`(?:\*\*)?, `(\w+(?:\.\w+)?)`")


@cache
def paths() -> frozenset[str]:
    """Every file and folder of the project, with a slash in front."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts]
    found += [ROOT / folder for folder in FOLDERS] + [path for path in ROOT.iterdir() if path.is_file()]
    return frozenset(f"/{path.relative_to(ROOT).as_posix()}" for path in found)


def exists(name: str) -> bool:
    """Whether a path of the project ends like this: pages leave `src/wearon/` and folders of tests out."""
    return any(path.endswith(f"/{name.removesuffix('/')}") for path in paths())


def prose(page: str) -> str:
    return FENCED.sub("", (ROOT / page).read_text())


def defined_in(file: str) -> set[str]:
    """Classes, functions and methods of a module: `Name`, or `Class.method`."""
    (path,) = (path for path in paths() if path.endswith(f"/src/wearon/{file}"))
    names = set()
    for node in ast.parse((ROOT / path[1:]).read_text()).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, FUNCTIONS)}
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            names.add(node.name)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = [link for link in LINK.findall(prose(page)) if "://" not in link]
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_files_and_folders_exist(page: str) -> None:
    text = prose(page)
    assert [name for name in FILE.findall(text) if not exists(name)] == []
    assert [name for name in FOLDER.findall(text) if not exists(name) and name != MADE_AT_RUN_TIME] == []


@pytest.mark.parametrize("page", PAGES)
def test_modules_exist(page: str) -> None:
    modules = [name.strip("`").replace(".", "/") for name in MODULE.findall(prose(page))]
    assert [name for name in modules if not exists(f"src/{name}.py") and not exists(f"src/{name}/__init__.py")] == []


def test_the_walks_name_what_is_defined_there() -> None:
    named = NAME_IN_FILE.findall(prose("docs/architecture.md"))
    assert len(named) > 5
    assert [f"{file}: {name}" for file, name in named if name not in defined_in(file)] == []


def test_the_packages_import_what_the_page_says() -> None:
    rules = ast.parse((ROOT / "tests/unit/test_house_rules.py").read_text())
    (layers,) = (
        ast.literal_eval(node.value)
        for node in rules.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    )
    rows = PACKAGE_ROW.findall(prose("docs/architecture.md"))
    said = {name: set(WORD.findall(packages.partition("(")[0])) for name, packages in rows}
    assert said == layers


def test_the_pages_have_every_metric_and_every_warning() -> None:
    metrics = {family.name for family in Metrics().registry.collect() if family.name.startswith("wearon_")}
    assert [name for name in sorted(metrics) if name not in (ROOT / "docs/monitoring.md").read_text()] == []
    assert [code for code in WarningCode if f"`{code}`" not in (ROOT / "docs/sizing.md").read_text()] == []


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text()
    records = sorted(path.name for path in ROOT.glob("docs/decisions/0*.md"))
    assert len(records) > 10
    assert [name for name in records if f"]({name})" not in index] == []


def test_what_the_first_commands_leave_is_ignored_by_git() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    written = re.findall(r"--annotate (\S+\.jpg)", (ROOT / "README.md").read_text())
    written.append(str(signature(demo).parameters["output"].default))
    assert len(written) > 1
    assert [name for name in written if not any(fnmatch(f"/{name}", pattern) for pattern in ignored)] == []
    assert MADE_AT_RUN_TIME in ignored
