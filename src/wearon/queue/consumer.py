"""The consumer: takes documents from the producers' list, checks them, and makes jobs of them.

It takes all that is there, up to a hundred documents with one command, because only what has left the list can be put
in order: each job waits in its tenant's line for its turn. A document on its way is pending; what a crash leaves so is
enqueued again.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from wearon.events import Events
from wearon.platform.base import Channel
from wearon.queue import keys
from wearon.queue.dead_letters import DeadLetter, DeadLetters
from wearon.queue.job_document import rejection
from wearon.queue.jobs import GENERATE, REJECT, REJECTS, Enqueued, EnqueueResult, JobQueue, job_id_of
from wearon.queue.lease import HeartbeatWritten
from wearon.queue.pending import PendingTasks
from wearon.queue.task import Rejected, read_task
from wearon.queue.worker import RECONNECT_S, JobEnded, JobWorker
from wearon.redis.backoff import run_forever
from wearon.redis.clients import LONGEST_BLOCK_S
from wearon.redis.errors import AnswerTooLarge, BadKey

log = structlog.get_logger()

RECOVER_EVERY_S = 60.0
"""How often the pending documents are looked through for what a dead consumer left."""

MAX_STUCK = 20
"""Pending documents that wait until an operator corrects a key; at this number no more tasks are taken."""

MAX_JOBS = 100_000
"""In the queue at once, some 2 KB each; what comes then waits in the producers' list."""


