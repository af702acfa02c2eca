"""What the fleet's scripts cost Redis itself as the fleet grows: its one core is shared by everybody.

Three servers side by side hold fleets of 1, 10 and 100 workers with all slots full, and in each 100,000 jobs of 1,000
tenants wait. Each piece of work is done at one server after the other, so that what else this machine does, and what
lies in its caches, is the same for all: only then do the ratios say something.
"""

import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from redis.asyncio import Redis

from benchmarks import pictures
from benchmarks.report import Figure, Result
from benchmarks.scale import Scale
from benchmarks.scene import Scene, open_scene
from wearon.events import Events
from wearon.local.redis_server import LocalRedis
from wearon.queue import keys
from wearon.queue.held_jobs import HeldJobs, TakenJob
from wearon.queue.jobs import Enqueued, JobQueue
from wearon.queue.lease import HEARTBEAT_S, LEASE_S, LIST_AGAIN_S, Lease
from wearon.queue.limits import NO_LIMITS
from wearon.redis.clients import connect
from wearon.redis.health import RedisHealth
from wearon.redis.scripts import load_script

SLOTS = 150
FLEETS = (1, 10, 100)
"""Workers, whose slots are all full."""

TENANTS, WAITING = 1_000, 100_000
"""Tenants, and how many jobs wait in their lines, however many run."""

TAKER = "taker"
"""A worker whose slots are free, beside those that only beat."""

AT_MOST = 1.3
COUNTED_S = LEASE_S / 4
"""How often one heartbeat counts for the whole fleet."""

BEATS_A_MINUTE = round(LIST_AGAIN_S / HEARTBEAT_S)


@dataclass(frozen=True)
class Work:
    """A piece of work, and how often it is done in one run."""

    what: str
    do: Callable[["Fleet"], Awaitable[None]]
    times: int
    judged: bool = True
    note: str = ""


async def run(scale: Scale) -> Result:
    """Redis' own count of microseconds (INFO commandstats)."""
    async with open_scene({"tiny.jpg": pictures.tiny()}, pictures.tiny()) as scene, AsyncExitStack() as open_fleets:
        waiting = scale.pick(WAITING, TENANTS)
        fleets = [
            await open_fleets.enter_async_context(_open_fleet(scene, workers, waiting))
            for workers in scale.pick(FLEETS, FLEETS[:2])
        ]
        costs: dict[tuple[str, int], list[float]] = {}
        for _ in range(scale.runs):
            for work in WORK:
                for fleet, cost in zip(fleets, await _cost(fleets, work), strict=True):
                    costs.setdefault((work.what, fleet.workers), []).append(cost)
    return Result("redis_at_scale", [_figure(work, fleet, costs) for fleet in fleets for work in WORK])


def _figure(work: Work, fleet: "Fleet", costs: dict[tuple[str, int], list[float]]) -> Figure:
    smallest = fleet.workers == FLEETS[0]
    judged = work.judged and not smallest
    return Figure(
        f"Redis: {work.what}, {fleet.workers * SLOTS} running",
        f"<= {AT_MOST} x" if judged else "",
        "us",
        costs[work.what, fleet.workers],
        at_most=AT_MOST if judged else None,
        reference=() if smallest else costs[work.what, FLEETS[0]],
        reference_is="" if smallest else f"{FLEETS[0] * SLOTS} running",
        judge_ratio=not smallest,
        note=work.note if smallest else "",
    )


@asynccontextmanager
async def _open_fleet(scene: Scene, workers: int, waiting: int) -> AsyncIterator["Fleet"]:
    server = await LocalRedis.start(scene.folder / f"fleet-{workers}", 0)
    try:
        async with connect(server.url, name="benchmark") as redis:
            fleet = Fleet(redis, workers)
            await fleet.fill(waiting)
            yield fleet
    finally:
        await server.stop()


