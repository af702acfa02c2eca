"""The disk takes nothing: what was paid for is in one process's memory, and no other process pays for it again."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.job_side import (
    GARMENT_URL,
    PERSON_URL,
    PICTURE,
    Buyer,
    FaultyPlatform,
    LocalShop,
    ScriptedFetcher,
    ScriptedModel,
    enqueue,
    eventually,
    give_lease,
    job_id,
    new_input_images,
    new_outbox,
    new_spool,
    new_worker,
    running,
    running_jobs,
    untyped,
)
from wearon.observability.tracing import Tracing
from wearon.platform import outages
from wearon.platform.base import Channel, PlatformRefused, SessionRef
from wearon.queue import keys
from wearon.queue.dead_letters import DeadLetters
from wearon.tryon import retry_policy as failures
from wearon.tryon.deliveries import Deliveries
from wearon.tryon.pipeline import Pipeline
from wearon.tryon.rejections import Rejections
from wearon.tryon.retry_policy import RetryPolicy
from wearon.tryon.run import Runs
from wearon.tryon.sessions import Sessions
from wearon.tryon.spool import Spool

pytestmark = pytest.mark.slow

FOR_EVER = 1_000_000

LACKS = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EMFILE, "Too many open files"),
    MemoryError(),
    RuntimeError("can't start new thread"),
]


class Disk:
    """Both processes' disk; `lack` is what it refuses to write with."""

    def __init__(self, folder: Path, lack: Exception) -> None:
        self.folder = folder
        self.lack: Exception | None = lack
        self._write = Spool._write

    def __call__(self, spool: Spool, *arguments: object) -> None:
        if self.lack is not None:
            raise self.lack
        self._write(spool, *arguments)  # type: ignore[arg-type]


@pytest.fixture(params=LACKS, ids=repr)
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path / "spool", request.param)
    monkeypatch.setattr(Spool, "_write", lambda spool, *arguments: disk(spool, *arguments))
    monkeypatch.setattr(outages, "OUTAGE_RETRY_S", 0.0)
    monkeypatch.setattr(failures, "OUTAGE_PAUSE_S", 0.02)
    return disk


@pytest.fixture
async def ref(shop: LocalShop) -> SessionRef:
    return await Buyer(shop, Channel.B2C).buy()


async def _as_it_is(data: bytes) -> bytes:
    return data


class Process:
    """What runs jobs: a worker, and a pipeline with a spool of its own."""

    def __init__(self, redis: Redis, platform: FaultyPlatform, folder: Path) -> None:
        self._redis = redis
        self._platform = platform
        self.image_model = ScriptedModel()
        self.spool = new_spool(folder)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """It takes jobs within the block, and ends in order."""
        worker = new_worker(
            self._redis,
            lambda payload, attempt: pipeline.generate(payload, attempt),
            must_keep=self.spool.holds_alone,
        )
        lease = await give_lease(self._redis, worker)
        fetcher = ScriptedFetcher({PERSON_URL: [b"person"], GARMENT_URL: [b"garment"]})
        events = worker._events
        runs = Runs(events, Tracing())
        outbox, dead_letters = new_outbox(self._redis, self._platform, events), DeadLetters(self._redis, events)
        sessions = Sessions(self._platform, outbox, dead_letters, lease.confirm, runs)
        pipeline = Pipeline(
            sessions,
            new_input_images(fetcher, _as_it_is),
            self.image_model,
            self.spool,
            Deliveries(sessions, self.image_model, self.spool, runs),
            Rejections(sessions, runs),
            RetryPolicy(max_rate_limited=2, deadline_s=500.0),
            runs,
            is_paused=lambda _ref: False,
        )
        try:
            async with running(worker.run, lease.run):
                yield
        finally:
            await worker.drain(0)


@asynccontextmanager
async def two_processes(redis: Redis, platform: FaultyPlatform, folder: Path) -> AsyncIterator[list[Process]]:
    """On one disk; whoever is first takes the job."""
    processes = [Process(redis, platform, folder) for _ in range(2)]
    async with processes[0].working(), processes[1].working():
        yield processes


@pytest.mark.parametrize("method", ["store_picture", "sign_picture", "complete_session"])
async def test_what_no_disk_takes_is_delivered_from_memory_however_long_that_takes(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, ref: SessionRef, disk: Disk, method: str
) -> None:
    platform.break_next(method, error=PlatformRefused("503 of its gateway"), times=FOR_EVER)
    async with two_processes(redis_client, platform, disk.folder) as processes:
        await enqueue(redis_client, ref)
        await eventually(lambda: is_called(platform, method, 5))
        assert await untyped(redis_client).get(keys.STARTS + job_id(ref)) == b"1", "nobody else could take it"
        assert set(await running_jobs(redis_client)) == {job_id(ref)}
        platform.faults.clear()
        await eventually(lambda: is_completed(shop, ref))
        await eventually(lambda: nothing_is_kept(processes, ref))
    assert paid(processes) == 1
    assert disk.lack is not None


async def test_what_the_disk_takes_at_last_is_for_anybody_again(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, ref: SessionRef, disk: Disk
) -> None:
    platform.break_next("store_picture", error=PlatformRefused("503 of its gateway"), times=FOR_EVER)
    async with two_processes(redis_client, platform, disk.folder) as processes:
        await enqueue(redis_client, ref)
        await eventually(lambda: is_called(platform, "store_picture", 3))
        disk.lack = None
        await eventually(lambda: is_started_again(redis_client, ref))
        assert await new_spool(disk.folder).load_picture(ref) == PICTURE
        platform.faults.clear()
        await eventually(lambda: is_completed(shop, ref))
    assert paid(processes) == 1


def paid(processes: list[Process]) -> int:
    """How many pictures were paid for."""
    return sum(len(process.image_model.requests) for process in processes)


async def is_called(platform: FaultyPlatform, method: str, times: int) -> bool:
    return platform.calls.count(method) >= times


async def is_completed(shop: LocalShop, ref: SessionRef) -> bool:
    return shop.status(ref) == "completed"


async def is_started_again(redis: Redis, ref: SessionRef) -> bool:
    return int(await untyped(redis).get(keys.STARTS + job_id(ref))) > 1


async def nothing_is_kept(processes: list[Process], ref: SessionRef) -> bool:
    return not any([await process.spool.holds(ref) for process in processes])
