"""A run: one attempt of a job in this process, with its steps, and the events that tell of it.

The pipeline opens a run, steps note themselves in it wherever they happen (the run of the present task is a context
variable, as the log lines' `request_id` is), and when it ends it says how and why. Metrics, history and the live view
subscribe to the events.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import structlog
from structlog.contextvars import bound_contextvars

from wearon.events import Events
from wearon.observability.kept_lines import LogLine, keep_lines
from wearon.observability.tracing import Tracing
from wearon.platform.base import SessionRef
from wearon.refunds.intents import RefundSettled, Settlement
from wearon.resources.work import Purpose, work_for
from wearon.tryon.image_model import Usage
from wearon.tryon.input_images import InputImage
from wearon.tryon.retry_policy import Reason, Refused

log = structlog.get_logger()


class StepName(StrEnum):
    """The steps of a run. `RATE_LIMIT` happens within `GENERATE`, and is part of its time."""

    START = "start"
    PHOTOS = "photos"
    RATE_LIMIT = "rate_limit"
    GENERATE = "generate"
    UPLOAD = "upload"
    COMPLETE = "complete"
    REFUND = "refund"


class Outcome(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    """The session is failed and its credit on the way back."""
    RETRIED = "put_back"
    """It runs again later."""
    STOPPED = "stopped"
    """Cut off by a shutdown or a lost lease; it runs again elsewhere."""
    DEAD_LETTER = "dead_letter"
    """There is no such session of that owner."""
    ENDED_ELSEWHERE = "ended_elsewhere"
    """The session had been ended otherwise: by a second task of it, by the platform's cron."""


@dataclass(slots=True)
class Step:
    """One step of a run."""

    name: StepName
    at: datetime
    """When it began."""
    seconds: float | None = None
    """How long it took, to the millisecond; None: it is under way."""
    ok: bool = False
    """False: under way, or it raised."""


@dataclass(slots=True, eq=False)
class Run:
    """One attempt of a job in this process, from its first step to how it ended."""

    ref: SessionRef
    request_id: str
    attempt: int
    """Attempt number, starting at 1."""
    pushed_at: datetime | None = None
    """The task's own `created_at`."""
    queued_at: float | None = None
    """When the consumer put the job into the queue (epoch)."""
    images: Sequence[InputImage] = ()
    """The person, the garment, then accessories."""
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None
    steps: list[Step] = field(default_factory=list)
    outcome: Outcome | None = None
    """None: it is under way."""
    reason: str = ""
    """Why it did not complete, in the operator's words."""
    category: Reason | None = None
    """The reason as one of a closed list; None when it completed."""
    cause: str = ""
    """Why it did not complete: dependency, kind of error and step (`wearon.tryon.causes`)."""
    refused: Refused | None = None
    """What was refused to the whole fleet, and stopped this attempt."""
    delay_s: float | None = None
    """After how long it is retried."""
    made_picture: bool = False
    usage: Usage | None = None
    """What the picture took; None when there is none, or when it is not known."""
    model: str | None = None
    """The image model that made it; None when there is none, or when it is not known."""
    calls: int = 0
    """Requests that were sent to the image model."""
    answered_s: list[float] = field(default_factory=list)
    """How long each answered request took."""
    settlement: Settlement | None = None
    """The refund, when it was settled (or postponed) within the run."""
    _call_began: float | None = None

    @property
    def current(self) -> Step | None:
        """The innermost step that is under way."""
        return next((step for step in reversed(self.steps) if step.seconds is None), None)

    @property
    def failed_step(self) -> str:
        """The innermost step that did not end well; '' when there is none."""
        return next((step.name.value for step in reversed(self.steps) if not step.ok), "")

    @property
    def counted_cause(self) -> str:
        """The cause by which it is counted and listed; of what no error ended, the worker's own reason."""
        return self.cause or f"worker.{self.category or Reason.INTERNAL}"

    def end(self, outcome: Outcome, reason: str = "", category: Reason | None = None) -> None:
        """Say how it ended; the first word stands."""
        if self.outcome is None:
            self.outcome, self.reason, self.category = outcome, reason, category

    def call_begins(self) -> None:
        """A request goes to the image model."""
        self.calls += 1
        self._call_began = time.monotonic()

    def call_answered(self) -> None:
        """The image model has answered. The local preview sends no request: its drawing counts as one."""
        if self._call_began is not None:
            self.answered_s.append(time.monotonic() - self._call_began)
        elif (step := self.current) is not None:
            self.calls += 1
            self.answered_s.append((datetime.now(UTC) - step.at).total_seconds())
        self._call_began = None


