"""What the fleet's scripts cost Redis itself as the fleet grows: its one core is shared by everybody."""

import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from redis.asyncio import Redis

from benchmarks import pictures
from benchmarks.report import Figure, Result
from benchmarks.scale import Scale
from benchmarks.scene import open_scene
from wearon.tryon import keys
from wearon.tryon.job_queue import JobQueue
from wearon.tryon.job_scripts import TAKE
from wearon.tryon.leases import Lease

SLOTS = 150
FLEETS = (1, 10, 100)
LONG_S = 3600.0
WORKER = "w0"


async def run(scale: Scale) -> Result:
    """Fleets whose slots are all full: Redis' own count of microseconds in scripts (INFO commandstats)."""
    figures = []
    async with open_scene({"tiny.jpg": pictures.tiny()}, pictures.tiny()) as scene:
        for workers in scale.pick(FLEETS, FLEETS[:1]):
            beats: list[float] = []
            takes: list[float] = []
            hand_overs: list[float] = []
            for _ in range(scale.pick(3, 1)):
                await _fill(scene.redis, workers)
                beats.append(await _cost(scene.redis, _beat, 5))
                hand_overs.append(await _cost(scene.redis, _hand_over, 50))
                takes.append(await _cost(scene.redis, _take, 20))
            running = f"{workers * SLOTS} running"
            figures += [
                Figure(f"Redis: one beat, {running}", "", "us", beats),
                Figure(f"Redis: taking one job, {running}", "", "us", takes),
                Figure(f"Redis: one hand-over, {running}", "", "us", hand_overs),
            ]
    return Result("redis_at_scale", figures)


async def _fill(redis: Redis, workers: int) -> None:
    """As many running jobs as the workers have slots, and leases that hold."""
    await redis.flushdb()
    ends = (time.time() + LONG_S) * 1000
    await redis.zadd(keys.WORKERS, {f"w{number}": ends for number in range(workers)})
    await redis.hset(keys.CAPACITY, mapping={f"w{number}": SLOTS for number in range(workers)})  # type: ignore[misc]
    for number in range(workers):
        jobs = [f"b2c:{uuid4()}:{uuid4()}" for _ in range(SLOTS)]
        await redis.hset(keys.RUNNING, mapping=dict.fromkeys(jobs, f"w{number}"))  # type: ignore[misc]
        await redis.zadd(keys.JOBS, dict.fromkeys(jobs, number))


async def _beat(redis: Redis) -> None:
    await Lease(redis, WORKER, SLOTS).beat()


async def _hand_over(redis: Redis) -> None:
    document = uuid4().hex.encode()
    await redis.lpush(keys.TAKEN, document)  # type: ignore[misc]
    await JobQueue(redis).hand_over(document, f"b2c:{uuid4()}:{uuid4()}", "generate", {"a": 1}, wake_other_machine=True)


async def _take(redis: Redis) -> None:
    _, *taken = await redis.register_script(TAKE)(
        keys=[keys.JOBS, keys.RUNNING, keys.WORKERS], args=[1, WORKER, keys.JOB, keys.STARTS, 3600]
    )
    assert taken, "there was a job to take"


async def _cost(redis: Redis, work: Callable[[Redis], Awaitable[None]], times: int) -> float:
    """Microseconds that Redis spends in scripts for one piece of the work."""
    await work(redis)  # the script is loaded
    await redis.zadd(keys.WORKERS, {WORKER: (time.time() + LONG_S) * 1000})
    before = await _script_us(redis)
    for _ in range(times):
        await work(redis)
    return (await _script_us(redis) - before) / times


async def _script_us(redis: Redis) -> float:
    statistics = await redis.info("commandstats")
    return float(statistics.get("cmdstat_evalsha", {"usec": 0})["usec"])
