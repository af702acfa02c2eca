"""The job side as it writes the histories, and the status and histories that people read of it."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from support.api_services import status_reader
from support.job_side import (
    GARMENT_URL,
    PERSON_URL,
    FaultyPlatform,
    ScriptedFetcher,
    ScriptedModel,
    new_outbox,
    new_spool,
    task_fields,
)
from wearon.dependencies import Dependencies
from wearon.events import Events
from wearon.metrics import Metrics
from wearon.observability.redaction import Redaction
from wearon.observability.tracing import Tracing
from wearon.operations.history import HistoryStore
from wearon.operations.live_view import LiveView
from wearon.operations.models import HistoryEvent, SessionHistory
from wearon.operations.session_history import SessionHistories
from wearon.operations.session_index import SessionIndex
from wearon.operations.session_search import SessionSearch
from wearon.operations.waiting_sessions import WaitingSessions
from wearon.platform.base import SessionRef
from wearon.queue.dead_letters import DeadLetters
from wearon.queue.jobs import Attempt, Retry
from wearon.tryon.deliveries import Deliveries
from wearon.tryon.input_images import InputImages
from wearon.tryon.pipeline import Pipeline
from wearon.tryon.rejections import Rejections
from wearon.tryon.retry_policy import RetryPolicy
from wearon.tryon.run import Runs
from wearon.tryon.sessions import Sessions

SECRET = "sk-a-secret-of-the-test"


class HistorySide:
    """`run` is what a job worker does with one job; `status` and `sessions` are what people look at."""

    def __init__(self, redis: Redis, platform: FaultyPlatform, folder: Path, *, journal_hours: float = 24.0) -> None:
        redaction = Redaction([SECRET])
        self.redis = redis
        self.store = HistoryStore(redis, "worker-1", kept_hours=journal_hours, redaction=redaction)
        events = Events()
        self.live_view = LiveView(events)
        self.store.subscribe(events)
        self.outbox = new_outbox(redis, platform, events)
        self.dead_letters = DeadLetters(redis, events)
        self.image_model = ScriptedModel()
        self.attempts: dict[str, Attempt] = {}
        fetcher = ScriptedFetcher({PERSON_URL: [b"person"], GARMENT_URL: [b"garment"]}, trusted=[PERSON_URL])
        runs = Runs(events, Tracing())
        sessions = Sessions(platform, self.outbox, self.dead_letters, self._confirm, runs)
        spool = new_spool(folder / "spool")
        self.rejections = Rejections(sessions, runs)
        self.pipeline = Pipeline(
            sessions,
            InputImages(
                fetcher, self._prepare, Metrics(), stored_path=platform.stored_path, dependencies=Dependencies()
            ),
            self.image_model,
            spool,
            Deliveries(sessions, self.image_model, spool, runs),
            self.rejections,
            RetryPolicy(max_rate_limited=2, deadline_s=500.0),
            runs,
            is_paused=lambda _ref: False,
        )
        self._platform, self._redaction = platform, redaction
        self.forget_the_status()

    def forget_the_status(self) -> None:
        """Read it anew; it is remembered for a second."""
        self.status = status_reader(self.redis, mode="local")
        self.sessions = SessionHistories(self.redis, self._platform, self.store, self._redaction, self.status)
        self.search = SessionSearch(SessionIndex(self.redis), WaitingSessions(self.redis), self.sessions, self.status)

    async def run(self, ref: SessionRef, **changes: Any) -> Retry | None:
        """Run the session's job once, and count the attempt."""
        now = time.time()
        attempt = self.attempts.get(ref.session_id, Attempt(first_started_at=now, queued_at=now))
        answer = await self.pipeline.generate(task_fields(ref, **changes), attempt)
        self.attempts[ref.session_id] = replace(
            attempt, number=attempt.number + 1, retried=attempt.retried + int(answer is not None)
        )
        return answer

    def count_a_crash(self, ref: SessionRef) -> None:
        """The worker was killed in the middle of a run: nothing was written, but arq has counted it."""
        attempt = self.attempts.get(ref.session_id, Attempt(first_started_at=time.time()))
        self.attempts[ref.session_id] = replace(attempt, number=attempt.number + 1)

    async def history(self, ref: SessionRef) -> SessionHistory:
        """The session's history; it must be there."""
        history = await self.sessions.read(ref.session_id)
        assert history is not None
        return history

    async def _confirm(self) -> None:
        pass

    async def _prepare(self, data: bytes) -> bytes:
        return b"prepared " + data


def kinds(events: list[HistoryEvent]) -> list[str]:
    """The events' kinds, but for steps."""
    return [event.kind for event in events if event.kind != "step"]
