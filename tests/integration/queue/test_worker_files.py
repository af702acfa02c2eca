"""Which processes of this machine have ended, by the locks on their files; what a heartbeat makes of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from support.job_side import new_lease, running_jobs, untyped
from wearon.queue import keys, worker_files
from wearon.queue.worker_files import PROC, WorkerFiles

HOLDER = """
import asyncio, sys
from pathlib import Path
from wearon.queue.worker_files import WorkerFiles
files = WorkerFiles(Path(sys.argv[1]), sys.argv[2])
asyncio.run(files.find_dead())
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def process(spool: Path, worker_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process, as far as its file goes."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(spool), worker_id], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        assert started.stdout
        assert started.stdout.readline() == b"locked\n"
        try:
            yield started
        finally:
            started.kill()


async def leave_file(spool: Path, worker_id: str) -> Path:
    """What a killed process leaves."""
    files = WorkerFiles(spool, worker_id)
    await files.find_dead()
    assert files._own is not None
    os.close(files._own)
    return files._own_path


@pytest.mark.slow
async def test_a_killed_process_is_found_and_one_that_lives_or_stands_still_is_not(tmp_path: Path) -> None:
    files = WorkerFiles(tmp_path, "next")
    with process(tmp_path, "killed") as killed, process(tmp_path, "frozen") as frozen, process(tmp_path, "living"):
        frozen.send_signal(signal.SIGSTOP)
        assert await files.find_dead() == []
        killed.kill()
        killed.wait()
        assert await files.find_dead() == ["killed"]
        assert await files.find_dead() == ["killed"], "Redis may not know it yet"
        files.forget(["killed"])
        assert await files.find_dead() == []
        assert files.dead == {"killed"}
    assert sorted(await WorkerFiles(tmp_path, "last").find_dead()) == ["frozen", "living"]


async def test_a_file_proves_nothing_when_it_is_a_copy_or_of_another_boot_or_cannot_be_read(tmp_path: Path) -> None:
    living = WorkerFiles(tmp_path, "living")
    await living.find_dead()
    shutil.copy(living._own_path, tmp_path / "workers" / "copy.lock")
    other_boot = await leave_file(tmp_path, "of another boot")
    other_boot.write_text(json.dumps(json.loads(other_boot.read_text()) | {"boot": "another"}))
    for number, text in enumerate(("", "{}", "[]", '"x"', "\0")):
        (tmp_path / "workers" / f"{number}.lock").write_text(text)
    (tmp_path / "workers" / "link.lock").symlink_to(tmp_path / "workers" / "0.lock")
    await leave_file(tmp_path, "killed")
    next_one = WorkerFiles(tmp_path, "next")
    await next_one.find_dead()
    assert next_one.dead == {"killed"}
    assert {living._own_path, next_one._own_path} <= set((tmp_path / "workers").iterdir())


async def test_without_a_lock_that_this_kernel_keeps_nothing_is_found(tmp_path: Path) -> None:
    await leave_file(tmp_path, "killed")
    proc = tmp_path / "proc"
    assert await WorkerFiles(tmp_path, "next", proc).find_dead() == [], "there is no /proc"
    (proc / "self").mkdir(parents=True)
    shutil.copytree(PROC / "sys/kernel/random", proc / "sys/kernel/random", copy_function=_copy_text)
    mounts = proc / "self" / "mountinfo"
    for kind, dead in (("nfs4", []), ("fuse.sshfs", []), ("ext4", ["killed"])):
        mounts.write_text(
            "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
            "28 27 0:9 / /ab rw - nfs a:/ rw\n"
            f"29 27 0:9 / {str(tmp_path).replace(' ', chr(92) + '040')} rw shared:1 - {kind} a:/ rw\n"
        )
        assert await WorkerFiles(tmp_path, "next", proc).find_dead() == dead, kind


def _copy_text(source: str, target: str) -> None:
    if Path(source).name == "boot_id":
        Path(target).write_text(Path(source).read_text())


async def test_a_disk_that_hangs_holds_up_no_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await leave_file(tmp_path, "killed")
    monkeypatch.setattr(worker_files, "LONGEST_LOOK_S", 0.01)
    files = WorkerFiles(tmp_path, "next")
    fifo = tmp_path / "mountinfo"
    os.mkfifo(fifo)
    looks: list[Path] = []

    def hang(folder: Path, _proc: Path) -> str:
        looks.append(folder)
        return fifo.read_text()

    monkeypatch.setattr(worker_files, "_file_system", hang)
    assert await files.find_dead() == []
    assert await files.find_dead() == []
    assert len(looks) == 1, "one look hangs, not one more for each heartbeat"
    fifo.write_text("ext4")
    assert files._looking
    await files._looking
    assert await files.find_dead() == ["killed"]


@pytest.mark.slow
async def test_the_heartbeat_that_hears_of_a_dead_worker_frees_its_jobs_and_its_file_goes_afterwards(
    redis_client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("killed", "elsewhere"):
        await new_lease(redis_client, name, 2).renew()
        await untyped(redis_client).hset(keys.RUNNING, f"job of {name}", name)
    file = await leave_file(tmp_path, "killed")
    lease = new_lease(redis_client, "next", 3, files=WorkerFiles(tmp_path, "next"))

    async def away(**_: object) -> None:
        raise RedisConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(lease, "_script", away)
        with pytest.raises(RedisConnectionError):
            await lease.renew()
    assert file.exists()
    await lease.renew()
    assert not file.exists()
    assert await running_jobs(redis_client) == {"job of elsewhere": "elsewhere"}
    assert lease.fleet.capacity == 5
    await lease.release()
    assert not list((tmp_path / "workers").iterdir())


@pytest.mark.slow
async def test_a_dead_worker_whose_lease_has_expired_is_no_latecomer(redis_client: Redis, tmp_path: Path) -> None:
    await new_lease(redis_client, "killed", 2).renew()
    await untyped(redis_client).hset(keys.RUNNING, "job", "killed")
    await redis_client.zadd(keys.WORKERS, {"killed": 1})  # as if Redis had been away
    await leave_file(tmp_path, "killed")
    await new_lease(redis_client, "next", 1, files=WorkerFiles(tmp_path, "next")).renew()
    assert await running_jobs(redis_client) == {}
