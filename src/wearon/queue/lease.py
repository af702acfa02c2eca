"""Leases: a worker process says every few seconds that it is alive; jobs of one that stopped saying so run again.

One script a heartbeat does it all, because Redis commands are billed: it renews the lease, leaves the process's report
for people, frees the jobs of workers whose lease has expired, and answers with the jobs that are written beside this
worker's name (`held_jobs` compares them with those that run here) and with what others want to know about the fleet.
A key that holds something else is passed over and named; only the leases themselves cannot be done without.

No worker acts on a job that another may have taken over. Before each step that others see, the pipeline awaits
`Lease.confirm`, which waits for a fresh heartbeat while Redis is away; and a worker stops a job that another has taken.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis

from wearon.events import Events
from wearon.queue import keys
from wearon.queue.held_jobs import HeldJobs, Snapshot, job_id_text
from wearon.queue.lease_keeper import LeaseKeeper
from wearon.queue.pauses import FLEET, MAX_NAMED, PROBE_S, Pause, read_pause
from wearon.queue.worker_files import WorkerFiles
from wearon.redis.backoff import run_forever
from wearon.redis.health import RedisHealth
from wearon.redis.scripts import load_script

log = structlog.get_logger()

HEARTBEAT_S = 4.0
"""Fifteen commands a minute, and with `LEASE_S` at most 16 s from a kill -9 to the next attempt at its jobs."""

LEASE_S = 12.0
"""Two heartbeats may fail without harm."""

RETRY_S = (0.5, 2.0)
"""First and longest pause after a heartbeat that failed: several tries within a lease."""

FRESH_S = 6.0
"""A heartbeat younger than this lets a step begin: it then has 6 s before another worker may free the job."""

LATECOMERS_S = 7.5
"""When no worker's lease has lasted, it was Redis that was away, more likely than all workers. The first heartbeat
afterwards must not free the jobs of the others, whose calls are under way and paid for: they get this long, which is
until the first one's third heartbeat. Mostly a worker finds Redis again within 3 s."""

LIST_AGAIN_S = 60.0
"""Redis lists the jobs beside our name when their sum is not that of the jobs that run here, and once a minute, when
each one's place in the queue is looked at, too. To list 150 costs Redis three times the rest of a heartbeat."""

LONGEST_DELAY_S = 3660.0
"""No job is retried later than its deadline may be, an hour. A later due time was written by a machine whose clock is
wrong."""

_LISTED = 1
"""What a heartbeat's answer says of the jobs beside our name; 0: they cannot be read, 2: their sum is right."""

KEYS = (
    keys.WORKERS,
    keys.CAPACITY,
    keys.RUNNING,
    keys.JOBS,
    keys.REFUNDS,
    keys.PENDING,
    keys.REPORTS,
    keys.DATA_ID,
    keys.PAUSES,
    keys.CAPACITY_SUM,
)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a heartbeat learns about all processes together."""

    capacity: int = 0
    """Jobs that all living workers can run at once."""
    jobs: int = 0
    """Jobs in the queue: waiting for their turn, deferred and running."""
    refunds: int = 0
    """Refund intents in the outbox."""
    pending: int = 0
    """Documents between the producers' list and the queue, mostly for a few milliseconds."""
    pause: Pause | None = None
    """Of the whole fleet; its jobs are not started."""
    paused: frozenset[str] = frozenset()
    """Tenants that are paused (`pauses.MAX_NAMED`)."""


@dataclass(frozen=True, slots=True)
class HeartbeatWritten:
    """An event: Redis has taken a heartbeat of this process."""

    fleet: Fleet
    jobs_to_take: bool = False
    """A worker here may find jobs: another's were freed or left to others, a deferred one is due, or there is a lease
    (again)."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Redis answers to a heartbeat."""

    known: bool
    """Whether our lease was there."""
    alone: bool
    """Whether no other process had one."""
    data_id: bytes
    listed: Mapping[str, str] | None
    """The jobs beside our name and their places. None: their sum says that they run here, or they cannot be read."""
    bad_keys: Mapping[str, str]
    freed: Sequence[str]
    startable: int
    fleet: Fleet

    @classmethod
    def read(cls, answer: Sequence[Any]) -> "_Answer":
        known, alone, data_id, compared, mine, bad, freed, pause, paused, *counts = answer
        capacity, jobs, startable, refunds, pending, can_enqueue = map(int, counts)
        return cls(
            bool(known),
            bool(alone),
            data_id,
            {job_id_text(job): place.decode() for job, place in zip(mine[::2], mine[1::2], strict=True)}
            if compared == _LISTED
            else None,
            {key.decode(): words.decode() for key, words in zip(bad[::2], bad[1::2], strict=True)},
            [job_id_text(job) for job in freed],
            startable,
            # What cannot be enqueued is not taken.
            Fleet(
                capacity if can_enqueue else 0,
                jobs,
                refunds,
                pending,
                read_pause(FLEET, pause) if pause else None,
                frozenset(tenant.decode(errors="replace") for tenant in paused),
            ),
        )


