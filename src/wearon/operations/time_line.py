"""A session's time line: what its row and its history say, in order. Pure rules."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wearon.operations.entries import (
    MAX_ENTRIES,
    DeadLetterEntry,
    Entry,
    RunEntry,
    SettlementEntry,
)
from wearon.operations.models import HistoryEvent, RefundHistory, RefundState, RunningJob
from wearon.platform.base import Session, Status
from wearon.refunds.intents import Settled, Settlement
from wearon.tryon.retry_policy import Reason
from wearon.tryon.run import Outcome, StepName

STEPS: Mapping[str, str] = {
    StepName.START: "Start the session",
    StepName.PHOTOS: "Fetch and prepare the pictures",
    StepName.RATE_LIMIT: "Wait for the fleet's rate limit",
    StepName.GENERATE: "Make the picture",
    StepName.UPLOAD: "Upload and sign the picture",
    StepName.COMPLETE: "Complete the session",
    StepName.REFUND: "Fail the session and refund the credit",
}

ENDS = {
    Outcome.COMPLETED: ("completed", "Completed"),
    Outcome.FAILED: ("failed", "Failed"),
    Outcome.RETRIED: ("put_back", "Retried"),
    Outcome.STOPPED: ("stopped", "Stopped: it runs again elsewhere"),
    Outcome.DEAD_LETTER: ("dead_letter", "Put into the dead letters"),
    Outcome.ENDED_ELSEWHERE: ("ended_elsewhere", "The session had been ended elsewhere"),
}

REFUNDS = {
    Settled.REFUNDED: "Credit refunded",
    Settled.ALREADY_REFUNDED: "The credit had been refunded already",
    Settled.NOTHING_OWED: "Nothing to refund",
    Settled.NOT_OURS: "Nothing of ours to refund",
    Settled.NEEDS_REVIEW: "The refund needs review",
    Settled.POSTPONED: "The refund is tried again later",
}


@dataclass(frozen=True, slots=True)
class Underway:
    """What queue and workers say of an open session: nothing of it is in the history before its attempt has ended."""

    running: RunningJob | None = None
    """The attempt that is under way."""
    pushed_at: datetime | None = None
    queued_at: datetime | None = None


def tell_events(
    session: Session, entries: Sequence[Entry], refund: RefundHistory, underway: Underway | None = None
) -> list[HistoryEvent]:
    """The events, oldest first. Those of the same moment stay in the order in which they happened.

    `underway`: None for a session that has ended.
    """
    events = [HistoryEvent(at=session.created_at, kind="created", title="Session opened")]
    runs = [entry for entry in entries if isinstance(entry, RunEntry)]
    running = underway.running if underway else None
    began_at = running.began_at if running else None
    events += _before_the_runs(runs, underway or Underway())
    begun = [(run.attempt, run.began_at) for run in runs]
    if running and began_at:
        begun.append((running.attempt, began_at))
    let_go = runs[0].attempt - 1 if runs and len(entries) >= MAX_ENTRIES else 0
    lost = _runs_without_a_word(begun, before=let_go)
    for entry in entries:
        match entry:
            case RunEntry():
                if entry.attempt in lost:
                    events.append(lost[entry.attempt])
                events += _of_run(entry)
                events += _wait_after(entry, begun, is_open=underway is not None)
            case SettlementEntry():
                events.append(_of_refund(entry.at, entry.refund, entry.worker))
            case DeadLetterEntry():
                events.append(
                    HistoryEvent(
                        at=entry.at,
                        kind="dead_letter",
                        title="Put into the dead letters",
                        detail=entry.reason or None,
                        worker=entry.worker or None,
                    )
                )
    if running and began_at:
        if running.attempt in lost:
            events.append(lost[running.attempt])
        events += _of_running(running, began_at)
    events += _of_the_row(session, events, refund)
    return sorted(events, key=lambda event: event.at)


def _before_the_runs(runs: Sequence[RunEntry], underway: Underway) -> Iterator[HistoryEvent]:
    pushed = next((run.pushed_at for run in runs if run.pushed_at is not None), underway.pushed_at)
    taken = next((run.handed_over_at for run in runs if run.handed_over_at is not None), underway.queued_at)
    began = runs[0].began_at if runs else taken
    if pushed is not None and began is not None:
        yield HistoryEvent(at=_in_time(pushed, began), kind="pushed", title="Task pushed by the shop")
    if taken is not None:
        yield HistoryEvent(at=taken, kind="taken", title="Task taken into the queue")


def _in_time(pushed: datetime, began: datetime) -> datetime:
    """The producer's time: in UTC if it names no zone, and not after our own if its clock is ahead."""
    moment = pushed if pushed.tzinfo is not None else pushed.replace(tzinfo=began.tzinfo)
    return min(moment, began)


