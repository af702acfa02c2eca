"""A session's time line: what row and journal say happened, in order. Pure rules."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from wearon.overview.models import RefundState, RefundStory, StoryEvent
from wearon.platform.base import Session, Status
from wearon.tryon.journal import MAX_ENTRIES, DeadLetterEntry, Entry, RefundEntry, RunEntry, SettlementEntry, StepEntry
from wearon.tryon.progress import Outcome, Settled, StepName

STEPS = {
    StepName.START: "Start the session",
    StepName.PHOTOS: "Fetch and prepare the pictures",
    StepName.RATE_LIMIT: "Wait for the rate limit",
    StepName.GENERATE: "Make the picture",
    StepName.UPLOAD: "Upload and sign the picture",
    StepName.COMPLETE: "Complete the session",
    StepName.REFUND: "Fail the session and give the credit back",
}

ENDS = {
    Outcome.COMPLETED: ("completed", "Completed"),
    Outcome.FAILED: ("failed", "Failed"),
    Outcome.PUT_BACK: ("put_back", "Put back"),
    Outcome.STOPPED: ("stopped", "Stopped: it runs again elsewhere"),
    Outcome.DEAD_LETTER: ("dead_letter", "Put into the dead letters"),
    Outcome.ENDED_ELSEWHERE: ("ended_elsewhere", "Somebody else had ended the session"),
}

REFUNDS = {
    Settled.GIVEN_BACK: "Credit given back",
    Settled.ALREADY_GIVEN_BACK: "The credit had been given back already",
    Settled.NOTHING_OWED: "Nothing to give back",
    Settled.NOT_OURS: "Nothing of ours to give back",
    Settled.BY_HAND: "The refund needs a person",
    Settled.POSTPONED: "The refund is tried again later",
}


def tell_events(session: Session, entries: Sequence[Entry], refund: RefundStory) -> list[StoryEvent]:
    """Oldest first. What happened at the same moment stays in the order in which it was done."""
    events = [StoryEvent(at=session.created_at, kind="created", title="Session opened")]
    runs = [entry for entry in entries if isinstance(entry, RunEntry)]
    events += _before_the_runs(runs)
    lost = _runs_without_a_word(runs, before=_let_go(entries, runs))
    for entry in entries:
        match entry:
            case RunEntry():
                if entry.attempt in lost:
                    events.append(lost[entry.attempt])
                events += _of_run(entry)
            case SettlementEntry():
                events.append(_of_refund(entry.at, entry.refund, entry.worker))
            case DeadLetterEntry():
                events.append(
                    StoryEvent(
                        at=entry.at,
                        kind="dead_letter",
                        title="Put into the dead letters",
                        detail=entry.reason or None,
                        worker=entry.worker or None,
                    )
                )
    events += _of_the_row(session, events, refund)
    return sorted(events, key=lambda event: event.at)


def _let_go(entries: Sequence[Entry], runs: Sequence[RunEntry]) -> int:
    return runs[0].attempt - 1 if runs and len(entries) >= MAX_ENTRIES else 0


def _before_the_runs(runs: Sequence[RunEntry]) -> Iterator[StoryEvent]:
    pushed = next((run.pushed_at for run in runs if run.pushed_at is not None), None)
    if pushed is not None:
        yield StoryEvent(at=_in_time(pushed, runs[0].began_at), kind="pushed", title="Task pushed by the shop")
    taken = next((run.handed_over_at for run in runs if run.handed_over_at is not None), None)
    if taken is not None:
        yield StoryEvent(at=taken, kind="taken", title="Task taken into the queue")


def _in_time(pushed: datetime, began: datetime) -> datetime:
    """A producer may write a time without a zone, which is UTC here as everywhere, or have a clock that is ahead."""
    moment = pushed if pushed.tzinfo is not None else pushed.replace(tzinfo=began.tzinfo)
    return min(moment, began)


def _runs_without_a_word(runs: Sequence[RunEntry], before: int) -> dict[int, StoryEvent]:
    """By the number of the run that followed: starts of which the journal has nothing were cut off by a crash.

    `before`: runs that the journal has had and let go, because it is bounded.
    """
    found: dict[int, StoryEvent] = {}
    for run in runs:
        missing = run.attempt - before - 1
        if missing > 0:
            title = "A run ended without a word" if missing == 1 else f"{missing} runs ended without a word"
            found[run.attempt] = StoryEvent(
                at=run.began_at,
                kind="stopped",
                title=title,
                detail="its worker was killed or lost Redis, or the journal could not be written",
            )
        before = max(before, run.attempt)
    return found


def _of_run(run: RunEntry) -> Iterator[StoryEvent]:
    worker = run.worker or None
    yield StoryEvent(at=run.began_at, kind="started", title=f"Run {run.attempt}", worker=worker, attempt=run.attempt)
    for step in run.steps:
        yield _of_step(step, run)
    if run.refund is not None:
        yield _of_refund(run.at, run.refund, run.worker)
    kind, title = ENDS[run.outcome]
    if run.outcome is Outcome.PUT_BACK and run.delay_s is not None:
        title = f"{title} for {run.delay_s:g} s"
    if run.category is not None:
        title = f"{title}: {run.category.value.replace('_', ' ')}"
    yield StoryEvent(at=run.at, kind=kind, title=title, detail=run.reason or None, worker=worker, attempt=run.attempt)


def _of_step(step: StepEntry, run: RunEntry) -> StoryEvent:
    return StoryEvent(
        at=step.at,
        kind="step",
        title=STEPS[step.name],
        step=step.name.value,
        seconds=step.seconds,
        detail=None if step.ok else "it did not succeed",
        worker=run.worker or None,
        attempt=run.attempt,
    )


def _of_refund(at: datetime, refund: RefundEntry, worker: str) -> StoryEvent:
    return StoryEvent(
        at=at, kind="refund", title=REFUNDS[refund.settled], detail=refund.detail or None, worker=worker or None
    )


def _of_the_row(session: Session, events: Sequence[StoryEvent], refund: RefundStory) -> Iterator[StoryEvent]:
    """What the row says and the journal does not: the platform's cron ended it, or the journal is gone."""
    if session.completed_at is None:
        return
    kinds = {event.kind for event in events}
    if session.status is Status.COMPLETED and "completed" not in kinds:
        yield StoryEvent(at=session.completed_at, kind="completed", title="Completed")
    if session.status is Status.FAILED and not kinds & {"failed", "ended_elsewhere"}:
        yield StoryEvent(at=session.completed_at, kind="failed", title="Failed", detail=session.error_message)
    if refund.state is RefundState.GIVEN_BACK and "refund" not in kinds:
        yield StoryEvent(at=session.completed_at, kind="refund", title="Credit given back", detail="the ledger says so")
