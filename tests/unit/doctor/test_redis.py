"""What INFO and CONFIG of different kinds of Redis mean."""

from collections.abc import Mapping
from typing import Any

import pytest

from wearon.doctor.findings import Finding, Level, Promise
from wearon.doctor.redis import (
    judge_eviction,
    judge_latency,
    judge_longest_value,
    judge_memory,
    judge_persistence,
    judge_role,
    judge_version,
)

UPSTASH: Mapping[str, Any] = {"upstash_version": "1.11.0", "redis_version": "6.2.6", "redis_mode": "standalone"}
"""INFO of a hosted one that has no word about persistence and eviction, and no CONFIG."""

WITH_FILE = {"aof_enabled": 1, "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok"}
WITHOUT_FILE = {"aof_enabled": 0, "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok"}


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("6.2.7", Level.OK),
        ("7.4.0", Level.OK),
        ("10.0.1", Level.OK),
        ("6.0.16", Level.FAULT),
        ("5.0", Level.FAULT),
        (None, Level.WARNING),
    ],
)
def test_it_must_have_blmove(version: str | None, level: Level) -> None:
    assert judge_version({"redis_version": version} if version else {}).level is level


@pytest.mark.parametrize(
    ("info", "save", "appendfsync", "level"),
    [
        (WITH_FILE, "", "everysec", Level.OK),
        (WITH_FILE, None, None, Level.OK),
        (WITH_FILE, "", "no", Level.WARNING),
        ({**WITH_FILE, "aof_last_write_status": "err"}, "3600 1", "everysec", Level.FAULT),
        (WITHOUT_FILE, "3600 1 300 100", "everysec", Level.WARNING),
        ({**WITHOUT_FILE, "rdb_last_bgsave_status": "err"}, "3600 1", "everysec", Level.FAULT),
        (WITHOUT_FILE, None, None, Level.WARNING),
        (WITHOUT_FILE, "", "everysec", Level.FAULT),
        (UPSTASH, None, None, Level.WARNING),
    ],
)
def test_what_it_forgets(info: Mapping[str, Any], save: str | None, appendfsync: str | None, level: Level) -> None:
    found = judge_persistence(info, save, appendfsync)
    assert found.level is level
    assert (found.breaks is Promise.REFUNDED_ONCE) == (level is Level.FAULT)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_any_eviction_is_a_fault(policy: str) -> None:
    found = judge_eviction({"maxmemory_policy": policy}, None)
    assert (found.level, found.breaks) == (Level.FAULT, Promise.EVERY_TASK_ENDS)
    assert judge_eviction({}, policy).level is Level.FAULT


def test_no_eviction_is_fine_and_silence_is_said() -> None:
    assert judge_eviction({"maxmemory_policy": "noeviction"}, None).level is Level.OK
    silent = judge_eviction(UPSTASH, None)
    assert silent.level is Level.WARNING
    assert "cannot be told" in silent.message


@pytest.mark.parametrize(
    "info", [{"role": "slave"}, {"role": "master", "cluster_enabled": 1}, {"redis_mode": "cluster"}]
)
def test_replicas_and_clusters_will_not_do(info: Mapping[str, Any]) -> None:
    assert judge_role(info).level is Level.FAULT


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (judge_role({"role": "master", "cluster_enabled": 0}), Level.OK),
        (judge_latency([1.0, 2.0, 300.0]), Level.OK),
        (judge_latency([150.0, 150.0, 1.0]), Level.WARNING),
        (judge_memory({"used_memory": 10, "maxmemory": 100}), Level.OK),
        (judge_memory({"used_memory": 90, "maxmemory": 100}), Level.WARNING),
        (judge_longest_value(None), Level.WARNING),
        (judge_longest_value("536870912"), Level.WARNING),
        (judge_longest_value("67108864"), Level.OK),
    ],
)
def test_other_limits(finding: Finding, level: Level) -> None:
    assert finding.level is level
