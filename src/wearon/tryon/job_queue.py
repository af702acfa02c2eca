"""The job queue between the consumer and the workers: arq's, with a safer hand-over.

A document goes from the taken-list into the queue in one script, so no crash falls between the two. Jobs are JSON,
never pickle. This module and `job_worker` are the only ones that import arq.
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from redis.asyncio import Redis

from wearon.tryon import keys

GENERATE = "generate"
REJECT = "reject"
"""Names of the two job functions: make a picture, and settle the session of an unusable document."""

HAND_OVER = """
-- KEYS: taken, job, queue, wake   ARGV: document, job id, job, now (ms), wake another machine (1 or 0)
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then
  return redis.call('ZCARD', KEYS[3]) -- another process has handed it over
end
redis.call('SET', KEYS[2], ARGV[3], 'NX')
-- Whether or not the job was there already: one that had lost its place in the queue gets it back.
if redis.call('ZADD', KEYS[3], 'NX', ARGV[4], ARGV[2]) == 1 and ARGV[5] == '1' then
  redis.call('LPUSH', KEYS[4], '')
  redis.call('LTRIM', KEYS[4], 0, 99)
end
return redis.call('ZCARD', KEYS[3])
"""


def to_json(value: Any) -> bytes:
    """arq's serializer: bytes that nothing but JSON can hide in."""
    return json.dumps(value, separators=(",", ":")).encode()


def from_json(data: bytes) -> Any:
    """arq's deserializer; raises ValueError, which arq takes as a broken job."""
    return json.loads(data)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known about a job when it starts: the state that must outlive this process."""

    first_started_at: float
    """Seconds since the epoch (wall clock: another machine may go on with the job)."""
    rate_limited: int = 0
    """How often the image model has answered 429."""
    put_back: int = 0
    """How often the job was put back on purpose; starts beyond these were crashes."""
    number: int = 1
    """The how-many-eth start this is, from 1."""
    handed_over_at: float | None = None
    """When the consumer put the job into the queue (epoch); None: not known."""

    @property
    def crashes(self) -> int:
        """Starts that ended without a word: the process was killed or the machine died."""
        return max(0, self.number - 1 - self.put_back)

    @property
    def age_s(self) -> float:
        """Seconds since the job was started for the first time; 0 when it never was."""
        return max(0.0, time.time() - self.first_started_at) if self.first_started_at else 0.0


@dataclass(frozen=True, slots=True)
class PutBack:
    """A job function's answer: run me again in so many seconds."""

    delay_s: float
    rate_limited: bool = False


JobFunction = Callable[[dict[str, Any], Attempt], Awaitable[PutBack | None]]
"""What does a job: its payload and what is known about earlier starts. None: the job is done."""


class JobQueue:
    """The consumer's side: hand-over from the taken-list, and what the queue holds."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._hand_over = redis.register_script(HAND_OVER)

    async def hand_over(
        self, document: bytes, job_id: str, function: str, payload: dict[str, Any], *, wake_other_machine: bool
    ) -> int:
        """Move one taken document into the queue, once whoever else tries; returns how many jobs the queue holds.

        Nothing happens when the document is not in the taken-list any more; a job id that the queue already has
        is not added again.
        """
        now = now_ms()
        job = serialize_job_with_progress(function, payload, Attempt(first_started_at=0.0), now)
        depth = await self._hand_over(
            keys=[keys.TAKEN, job_key_prefix + job_id, keys.JOBS, keys.WAKE],
            args=[document, job_id, job, now, int(wake_other_machine)],
        )
        return int(depth)

    async def drop(self, document: bytes) -> None:
        """Take a document out of the taken-list that is to become nothing."""
        await self._redis.lrem(keys.TAKEN, 1, document)  # type: ignore[arg-type] # redis-py forgot bytes here

    async def job_ids(self) -> set[str]:
        """The ids of all jobs: waiting, deferred and running."""
        return {job_id.decode() for job_id in await self._redis.zrange(keys.JOBS, 0, -1)}


def serialize_job_with_progress(function: str, payload: dict[str, Any], attempt: Attempt, enqueued_ms: int) -> bytes:
    """A job as arq's workers read it: what to do, and what is known about earlier starts."""
    progress = asdict(attempt)
    del progress["number"], progress["handed_over_at"]  # arq counts the starts, and knows when
    return serialize_job(function, (payload, progress), {}, None, enqueued_ms, serializer=to_json)


def now_ms() -> int:
    """arq's unit of time."""
    return int(time.time() * 1000)
