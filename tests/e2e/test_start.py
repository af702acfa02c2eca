"""Starting and stopping `wearon serve`: what cannot start says why in one message, what starts says where it is."""

import signal
import socket
from pathlib import Path

import httpx
import pytest

from support.machines import Machines
from support.processes import SERVE, WorkerProcess, wait_until, worker

pytestmark = pytest.mark.slow


def url_of(process: WorkerProcess) -> str:
    return str(process.wait_for("started")["url"])


def health_of(process: WorkerProcess) -> dict[str, object]:
    """The report, once everything works."""

    def look() -> dict[str, object] | None:
        report: dict[str, object] = httpx.get(f"{url_of(process)}/health").json()
        return report if report["status"] == "ok" else None

    return wait_until(look, lambda: str(httpx.get(f"{url_of(process)}/health").json()))


def test_production_lists_all_that_is_wrong_and_prints_no_secret(tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": "sk-secret-value", "OPENAI_MAX_RETRIES": "many", "REDIS_URL": "http://user:pw-secret@x"}
    with worker(SERVE, env, tmp_path) as process:
        assert process.wait() == 2
    for name in ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "OPENAI_MAX_RETRIES", "REDIS_URL"):
        assert name in process.log
    assert "Traceback" not in process.log
    assert "secret" not in process.log


def test_a_port_in_use_is_one_clear_line(machines: Machines, tmp_path: Path, production_env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with worker(SERVE, {**production_env, "PORT": str(port)}, tmp_path) as process:
            assert process.wait() == 1
    assert f"127.0.0.1:{port}" in process.log
    assert "Traceback" not in process.log


def test_a_home_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file where a folder should be")
    with worker(SERVE, {"WEARON_HOME": str(home), "PORT": "0", "LOCAL_REDIS_PORT": "0"}, tmp_path) as process:
        assert process.wait() == 2
    assert "WEARON_HOME: is a file where a folder is needed" in process.log
    assert "Traceback" not in process.log


def test_a_model_that_is_not_there_is_one_clear_line(tmp_path: Path, production_env: dict[str, str]) -> None:
    with worker(SERVE, {**production_env, "POSE_MODEL_PATH": "/there/is/none.task"}, tmp_path) as process:
        assert process.wait() == 1
    assert "POSE_MODEL_PATH: there is no file /there/is/none.task" in process.log
    assert "Traceback" not in process.log


def test_a_model_that_cannot_be_loaded_is_tried_again_and_seen_in_health(
    tmp_path: Path, production_env: dict[str, str]
) -> None:
    broken = tmp_path / "model.task"
    broken.write_bytes(b"this is no model")
    with worker(SERVE, {**production_env, "POSE_MODEL_PATH": str(broken)}, tmp_path) as process:
        process.wait_for("part is started again", part="pose_pool")
        assert httpx.get(f"{url_of(process)}/health").json()["status"] == "degraded"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_health_says_what_works_and_a_signal_stops_it_in_order(machines: Machines, number: signal.Signals) -> None:
    process = machines.serve()
    report = health_of(process)
    assert report["model_loaded"] is True
    assert report["redis_connected"] is True
    assert report["mode"] == "production"
    assert set(report["parts"]) == {  # type: ignore[call-overload]
        "lease",
        "image_models",
        "housekeeping",
        "audit",
        "incidents",
        "worker",
        "consumer",
        "pose_pool",
        "api",
        "loop_watch",
    }
    assert report["queues"] == {
        "tasks": 0,
        "taken": 0,
        "jobs": 0,
        "dead_letters": 0,
        "refunds": 0,
        "refunds_by_hand": 0,
        "oldest_refund_s": None,
    }
    process.signal(number)
    assert process.wait() == 0
    process.wait_for("stopped")


@pytest.mark.parametrize(
    ("left_out", "parts"),
    [
        (
            "--no-consumer",
            {
                "lease",
                "image_models",
                "housekeeping",
                "audit",
                "incidents",
                "worker",
                "waker",
                "pose_pool",
                "api",
                "loop_watch",
            },
        ),
        ("--no-worker", {"lease", "housekeeping", "audit", "incidents", "consumer", "pose_pool", "api", "loop_watch"}),
    ],
)
def test_parts_can_be_left_out(machines: Machines, left_out: str, parts: set[str]) -> None:
    process = machines.serve(left_out)
    assert set(httpx.get(f"{url_of(process)}/health").json()["parts"]) == parts
    assert process.stop() == 0


@pytest.mark.parametrize("home", ["/proc/nowhere", ""], ids=["not writable", "not set"])
def test_nothing_is_kept_outside_of_our_own_folder(
    production_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    for name in ("HOME", "XDG_CACHE_HOME") if not home else ("XDG_CACHE_HOME",):
        monkeypatch.delenv(name, raising=False)
    with worker(SERVE, production_env, tmp_path) as process:
        health_of(process)
        assert process.stop() == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"home"}
