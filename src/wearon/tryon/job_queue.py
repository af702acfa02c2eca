"""The job queue between the consumer and the workers: a sorted set of job ids by due time, and a document for each.

A document goes from the taken-list into the queue in one script (`job_scripts`), so no crash falls between the two.
Jobs have arq's form, which older versions of this worker read, and are JSON, never pickle.
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from wearon.tryon import keys
from wearon.tryon.job_scripts import HAND_OVER

GENERATE = "generate"
REJECT = "reject"
"""Names of the two job functions: make a picture, and settle the session of an unusable document."""


def to_json(value: Any) -> bytes:
    """Bytes that nothing but JSON can hide in."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known about a job when it starts: the state that must outlive this process."""

    first_started_at: float
    """Seconds since the epoch, by the clock of the Redis server: another machine may go on with the job."""
    rate_limited: int = 0
    """How often the image model has answered 429."""
    put_back: int = 0
    """How often the job was put back on purpose; starts beyond these were crashes."""
    number: int = 1
    """The how-many-eth start this is, from 1."""
    handed_over_at: float | None = None
    """When the consumer put the job into the queue (epoch); None: not known."""
    started_at: float | None = None
    """When this start was, by the clock of the Redis server; None: not known, so this machine's clock must do."""
    _began: float = field(default_factory=time.monotonic, compare=False, repr=False)

    @property
    def crashes(self) -> int:
        """Starts that ended without a word: the process was killed or the machine died."""
        return max(0, self.number - 1 - self.put_back)

    @property
    def age_s(self) -> float:
        """Seconds since the job was started for the first time; 0 when it never was."""
        if not self.first_started_at:
            return 0.0
        if self.started_at is None:
            return max(0.0, time.time() - self.first_started_at)
        return max(0.0, self.started_at - self.first_started_at) + time.monotonic() - self._began


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
        job = write_job(function, payload, Attempt(first_started_at=0.0), int(time.time() * 1000))
        depth = await self._hand_over(
            keys=[keys.TAKEN, keys.JOB + job_id, keys.JOBS, keys.WAKE],
            args=[document, job_id, job, int(wake_other_machine)],
        )
        return int(depth)

    async def drop(self, document: bytes) -> None:
        """Take a document out of the taken-list that is to become nothing."""
        await self._redis.lrem(keys.TAKEN, 1, document)  # type: ignore[arg-type] # redis-py forgot bytes here

    async def job_ids(self) -> set[str]:
        """The ids of all jobs: waiting, deferred and running."""
        return {job_id.decode(errors="replace") for job_id in await self._redis.zrange(keys.JOBS, 0, -1)}


def write_job(function: str, payload: dict[str, Any], attempt: Attempt, enqueued_ms: int) -> bytes:
    """A job as workers read it (`job_document`)."""
    progress = {
        "first_started_at": attempt.first_started_at,
        "rate_limited": attempt.rate_limited,
        "put_back": attempt.put_back,
    }
    return to_json({"t": None, "f": function, "a": (payload, progress), "k": {}, "et": enqueued_ms})
