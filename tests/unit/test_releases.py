"""What a release is made of agrees: version, changelog, image's tag; and the workflows run what is pinned."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_the_newest_version_of_the_changelog_is_the_packages() -> None:
    headings = re.findall(r"^## \[(.+)\](?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    versions = [(name, day) for name, day in headings if name != "Unreleased"]
    assert versions[0][0] == VERSION
    numbers = [tuple(map(int, name.split("."))) for name, _ in versions]
    assert numbers == sorted(set(numbers), reverse=True)
    days = [date.fromisoformat(day) for _, day in versions]
    assert days == sorted(days, reverse=True)


def test_the_manifests_ask_for_this_version() -> None:
    (image,) = yaml.safe_load((ROOT / "deploy/kubernetes/kustomization.yaml").read_text())["images"]
    assert image["newTag"] == VERSION


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_and_tools_are_pinned(workflow: Path) -> None:
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []
    modules = re.findall(r"\bgithub\.com/\w\S+/v?\w+\S*@\S+", workflow.read_text())
    assert [module for module in modules if not re.search(r"@v\d+\.\d+\.\d+$", module)] == []


def test_only_the_release_may_write() -> None:
    for workflow in WORKFLOWS:
        read = yaml.safe_load(workflow.read_text())
        assert read["permissions"] == {"contents": "read"}, workflow.name
        writes = {job for job, told in read["jobs"].items() if "write" in set(told.get("permissions", {}).values())}
        assert writes == ({"release"} if workflow.name == "release.yml" else set())
