"""Runs of jobs, refunds and dead letters as metrics."""

from wearon.events import Events
from wearon.metrics import Metrics
from wearon.platform.base import Channel
from wearon.queue.dead_letters import DeadLetterAdded
from wearon.refunds.intents import RefundSettled, Settled
from wearon.tryon.retry_policy import Reason
from wearon.tryon.run import Outcome, RunEnded, StepEnded


class JobMetrics:
    """Counts what the events tell."""

    def __init__(self, metrics: Metrics, events: Events) -> None:
        self._metrics = metrics
        # From zero on, so that a rate does not miss the first of its kind.
        for channel in Channel:
            metrics.jobs.labels(channel.value, Outcome.COMPLETED.value, "")
            for reason in Reason:
                metrics.jobs.labels(channel.value, Outcome.FAILED.value, reason.value)
                metrics.jobs.labels(channel.value, Outcome.RETRIED.value, reason.value)
        for settled in Settled:
            metrics.refunds.labels(settled.value)
        events.subscribe(StepEnded, self._count_step)
        events.subscribe(RunEnded, self._count_run)
        events.subscribe(RefundSettled, lambda refund: metrics.refunds.labels(refund.settlement.settled.value).inc())
        events.subscribe(DeadLetterAdded, lambda _: metrics.dead_letters.inc())

    def _count_step(self, ended: StepEnded) -> None:
        if ended.step.ok and ended.step.seconds is not None:
            self._metrics.steps.labels(ended.step.name.value).observe(ended.step.seconds)

    def _count_run(self, ended: RunEnded) -> None:
        run = ended.run
        outcome = run.outcome.value if run.outcome else ""
        self._metrics.jobs.labels(run.ref.channel.value, outcome, run.category.value if run.category else "").inc()
