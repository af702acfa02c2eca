"""Leases: a worker process says every few seconds that it is alive; jobs of one that stopped saying so run again.

One script a beat does it all, because Redis commands are billed: it renews the lease, leaves the process's report for
people, frees the jobs of workers whose lease has ended, and answers with what the consumer and the refund outbox want
to know about the fleet.

Nobody acts on a job that somebody else may have taken over: before each step that others see, the pipeline awaits
`Lease.confirm`, which waits for a fresh beat while Redis is away, and a worker that finds itself declared dead stops
its jobs.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.tryon import keys
from wearon.tryon.cancellation import heed_cancellation
from wearon.tryon.lease_keeper import LeaseKeeper

log = structlog.get_logger()

BEAT_S = 4.0
"""Fifteen commands a minute, and with `LEASE_S` at most 16 s from a kill -9 to the next run of its jobs."""

LEASE_S = 12.0
"""Two beats may fail without harm."""

FRESH_S = 6.0
"""A beat younger than this lets a step begin: it then has 6 s before anybody may free the job."""

LATECOMERS_S = 7.5
"""When nobody has beaten for as long as a lease, it was Redis that was away, more likely than all workers. Whoever
beats first must not bury the others, who are at it just now and whose calls are under way and paid for: they get this
long, which is until the first one beats for the third time. Mostly a worker finds Redis again within 3 s."""

BEAT = """
-- KEYS: workers, capacity, running, jobs, refunds, taken, reports
-- ARGV: worker id, lease (ms), capacity, report, time for latecomers (ms)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if newest[2] and tonumber(newest[2]) <= now then
  for _, silent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    redis.call('ZADD', KEYS[1], now + ARGV[5], silent)
  end
end
local known = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[7], ARGV[1], ARGV[4]) end
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], dead)
  redis.call('HDEL', KEYS[2], dead)
end
for _, reporter in ipairs(redis.call('HKEYS', KEYS[7])) do
  -- Not with the dead above: an older version of this script may have buried them, and left this.
  if not redis.call('ZSCORE', KEYS[1], reporter) then redis.call('HDEL', KEYS[7], reporter) end
end
local freed = {}
local running = redis.call('HGETALL', KEYS[3])
for i = 1, #running, 2 do
  if not redis.call('ZSCORE', KEYS[1], running[i + 1]) then
    redis.call('HDEL', KEYS[3], running[i])
    freed[#freed + 1] = running[i]
  end
end
local capacity = 0
for _, slots in ipairs(redis.call('HVALS', KEYS[2])) do capacity = capacity + slots end
local startable = redis.call('ZCOUNT', KEYS[4], '-inf', now) - redis.call('HLEN', KEYS[3])
return {
  known, freed, capacity,
  redis.call('ZCARD', KEYS[4]), startable, redis.call('HLEN', KEYS[5]), redis.call('LLEN', KEYS[6])
}
"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a beat learns about everybody."""

    capacity: int = 0
    """Jobs that all living workers can run at once."""
    jobs: int = 0
    """Jobs in the queue: waiting, deferred and running."""
    refunds: int = 0
    """Refund intents in the outbox."""
    taken: int = 0
    """Documents in the taken-list, mostly for a few milliseconds."""


class Lease:
    """This process's lease. `capacity` is 0 for one that runs no jobs but still watches over the others'.

    `keeper` renews it while the event loop stands still; without one, whoever runs no jobs has nothing to lose.
    """

    def __init__(self, redis: Redis, worker_id: str, capacity: int, keeper: LeaseKeeper | None = None) -> None:
        self.worker_id = worker_id
        self._keeper = keeper
        self.fleet = Fleet()
        self.on_beat: list[Callable[[Fleet], None]] = []
        self.on_jobs_freed: Callable[[], None] = lambda: None
        """Called when this worker may find jobs to take: another's were freed or handed back, one that was deferred is
        due, or this worker has a lease (again)."""
        self.on_lost: Callable[[], Awaitable[object]] | None = None
        self.report: Callable[[], str] = lambda: ""
        """What this process says of itself with each beat (`wearon.tryon.reports`); it must not raise."""
        self._redis = redis
        self._capacity = capacity
        self._script = redis.register_script(BEAT)
        self._last_beat: float | None = None
        self._silent_since: float | None = None
        self._beaten = asyncio.Event()

    def silent_s(self) -> float:
        """Seconds since the last beat that Redis has written down; 0 where there is no lease to keep."""
        return time.monotonic() - self._silent_since if self._silent_since is not None else 0.0

    async def run(self) -> None:
        """Beat for ever; Redis may go away and come back."""
        self._silent_since = self._silent_since or time.monotonic()
        while True:
            heed_cancellation()
            try:
                await self.beat()
            except (RedisError, OSError) as error:
                log.warning("lease could not be renewed", error=str(error))
                await asyncio.sleep(BEAT_S / 4)
            else:
                await asyncio.sleep(BEAT_S)

    async def beat(self) -> None:
        """Renew the lease once. Raises redis errors."""
        began = time.monotonic()
        known, freed, capacity, jobs, startable, refunds, taken = await self._script(
            keys=[
                keys.WORKERS,
                keys.CAPACITY,
                keys.RUNNING,
                keys.JOBS,
                keys.REFUNDS,
                keys.TAKEN,
                keys.REPORTS,
            ],
            args=[
                self.worker_id,
                int(LEASE_S * 1000),
                self._capacity,
                self.report(),
                int(LATECOMERS_S * 1000),
            ],
        )
        declared_dead = self._last_beat is not None and not known
        if declared_dead and self.on_lost:
            log.error("lease lost: others may run these jobs now, so they are stopped here")
            await self.on_lost()
        self.fleet = Fleet(int(capacity), int(jobs), int(refunds), int(taken))
        self._last_beat = self._silent_since = began
        self._beaten.set()
        if self._keeper:
            self._keeper.beaten()
        if freed:
            log.warning("jobs of a dead worker freed", jobs=[job.decode(errors="replace") for job in freed])
        if freed or not known or startable > 0:
            self.on_jobs_freed()
        for listener in self.on_beat:
            listener(self.fleet)

    async def confirm(self) -> None:
        """Return when a fresh beat shows that this worker's jobs are still its own; waits while Redis is away."""
        while self._last_beat is None or time.monotonic() - self._last_beat > FRESH_S:
            self._beaten.clear()
            await self._beaten.wait()

    async def release(self) -> None:
        """Give the lease back, so that what this worker leaves unfinished runs elsewhere at once."""
        if self._keeper:
            self._keeper.close()
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrem(keys.WORKERS, self.worker_id)
            pipe.hdel(keys.CAPACITY, self.worker_id)
            pipe.hdel(keys.REPORTS, self.worker_id)
            await pipe.execute()
