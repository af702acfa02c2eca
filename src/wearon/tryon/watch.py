"""Runs of jobs as metrics and spans: listens to `wearon.tryon.progress`, and begins each job's trace."""

from typing import Any

from wearon.metrics import Metrics
from wearon.platform.base import Channel
from wearon.tracing import Kind, Tracing
from wearon.tryon.failures import Reason
from wearon.tryon.job_queue import Attempt, JobFunction, PutBack
from wearon.tryon.progress import Outcome, Run, Settled, Settlement, Step
from wearon.tryon.task import trace_of_session


class JobMetrics:
    """A ProgressListener that counts."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing
        # From zero on, so that a rate does not miss the first of its kind.
        for channel in Channel:
            metrics.jobs.labels(channel.value, Outcome.COMPLETED.value, "")
            for reason in Reason:
                metrics.jobs.labels(channel.value, Outcome.FAILED.value, reason.value)
                metrics.jobs.labels(channel.value, Outcome.PUT_BACK.value, reason.value)
        for settled in Settled:
            metrics.refunds.labels(settled.value)

    def step_done(self, run: Run, step: Step) -> None:  # noqa: ARG002 - the protocol's
        """See ProgressListener, like all that follow."""
        if step.ok and step.seconds is not None:
            self._metrics.steps.labels(step.name.value).observe(step.seconds)

    def run_ended(self, run: Run) -> None:
        outcome = run.outcome.value if run.outcome else ""
        category = run.category.value if run.category else ""
        self._metrics.jobs.labels(run.ref.channel.value, outcome, category).inc()
        self._tracing.annotate(
            {
                "wearon.session_id": run.ref.session_id,
                "wearon.channel": run.ref.channel.value,
                "wearon.attempt": run.attempt,
                "wearon.outcome": outcome,
                "wearon.reason": category,
            }
        )

    def refund_moved(self, settlement: Settlement) -> None:
        self._metrics.refunds.labels(settlement.settled.value).inc()

    def dead_letter_added(self) -> None:
        self._metrics.dead_letters.inc()


def traced(name: str, function: JobFunction, tracing: Tracing) -> JobFunction:
    """The job function as the first span of its run, in the trace of whoever pushed the task, or its session's."""

    async def run(payload: dict[str, Any], attempt: Attempt) -> PutBack | None:
        with tracing.entry(
            name,
            Kind.CONSUMER,
            request_id=str(payload.get("request_id") or ""),
            traceparent=payload.get("traceparent"),
            trace_id=trace_of_session(payload.get("session_id")),
        ):
            return await function(payload, attempt)

    return run