class Consumer:
    """Runs until cancelled. `worker` is that of this process, if it has one.

    `blocking` is a connection of its own: a blocking command holds it for seconds.
    """

    def __init__(
        self,
        redis: Redis,
        blocking: Redis,
        queue: JobQueue,
        dead_letters: DeadLetters,
        worker: JobWorker | None,
        events: Events,
    ) -> None:
        self._redis = redis
        self._blocking = blocking
        self._queue = queue
        self._dead_letters = dead_letters
        self._pending = PendingTasks(redis, dead_letters)
        self._worker = worker
        self._depth = 0
        self._limit = 0
        self._tasks_left = 0
        self._room = asyncio.Event()
        self._recover_at = 0.0
        self._pending_before = 0
        self._leftovers = asyncio.Event()
        self.connected = False
        events.subscribe(HeartbeatWritten, self._see_heartbeat)
        events.subscribe(JobEnded, self._see_job_ended)

    def _see_heartbeat(self, heartbeat: HeartbeatWritten) -> None:
        fleet = heartbeat.fleet
        self._limit = MAX_JOBS if fleet.capacity else 0
        self._depth = fleet.jobs
        self._room.set()
        if fleet.pending and self._pending_before:
            self._leftovers.set()  # enqueuing takes milliseconds: after two heartbeats, it is a dead consumer's
        self._pending_before = fleet.pending

    def _see_job_ended(self, _: JobEnded) -> None:
        self._depth -= 1
        self._room.set()

    async def run(self) -> None:
        """Take and enqueue until cancelled; Redis may go away and come back."""
        async with asyncio.TaskGroup() as group:
            group.create_task(run_forever(self._take, trouble="task list out of reach", pauses_s=RECONNECT_S))
            # Beside it, because a blocking pop may stand for 20 s.
            group.create_task(
                run_forever(self._recover_leftovers, trouble="taken-list out of reach", pauses_s=RECONNECT_S)
            )

    async def _recover_leftovers(self) -> None:
        await self._leftovers.wait()
        self._leftovers.clear()
        await self.recover()

    async def _take(self) -> None:
        try:
            await self._take_one()
            self.connected = True
        except (RedisError, OSError):
            self.connected = False
            self._recover_at = 0.0  # a document may have become pending, and the answer was lost
            raise

    async def _take_one(self) -> None:
        if time.monotonic() >= self._recover_at:
            await self.recover()
            self._recover_at = time.monotonic() + RECOVER_EVERY_S
        if not await self._wait_for_room():
            return
        documents = await (self._move_many() if self._tasks_left else self._move_next())
        if stuck := await self._accept(documents):
            raise stuck[-1]

    async def _move_many(self) -> Sequence[bytes]:
        documents, is_cut = await self._pending.move()
        self._tasks_left = len(documents) + is_cut  # there may be more; enqueuing tells
        return documents

    async def _move_next(self) -> Sequence[bytes]:
        """Wait for a document."""
        try:
            document = await self._blocking.blmove(keys.TASKS, keys.PENDING, int(LONGEST_BLOCK_S), "RIGHT", "LEFT")
        except AnswerTooLarge as error:
            if not await self._pending.cut(error.start):
                self._recover_at = 0.0  # it is pending, beside others
            return []
        return [] if document is None else [cast("bytes", document)]

    async def recover(self) -> int:
        """Enqueue the pending documents; returns how many that were. Raises redis errors.

        Another consumer may be enqueuing some of them at this moment: each is enqueued once.
        """
        count = 0
        while documents := await self._pending.documents():
            stuck = await self._accept(documents)
            count += len(documents) - len(stuck)
            if len(stuck) > MAX_STUCK:
                raise stuck[-1]
            if len(stuck) == len(documents):
                break
        if count:
            log.info("documents left in the taken-list handed over", count=count)
        return count

    async def _wait_for_room(self) -> bool:
        self._room.clear()
        if self._depth < self._limit:
            return True
        try:
            async with asyncio.timeout(RECOVER_EVERY_S):
                await self._room.wait()
        except TimeoutError:
            return False
        return self._depth < self._limit

    async def _accept(self, documents: Sequence[bytes]) -> Sequence[BadKey]:
        """Make jobs of pending documents. One that waits until a key is corrected stays; the others go on."""
        batch: list[Enqueued] = []
        for document in documents:
            await asyncio.sleep(0)  # reading a hundred takes some milliseconds
            batch.append(self._read(document))
        if not batch or (await self._enqueue(batch)).letters_fit:
            return ()
        try:
            await self._redis.llen(keys.DEAD_LETTERS)  # says what is wrong with it
        except BadKey as error:
            return [error for task in batch if task.letter]
        return ()

    def _read(self, document: bytes) -> Enqueued:
        task = read_task(document)
        if isinstance(task, Rejected):
            return _rejected(document, task)
        refusal = None
        if task.channel is Channel.B2B and (limit := self._queue.limits.store_a_day):
            reason = f"the store has had its {limit} tasks for today"
            refusal = rejection(task.ref, task.request_id, reason, task.traceparent, over_daily_limit=True)
        return Enqueued(document, job_id_of(task.ref), GENERATE, task.model_dump(mode="json"), task.trace_id, refusal)

    async def _enqueue(self, batch: Sequence[Enqueued]) -> EnqueueResult:
        free_slots = self._worker.free_slots if self._worker else 0
        done = await self._queue.enqueue(batch, free_slots=free_slots)
        self._depth, self._tasks_left = done.jobs, done.tasks
        if self._worker is not None and (free_slots > 0 or done.rejects > 0):
            self._worker.wake_up()
        for place in done.lettered:
            with bound_contextvars(trace_id=batch[place].trace_id):
                if letter := batch[place].letter:
                    await self._dead_letters.announce(letter)
        for task in (task for task in batch if task.function == GENERATE):
            named = {name: task.payload.get(name) for name in ("task_id", "session_id", "request_id", "channel")}
            log.info("task taken", **named, trace_id=task.trace_id)
        return done


def _rejected(document: bytes, rejected: Rejected) -> Enqueued:
    """Keep the document where people look; the session that it names is failed by a job of its own."""
    ref, request_id, reason = rejected.ref, rejected.request_id, rejected.reason
    session_id = ref.session_id if ref else None
    letter = DeadLetter.of(document, reason, session_id=session_id, request_id=request_id)
    if ref is None:
        return Enqueued(document, letter=letter)
    payload = rejection(ref, request_id, f"unusable task: {reason}", rejected.traceparent)
    return Enqueued(document, REJECTS + job_id_of(ref), REJECT, payload, rejected.trace_id, letter=letter)
