"""Where an open session is: running, queued, waiting for its next attempt, or still in the producers' list."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import cast

from redis.asyncio import Redis

from wearon.operations.entries import RunEntry
from wearon.operations.models import RunningJob
from wearon.operations.words import duration
from wearon.platform.base import Channel, Session, SessionRef, Status
from wearon.queue import keys
from wearon.queue.job_document import Job, read_job
from wearon.queue.jobs import REJECTS, job_id_of
from wearon.queue.task import GenerationTask, check_task, session_id_of
from wearon.queue.tenants import tenant_of
from wearon.redis.scripts import load_script
from wearon.tryon.retry_policy import Reason
from wearon.tryon.run import StepName

CHUNK = 250
MOST_READ = 2000
"""Tasks looked through, the oldest first: some 4 MB and eight commands at most, for each history that is read."""

SOON_S = 1.0
"""A job that is due within this time waits for a worker, not for its next attempt."""

FAR_MS = 32_503_680_000_000
"""The year 3000: what is beyond was not written by us."""

DOING = {
    StepName.START: "the session is being started",
    StepName.PHOTOS: "the pictures are being fetched and prepared",
    StepName.RATE_LIMIT: "it waits for the fleet's rate limit",
    StepName.GENERATE: "the picture is being made",
    StepName.UPLOAD: "the picture is being uploaded",
    StepName.COMPLETE: "the session is being completed",
    StepName.REFUND: "the session is being failed and refunded",
    "": "between two steps",
}


class Place(StrEnum):
    """Where a session can be in Redis."""

    RUNNING = "running"
    LINE = "line"
    QUEUED = "queued"
    DEFERRED = "deferred"
    TASKS = "tasks"
    TAKEN = "taken"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Location:
    """The place of one session, and what is known of it there."""

    place: Place
    worker: str = ""
    due_in_s: float = 0.0
    ahead: int = 0
    """Tasks before it in the producers' list, or jobs before it in its tenant's line."""
    searched_all: bool = True
    paused: bool = False
    """No job of its tenant is started at the moment."""
    task: GenerationTask | None = None
    """What is to be done, as far as the queue knows."""
    queued_at: datetime | None = None


class JobFinder:
    """Finds where an open session is."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(load_script("operations", "find_job"))

    async def find(self, ref: SessionRef) -> Location:
        """One command, and up to eight more when it is in none of the queue's places. Raises redis errors."""
        job = job_id_of(ref)
        tenant = tenant_of(ref.channel, ref.owner_id)
        worker, due, ahead, pending, paused, document, now_ms = await self._script(
            keys=[keys.RUNNING, keys.JOBS, keys.PENDING, keys.LINE + tenant, keys.PAUSES, keys.JOB + job],
            args=[job, REJECTS + job, tenant, CHUNK],
        )
        known = replace(_described(document), paused=bool(paused), worker=worker.decode(errors="replace"))
        if worker:
            return replace(known, place=Place.RUNNING)
        if ahead >= 0:
            return replace(known, place=Place.LINE, ahead=ahead)
        if due:
            due_in_s = (float(due) - now_ms) / 1000
            return replace(known, place=Place.DEFERRED if due_in_s > SOON_S else Place.QUEUED, due_in_s=due_in_s)
        if any(session_id_of(document) == ref.session_id for document in pending):
            return replace(known, place=Place.TAKEN)
        return await _among_the_tasks(self._redis, ref.session_id)


def _described(document: bytes) -> Location:
    job = read_job(document)
    task = check_task(job.payload) if isinstance(job, Job) else None
    queued_ms = (job.enqueued_ms if isinstance(job, Job) else None) or 0
    return Location(
        Place.NOT_FOUND,
        task=task if isinstance(task, GenerationTask) else None,
        queued_at=datetime.fromtimestamp(queued_ms / 1000, UTC) if 0 < queued_ms < FAR_MS else None,
    )


async def _among_the_tasks(redis: Redis, session_id: str) -> Location:
    ahead = 0
    while ahead < MOST_READ:
        # From the right, where the consumer takes them. The list moves meanwhile, so `ahead` is approximate.
        documents = await redis.lrange(keys.TASKS, -ahead - CHUNK, -ahead - 1)
        for document in reversed(cast("list[bytes]", documents)):
            if session_id_of(document) == session_id:
                return Location(Place.TASKS, ahead=ahead)
            ahead += 1
        if len(documents) < CHUNK:
            return Location(Place.NOT_FOUND)
    return Location(Place.NOT_FOUND, searched_all=False)


def tell_location(
    session: Session, location: Location | None, reason: str | None, running: RunningJob | None, last: RunEntry | None
) -> str:
    """One sentence: where the session is, or how it ended and why. `last`: its last attempt that has ended."""
    if location is None:
        why = reason or session.error_message or "no reason is known"
        return "Completed." if session.status is Status.COMPLETED else f"Failed: {why}"
    match location.place:
        case Place.RUNNING:
            return _tell_running(location, running)
        case Place.LINE:
            kind = "store" if session.ref.channel is Channel.B2B else "channel"
            stands = f"Waiting for its turn, with {location.ahead} of the same {kind} before it"
            return f"{stands}; it is paused." if location.paused else f"{stands}."
        case Place.QUEUED:
            return "In the queue, and paused." if location.paused else "In the queue, about to be started."
        case Place.DEFERRED:
            return f"Retried{_why(reason, last)}: the next attempt begins in {duration(location.due_in_s)}."
        case Place.TASKS:
            return f"Waiting in the producers' list, with {location.ahead} before it."
        case Place.TAKEN:
            return "Taken from the producers' list, on its way into the queue."
        case Place.NOT_FOUND:
            if not location.searched_all:
                return f"Open; not in the queue, and not among the {MOST_READ} oldest tasks."
            return "Open, but nowhere in Redis: it is failed and refunded as an orphan ten minutes after it was made."


def _tell_running(location: Location, running: RunningJob | None) -> str:
    if running is None:
        return f"Running on {location.worker}."
    attempt = f", attempt {running.attempt}" if running.attempt > 1 else ""
    doing = DOING.get(running.step, running.step.replace("_", " "))
    return f"Running on {location.worker}{attempt}: {doing}, for {duration(running.step_s)}."


def _why(reason: str | None, last: RunEntry | None) -> str:
    """Why it waits: for a rate limit, which is nobody's fault, or after an error."""
    if last is not None and last.category is Reason.RATE_LIMIT:
        return " because of the image model's rate limit"
    return f" after an error ({reason})" if reason else ""
