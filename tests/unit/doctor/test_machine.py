"""Disk, descriptors, port, and local mode's own files."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.gateway import Response, running_gateway
from wearon.doctor import Finding, Level, Promise, machine
from wearon.local.platform import LocalPlatform
from wearon.resources.descriptors import divide
from wearon.settings import Settings


def all_of(findings: AsyncIterator[Finding]) -> dict[str, Finding]:
    async def collect() -> dict[str, Finding]:
        return {finding.check: finding async for finding in findings}

    return asyncio.run(collect())


def test_a_spool_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    found = all_of(machine.check_spool(tmp_path, 20))
    assert found["spool"].level is Level.OK
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    found = all_of(machine.check_spool(tmp_path / "not" / "yet", 20))
    assert found["spool"].level is Level.OK
    assert str(tmp_path) in found["spool"].message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    found = all_of(machine.check_spool(tmp_path, 20))
    assert (found["spool"].level, found["spool"].breaks) == (Level.FAULT, Promise.PAID_ONCE)


def test_a_disk_that_cannot_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "replace", refuse)
    found = all_of(machine.check_spool(tmp_path, 20))
    assert (found["spool"].level, found["spool"].breaks) == (Level.FAULT, Promise.PAID_ONCE)
    assert "cross-device" in found["spool"].message
    assert list(tmp_path.iterdir()) == []


def test_memory_and_container_layers_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_file_system", lambda _: "tmpfs")
    assert all_of(machine.check_spool(tmp_path, 20))["spool disk"].level is Level.WARNING


@pytest.mark.parametrize(
    ("free_mb", "concurrency", "level"),
    [(50_000, 20, Level.OK), (500, 20, Level.WARNING), (100, 20, Level.FAULT), (5_000, 1000, Level.FAULT)],
)
def test_room_for_the_pictures_under_way(free_mb: int, concurrency: int, level: Level) -> None:
    assert machine.judge_space(free_mb, concurrency).level is level


@pytest.mark.parametrize(
    ("limit", "concurrency", "level"),
    [
        (65_536, 20, Level.OK),
        (1024, 20, Level.OK),
        (768, 20, Level.WARNING),
        (256, 20, Level.FAULT),
        (1024, 500, Level.FAULT),
    ],
)
def test_descriptors_for_a_busy_worker(limit: int, concurrency: int, level: Level) -> None:
    assert machine.judge_descriptors(divide(limit, concurrency)).level is level


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_port_that_somebody_else_has(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PORT_S", 0.2)
    found = all_of(machine.check_port("127.0.0.1", taken_port))
    assert (found["port"].level, found["port"].breaks) == (Level.FAULT, Promise.SIZES_ALWAYS)


def test_a_port_that_a_worker_has() -> None:
    with running_gateway() as gateway:
        gateway.mount("/health/live", lambda _: Response(200, b'{"status": "ok"}'))
        port = int(gateway.url.rpartition(":")[2])
        found = all_of(machine.check_port("127.0.0.1", port))
        assert found["port"].level is Level.OK
        assert "a worker answers" in found["port"].message


def test_local_sessions_are_looked_at_and_not_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert all_of(machine.check_local_platform(home))["sessions"].level is Level.OK
    assert not home.exists()

    async def start() -> None:
        await (await LocalPlatform.open(home, "http://127.0.0.1:8000")).aclose()

    asyncio.run(start())
    assert all_of(machine.check_local_platform(home))["sessions"].level is Level.OK
    (home / "platform.sqlite3").write_bytes(b"not a database, but long enough to be looked at" * 100)
    assert all_of(machine.check_local_platform(home))["sessions"].level is Level.FAULT


@pytest.mark.parametrize(("hours", "said"), [(None, "is not set"), (6, ""), (24, "is 24, and shoppers")])
def test_pictures_that_are_kept_longer_than_promised_are_a_warning(hours: float | None, said: str) -> None:
    needed = dict.fromkeys(("supabase_service_role_key", "openai_api_key"), "x")
    urls = {"redis_url": "redis://x", "supabase_url": "https://x.example"}
    settings = Settings(_env_file=None, wearon_mode="production", retention_hours=hours, **needed, **urls)  # type: ignore[arg-type]
    (found,) = machine.check_settings(settings, [], {})
    assert (found.level is Level.WARNING) == bool(said)
    assert said in found.message


def test_every_problem_of_the_settings_is_a_fault() -> None:
    found = machine.check_settings(Settings(_env_file=None), ["REDIS_URL is missing", "PORT: too large"], {})
    assert [finding.level for finding in found] == [Level.FAULT, Level.FAULT]


def test_a_variable_that_nothing_reads_is_a_warning_that_names_the_setting() -> None:
    (found,) = machine.check_settings(Settings(_env_file=None), [], {"WORKER_CONCURENCY": "WORKER_CONCURRENCY"})
    assert found.level is Level.WARNING
    assert "nothing reads WORKER_CONCURENCY" in found.message
    assert "WORKER_CONCURRENCY" in found.hint
