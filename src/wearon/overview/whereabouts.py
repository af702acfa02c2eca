"""Where a session is that nobody has ended yet: running, queued, put back, or still in the producers' list."""

import time
from dataclasses import dataclass
from enum import StrEnum

from redis.asyncio import Redis

from wearon.overview.problems import duration
from wearon.platform.base import Session, SessionRef, Status
from wearon.tryon import keys
from wearon.tryon.task import session_id_of

CHUNK = 250
MOST_READ = 2000
"""Tasks looked through, the oldest first: some 4 MB and eight commands at most, each time somebody opens the story."""

SOON_S = 1.0
"""A job that is due within this time just waits for a worker."""


class Where(StrEnum):
    """The places in Redis."""

    RUNNING = "running"
    QUEUED = "queued"
    PUT_BACK = "put_back"
    TASKS = "tasks"
    TAKEN = "taken"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is."""

    where: Where
    worker: str = ""
    due_in_s: float = 0.0
    ahead: int = 0
    """Tasks that are taken before it."""
    searched_all: bool = True


class Whereabouts:
    """Looks for sessions in Redis. Raises redis errors."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find(self, ref: SessionRef) -> Place:
        """Three commands, and up to eight more when it is in none of the queue's places."""
        job = f"{ref.channel}:{ref.owner_id}:{ref.session_id}"
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in (job, f"reject:{job}"):
                pipe.hget(keys.RUNNING, job_id)
                pipe.zscore(keys.JOBS, job_id)
            pipe.lrange(keys.TAKEN, 0, CHUNK - 1)
            worker, due, rejecting, reject_due, taken = await pipe.execute()
        if runner := worker or rejecting:
            return Place(Where.RUNNING, worker=runner.decode(errors="replace"))
        score = reject_due if due is None else due
        if score is not None:
            due_in_s = score / 1000 - time.time()
            return Place(Where.PUT_BACK, due_in_s=due_in_s) if due_in_s > SOON_S else Place(Where.QUEUED)
        if any(session_id_of(document) == ref.session_id for document in taken):
            return Place(Where.TAKEN)
        return await self._among_the_tasks(ref.session_id)

    async def _among_the_tasks(self, session_id: str) -> Place:
        ahead = 0
        while ahead < MOST_READ:
            # From the right, where they are taken; the list moves meanwhile, so this is a picture for people.
            documents = await self._redis.lrange(keys.TASKS, -ahead - CHUNK, -ahead - 1)  # type: ignore[misc]
            for document in reversed(documents):
                if session_id_of(document) == session_id:
                    return Place(Where.TASKS, ahead=ahead)
                ahead += 1
            if len(documents) < CHUNK:
                return Place(Where.NOT_FOUND)
        return Place(Where.NOT_FOUND, searched_all=False)


def tell_place(session: Session, place: Place | None, reason: str | None) -> str:
    """One sentence: where the session is, or how it ended and why."""
    if session.status is Status.COMPLETED:
        return "Completed."
    if session.status is Status.FAILED:
        return f"Failed: {reason}" if reason else f"Failed: {session.error_message or 'no reason is known'}"
    assert place is not None
    match place.where:
        case Where.RUNNING:
            return f"Running on {place.worker}."
        case Where.QUEUED:
            return "In the queue, about to be started."
        case Where.PUT_BACK:
            why = f" ({reason})" if reason else ""
            return f"Put back{why}: it runs again in {duration(place.due_in_s)}."
        case Where.TASKS:
            return f"Waiting in the producers' list, with {place.ahead} before it."
        case Where.TAKEN:
            return "Taken from the producers' list, on its way into the queue."
        case Where.NOT_FOUND:
            if not place.searched_all:
                return f"Open; not in the queue, and not among the {MOST_READ} oldest tasks."
            return "Open, but nowhere in Redis: it is failed and refunded as an orphan ten minutes after it was made."