def _runs_without_a_word(begun: Sequence[tuple[int, datetime]], before: int) -> dict[int, HistoryEvent]:
    """Attempts that a crash cut off: the history has no entry of them. By the number of the attempt that followed.

    `begun`: the attempts that are known, and when each began. `before`: attempts whose entries were dropped, because
    the history is bounded.
    """
    found: dict[int, HistoryEvent] = {}
    for attempt, began_at in begun:
        missing = attempt - before - 1
        if missing > 0:
            title = "An attempt was cut off" if missing == 1 else f"{missing} attempts were cut off"
            found[attempt] = HistoryEvent(
                at=began_at,
                kind="stopped",
                title=title,
                detail="its worker was killed or lost Redis, or its history could not be written",
            )
        before = max(before, attempt)
    return found


def _wait_after(run: RunEntry, begun: Sequence[tuple[int, datetime]], *, is_open: bool) -> Iterator[HistoryEvent]:
    """The pause between two attempts: the image model's rate limit, or a pause after an error."""
    next_began = min((began_at for attempt, began_at in begun if attempt > run.attempt), default=None)
    if run.outcome is not Outcome.RETRIED or (next_began is None and not is_open):
        return
    limited = run.category is Reason.RATE_LIMIT
    yield HistoryEvent(
        at=run.at,
        kind="wait",
        title="Wait for the image model's rate limit" if limited else "Pause before the next attempt",
        seconds=None if next_began is None else max(0.0, round((next_began - run.at).total_seconds(), 3)),
    )


def _of_running(job: RunningJob, began_at: datetime) -> Iterator[HistoryEvent]:
    """The attempt that is under way, as its worker reports it: a few seconds old at most."""
    steps = ((name, began_at + timedelta(seconds=after_s), seconds, True) for name, after_s, seconds in job.steps)
    return _attempt(job.attempt, began_at, job.worker, steps)


def _attempt(
    number: int, began_at: datetime, worker: str, steps: Iterable[tuple[str, datetime, float | None, bool]]
) -> Iterator[HistoryEvent]:
    """The beginning of an attempt and its steps: name, when it began, how long it took, whether it succeeded."""
    by: dict[str, Any] = {"worker": worker or None, "attempt": number}
    yield HistoryEvent(at=began_at, kind="started", title=f"Attempt {number}", **by)
    for name, at, seconds, ok in steps:
        title = STEPS.get(name, name.replace("_", " "))
        detail = None if ok else "it did not succeed"
        yield HistoryEvent(at=at, kind="step", title=title, step=name, seconds=seconds, detail=detail, **by)


def _of_run(run: RunEntry) -> Iterator[HistoryEvent]:
    steps = ((step.name.value, step.at, step.seconds, step.ok) for step in run.steps)
    yield from _attempt(run.attempt, run.began_at, run.worker, steps)
    if run.refund is not None:
        yield _of_refund(run.at, run.refund, run.worker)
    kind, title = ENDS[run.outcome]
    if run.outcome is Outcome.RETRIED and run.delay_s is not None:
        title = f"{title} in {run.delay_s:g} s"
    if run.category is not None:
        title = f"{title}: {run.category.value.replace('_', ' ')}"
    worker = run.worker or None
    yield HistoryEvent(at=run.at, kind=kind, title=title, detail=run.reason or None, worker=worker, attempt=run.attempt)


def _of_refund(at: datetime, refund: Settlement, worker: str) -> HistoryEvent:
    return HistoryEvent(
        at=at,
        kind="refund",
        title=REFUNDS[refund.settled],
        detail=refund.detail or None,
        worker=worker or None,
        settled=refund.settled,
    )


def _of_the_row(session: Session, events: Sequence[HistoryEvent], refund: RefundHistory) -> Iterator[HistoryEvent]:
    """What the row says and the history does not: the platform's cron ended it, or the history is gone."""
    if session.completed_at is None:
        return
    kinds = {event.kind for event in events}
    if session.status is Status.COMPLETED and "completed" not in kinds:
        yield HistoryEvent(at=session.completed_at, kind="completed", title="Completed")
    if session.status is Status.FAILED and not kinds & {"failed", "ended_elsewhere"}:
        yield HistoryEvent(at=session.completed_at, kind="failed", title="Failed", detail=session.error_message)
    if refund.state is RefundState.GIVEN_BACK and "refund" not in kinds:
        yield HistoryEvent(
            at=session.completed_at,
            kind="refund",
            title="Credit refunded",
            detail="the ledger says so",
            settled=Settled.REFUNDED,
        )
