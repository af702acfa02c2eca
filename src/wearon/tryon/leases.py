"""Leases: a worker process says every few seconds that it is alive; jobs of one that stopped saying so run again.

One script a beat does it all, because Redis commands are billed: it renews the lease, leaves the process's report for
people, frees the jobs of workers whose lease has ended, and answers with what is written beside this worker's name
(`held_jobs` compares it with what runs here) and what the consumer and the refund outbox want to know about the fleet.
A key that holds something else is passed over and named; only the leases themselves cannot be done without.

Nobody acts on a job that somebody else may have taken over: before each step that others see, the pipeline awaits
`Lease.confirm`, which waits for a fresh beat while Redis is away, and a worker stops those of its jobs that somebody
else has taken.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.redis_watch import RedisWatch
from wearon.tryon import keys
from wearon.tryon.backoff import Backoff
from wearon.tryon.cancellation import heed_cancellation
from wearon.tryon.held_jobs import HeldJobs, job_id_text
from wearon.tryon.job_scripts import CHECK_TYPES
from wearon.tryon.lease_keeper import LeaseKeeper

log = structlog.get_logger()

BEAT_S = 4.0
"""Fifteen commands a minute, and with `LEASE_S` at most 16 s from a kill -9 to the next run of its jobs."""

LEASE_S = 12.0
"""Two beats may fail without harm."""

RETRY_S = (0.5, 2.0)
"""First and longest pause after a beat that failed: several tries within a lease."""

FRESH_S = 6.0
"""A beat younger than this lets a step begin: it then has 6 s before anybody may free the job."""

LATECOMERS_S = 7.5
"""When nobody has beaten for as long as a lease, it was Redis that was away, more likely than all workers. Whoever
beats first must not bury the others, who are at it just now and whose calls are under way and paid for: they get this
long, which is until the first one beats for the third time. Mostly a worker finds Redis again within 3 s."""

LONGEST_DELAY_S = 3660.0
"""No job is put back for longer than its deadline may be, an hour. A later due time was written by a machine whose
clock is wrong."""

BEAT = (
    CHECK_TYPES
    + """
-- KEYS: workers, capacity, running, jobs, refunds, taken, reports, data id
-- ARGV: worker id, lease (ms), capacity, report, time for latecomers (ms), a new data id, longest delay (ms)
local wrong = wrong_type(KEYS[1], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
local bad, usable = {}, {}
for i, wanted in ipairs({'zset', 'hash', 'hash', 'zset', 'hash', 'list', 'hash', 'string'}) do
  local words = wrong_type(KEYS[i], wanted)
  usable[i] = not words
  if words then bad[#bad + 1] = KEYS[i]; bad[#bad + 1] = words end
end
local now = now_ms()
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if newest[2] and tonumber(newest[2]) <= now then
  for _, silent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    redis.call('ZADD', KEYS[1], now + ARGV[5], silent)
  end
end
-- Not even an older version lasts for two leases: this server's clock was ahead, or somebody wrote nonsense.
for _, far in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + 2 * ARGV[2], '+inf')) do
  redis.call('ZADD', KEYS[1], now + ARGV[2], far)
end
local known = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
local alone = redis.call('ZCARD', KEYS[1]) - known == 0 and 1 or 0
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local data_id = ''
if usable[8] then
  redis.call('SET', KEYS[8], ARGV[6], 'NX')
  data_id = redis.call('GET', KEYS[8])
end
if usable[2] then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end
if usable[7] and ARGV[4] ~= '' then redis.call('HSET', KEYS[7], ARGV[1], ARGV[4]) end
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], dead)
end
if usable[7] then
  for _, reporter in ipairs(redis.call('HKEYS', KEYS[7])) do
    if not redis.call('ZSCORE', KEYS[1], reporter) then redis.call('HDEL', KEYS[7], reporter) end
  end
end
local capacity = 0
if usable[2] then
  local slots = redis.call('HGETALL', KEYS[2])
  for i = 1, #slots, 2 do
    local count = tonumber(slots[i + 1])
    if not redis.call('ZSCORE', KEYS[1], slots[i]) then
      redis.call('HDEL', KEYS[2], slots[i])
    elseif count and count > 0 and count <= 1000 then
      capacity = capacity + count
    end
  end
else
  capacity = tonumber(ARGV[3]) -- as far as this worker knows
end
local jobs, startable, freed, mine = 0, 0, {}, {}
if usable[4] then
  jobs = redis.call('ZCARD', KEYS[4])
  startable = redis.call('ZCOUNT', KEYS[4], '-inf', now)
  for _, far in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], now + ARGV[7], '+inf', 'LIMIT', 0, 100)) do
    redis.call('ZADD', KEYS[4], now, far)
  end
