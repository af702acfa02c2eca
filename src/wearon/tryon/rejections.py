"""Jobs without a task that can be used: their sessions are failed and refunded."""

import json
from typing import Any

from wearon.platform.base import SessionRef
from wearon.queue.job_document import rejected_session
from wearon.queue.jobs import Attempt
from wearon.queue.task import Rejected
from wearon.tryon.retry_policy import INTERNAL_MESSAGE, STORE_LIMIT_MESSAGE, Fail, Reason
from wearon.tryon.run import Run, Runs
from wearon.tryon.sessions import Sessions


class Rejections:
    """The job function `reject`, and what the pipeline does with a job that it cannot read."""

    def __init__(self, sessions: Sessions, runs: Runs) -> None:
        self._sessions = sessions
        self._runs = runs

    async def reject(self, payload: dict[str, Any], attempt: Attempt) -> None:
        """Fail the session that an unusable document named, if it is its owner's."""
        ref = rejected_session(payload)
        request_id = str(payload.get("request_id") or "")
        reason = str(payload.get("reason") or "unusable job: it names no session")
        if ref is None or "data" in payload:  # of a job that cannot be read, and whose session need not be there
            await self._sessions.add_dead_letter(json.dumps(payload).encode(), reason, ref, request_id)
        over_limit = payload.get("over_daily_limit")
        message = STORE_LIMIT_MESSAGE if over_limit else INTERNAL_MESSAGE
        await self._fail(
            ref, request_id, attempt, Fail(message, reason), Reason.STORE_LIMIT if over_limit else Reason.TASK
        )

    async def reject_unreadable(self, payload: dict[str, Any], rejected: Rejected, attempt: Attempt) -> None:
        """Fail the session of a job that another version of this worker made, and this one does not understand."""
        ref, request_id, reason = rejected.ref, rejected.request_id, f"unusable job: {rejected.reason}"
        await self._sessions.add_dead_letter(json.dumps(payload).encode(), reason, ref, request_id)
        await self._fail(ref, request_id, attempt, Fail(INTERNAL_MESSAGE, reason), Reason.TASK)

    async def _fail(
        self, ref: SessionRef | None, request_id: str, attempt: Attempt, decision: Fail, kind: Reason
    ) -> None:
        if ref is not None:
            run = Run(ref, request_id, attempt.number, queued_at=attempt.queued_at)
            async with self._runs.follow(run):
                await self._sessions.fail(run, decision, kind)
