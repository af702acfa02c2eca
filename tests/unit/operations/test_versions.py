"""What version 0.1 wrote into Redis, and what its HTTP answers looked like: both are the same today.

Two versions run side by side during a deployment, so each reads the reports and histories of the other; scripts and
dashboards read the JSON of `/health`, console and command line.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from wearon.operations.entries import read_entry
from wearon.operations.models import FleetStatus, Health, Report, SessionHistory

WRITTEN = Path(__file__).parents[2] / "data" / "version-0.1"


def written(name: str) -> bytes:
    return (WRITTEN / name).read_bytes()


def assert_has(now: Any, before: Any) -> None:
    """All that was there before; objects may have grown."""
    if isinstance(before, dict):
        assert now.keys() >= before.keys()
        for name, value in before.items():
            assert_has(now[name], value)
    elif isinstance(before, list):
        assert len(now) == len(before)
        for one, other in zip(now, before, strict=True):
            assert_has(one, other)
    else:
        assert now == before


ANSWERS = [(FleetStatus, "status.json"), (Health, "health.json"), (SessionHistory, "session.json")]


def test_a_report_is_read_and_written_as_before() -> None:
    report = Report.model_validate_json(written("report.json"))
    assert (report.host, report.busy, report.parts[1].restarts, report.jobs[0].step) == ("gen-a", 1, 2, "generate")
    assert json.loads(report.model_dump_json(exclude_defaults=True)) == json.loads(written("report.json"))


@pytest.mark.parametrize("line", written("history.jsonl").splitlines(), ids=lambda line: json.loads(line)["kind"])
def test_an_entry_of_a_history_is_read_and_written_as_before(line: bytes) -> None:
    entry = read_entry(line)
    assert entry is not None
    assert json.loads(entry.model_dump_json(exclude_none=True)) == json.loads(line)


@pytest.mark.parametrize(("model", "name"), ANSWERS, ids=lambda value: value if isinstance(value, str) else "")
def test_an_answer_has_the_same_fields_and_values_as_before(model: type[BaseModel], name: str) -> None:
    before = json.loads(written(name))
    found = {**before}
    if found.get("descriptors"):
        found["descriptors"] = {**found["descriptors"], "needed": 0}  # only known inside
    assert_has(json.loads(model.model_validate(found).model_dump_json()), before)


def test_health_is_the_part_of_the_status_that_concerns_this_process() -> None:
    fleet = FleetStatus.model_validate_json(written("status.json"))
    told = json.loads(Health.of(fleet).model_dump_json())
    assert_has(told, {**json.loads(written("health.json")), "descriptors": None})


def test_fields_of_a_newer_version_and_missing_ones_of_an_older_one_are_no_harm() -> None:
    report: dict[str, Any] = json.loads(written("report.json"))
    newer = {**report, "mood": "good", "parts": [{"name": "moon", "state": "waxing", "phase": 3}]}
    newer["jobs"] = [{**report["jobs"][0], "colour": "red"}]
    assert Report.model_validate(newer).parts[0].state == "waxing"
    assert Report.model_validate(newer).jobs[0].attempt == 3
    older = {name: report[name] for name in ("host", "pid", "version", "capacity", "busy")}
    assert Report.model_validate(older).jobs == []
    run = json.loads(written("history.jsonl").splitlines()[0])
    least = {name: run[name] for name in ("kind", "at", "began_at", "outcome")}
    assert read_entry(json.dumps({**least, "weather": "rain"}).encode()) is not None