end
if usable[3] and usable[4] then
  local running = redis.call('HGETALL', KEYS[3])
  for i = 1, #running, 2 do
    local job, owner = running[i], running[i + 1]
    local place = redis.call('ZSCORE', KEYS[4], job)
    if not redis.call('ZSCORE', KEYS[1], owner) then
      redis.call('HDEL', KEYS[3], job)
      freed[#freed + 1] = job
    else
      if place and tonumber(place) <= now then startable = startable - 1 end
      if owner == ARGV[1] then mine[#mine + 1] = job; mine[#mine + 1] = place or '' end
    end
  end
end
return {
  known, alone, data_id, usable[3] and usable[4] and 1 or 0, mine, bad, freed, capacity, jobs, startable,
  usable[5] and redis.call('HLEN', KEYS[5]) or 0, usable[6] and redis.call('LLEN', KEYS[6]) or 0,
  usable[4] and usable[6] and 1 or 0
}
"""
)

KEYS = (
    keys.WORKERS,
    keys.CAPACITY,
    keys.RUNNING,
    keys.JOBS,
    keys.REFUNDS,
    keys.TAKEN,
    keys.REPORTS,
    keys.DATA_ID,
)


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


@dataclass(frozen=True, slots=True)
class _Beat:
    """What Redis answers to a beat."""

    known: bool
    """Whether our lease was there."""
    alone: bool
    """Whether nobody else's was."""
    data_id: bytes
    comparable: bool
    """Whether what is listed beside our name could be read."""
    listed: Mapping[str, str]
    bad_keys: Mapping[str, str]
    freed: Sequence[str]
    startable: int
    fleet: Fleet

    @classmethod
    def read(cls, answer: Sequence[Any]) -> "_Beat":
        known, alone, data_id, comparable, mine, bad, freed, capacity, jobs, startable, refunds, taken, hands_over = (
            answer
        )
        return cls(
            bool(known),
            bool(alone),
            data_id,
            bool(comparable),
            {job_id_text(job): place.decode() for job, place in zip(mine[::2], mine[1::2], strict=True)},
            {key.decode(): words.decode() for key, words in zip(bad[::2], bad[1::2], strict=True)},
            [job_id_text(job) for job in freed],
            int(startable),
            # What cannot be handed over is not taken.
            Fleet(int(capacity) if hands_over else 0, int(jobs), int(refunds), int(taken)),
        )


class Lease:
    """This process's lease. `capacity` is 0 for one that runs no jobs but still watches over the others'.

    `keeper` renews it while the event loop stands still; without one, whoever runs no jobs has nothing to lose.
    `held` are the jobs that run here; None where none do.
    """

    def __init__(
        self,
        redis: Redis,
        worker_id: str,
        capacity: int,
        keeper: LeaseKeeper | None = None,
        *,
        held: HeldJobs | None = None,
        watch: RedisWatch | None = None,
    ) -> None:
        self.worker_id = worker_id
        self._keeper = keeper
        self._held = held
        self._watch = watch or RedisWatch()
        self.fleet = Fleet()
        self.on_beat: list[Callable[[Fleet], None]] = []
        self.on_jobs_freed: Callable[[], None] = lambda: None
        """Called when this worker may find jobs to take: another's were freed or handed back, one that was deferred is
        due, or this worker has a lease (again)."""
        self.report: Callable[[], str] = lambda: ""
        """What this process says of itself with each beat (`wearon.tryon.reports`); it must not raise."""
        self._redis = redis
        self._capacity = capacity
        self._script = redis.register_script(BEAT)
        self._data_id: bytes | None = None
        self._last_beat: float | None = None
        self._silent_since: float | None = None
        self._beaten = asyncio.Event()

    def silent_s(self) -> float:
        """Seconds since the last beat that Redis has written down; 0 where there is no lease to keep."""
        return time.monotonic() - self._silent_since if self._silent_since is not None else 0.0

    async def run(self) -> None:
        """Beat for ever; Redis may go away and come back."""
        self._silent_since = self._silent_since or time.monotonic()
        backoff = Backoff("lease could not be renewed", *RETRY_S)
        while True:
            heed_cancellation()
            try:
                await self.beat()
            except (RedisError, OSError) as error:
                await backoff.pause(error)
            else:
                backoff.succeeded()
                await asyncio.sleep(BEAT_S)

    async def beat(self) -> None:
        """Renew the lease once. Raises redis errors."""
        began = time.monotonic()
        before = self._held.snapshot() if self._held else None
        answer = await self._script(
            keys=KEYS,
            args=[
                self.worker_id,
                int(LEASE_S * 1000),
                self._capacity,
                self.report(),
                int(LATECOMERS_S * 1000),
                secrets.token_hex(8),
                int(LONGEST_DELAY_S * 1000),
            ],
        )
        beat = _Beat.read(answer)
        self._silent_since = began
        self._watch.wrote()
        self._watch.looked_at_keys(beat.bad_keys)
        if self._held and before and beat.comparable:
            # Before anybody who waits for this beat goes on: the job may be somebody else's by now.
            await self._held.compare(beat.listed, before, redis_forgot=self._has_forgotten(beat))
        self._data_id = beat.data_id or self._data_id
        self.fleet = beat.fleet
        self._last_beat = began
        self._beaten.set()
        if self._keeper:
            self._keeper.beaten()
        if beat.freed:
            log.warning("jobs of a dead worker freed", jobs=beat.freed)
        if beat.freed or not beat.known or beat.startable > 0:
            self.on_jobs_freed()
        for listener in self.on_beat:
            listener(self.fleet)

    def _has_forgotten(self, beat: _Beat) -> bool:
        """Whether Redis has lost its data, so that what is missing there was not taken by somebody."""
        if self._last_beat is None:
            return False
        other_data = self._data_id is not None and bool(beat.data_id) and beat.data_id != self._data_id
        return other_data or (not beat.known and beat.alone)

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
