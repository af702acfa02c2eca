"""The job side as it writes the journal: a pipeline with outbox, dead letters and recorder, and an overview of it."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from support.job_side import (
    GARMENT_URL,
    PERSON_URL,
    FaultyPlatform,
    ScriptedFetcher,
    ScriptedGenerator,
    task_fields,
)
from wearon.logs import Redaction
from wearon.overview.look import Looker
from wearon.overview.models import SessionStory, StoryEvent
from wearon.overview.now import Present
from wearon.overview.overview import Overview
from wearon.overview.story import Stories
from wearon.platform.base import Platform, SessionRef
from wearon.tryon.dead_letters import DeadLetters
from wearon.tryon.failures import Patience
from wearon.tryon.job_queue import Attempt, PutBack
from wearon.tryon.journal import Journal
from wearon.tryon.photos import Photos
from wearon.tryon.pipeline import Pipeline
from wearon.tryon.progress import Progress
from wearon.tryon.recorder import Recorder
from wearon.tryon.refunds import RefundOutbox
from wearon.tryon.spool import Spool

SECRET = "sk-a-secret-of-the-test"


class StorySide:
    """`run` is what a job worker does with one job; `overview` is what people look at."""

    def __init__(self, redis: Redis, platform: FaultyPlatform, folder: Path, *, journal_hours: float = 24.0) -> None:
        redaction = Redaction([SECRET])
        self.redis = redis
        self.journal = Journal(redis, "worker-1", kept_hours=journal_hours, redaction=redaction)
        self.progress = Progress()
        self.recorder = Recorder(self.progress, self.journal)
        self.outbox = RefundOutbox(redis, platform, self.recorder.refund_moved)
        self.dead_letters = DeadLetters(redis, self.recorder.dead_letter_added)
        self.generator = ScriptedGenerator()
        self.attempts: dict[str, Attempt] = {}
        self.pipeline = Pipeline(
            platform=platform,
            photos=Photos(
                ScriptedFetcher({PERSON_URL: [b"person"], GARMENT_URL: [b"garment"]}, trusted=[PERSON_URL]),
                self._prepare,
            ),
            generator=self.generator,
            spool=Spool(folder / "spool"),
            outbox=self.outbox,
            dead_letters=self.dead_letters,
            confirm_lease=self._confirm,
            patience=Patience(max_rate_limited=2, deadline_s=500.0),
            recorder=self.recorder,
        )
        self.overview = make_overview(redis, platform, self.journal, self.progress)

    async def run(self, ref: SessionRef, **changes: Any) -> PutBack | None:
        """Run the session's job once, and count the attempt."""
        now = time.time()
        attempt = self.attempts.get(ref.session_id, Attempt(first_started_at=now, handed_over_at=now))
        answer = await self.pipeline.generate(task_fields(ref, **changes), attempt)
        self.attempts[ref.session_id] = replace(
            attempt, number=attempt.number + 1, put_back=attempt.put_back + int(answer is not None)
        )
        return answer

    def count_a_crash(self, ref: SessionRef) -> None:
        """The worker was killed in the middle of a run: nothing was written, but arq has counted it."""
        attempt = self.attempts.get(ref.session_id, Attempt(first_started_at=time.time()))
        self.attempts[ref.session_id] = replace(attempt, number=attempt.number + 1)

    async def story(self, ref: SessionRef) -> SessionStory:
        """The session's story; it must be there."""
        story = await self.overview.story(ref.session_id)
        assert story is not None
        return story

    async def _confirm(self) -> None:
        pass

    async def _prepare(self, data: bytes) -> bytes:
        return b"prepared " + data


def make_overview(redis: Redis, platform: Platform, journal: Journal, progress: Progress | None = None) -> Overview:
    """An overview of that Redis and platform."""
    present = Present(Looker(redis), mode="local", requests_per_minute=300)
    return Overview(present, Stories(redis, platform, journal, Redaction([SECRET])), progress)


def kinds(events: list[StoryEvent]) -> list[str]:
    """The events' kinds, but for steps."""
    return [event.kind for event in events if event.kind != "step"]
