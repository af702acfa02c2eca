"""The job queue between the consumer and the workers: a sorted set of job ids by due time, and a document for each.

Pending documents become jobs in one script, so no crash falls between the two. Jobs have arq's form, which older
versions of this worker read, and are JSON, never pickle.

A job that can start waits in its tenant's line, and lines take turns: the tenant that has had the least for its weight
is next. A line is an index and no more. Each job is in the sorted set as long as it exists, and while it waits or runs
it is due some minutes later. So takes pass over nothing, reconcilers of all versions find its trace, and were a line,
or its worker, lost, it would start then.

The scripts look at the types of keys first, and remove nothing before they have written. The due time of a running job
is its token: it ends with half a millisecond, as no other does, and each take makes a later one. A worker names the
token when it ends, releases or restores a job. Its command may come late, because it hung on a network that was away;
then it finds a later token and does nothing. All due times are the Redis server's: machines need not agree about the
time.
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from wearon.platform.base import SessionRef
from wearon.queue import keys
from wearon.queue.dead_letters import MAX_LETTERS, DeadLetter
from wearon.queue.limits import NO_LIMITS, Limits
from wearon.redis.scripts import load_script

GENERATE = "generate"
REJECT = "reject"
"""Names of the two job functions: make a picture, and fail the session of a task that cannot be used."""

REJECTS = f"{REJECT}:"
"""How the ids of REJECT jobs begin, before the id of the session's other job."""


def to_json(value: Any) -> bytes:
    """Bytes that nothing but JSON can hide in."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One execution of a job, and what earlier ones wrote down for it."""

    first_started_at: float
    """Seconds since the epoch, by the clock of the Redis server: another machine may go on with the job."""
    rate_limited: int = 0
    """How often the image model has answered 429."""
    retried: int = 0
    """Attempts that ended with Retry; further ones ended with a crash."""
    unanswered: int = 0
    """Requests to the image model that were sent and got no answer: each may be paid."""
    number: int = 1
    """Attempt number, starting at 1."""
    queued_at: float | None = None
    """When the consumer put the job into the queue (epoch); None: not known."""
    started_at: float | None = None
    """When it began, by the clock of the Redis server; None: not known, so this machine's clock must do."""
    _began: float = field(default_factory=time.monotonic, compare=False, repr=False)

    @property
    def crashes(self) -> int:
        """Attempts whose end was not written: the process was killed, or the machine died."""
        return max(0, self.number - 1 - self.retried)

    @property
    def age_s(self) -> float:
        """Seconds since the job was started for the first time; 0 when it never was."""
        if not self.first_started_at:
            return 0.0
        if self.started_at is None:
            return max(0.0, time.time() - self.first_started_at)
        return max(0.0, self.started_at - self.first_started_at) + time.monotonic() - self._began


@dataclass(frozen=True, slots=True)
class Retry:
    """The decision to run a job again after `delay_s`."""

    delay_s: float
    rate_limited: bool = False
    unanswered: int = 0
    """Requests to the image model that were sent and may be paid, with those of earlier attempts."""


JobFunction = Callable[[dict[str, Any], Attempt], Awaitable[Retry | None]]
"""Does a job, given its payload. None: the job is done."""


NEVER_STARTED = Attempt(first_started_at=0.0)


def job_id_of(ref: SessionRef) -> str:
    """The id of the job that makes the session's picture."""
    return f"{ref.channel}:{ref.owner_id}:{ref.session_id}"


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A pending document, and what it is to become: a job, a dead letter, or both."""

    document: bytes
    job_id: str = ""
    """Empty: it becomes no job."""
    function: str = REJECT
    payload: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str | None = None
    refusal: Mapping[str, Any] | None = None
    """Payload of the REJECT job that it becomes instead when its store has had its jobs for today."""
    letter: DeadLetter | None = None


@dataclass(frozen=True, slots=True)
class EnqueueResult:
    """What came of enqueuing documents, and how much waits then."""

    jobs: int
    """Waiting for their turn, deferred and running."""
    tasks: int
    """In the producers' list."""
    rejects: int
    """How many of the documents became jobs that only reject a session."""
    letters_fit: bool = True
    """False: no dead letter can be kept, so the documents that are to become one are still pending."""
    lettered: Sequence[int] = ()
    """Places in the batch of the documents whose dead letters were added."""


class JobQueue:
    """The consumer's side: makes jobs, and knows what the queue holds."""

    def __init__(self, redis: Redis, limits: Limits = NO_LIMITS) -> None:
        self.limits = limits
        self._enqueue = redis.register_script(load_script("queue", "enqueue"))
        self._known = redis.register_script(load_script("queue", "known_jobs"))

    async def enqueue(self, batch: Sequence[Enqueued], *, free_slots: int = 0) -> EnqueueResult:
        """Make jobs and dead letters of pending documents: each job waits in its tenant's line, or is to be rejected.

        `free_slots`: what the worker of this process can start; for more, workers elsewhere are woken.

        It happens once, also when several processes try: nothing happens when the document is not pending any
        more, and a job id that the queue already has is not added again.
        """
        now_ms = int(time.time() * 1000)
        arguments: list[bytes | str | int] = [keys.JOB, free_slots, self.limits.store_a_day, keys.ACCEPTED, MAX_LETTERS]
        for task in batch:
            job = write_job(task.function, task.payload, NEVER_STARTED, now_ms)
            refusal = write_job(REJECT, task.refusal, NEVER_STARTED, now_ms) if task.refusal else b""
            arguments += [task.document, task.job_id, job, refusal, task.letter.dump() if task.letter else ""]
        jobs, tasks, rejects, letters_fit, lettered = await self._enqueue(
            keys=[
                keys.PENDING,
                keys.JOBS,
                keys.WAKE,
                keys.TASKS,
                keys.RUNNING,
                keys.CAPACITY_SUM,
                keys.REFUNDS,
                keys.DEAD_LETTERS,
            ],
            args=arguments,
        )
        return EnqueueResult(int(jobs), int(tasks), int(rejects), bool(letters_fit), tuple(lettered))

    async def known(self, refs: Sequence[SessionRef]) -> set[str]:
        """The ids of those sessions that have a job: waiting, deferred or running."""
        found = await self._known(keys=[keys.JOBS], args=[job_id_of(ref) for ref in refs])
        return {refs[int(place) - 1].session_id for place in found}


def write_job(function: str, payload: Mapping[str, Any], attempt: Attempt, enqueued_ms: int) -> bytes:
    """A job as workers read it (`job_document`)."""
    progress = {
        "first_started_at": attempt.first_started_at,
        "rate_limited": attempt.rate_limited,
        "put_back": attempt.retried,
        "unanswered": attempt.unanswered,
    }
    return to_json({"t": None, "f": function, "a": (payload, progress), "k": {}, "et": enqueued_ms})
