"""`arq --check`: whether a worker of this machine lives, by its lease in the Redis that the settings name."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.machines import SECRET_KEY
from support.processes import ARQ
from support.redis import free_port
from wearon.queue import keys

pytestmark = pytest.mark.slow

HERE = socket.gethostname()


def check(redis_url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "WEARON_MODE": "production",
        "WEARON_HOME": str(folder),
        "REDIS_URL": redis_url,
        "SUPABASE_URL": "http://127.0.0.1:1",
        "SUPABASE_SERVICE_ROLE_KEY": SECRET_KEY,
        "OPENAI_API_KEY": SECRET_KEY,
    }
    done = subprocess.run((*ARQ, "--check"), cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.mark.parametrize(
    ("worker", "ends_in_s", "status"),
    [
        (f"{HERE}:4711:abc", 600, 0),
        (f"{HERE}:4711:abc", -1, 1),
        ("another-machine:4711:abc", 600, 1),
        ("watcher:abcdef", 600, 1),
    ],
    ids=["ours lives", "ours has ended", "another machine's", "one that runs no jobs"],
)
async def test_a_worker_of_this_machine_with_a_lease_is_what_counts(
    redis_url: str, redis_client: Redis, tmp_path: Path, worker: str, ends_in_s: float, status: int
) -> None:
    await redis_client.zadd(keys.WORKERS, {worker: (time.time() + ends_in_s) * 1000})
    assert check(redis_url, tmp_path).returncode == status


def test_a_redis_out_of_reach_is_no_healthy_worker(tmp_path: Path) -> None:
    done = check(f"redis://127.0.0.1:{free_port()}/0", tmp_path)
    assert done.returncode == 1
    assert "redis is out of reach" in done.stdout + done.stderr
