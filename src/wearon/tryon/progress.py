"""What this process is doing: the runs of its jobs, step by step, and those who want to hear of it.

A `Run` is one start of a job in this process. The pipeline opens it, steps note themselves in it wherever they happen
(the run of the present task is a context variable, as the log lines' `request_id` is), and when it ends it says how
and why. The live view reads the runs that are under way, the journal writes down the one that has ended, and
listeners count.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ParamSpec, Protocol

import structlog

from wearon.platform.base import SessionRef
from wearon.tryon.failures import Reason
from wearon.tryon.generator import Usage

log = structlog.get_logger()

MOST_CALLS = 10_000
"""Requests of a minute that are remembered: thirty times the account's usual limit."""


P = ParamSpec("P")


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
    """Given up: the session is failed and its credit on the way back."""
    PUT_BACK = "put_back"
    """It runs again later."""
    STOPPED = "stopped"
    """Cut off by a shutdown or a lost lease; it runs again elsewhere."""
    DEAD_LETTER = "dead_letter"
    """There is no such session of that owner."""
    ENDED_ELSEWHERE = "ended_elsewhere"
    """Somebody else had ended the session: a second task of it, the platform's cron."""


class Settled(StrEnum):
    """What became of a refund intent."""

    GIVEN_BACK = "given_back"
    ALREADY_GIVEN_BACK = "already_given_back"
    """The ledger had the refund."""
    NOTHING_OWED = "nothing_owed"
    """Nothing was taken."""
    NOT_OURS = "not_ours"
    """Somebody else has ended the session, or there is no such session of that owner."""
    BY_HAND = "by_hand"
    POSTPONED = "postponed"
    """It stays in the outbox."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """A step of a session's refund. `detail` says what was given to whom, or why not; no e-mail address."""

    ref: SessionRef
    request_id: str
    settled: Settled
    detail: str


@dataclass(frozen=True, slots=True)
class InputPicture:
    """Where an input picture lies: its path in our storage, or the host that it comes from."""

    path: str | None = None
    host: str | None = None


@dataclass(slots=True)
class Step:
    """One step of a run."""

    name: StepName
    at: float
    """When it began, in seconds since the epoch."""
    seconds: float | None = None
    """None: it is under way."""
    ok: bool = False
    """False: under way, or it raised."""


@dataclass(slots=True, eq=False)
class Run:
    """One start of a job in this process, from its first step to how it ended."""

    ref: SessionRef
    request_id: str
    attempt: int
    """The how-many-eth start of the job, from 1."""
    pushed_at: datetime | None = None
    """The task's own `created_at`."""
    handed_over_at: float | None = None
    """When the consumer put the job into the queue (epoch)."""
    pictures: Sequence[InputPicture] = ()
    """The person, the garment, then accessories."""
    began_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    steps: list[Step] = field(default_factory=list)
    outcome: Outcome | None = None
    """None: it is under way."""
    reason: str = ""
    """Why it did not complete, in the operator's words."""
    category: Reason | None = None
    """The same as one of a closed list; None when it completed."""
    delay_s: float | None = None
    """Put back: for so long."""
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

    def end(self, outcome: Outcome, reason: str = "", category: Reason | None = None) -> None:
        """Say how it ended; the first word stands."""
        if self.outcome is None:
            self.outcome, self.reason, self.category = outcome, reason, category

    def call_begins(self) -> None:
        """A request goes to the image model."""
        self.calls += 1
        self._call_began = time.monotonic()

    def call_answered(self) -> None:
        """Its answer is here; nothing when none is under way."""
        if self._call_began is not None:
            self.answered_s.append(time.monotonic() - self._call_began)
            self._call_began = None

    def note_answer_of_a_generator_that_asks_nobody(self) -> None:
        """The local preview sends no request: its drawing counts as one."""
        generated = next((step for step in self.steps if step.name is StepName.GENERATE), None)
        if not self.calls and generated is not None and generated.seconds is not None:
            self.calls, self.answered_s = 1, [generated.seconds]


