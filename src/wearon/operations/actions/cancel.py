"""Cancelling: a session that waits is failed with one refund, before anything is paid for it.

One script takes the job out of the queue and writes the refund intent, so a worker gets the job before it or not at
all, and a crash afterwards leaves the rest to any process (`wearon.refunds.outbox`). A task that has no job yet is left
where it is: by its turn the session is final, and nothing is done for it.

A job that runs is let finish, because its picture may be paid for already, unless the operator wants it ended. Then it
is taken from its worker, which stops it with the next heartbeat (`wearon.queue.held_jobs`).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import StrEnum
from typing import cast

from redis.asyncio import Redis

from wearon.operations.actions.errors import NotPossible, NotThere
from wearon.platform.base import OPEN_STATUSES, Channel, Platform, Session, SessionRef, Status
from wearon.platform.session_rows import as_uuid
from wearon.queue import keys
from wearon.queue.audit_log import MAX_NAMED, Action, Actor, AuditLog
from wearon.queue.job_document import session_of_job
from wearon.queue.jobs import job_id_of
from wearon.queue.task import read_task
from wearon.queue.tenants import tenant_of
from wearon.redis.scripts import load_script
from wearon.refunds.intents import Intent, Settled, dump, new_intent, read_intent
from wearon.refunds.outbox import AT_ONCE, RefundOutbox
from wearon.tryon.retry_policy import CANCELLED_MESSAGE

CANCELLED_REASON = "cancelled by an operator"

TO_BE_FAILED = "to be failed and refunded"
"""For the audit log: from here on the outbox tries until it is so, or the session turns out to have ended."""

CHUNK = 250
"""Tasks or jobs read from Redis at once."""


class Cancelled(StrEnum):
    """What became of a session that was to be cancelled."""

    CANCELLED = "cancelled"
    OUTSTANDING = "outstanding"
    """It will be failed and refunded as soon as the platform takes it."""
    RUNNING = "running"
    """Its job runs, and is let finish."""
    COMPLETED = "completed"
    """It has its picture: nothing was changed."""
    FAILED = "failed"
    """It had failed already: nothing was changed."""

    @property
    def sentence(self) -> str:
        """The outcome as a sentence for the operator."""
        return _SENTENCES[self]


_SENTENCES = {
    Cancelled.CANCELLED: "Cancelled; its credit was refunded, if one was taken.",
    Cancelled.OUTSTANDING: "It is being cancelled: failing and refunding it is tried until it succeeds.",
    Cancelled.RUNNING: "It runs, and its picture may be paid for: it is let finish. `--now` ends it.",
    Cancelled.COMPLETED: "Nothing was changed: it has completed.",
    Cancelled.FAILED: "Nothing was changed: it has failed already.",
}


class Cancellations:
    """Cancels sessions. All methods raise redis errors and PlatformError."""

    def __init__(self, redis: Redis, platform: Platform, outbox: RefundOutbox, audit_log: AuditLog) -> None:
        self._redis = redis
        self._audit_log = audit_log
        self._platform = platform
        self._outbox = outbox
        self._take_out = redis.register_script(load_script("queue", "cancel"))

    async def cancel(self, session_id: str, by: Actor, *, now: bool = False) -> Cancelled:
        """Cancel one session; `now`: also while its job runs. Raises NotThere."""
        session = await self._find(session_id)
        if session.status not in OPEN_STATUSES:
            return Cancelled(session.status.value)
        entry = self._audit_log.document(
            by,
            Action.CANCEL,
            session.ref.session_id,
            before={"status": session.status.value},
            after={"status": TO_BE_FAILED, "even_if_it_runs": now},
        )
        intent = await self._write_intent(session.ref, session.request_id or "", now=now, audit_entry=entry)
        return Cancelled.RUNNING if intent is None else await self._settle(intent)

    async def cancel_waiting(
        self, store_id: str, by: Actor, on_progress: Callable[[int], None] = lambda _done: None
    ) -> Counter[Cancelled]:
        """Cancel all sessions of a store that wait; how many of them came to what. Raises NotPossible."""
        store = as_uuid(store_id)
        if store is None:
            raise NotPossible("a store's id is a uuid")
        done: Counter[Cancelled] = Counter()
        async for waiting in self._waiting(store):
            refs = list(waiting)
            for first in range(0, len(refs), MAX_NAMED):
                some = {ref: waiting[ref] for ref in refs[first : first + MAX_NAMED]}
                # All are in the outbox before the first is settled: if this process ends, others go on.
                written = await self._take_out_together(store, some, by)
                done.update([Cancelled.RUNNING] * (len(some) - len(written)))
                for start in range(0, len(written), AT_ONCE):
                    done.update(await asyncio.gather(*map(self._settle, written[start : start + AT_ONCE])))
                    on_progress(done.total())
        return done

    async def _take_out_together(self, store: str, waiting: Mapping[SessionRef, str], by: Actor) -> Sequence[Intent]:
        """Write the intents of those that do not run. They share an entry of the audit log: one each would fill it."""
        async with self._audit_log.doing(
            by,
            Action.CANCEL_WAITING,
            store,
            before={"waiting": len(waiting)},
            ids=[ref.session_id for ref in waiting],
        ) as doing:
            found = [await self._write_intent(ref, request_id, now=False) for ref, request_id in waiting.items()]
            written = [intent for intent in found if intent is not None]
            if written:
                sessions = [intent.session_id for intent in written]
                doing.came_to({"status": TO_BE_FAILED}, before={"waiting": len(written)}, ids=sessions)
            else:
                doing.changed_nothing()
        return written

    async def _find(self, session_id: str) -> Session:
        if canonical := as_uuid(session_id):
            for channel in Channel:
                if session := await self._platform.find_session(channel, canonical):
                    return session
        raise NotThere(f"there is no session {session_id}")

    async def _write_intent(
        self, ref: SessionRef, request_id: str, *, now: bool, audit_entry: str = ""
    ) -> Intent | None:
        """Take the job out and write the intent, in one script; None when the job runs."""
        intent = new_intent(ref, request_id, CANCELLED_MESSAGE, CANCELLED_REASON)
        job = job_id_of(ref)
        written = await self._take_out(
            keys=[keys.JOBS, keys.RUNNING, keys.REFUNDS, keys.JOB + job, keys.STARTS + job],
            args=[job, intent.key, dump(intent), int(now), ref.owner_id, audit_entry],
        )
        return written and (read_intent(written) or intent)

    async def _settle(self, intent: Intent) -> Cancelled:
        match await self._outbox.settle(intent):
            case None | Settled.POSTPONED:
                return Cancelled.OUTSTANDING
            case Settled.NOT_OURS:
                session = await self._platform.find_session(intent.channel, intent.session_id)
                completed = session is not None and session.status is Status.COMPLETED
                return Cancelled.COMPLETED if completed else Cancelled.FAILED
            case _:
                return Cancelled.CANCELLED if intent.reason == CANCELLED_REASON else Cancelled.FAILED

    async def _waiting(self, store: str) -> AsyncIterator[Mapping[SessionRef, str]]:
        """The store's sessions with a task or a job, and their request ids, in the direction in which a task moves."""
        seen: set[SessionRef] = set()
        for name in (keys.TASKS, keys.PENDING):
            start = 0
            # From the left: a task's place only grows (`wearon.tryon.reconciler`).
            while documents := cast("list[bytes]", await self._redis.lrange(name, start, start + CHUNK - 1)):
                tasks = [read_task(document) for document in documents if store.encode() in document.lower()]
                yield {
                    task.ref: task.request_id
                    for task in tasks
                    if task.ref and task.ref.owner_id == store and task.ref not in seen
                }
                seen |= {task.ref for task in tasks if task.ref}
                start += CHUNK
        cursor = -1
        while cursor:
            cursor, jobs = await self._redis.zscan(
                keys.JOBS, max(cursor, 0), match=f"{tenant_of(Channel.B2B, store)}:*", count=CHUNK
            )
            sessions = [
                session_of_job(job.decode(errors="replace")) for job, _ in cast("list[tuple[bytes, float]]", jobs)
            ]
            refs = {SessionRef(Channel.B2B, store, session) for session in sessions if as_uuid(session)}
            yield dict.fromkeys(refs - seen, "")
            seen |= refs
