"""What of `Now` needs somebody: one sentence each, worst first. Pure rules."""

from collections.abc import Iterator

from wearon.overview.models import Now
from wearon.supervisor import PartState
from wearon.tryon.leases import FRESH_S
from wearon.tryon.openai_last_days import tell_last_day
from wearon.tryon.refund_intents import LATE_S

OLD_TASK_S = 120.0
"""A task that nobody has taken for this long: a generation takes a minute, so a shopper has waited for three."""

LAG_S = 1.0
"""Estimates are promised in under 1 s, and the loop serves them too."""

LATELY = 15
"""Minutes over which failures are looked at."""

MANY_FAILED = (5, 0.2)
"""At least so many, and at least this share of what ended: single ones happen (moderation, broken pictures)."""


def is_well(now: Now) -> bool:
    """The same rule as in `/health`: is this process able to do its work, and is no refund late?"""
    return (
        now.queues is not None
        and (now.queues.oldest_refund_s or 0.0) <= LATE_S
        and not now.refusals
        and all(part.state == PartState.RUNNING for part in now.parts)
        and (now.pose_pool is None or now.pose_pool.warm == now.pose_pool.processes)
    )


def find_problems(now: Now) -> list[str]:
    """One sentence for each thing that needs somebody, worst first."""
    return [
        *_of_money(now),
        *_of_the_refusals(now),
        *_of_the_image_models(now),
        *_of_the_parts(now),
        *_of_the_queues(now),
        *_of_the_processes(now),
        *_of_the_outcome(now),
    ]


def _of_money(now: Now) -> Iterator[str]:
    queues = now.queues
    if queues is None:
        yield "Redis does not answer: no task is taken, and no refund is made, until it is back."
        return
    if (queues.oldest_refund_s or 0.0) > LATE_S:
        yield f"The oldest refund has been outstanding for {duration(queues.oldest_refund_s)}: it must not take 30 s."
    if queues.refunds_by_hand:
        yield f"{_count(queues.refunds_by_hand, 'refund')} to be put right by hand."


def _of_the_refusals(now: Now) -> Iterator[str]:
    own = [refusal.words for refusal in now.refusals]
    for refusal in now.refusals:
        yield f"{refusal.words}, for {duration(refusal.since_s)}."
    for process in now.processes:
        for refusal in process.refusals:
            if refusal.words not in own:
                yield f"{refusal.words}, says {process.worker}."


def _of_the_image_models(now: Now) -> Iterator[str]:
    """Once each, and what to do by the place at which a model stands."""
    said: dict[str, None] = {}
    for process in now.processes:
        for place, model in enumerate(process.image_models):
            words = model.last_day and tell_last_day(model.name, model.last_day, now.at.date())
            if words:
                setting = "OPENAI_FALLBACK_MODELS" if place else "OPENAI_MODEL"
                said[f"{words}: name another model in {setting}."] = None
    yield from said


def _of_the_parts(now: Now) -> Iterator[str]:
    for part in now.parts:
        if part.state != PartState.RUNNING:
            yield f"{part.name} is {part.state}" + (f": {part.error}" if part.error else "") + "."
    if now.pose_pool is not None and now.pose_pool.warm < now.pose_pool.processes:
        yield f"{now.pose_pool.warm} of {now.pose_pool.processes} pose processes are warm."


def _of_the_queues(now: Now) -> Iterator[str]:
    queues = now.queues
    if queues is None:
        return
    if not any(process.capacity for process in now.processes) and queues.tasks + queues.jobs:
        yield f"No worker is running: {_count(queues.tasks + queues.jobs, 'task')} waiting."
    elif (queues.oldest_task_s or 0.0) > OLD_TASK_S:
        yield f"The oldest task has waited for {duration(queues.oldest_task_s)}."
    if queues.dead_letters:
        yield f"{_count(queues.dead_letters, 'dead letter')} to be looked at."


def _of_the_processes(now: Now) -> Iterator[str]:
    for process in now.processes:
        if process.beat_age_s > FRESH_S:
            yield f"{process.worker} was last heard of {duration(process.beat_age_s)} ago."
        if process.loop_lag_s > LAG_S:
            yield f"{process.worker} stood still for {process.loop_lag_s:.1f} s."
        for part in process.parts:
            if part.state != PartState.RUNNING and part not in now.parts:
                yield f"{part.name} of {process.worker} is {part.state}."


def _of_the_outcome(now: Now) -> Iterator[str]:
    lately = now.last_hour[-LATELY:]
    failed = sum(minute.failed for minute in lately)
    ended = failed + sum(minute.completed for minute in lately)
    fewest, share = MANY_FAILED
    if failed >= fewest and failed >= share * ended:
        most = next(iter(now.failures_by_reason), "")
        yield f"{failed} of {ended} generations of the last {LATELY} minutes failed" + (
            f", most often for: {most}." if most else "."
        )


def duration(seconds: float | None) -> str:
    """`42 s`, `5 min`, `2 h`."""
    whole = round(seconds or 0.0)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"


def _count(number: int, what: str) -> str:
    return f"{number} {what} has" if number == 1 else f"{number} {what}s have"