@dataclass(frozen=True, slots=True)
class RunStarted:
    """An event: a run begins."""

    run: Run


@dataclass(frozen=True, slots=True)
class RunEnded:
    """An event: a run has ended, and says how. `lines` is what was logged within it."""

    run: Run
    lines: Sequence[LogLine]


@dataclass(frozen=True, slots=True)
class StepStarted:
    """An event: a step begins."""

    step: Step


@dataclass(frozen=True, slots=True)
class StepEnded:
    """An event: a step has ended; one that was cut off is not `ok`."""

    step: Step


@dataclass(frozen=True, slots=True)
class ImageRequested:
    """An event: a request goes to the image model."""


_present: ContextVar[Run | None] = ContextVar("wearon_run", default=None)


def present_run() -> Run | None:
    """The run that the caller is part of."""
    return _present.get()


class Runs:
    """Publishes what the runs of this process do."""

    def __init__(self, events: Events, tracing: Tracing) -> None:
        self._events = events
        self._tracing = tracing
        events.subscribe(RefundSettled, _note_refund)

    @asynccontextmanager
    async def follow(self, run: Run) -> AsyncIterator[None]:
        """The run is under way within the block, and log lines and slots name its session.

        A run that has no outcome when the block ends was cut off. What subscribes to its end, as the history does, is
        awaited before the block is left.
        """
        names = {"request_id": run.request_id, "session_id": run.ref.session_id, "channel": run.ref.channel.value}
        token = _present.set(run)
        with (
            bound_contextvars(**names, attempt=run.attempt),
            work_for(Purpose.GENERATION, run.ref.owner_id),
            keep_lines() as kept,
        ):
            await self._events.publish(RunStarted(run))
            try:
                yield
            except asyncio.CancelledError:
                run.end(Outcome.STOPPED, "stopped by a shutdown or a lost lease")
                raise
            except Exception as error:
                # The job worker runs it again after a pause, whatever it was.
                run.end(Outcome.RETRIED, f"{type(error).__name__}: {error}", Reason.of(error))
                raise
            finally:
                run.end(Outcome.STOPPED)
                run.ended_at = datetime.now(UTC)
                _present.reset(token)
                self._annotate(run)
                await self._events.publish(RunEnded(run, kept.lines))

    @asynccontextmanager
    async def step(self, name: StepName, **details: object) -> AsyncIterator[None]:
        """One step of the present run: a log line when it begins, and one with its duration when it has ended well."""
        step = Step(name, datetime.now(UTC))
        began = time.monotonic()
        log.info("step begins", step=name.value, **details)
        if (run := present_run()) is not None:
            run.steps.append(step)
        await self._events.publish(StepStarted(step))
        try:
            with self._tracing.span(name.value):
                yield
            step.ok = True
        finally:
            step.seconds = round(time.monotonic() - began, 3)
            await self._events.publish(StepEnded(step))
        log.info("step done", step=name.value, ms=round(step.seconds * 1000))

    async def rate_limited(self, wait_s: float) -> None:
        """Wait for the fleet's rate limit, as a step of its own; then a request goes to the image model."""
        async with self.step(StepName.RATE_LIMIT):
            await asyncio.sleep(wait_s)
        if (run := present_run()) is not None:
            run.call_begins()
        await self._events.publish(ImageRequested())

    def _annotate(self, run: Run) -> None:
        """Say how it ended in the run's span."""
        self._tracing.annotate(
            {
                "wearon.session_id": run.ref.session_id,
                "wearon.channel": run.ref.channel.value,
                "wearon.attempt": run.attempt,
                "wearon.outcome": run.outcome.value if run.outcome else "",
                "wearon.reason": run.category.value if run.category else "",
            }
        )


def _note_refund(refund: RefundSettled) -> None:
    """What is settled within a run of the session is part of it."""
    run = present_run()
    if run is not None and run.ref == refund.ref:
        run.settlement = refund.settlement