class Lease:
    """The lease of this process. Each heartbeat is an event, `HeartbeatWritten`."""

    def __init__(
        self,
        redis: Redis,
        worker_id: str,
        capacity: int,
        *,
        events: Events,
        health: RedisHealth,
        report: Callable[[], str],
        held: HeldJobs | None = None,
        keeper: LeaseKeeper | None = None,
        files: WorkerFiles | None = None,
    ) -> None:
        """`capacity` is 0, and `held` and `keeper` are None, where no jobs run: that process only watches over others.

        `report` makes what the process says of itself with each heartbeat; it must not raise. `held` are the jobs that
        run here. `keeper` renews the lease while the event loop stands still. `files` say which processes of this
        machine have ended: their leases end with the next heartbeat.
        """
        self.worker_id = worker_id
        self.fleet = Fleet()
        self._redis = redis
        self._capacity = capacity
        self._events = events
        self._health = health
        self._report = report
        self._held = held
        self._keeper = keeper
        self._files = files
        self._script = redis.register_script(load_script("queue", "heartbeat"))
        self._data_id: bytes | None = None
        self._last_heartbeat: float | None = None
        self._listed_at: float | None = None
        self._renewed = asyncio.Event()

    async def run(self) -> None:
        """Renew the lease until cancelled; Redis may go away and come back."""
        self._health.must_write()
        await run_forever(
            self.renew, lambda: asyncio.sleep(HEARTBEAT_S), trouble="lease could not be renewed", pauses_s=RETRY_S
        )

    async def renew(self) -> None:
        """Write one heartbeat. Raises redis errors."""
        dead = await self._files.find_dead() if self._files else []
        began = time.monotonic()
        before = self._held.snapshot() if self._held else None
        answer = _Answer.read(
            await self._script(
                keys=KEYS,
                args=[
                    self.worker_id,
                    int(LEASE_S * 1000),
                    self._capacity,
                    self._report(),
                    int(LATECOMERS_S * 1000),
                    secrets.token_hex(8),
                    int(LONGEST_DELAY_S * 1000),
                    int(PROBE_S * 1000),
                    MAX_NAMED,
                    " ".join(dead),
                    self._sum_to_compare(before),
                ],
            )
        )
        self._health.wrote(began)
        self._health.looked_at_keys(answer.bad_keys)
        if self._held and before and answer.listed is not None:
            # Before a pipeline that waits for this heartbeat goes on: another worker may have its job by now.
            await self._held.compare(answer.listed, before, redis_forgot=self._has_forgotten(answer))
            self._listed_at = began
        self._data_id = answer.data_id or self._data_id
        self.fleet = answer.fleet
        self._last_heartbeat = began
        self._renewed.set()
        if self._keeper:
            self._keeper.heartbeat()
        if self._files and dead:
            log.warning("workers of this machine have died: their leases are ended", workers=dead)
            self._files.forget(dead)
        if answer.freed:
            log.warning("jobs of a dead worker freed", jobs=answer.freed)
        jobs_to_take = bool(answer.freed) or not answer.known or answer.startable > 0
        await self._events.publish(HeartbeatWritten(answer.fleet, jobs_to_take))

    def _sum_to_compare(self, before: Snapshot | None) -> str:
        """What the jobs that run here add up to; empty: they are to be listed, whatever Redis has for their sum."""
        if before is None:
            return "0"
        listed_s_ago = math.inf if self._listed_at is None else time.monotonic() - self._listed_at
        return "" if listed_s_ago >= LIST_AGAIN_S else str(before.sum)

    def _has_forgotten(self, answer: _Answer) -> bool:
        """Whether Redis has lost its data, so that no other worker has taken what is missing there."""
        if self._last_heartbeat is None:
            return False
        other_data = self._data_id is not None and bool(answer.data_id) and answer.data_id != self._data_id
        return other_data or (not answer.known and answer.alone)

    async def confirm(self) -> None:
        """Return when a fresh heartbeat shows that this worker's jobs are its own; waits while Redis is away."""
        while self._last_heartbeat is None or time.monotonic() - self._last_heartbeat > FRESH_S:
            self._renewed.clear()
            await self._renewed.wait()

    async def release(self) -> None:
        """Release the lease, so that what this worker leaves unfinished runs elsewhere at once."""
        if self._keeper:
            self._keeper.close()
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrem(keys.WORKERS, self.worker_id)
            pipe.hdel(keys.CAPACITY, self.worker_id)
            pipe.hdel(keys.REPORTS, self.worker_id)
            await pipe.execute()
        if self._files:
            self._files.close()
