"""The consumer: takes documents from the producers' list, checks them, and hands them over to the job queue.

It takes no more than the living workers can start soon, so the backlog stays in the producers' list, where everybody
looks for it. A document on its way lies in the taken-list; what a crash leaves there is handed over again.
"""

import asyncio
import time

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from wearon.redis import LONGEST_BLOCK_S
from wearon.redis_errors import AnswerTooLarge, BadKey
from wearon.tryon import keys
from wearon.tryon.backoff import Backoff
from wearon.tryon.cancellation import heed_cancellation
from wearon.tryon.dead_letters import DeadLetters
from wearon.tryon.job_queue import GENERATE, REJECT, JobQueue
from wearon.tryon.job_worker import RECONNECT_S, JobWorker
from wearon.tryon.leases import Fleet
from wearon.tryon.taken_list import TakenList
from wearon.tryon.task import Rejected, read_task

log = structlog.get_logger()

RECOVER_EVERY_S = 60.0
"""How often the taken-list is looked through for what a dead consumer left there."""

MAX_STUCK = 20
"""Documents that wait in the taken-list for a key to be put right, before nothing more is taken."""

AHEAD = 1.5
"""Jobs in the queue for each slot of the fleet: enough that no worker waits for the consumer."""


class Consumer:
    """Runs until cancelled. `blocking` is a connection of its own: a blocking command holds it for seconds."""

    def __init__(
        self, redis: Redis, blocking: Redis, queue: JobQueue, dead_letters: DeadLetters, worker: JobWorker | None
    ) -> None:
        self._redis = redis
        self._blocking = blocking
        self._queue = queue
        self._dead_letters = dead_letters
        self._taken = TakenList(redis, dead_letters)
        self._worker = worker
        self._depth = 0
        self._limit = 0.0
        self._room = asyncio.Event()
        self._recover_at = 0.0
        self._taken_before = 0
        self._leftovers = asyncio.Event()
        self.connected = False

    def see_fleet(self, fleet: Fleet) -> None:
        """A beat has counted the fleet's slots and jobs."""
        self._limit = fleet.capacity * AHEAD
        self._depth = fleet.jobs
        self._room.set()
        if fleet.taken and self._taken_before:
            self._leftovers.set()  # a hand-over takes milliseconds: after two beats, it is a dead consumer's
        self._taken_before = fleet.taken

    def see_job_finished(self) -> None:
        """The local worker has finished a job, so the queue holds one less."""
        self._depth -= 1
        self._room.set()

    async def run(self) -> None:
        """Take and hand over for ever; Redis may go away and come back."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take())
            group.create_task(self._recover_leftovers())

    async def _recover_leftovers(self) -> None:
        """Beside `_take`, which may stand in a blocking pop for 20 s."""
        backoff = Backoff("taken-list out of reach", *RECONNECT_S)
        while True:
            heed_cancellation()
            await self._leftovers.wait()
            self._leftovers.clear()
            try:
                await self.recover()
            except (RedisError, OSError) as error:
                await backoff.pause(error)
            else:
                backoff.succeeded()

    async def _take(self) -> None:
        backoff = Backoff("task list out of reach", *RECONNECT_S)
        while True:
            heed_cancellation()
            try:
                await self._step()
            except (RedisError, OSError) as error:
                self.connected = False
                self._recover_at = 0.0  # a document may have come into the taken-list without our hearing of it
                await backoff.pause(error)
            else:
                self.connected = True
                backoff.succeeded()

    async def _step(self) -> None:
        if time.monotonic() >= self._recover_at:
            await self.recover()
            self._recover_at = time.monotonic() + RECOVER_EVERY_S
        if not await self._wait_for_room():
            return
        try:
            document = await self._blocking.blmove(keys.TASKS, keys.TAKEN, int(LONGEST_BLOCK_S), "RIGHT", "LEFT")
        except AnswerTooLarge:
            self._recover_at = 0.0  # it lies in the taken-list, where it is cut
            return
        if document is not None:
            await self._hand_over(document)

    async def recover(self) -> int:
        """Hand over what lies in the taken-list; returns how many documents that were. Raises redis errors.

        Documents that another consumer is handing over at this moment may be among them: a hand-over happens once.
        """
        count = 0
        while documents := await self._taken.documents():
            stuck = [error for document in documents if (error := await self._try_to_hand_over(document))]
            count += len(documents) - len(stuck)
            if len(stuck) > MAX_STUCK:
                raise stuck[-1]
            if len(stuck) == len(documents):
                break
        if count:
            log.info("documents left in the taken-list handed over", count=count)
        return count

    async def _try_to_hand_over(self, document: bytes) -> BadKey | None:
        """None: done. What only waits for a key to be put right stays where it is, and holds up no others."""
        try:
            await self._hand_over(document)
        except BadKey as error:
            return error
        return None

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

    async def _hand_over(self, document: bytes) -> None:
        task = read_task(document)
        if isinstance(task, Rejected):
            await self._reject(document, task)
            return
        job_id = f"{task.channel}:{task.ref.owner_id}:{task.session_id}"
        await self._enqueue(document, job_id, GENERATE, task.model_dump(mode="json"))
        log.info(
            "task taken",
            task_id=task.task_id,
            session_id=task.session_id,
            request_id=task.request_id,
            channel=task.channel.value,
            trace_id=task.trace_id,
        )

    async def _reject(self, document: bytes, rejected: Rejected) -> None:
        """Keep the document where people look; the session that it names is failed by a job of its own."""
        ref = rejected.ref
        with bound_contextvars(trace_id=rejected.trace_id):
            await self._dead_letters.add(
                document,
                rejected.reason,
                session_id=ref.session_id if ref else None,
                request_id=rejected.request_id,
            )
        if ref is None:
            await self._queue.drop(document)
            return
        payload: dict[str, object] = {
            "channel": ref.channel.value,
            "owner_id": ref.owner_id,
            "session_id": ref.session_id,
            "request_id": rejected.request_id,
            "reason": f"unusable task: {rejected.reason}",
            "traceparent": rejected.traceparent,
        }
        await self._enqueue(document, f"reject:{ref.channel}:{ref.owner_id}:{ref.session_id}", REJECT, payload)

    async def _enqueue(self, document: bytes, job_id: str, function: str, payload: dict[str, object]) -> None:
        worker_is_here = self._worker is not None and self._worker.free_slots > 0
        self._depth = await self._queue.hand_over(
            document, job_id, function, payload, wake_other_machine=not worker_is_here
        )
        if self._worker is not None and worker_is_here:
            self._worker.wake_up.set()
