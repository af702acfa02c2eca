"""What the fleet's scripts cost Redis itself as the fleet grows: its one core is shared by everybody."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from redis.asyncio import Redis

from benchmarks import pictures
from benchmarks.report import Figure, Result
from benchmarks.scale import Scale
from benchmarks.scene import open_scene
from wearon.events import Events
from wearon.queue import keys
from wearon.queue.jobs import Enqueued, JobQueue
from wearon.queue.lease import HEARTBEAT_S, Lease
from wearon.queue.limits import NO_LIMITS
from wearon.redis.health import RedisHealth
from wearon.redis.scripts import load_script

SLOTS = 150
FLEETS = (1, 10, 100)
"""Workers, whose slots are all full."""

TENANTS, WAITING = 1_000, 100_000
"""So many wait in the tenants' lines, however many run."""

LONG_S = 3600.0


async def run(scale: Scale) -> Result:
    """Redis' own count of microseconds in scripts (INFO commandstats)."""
    figures = []
    async with open_scene({"tiny.jpg": pictures.tiny()}, pictures.tiny()) as scene:
        for workers in scale.pick(FLEETS, FLEETS[:1]):
            costs: dict[str, list[float]] = {
                "heartbeat": [],
                "taking one job": [],
                "ending one job": [],
                "queueing one task": [],
            }
            for _ in range(scale.pick(3, 1)):
                await _fill(scene.redis, workers, scale.pick(WAITING, 1_000))
                fleet = _Fleet(scene.redis, workers)
                costs["heartbeat"].append(await _cost(scene.redis, fleet.beat, max(20, workers)))
                costs["queueing one task"].append(await _cost(scene.redis, fleet.enqueue, 50))
                costs["taking one job"].append(await _cost(scene.redis, fleet.take, 50))
                costs["ending one job"].append(await _cost(scene.redis, fleet.end, 40))
            figures += [
                Figure(f"Redis: {what}, {workers * SLOTS} running", "", "us", found) for what, found in costs.items()
            ]
    return Result("redis_at_scale", figures)


async def _fill(redis: Redis, workers: int, waiting: int) -> None:
    """Running jobs as the workers have slots, leases that hold, and lines of all tenants."""
    await redis.flushdb()
    now_ms = time.time() * 1000
    stores = [str(uuid4()) for _ in range(TENANTS)]
    names = itertools.cycle(stores)
    await redis.zadd(keys.WORKERS, {f"w{number}": now_ms + LONG_S * 1000 for number in range(workers)})
    await redis.hset(keys.CAPACITY, mapping={f"w{number}": SLOTS for number in range(workers)})
    for number in range(workers):
        jobs = [f"b2b:{next(names)}:{uuid4()}" for _ in range(SLOTS)]
        await redis.hset(keys.RUNNING, mapping=dict.fromkeys(jobs, f"w{number}"))
        await redis.zadd(keys.HELD, {f"w{number}\n{job}": 0 for job in jobs})
        await redis.zadd(keys.JOBS, dict.fromkeys(jobs, round(now_ms) + 660_000.5))
    each = waiting // TENANTS
    for store in stores:
        jobs = [f"b2b:{store}:{uuid4()}" for _ in range(each)]
        await redis.zadd(keys.JOBS, dict.fromkeys(jobs, round(now_ms) + 300_000))
        await redis.zadd(f"{keys.LINE}b2b:{store}", {job: place for place, job in enumerate(jobs, 1)})
    await redis.zadd(keys.WAITING, {f"b2b:{store}": each for store in stores})
    await redis.zadd(keys.TURNS, {f"b2b:{store}": 0 for store in stores})


class _Fleet:
    def __init__(self, redis: Redis, workers: int) -> None:
        self._redis = redis
        self._take = redis.register_script(load_script("queue", "take"))
        self._end = redis.register_script(load_script("queue", "end"))
        self._queue = JobQueue(redis)
        self._leases = itertools.cycle(
            Lease(redis, f"w{number}", SLOTS, events=Events(), health=RedisHealth(), report=lambda: "")
            for number in range(workers)
        )
        self._workers = workers
        self._taken: list[tuple[str, str, int]] = []

    async def beat(self) -> None:
        """One heartbeat, of one worker after the other, as far apart as they are when each sends one every 4 s."""
        await asyncio.sleep(min(0.04, HEARTBEAT_S / self._workers))
        await next(self._leases).renew()

    async def enqueue(self) -> None:
        document, job = uuid4().hex.encode(), f"b2b:{uuid4()}:{uuid4()}"
        await self._redis.lpush(keys.PENDING, document)
        await self._queue.enqueue([Enqueued(document, job, "generate", {"a": 1})])

    async def take(self) -> None:
        _, *taken = await self._take(
            keys=[keys.JOBS, keys.RUNNING, keys.WORKERS, keys.PAUSES, keys.CAPACITY_SUM],
            args=[1, "w0", keys.JOB, keys.STARTS, 3600, 540_000, 30_000, 5_000, 0, NO_LIMITS.weights],
        )
        assert taken, "there was a job to take"
        self._taken.append((taken[0].decode(), taken[1].decode(), int(taken[2])))

    async def end(self) -> None:
        job, token, starts = self._taken.pop()
        ended = await self._end(
            keys=[keys.RUNNING, keys.JOBS, keys.JOB + job, keys.STARTS + job],
            args=["w0", job, token, "done", 0, "", 1, starts],
        )
        assert ended, "it was ours"


async def _cost(redis: Redis, work: Callable[[], Awaitable[None]], times: int) -> float:
    """Microseconds that Redis spends in scripts for one piece of the work."""
    await work()  # the script is loaded
    before = await _script_us(redis)
    for _ in range(times):
        await work()
    return (await _script_us(redis) - before) / times


async def _script_us(redis: Redis) -> float:
    statistics = await redis.info("commandstats")
    return float(statistics.get("cmdstat_evalsha", {"usec": 0})["usec"])