class ProgressListener(Protocol):
    """Told of what happens in this process, on its event loop: return at once, never raise."""

    def step_done(self, run: Run, step: Step) -> None:
        """A step has ended; `step.ok` and `step.seconds` say how. A step that was cut off (cancelled) is not ok."""

    def run_ended(self, run: Run) -> None:
        """A run has ended: `outcome`, `category` and the rest are set."""

    def refund_moved(self, settlement: Settlement) -> None:
        """A refund intent was settled, or postponed."""

    def dead_letter_added(self) -> None:
        """A document went to the dead letters."""


_present: ContextVar[Run | None] = ContextVar("wearon_run", default=None)


def present_run() -> Run | None:
    """The run that the caller is part of."""
    return _present.get()


class Progress:
    """The runs of this process. `changed` wakes whoever shows them."""

    def __init__(self) -> None:
        self.listeners: list[ProgressListener] = []
        self._running: list[Run] = []
        self._calls: deque[float] = deque(maxlen=MOST_CALLS)
        self._changed = asyncio.Event()
        self.around_step: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
        """What each step happens within: its span, when spans are collected."""

    @property
    def running(self) -> Sequence[Run]:
        """The runs that are under way, the longest first."""
        return tuple(self._running)

    @property
    def calls_last_minute(self) -> int:
        """Requests that this process sent to the image model within the last 60 s."""
        while self._calls and self._calls[0] < time.monotonic() - 60:
            self._calls.popleft()
        return len(self._calls)

    @contextmanager
    def follow(self, run: Run) -> Iterator[Run]:
        """The run is under way within the block; one that leaves it without a word was cut off."""
        self._running.append(run)
        token = _present.set(run)
        self.announce_change()
        try:
            yield run
        except asyncio.CancelledError:
            run.end(Outcome.STOPPED, "stopped by a shutdown or a lost lease")
            raise
        except Exception as error:
            # The job queue runs it again after a pause, whatever it was.
            run.end(Outcome.PUT_BACK, f"{type(error).__name__}: {error}", Reason.of(error))
            raise
        finally:
            run.end(Outcome.STOPPED)
            run.ended_at = time.time()
            _present.reset(token)
            self._running.remove(run)
            self._tell(lambda listener: listener.run_ended(run))

    @asynccontextmanager
    async def step(self, name: StepName, **details: object) -> AsyncIterator[None]:
        """One step of the present run: a log line when it begins, and one with its duration when it has ended well."""
        run = present_run()
        step = Step(name, time.time())
        began = time.monotonic()
        log.info("step begins", step=name.value, **details)
        if run is not None:
            run.steps.append(step)
            self.announce_change()
        try:
            with self.around_step(name.value):
                yield
            step.ok = True
        finally:
            step.seconds = time.monotonic() - began
            if run is not None:
                self._tell(lambda listener: listener.step_done(run, step))
        log.info("step done", step=name.value, ms=round(step.seconds * 1000))

    def before_each_call(self, wait_for_slot: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        """What the image client awaits before each request: the fleet's rate limit, seen as a step of its own."""

        async def wait(*args: P.args, **kwargs: P.kwargs) -> None:
            async with self.step(StepName.RATE_LIMIT):
                await wait_for_slot(*args, **kwargs)
            self._calls.append(time.monotonic())
            if (run := present_run()) is not None:
                run.call_begins()

        return wait

    def refund_moved(self, settlement: Settlement) -> None:
        """The outbox has settled or postponed an intent."""
        self._tell(lambda listener: listener.refund_moved(settlement))

    def dead_letter_added(self) -> None:
        """A document went to the dead letters."""
        self._tell(lambda listener: listener.dead_letter_added())

    def announce_change(self) -> None:
        """Wake whoever waits in `wait_for_change`."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self) -> None:
        """Return at the next change."""
        await self._changed.wait()

    def _tell(self, what: Callable[[ProgressListener], None]) -> None:
        for listener in self.listeners:
            try:
                what(listener)
            except Exception:
                log.exception("a listener failed")  # whoever counts must not cost a shopper the picture
        self.announce_change()
