"""What a process says about itself: with each heartbeat to Redis, and at any time to its own status."""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

from wearon.dependencies import EndedRefusal, Refusal
from wearon.operations.live_view import LiveView
from wearon.operations.models import Descriptors, ImageModel, Report, RunningJob
from wearon.resources.descriptors import Budget, open_now
from wearon.supervisor import Component
from wearon.tryon.run import Run

VERSION = version("wearon")

MAX_JOBS = 100
"""Jobs listed in a report, the longest running first: at most some 50 KB a heartbeat. `busy` counts them all."""

MAX_STEPS = 20
"""Of a job, the newest: an attempt has eight, and one more for each time that it waits for the rate limit."""

MAX_TEXT = 200
"""Characters of a request id or an error."""


@dataclass
class Reporter:
    """Makes the reports of this process."""

    worker_id: str
    live_view: LiveView
    capacity: int
    """0 for a process that runs no jobs."""
    _: KW_ONLY
    components: Callable[[], Sequence[Component]] = tuple
    refusals: Callable[[], Sequence[Refusal]] = tuple
    last_refused: Callable[[], Mapping[str, datetime]] = dict
    answered_again: Callable[[], Mapping[str, datetime]] = dict
    take_ended: Callable[[], Sequence[EndedRefusal]] = tuple
    """The refusals that are over since its last call."""
    last_days: Callable[[], Mapping[str, date | None]] = dict
    """The image models with their last days."""
    take_longest_lag: Callable[[], float] = float
    """The longest delay of the event loop since its last call, in seconds."""
    silent_s: Callable[[], float] = float
    """For how long this process has not written to Redis; 0: it need not."""
    budget: Budget | None = None
    _lag_s: float = field(default=0.0, init=False)

    def beat(self) -> str:
        """The report that goes with a heartbeat, as JSON."""
        self._lag_s = self.take_longest_lag()
        report = self.report()
        for refusal in report.refusals:
            refusal.words = refusal.words[:MAX_TEXT]
        return report.model_dump_json(exclude_defaults=True, exclude={"worker"})

    def report(self) -> Report:
        """The process at this moment."""
        running = self.live_view.running
        return Report(
            worker=self.worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=VERSION,
            capacity=self.capacity,
            busy=len(running),
            calls_last_minute=self.live_view.calls_last_minute,
            loop_lag_s=round(self._lag_s, 4),
            memory_mb=resident_mb(),
            parts=[component.model_copy() for component in self.components()],
            refusals=list(self.refusals()),
            last_refused=dict(self.last_refused()),
            answered_again=dict(self.answered_again()),
            image_models=[ImageModel(name=name, last_day=day) for name, day in self.last_days().items()],
            jobs=[_running_job(run) for run in running[:MAX_JOBS]],
        )

    def descriptors(self) -> Descriptors | None:
        """Open files and connections of this process; None where they are not shared out."""
        if self.budget is None:
            return None
        return Descriptors(**asdict(self.budget), needed=self.budget.needed, open=open_now())


def resident_mb() -> float | None:
    """Memory of this process without its children, in MB; None where the kernel does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    return None


def _running_job(run: Run) -> RunningJob:
    now = datetime.now(UTC)
    step = run.current
    return RunningJob(
        session_id=run.ref.session_id,
        request_id=run.request_id[:MAX_TEXT],
        channel=run.ref.channel.value,
        step=step.name.value if step else "",
        step_s=_seconds_between(step.at, now) if step else 0.0,
        age_s=_seconds_between(run.began_at, now),
        attempt=run.attempt,
        owner_id=run.ref.owner_id,
        began_at=run.began_at,
        steps=[
            (step.name.value, _seconds_between(run.began_at, step.at), step.seconds) for step in run.steps[-MAX_STEPS:]
        ],
    )


def _seconds_between(began: datetime, now: datetime) -> float:
    return round(max(0.0, (now - began).total_seconds()), 2)