class Fleet:
    """Workers whose jobs run, tenants whose jobs wait, and a worker that takes."""

    def __init__(self, redis: Redis, workers: int) -> None:
        self.redis = redis
        self.workers = workers
        self._take = redis.register_script(load_script("queue", "take"))
        self._end = redis.register_script(load_script("queue", "end"))
        self._queue = JobQueue(redis)
        self._stores = [str(uuid4()) for _ in range(TENANTS)]
        self._next_store = itertools.cycle(self._stores)
        self._held: list[HeldJobs] = []
        self._leases: dict[int, Lease] = {}
        self._beats = itertools.count(1)
        self._taken: list[tuple[str, str, int]] = []

    async def fill(self, waiting: int) -> None:
        """Running jobs as the workers have slots, leases that hold, and lines of all tenants."""
        now_ms = round(time.time() * 1000)
        names = [f"w{number}" for number in range(self.workers)]
        await self.renew_leases()
        await self.redis.hset(keys.CAPACITY, mapping=dict.fromkeys(names, SLOTS))
        for name in names:
            await self._fill_worker(name, now_ms + 660_000.5)
        for store in self._stores:
            jobs = [f"b2b:{store}:{uuid4()}" for _ in range(waiting // TENANTS)]
            await self._write_jobs(jobs, now_ms + 300_000)
            await self.redis.zadd(f"{keys.LINE}b2b:{store}", {job: place for place, job in enumerate(jobs, 1)})
            await self.redis.zadd(keys.WAITING, {f"b2b:{store}": len(jobs)})
        await self.redis.zadd(keys.TURNS, {f"b2b:{store}": 0 for store in self._stores})
        for worker in range(self.workers):
            await self._first_beat(worker).renew()

    async def _fill_worker(self, name: str, token: float) -> None:
        jobs = [f"b2b:{next(self._next_store)}:{uuid4()}" for _ in range(SLOTS)]
        await self.redis.hset(keys.RUNNING, mapping=dict.fromkeys(jobs, name))
        await self.redis.zadd(keys.HELD, {f"{name}\n{job}": 0 for job in jobs})
        for tenant, count in Counter(job.rpartition(":")[0] for job in jobs).items():
            await self.redis.hincrby(keys.RUNNING_OF_TENANTS, tenant, count)
        await self._write_jobs(jobs, token)
        held = HeldJobs(self.redis, name, Events())
        for job in jobs:
            held.add(TakenJob(job, repr(token), 1, b"{}", time.time()))
        await self.redis.hset(keys.RUNNING_SUMS, name, str(held.snapshot().sum))
        self._held.append(held)

    async def _write_jobs(self, jobs: Sequence[str], due_ms: float) -> None:
        await self.redis.zadd(keys.JOBS, dict.fromkeys(jobs, due_ms))
        async with self.redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.set(keys.JOB + job, b'{"f": "generate"}')
            await pipe.execute()

    async def renew_leases(self) -> None:
        """All workers live on: none of their jobs are freed while something else is measured."""
        now_ms = round(time.time() * 1000)
        names = [f"w{number}" for number in range(self.workers)]
        await self.redis.zadd(keys.WORKERS, dict.fromkeys([*names, TAKER], now_ms + LEASE_S * 1000))

    def _first_beat(self, number: int) -> Lease:
        """A process lists its jobs with its first heartbeat, and once a minute."""
        held = self._held[number]
        lease = Lease(
            self.redis, held.worker_id, SLOTS, events=Events(), health=RedisHealth(), report=lambda: "", held=held
        )
        self._leases[number] = lease
        return lease

    async def beat(self) -> None:
        """One heartbeat, of one worker after the other; one of fifteen lists the jobs that it holds.

        Every 3 s one process counts for all: in a fleet of one that is each heartbeat, and the 75th in one of 100.
        """
        number = next(self._beats)
        counts = number % max(1, round(COUNTED_S / HEARTBEAT_S * self.workers)) == 0
        await self._counted(COUNTED_S + 0.5 if counts else 0.0)
        worker = number % self.workers
        await (self._leases[worker] if number % BEATS_A_MINUTE else self._first_beat(worker)).renew()

    async def beat_and_list(self) -> None:
        """A heartbeat that lists the jobs that the worker holds."""
        await self._counted(0.0)
        await self._first_beat(next(self._beats) % self.workers).renew()

    async def beat_and_count(self) -> None:
        """A heartbeat that counts for all, once a minute also what runs, while no tenant has a turn: all at limits."""
        await self.redis.delete(keys.TURNS)
        await self._counted(60.0)
        await self._leases[next(self._beats) % self.workers].renew()
        await self.redis.zadd(keys.TURNS, {f"b2b:{store}": 0 for store in self._stores})

    async def _counted(self, ago_s: float) -> None:
        at_ms = round((time.time() - ago_s) * 1000) - 1  # a time that is still to come is counted anew
        await self.redis.set(keys.CAPACITY_SUM, f"{self.workers * SLOTS} {at_ms}")

    async def enqueue(self) -> None:
        """The consumer queues a task."""
        document, job = uuid4().hex.encode(), f"b2b:{next(self._next_store)}:{uuid4()}"
        await self.redis.lpush(keys.PENDING, document)
        await self._queue.enqueue([Enqueued(document, job, "generate", {"a": 1})])

    async def take(self) -> None:
        """A worker takes a job."""
        _, *taken = await self._take(
            keys=[keys.JOBS, keys.RUNNING, keys.WORKERS, keys.PAUSES, keys.CAPACITY_SUM],
            args=[1, TAKER, keys.JOB, keys.STARTS, 3600, 540_000, 30_000, 5_000, 0, NO_LIMITS.weights, 4],
        )
        assert taken, "there was a job to take"
        self._taken.append((taken[0].decode(), taken[1].decode(), int(taken[2])))

    async def end(self) -> None:
        """End the job that was taken last, as a worker that has done it."""
        job, token, starts = self._taken.pop()
        ended = await self._end(
            keys=[keys.RUNNING, keys.JOBS, keys.JOB + job, keys.STARTS + job, keys.REFUNDS],
            args=[TAKER, job, token, "done", 0, "", 1, starts],
        )
        assert ended, "it was ours"

    async def bare_commands(self) -> None:
        """What taking and ending a job change in the keys that grow, without a script."""
        job = f"b2b:{next(self._next_store)}:{uuid4()}"
        due_ms = time.time() * 1000
        await self.redis.zadd(keys.JOBS, {job: due_ms + 300_000})
        await self.redis.hset(keys.RUNNING, job, TAKER)
        await self.redis.zadd(keys.HELD, {f"{TAKER}\n{job}": 0})
        await self.redis.zadd(keys.JOBS, {job: due_ms + 660_000})
        await self.redis.hdel(keys.RUNNING, job)
        await self.redis.zrem(keys.HELD, f"{TAKER}\n{job}")
        await self.redis.zrem(keys.JOBS, job)


BARE = "the seven bare commands on keys that grow"

WORK = (
    Work("a heartbeat, on average", Fleet.beat, 75),
    Work("a heartbeat that lists 150 jobs, once a minute", Fleet.beat_and_list, 30, judged=False),
    Work("a heartbeat that counts for all, 1,000 tenants at their limits", Fleet.beat_and_count, 20, judged=False),
    Work("queueing one task", Fleet.enqueue, 50),
    Work("taking one job", Fleet.take, 50),
    Work("ending one job", Fleet.end, 50),
    Work(BARE, Fleet.bare_commands, 50, judged=False, note="what a job changes in them, without a script"),
)
BARE_COMMANDS = ("zadd", "zrem", "hset", "hdel")


async def _cost(fleets: Sequence[Fleet], work: Work) -> list[float]:
    """Microseconds that each server spends on one piece of the work."""
    commands = BARE_COMMANDS if work.what == BARE else ("evalsha",)
    for fleet in fleets:
        await fleet.renew_leases()
    before = [await _spent_us(fleet.redis, commands) for fleet in fleets]
    for _ in range(work.times):
        for fleet in fleets:
            await work.do(fleet)
    after = [await _spent_us(fleet.redis, commands) for fleet in fleets]
    return [(now - then) / work.times for now, then in zip(after, before, strict=True)]


async def _spent_us(redis: Redis, commands: Sequence[str]) -> float:
    statistics = await redis.info("commandstats")
    return sum(float(statistics.get(f"cmdstat_{command}", {"usec": 0})["usec"]) for command in commands)
