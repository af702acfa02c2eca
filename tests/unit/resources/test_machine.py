"""Defaults that fit the machine: processors, quotas and memory as systems and containers tell them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearon.resources import machine
from wearon.resources.machine import MB, Resources, resources
from wearon.settings import Settings

CGROUP_2 = "0::/\n"
CGROUP_1 = "4:memory:/docker/ab\n2:cpu,cpuacct:/docker/ab\n0::/\n"


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 96 processors and 256 GB."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(96)), raising=False)
    monkeypatch.setattr(machine, "_physical_memory", lambda: iter([256 * 1024 * MB]))


def read(tmp_path: Path, groups: str, files: dict[str, str]) -> Resources:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return resources(tmp_path / "proc", tmp_path / "cgroup")


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    ("groups", "files", "cores", "memory_mb"),
    [
        pytest.param("", {}, 96, 256 * 1024, id="no control groups"),
        pytest.param(CGROUP_2, {"cpu.max": "max 100000\n", "memory.max": "max\n"}, 96, 256 * 1024, id="no limits"),
        pytest.param(CGROUP_2, {"cpu.max": "100000 100000", "memory.max": "536870912"}, 1, 512, id="version 2"),
        pytest.param(
            "0::/kubepods/pod1/c1\n",
            {"kubepods/pod1/cpu.max": "50000 100000", "kubepods/pod1/c1/cpu.max": "max 100000"},
            0.5,
            256 * 1024,
            id="the group above is tighter",
        ),
        pytest.param("0::/../../ab\n", {"cpu.max": "150000 100000"}, 1.5, 256 * 1024, id="a path out of our sight"),
        pytest.param(
            CGROUP_1,
            {
                "cpu/cpu.cfs_quota_us": "200000",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "1073741824",
            },
            2,
            1024,
            id="version 1, mounted at our own group",
        ),
        pytest.param(
            CGROUP_1,
            {"cpu/docker/ab/cpu.cfs_quota_us": "-1", "cpu/docker/ab/cpu.cfs_period_us": "100000"},
            96,
            256 * 1024,
            id="version 1 without a limit",
        ),
        pytest.param("nonsense\n0::\n", {"cpu.max": "0 0", "memory.max": "much"}, 96, 256 * 1024, id="nonsense"),
    ],
)
def test_limits_of_a_container_count_and_not_its_node(
    tmp_path: Path, groups: str, files: dict[str, str], cores: float, memory_mb: int
) -> None:
    assert read(tmp_path, groups, files) == Resources(cores, memory_mb * MB)


@given(
    cores=st.floats(min_value=0.01, max_value=512),
    memory=st.none() | st.integers(min_value=0, max_value=2**63),
)
def test_no_default_is_refused_by_its_own_validator(cores: float, memory: int | None) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("wearon.settings.settings.resources", lambda: Resources(cores, memory))
        settings = Settings(_env_file=None, wearon_mode="local")
    for processes in (settings.picture_processes, settings.pose_processes):
        assert 1 <= processes <= max(1, min(2, cores))


@pytest.mark.parametrize(("memory_mb", "pose_processes"), [(256, 1), (1024, 1), (2048, 2), (None, 2)])
def test_pose_processes_fit_into_the_memory(
    monkeypatch: pytest.MonkeyPatch, memory_mb: int | None, pose_processes: int
) -> None:
    memory = None if memory_mb is None else memory_mb * MB
    monkeypatch.setattr("wearon.settings.settings.resources", lambda: Resources(16, memory))
    assert Settings(_env_file=None, wearon_mode="local").pose_processes == pose_processes
