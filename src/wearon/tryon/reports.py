"""What a process says of itself with every beat of its lease, for those who look at the fleet."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel

from wearon.dependencies import Refusal
from wearon.tryon.progress import Progress, Run

MAX_JOBS = 100
"""Jobs named in a report, the longest running first: some 25 KB a beat at most. `busy` counts them all."""

MAX_TEXT = 200
"""Characters of a request id or an error."""


class ReportedPart(BaseModel):
    """One supervised part of the process."""

    name: str
    state: str
    restarts: int = 0
    error: str | None = None


class ReportedRefusal(BaseModel):
    """What a service refuses this process."""

    dependency: str
    words: str
    since_s: float


class ReportedJob(BaseModel):
    """One run that is under way. Durations are those at the time of the report."""

    session_id: str
    request_id: str
    channel: str
    step: str
    step_s: float
    age_s: float
    attempt: int


class ReportedModel(BaseModel):
    """An image model that the process asks."""

    name: str
    last_day: date | None = None
    """Announced; None: not that we know."""


class Report(BaseModel):
    """The process as it is now."""

    host: str
    pid: int
    version: str
    capacity: int
    busy: int
    calls_last_minute: int = 0
    """Requests to the image model."""
    loop_lag_s: float = 0.0
    """The longest that its event loop was late since the report before."""
    memory_mb: float | None = None
    """Resident; None where there is no /proc."""
    parts: list[ReportedPart] = []
    refusals: list[ReportedRefusal] = []
    image_models: list[ReportedModel] = []
    """The one that is wanted, then those that are asked when it cannot be used."""
    jobs: list[ReportedJob] = []


class Reporter:
    """Makes the reports of this process. `capacity` is 0 for one that runs no jobs."""

    def __init__(
        self,
        progress: Progress,
        capacity: int,
        *,
        parts: Callable[[], Sequence[ReportedPart]] = tuple,
        refusals: Callable[[], Sequence[Refusal]] = tuple,
        last_days: Callable[[], Mapping[str, date | None]] = dict,
        take_longest_lag: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`last_days` names the image models with their last days.

        `take_longest_lag` says how late the event loop was at most since it was asked before, in seconds.
        """
        self._progress = progress
        self._capacity = capacity
        self._parts = parts
        self._refusals = refusals
        self._last_days = last_days
        self._take_longest_lag = take_longest_lag
        self._host = socket.gethostname()
        self._version = version("wearon")
        self._lag_s = 0.0

    def beat(self) -> str:
        """The report that goes with a beat, as JSON."""
        self._lag_s = self._take_longest_lag()
        return self.report().model_dump_json(exclude_defaults=True)

    def report(self) -> Report:
        """The same as of now, without waiting for a beat."""
        running = self._progress.running
        return Report(
            host=self._host,
            pid=os.getpid(),
            version=self._version,
            capacity=self._capacity,
            busy=len(running),
            calls_last_minute=self._progress.calls_last_minute,
            loop_lag_s=round(self._lag_s, 4),
            memory_mb=resident_mb(),
            parts=list(self._parts()),
            refusals=[
                ReportedRefusal(dependency=found.dependency, words=found.words[:MAX_TEXT], since_s=found.since_s)
                for found in self._refusals()
            ],
            image_models=[ReportedModel(name=name, last_day=day) for name, day in self._last_days().items()],
            jobs=[_reported(run) for run in running[:MAX_JOBS]],
        )


def resident_mb() -> float | None:
    """Memory of this process without its children, in MB; None where the kernel does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    return None


def _reported(run: Run) -> ReportedJob:
    now = time.time()
    step = run.current
    return ReportedJob(
        session_id=run.ref.session_id,
        request_id=run.request_id[:MAX_TEXT],
        channel=run.ref.channel.value,
        step=step.name.value if step else "",
        step_s=round(max(0.0, now - step.at), 2) if step else 0.0,
        age_s=round(max(0.0, now - run.began_at), 2),
        attempt=run.attempt,
    )
