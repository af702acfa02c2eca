"""`wearon doctor` as an operator runs it: before a whole production that works, and before broken ones."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.machines import API_TOKEN, SECRET_KEY
from support.openai_stub import INVALID_KEY, OpenAIStub
from support.postgrest import Supabase
from support.processes import SERVE, run_wearon, worker
from support.redis import RedisServer, free_port

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("synced_redis")]

BUSY = {"pose model", "redis latency"}


def doctor(env: Mapping[str, str], cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    done = run_wearon("doctor", *arguments, env={"COLUMNS": "200", **env}, cwd=cwd)
    for secret in (SECRET_KEY, API_TOKEN, env.get("SUPABASE_SERVICE_ROLE_KEY", SECRET_KEY)):
        assert secret not in done.stdout + done.stderr
    return done


def levels(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """The worst level of each check."""
    order = ["ok", "warning", "fault"]
    found: dict[str, str] = {}
    for finding in answer(done)["findings"]:
        found[finding["check"]] = max(found.get(finding["check"], "ok"), finding["level"], key=order.index)
    return found


def all_well(found: Mapping[str, str]) -> bool:
    """On a machine that may be busy: there, latencies are warnings."""
    return {level for check, level in found.items() if check not in BUSY} == {"ok"} and "fault" not in found.values()


def answer(done: "subprocess.CompletedProcess[str]") -> Any:
    return json.loads(done.stdout)


def test_a_foreign_folder_gets_no_secret_of_the_environment(
    production_env: dict[str, str], openai: OpenAIStub, tmp_path: Path
) -> None:
    env = {name: value for name, value in production_env.items() if name != "OPENAI_BASE_URL"}
    (tmp_path / ".env").write_text(f"OPENAI_BASE_URL={openai.url}\n")
    done = doctor(env, tmp_path, "--json")
    assert done.returncode == 1
    told = [finding["message"] for finding in answer(done)["findings"] if finding["check"] == "settings"]
    assert any("OPENAI_API_KEY is in the environment, and OPENAI_BASE_URL" in message for message in told)
    assert "openai" not in levels(done)
    assert openai.connections == 0


def test_a_production_that_works(
    production_env: dict[str, str], supabase: Supabase, openai: OpenAIStub, redis_server: RedisServer, tmp_path: Path
) -> None:
    supabase.gateway.exchanges.clear()
    done = doctor({**production_env, "API_TOKEN": API_TOKEN, "RETENTION_HOURS": "6"}, tmp_path, "--json")
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    assert all_well(levels(done)), done.stdout
    assert {
        "settings", "access", "redis", "redis latency", "redis clock", "redis version", "redis role",
        "redis persistence", "redis eviction", "redis longest value", "redis rights", "supabase", "supabase clock",
        "supabase tables", "supabase functions", "supabase bucket", "openai", "openai clock", "pose model", "spool",
        "spool disk", "descriptors", "port",
    } == set(levels(done))  # fmt: skip
    for exchange in supabase.gateway.exchanges:
        tried = exchange.line + exchange.body.decode()  # on what cannot exist
        assert exchange.line.startswith("GET ") or "00000000-0000-0000-0000-000000000000" in tried
    assert openai.looked_up == [
        f"/v1/models/{model}" for model in ("gpt-image-2.6-sunburst", "gpt-image-2.6-flare", "gpt-image-2")
    ]
    assert openai.requests == []
    assert openai.pictures_sent == 0
    assert list(tmp_path.iterdir()) == []  # not even its own home


def test_a_production_with_many_faults(
    production_env: dict[str, str], supabase: Supabase, openai: OpenAIStub, tmp_path: Path
) -> None:
    openai.always(INVALID_KEY)
    supabase.storage.bucket["public"] = True
    env = {**production_env, "REDIS_URL": "redis://:hidden@127.0.0.1:1", "POSE_MODEL_PATH": str(tmp_path / "none.task")}
    done = doctor(env, tmp_path)
    assert done.returncode == 1
    assert "4 faults" in done.stdout
    for part in (
        "redis://127.0.0.1:1/0 cannot be reached",
        "shoppers' pictures open without a signature",
        "invalid_api_key",
        "no pose model at",
        "breaks: A shopper's pictures open with a signed URL only",
        "breaks: /estimate-body answers whether or not Redis, Supabase and OpenAI do",
        "→ make it private",
    ):
        assert part in done.stdout, part
    assert "hidden" not in done.stdout


def test_incomplete_settings_are_listed_and_the_rest_is_still_checked(
    production_env: dict[str, str], tmp_path: Path
) -> None:
    env = {name: value for name, value in production_env.items() if name not in {"SUPABASE_URL", "OPENAI_API_KEY"}}
    done = doctor({**env, "WORKER_CONCURRENCY": "many", "RETENTION_HOURS": "6"}, tmp_path, "--json")
    assert done.returncode == 1
    told = [finding["message"] for finding in answer(done)["findings"] if finding["check"] == "settings"]
    for name in ("SUPABASE_URL is missing", "OPENAI_API_KEY is missing", "WORKER_CONCURRENCY: "):
        assert any(line.startswith(name) for line in told), told
    assert len(told) == 3
    found = levels(done)
    assert found["redis"] == found["spool"] == "ok"
    assert "pose model" in found
    assert "supabase" not in found


def test_local_mode_before_and_while_it_runs(tmp_path: Path) -> None:
    env = {"WEARON_MODE": "local", "WEARON_HOME": str(tmp_path / "home"), "LOCAL_REDIS_PORT": "0"}
    env["PORT"] = str(free_port())
    before = doctor(env, tmp_path, "--json")
    assert before.returncode == 0, before.stdout
    assert not (tmp_path / "home").exists()
    with worker((*SERVE, "--no-worker", "--no-api"), env, tmp_path) as process:
        process.wait_for("started")
        running = doctor(env, tmp_path, "--json")
    assert running.returncode == 0, running.stdout
    assert all_well(levels(running)), running.stdout
    assert "redis persistence" in levels(running)
    assert "openai" not in levels(running)
