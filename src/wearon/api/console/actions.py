"""What operators do: the actions of `wearon dead-letters`, `refunds`, `cancel`, `pause` and `resume`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from wearon.api.console.deadlines import ReadDeadlineRoute
from wearon.api.dependencies import Services, TheActor
from wearon.operations.actions.errors import NotPossible
from wearon.operations.dead_letter_groups import BulkStep, LetterGroups, task_of
from wearon.operations.refund_groups import RefundCase, RefundGroup, Refunds
from wearon.queue.audit_log import AuditEntry
from wearon.queue.dead_letters import MAX_LETTERS, DeadLetter
from wearon.queue.pauses import MAX_REASON

log = structlog.get_logger()

router = APIRouter(route_class=ReadDeadlineRoute)


class LetterSummary(BaseModel):
    """A dead letter without its document."""

    id: str
    at: str
    reason: str
    session_id: str | None
    request_id: str
    whole: bool = Field(validation_alias="is_whole")
    usable: bool
    """Whether it can become a task: nothing else can be pushed again."""

    @model_validator(mode="before")
    @classmethod
    def _of_letter(cls, letter: DeadLetter) -> dict[str, object]:
        return {**asdict(letter), "is_whole": letter.is_whole, "usable": task_of(letter) is not None}


class Letter(LetterSummary):
    """A dead letter with its document, as it was pushed."""

    payload: str


class RefundCases(BaseModel):
    """Refunds of both kinds, oldest first; `settled` are the sessions whose refund was made just now."""

    outstanding: Sequence[RefundCase]
    by_hand: Sequence[RefundCase]
    settled: Sequence[str] = ()
    groups: Sequence[RefundGroup]
    """All refunds, counted, also those that are not listed."""


class CancelAnswer(BaseModel):
    """What became of the session."""

    outcome: str
    sentence: str


class Paused(BaseModel):
    """The store, or the fleet, that is paused or resumed."""

    store: str | None = Field(default=None, max_length=100)
    """A store's id, or `b2c`; None: the whole fleet."""


class PauseRequest(Paused):
    """A pause that is wanted."""

    reason: str = Field(default="", max_length=MAX_REASON)


class Resumed(BaseModel):
    """Whether there was a pause."""

    resumed: bool


Group = Annotated[str, Query(max_length=20)]
Limit = Annotated[int | None, Query(ge=1, le=1000)]
Passed = Annotated[int, Query(ge=0, le=MAX_LETTERS)]


@router.get("/dead-letters", response_model=Sequence[LetterSummary])
async def list_letters(
    services: Services,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    skip: Passed = 0,
    group: Group | None = None,
) -> Sequence[DeadLetter]:
    """Dead letters without their documents, newest first; of one group or of all."""
    return await services.dead_letters.list(limit, skip, group)


@router.get("/dead-letters/groups")
async def list_groups(services: Services) -> LetterGroups:
    """All dead letters, counted by cause and producer version."""
    return await services.dead_letters.groups()


@router.post("/dead-letters/groups/retry")
async def retry_letters(
    services: Services, by: TheActor, group: Group | None = None, passed: Passed = 0, *, dry_run: bool = False
) -> BulkStep:
    """Push a part of a group again, without what would come back at once; call it again with `passed` until null."""
    step = await services.dead_letters.retry_some(group, by, passed, dry_run=dry_run)
    if not dry_run:
        log.info("console: dead letters pushed again", group=group, **step.counts)
    return step


@router.post("/dead-letters/groups/discard")
async def discard_letters(
    services: Services,
    by: TheActor,
    group: Group,
    passed: Passed = 0,
    until: Annotated[str, Query(max_length=40)] = "",
) -> BulkStep:
    """Delete a part of a group, none newer than `until`; call it again with `passed` until null."""
    step = await services.dead_letters.discard_some(group, by, passed, until=until)
    log.info("console: dead letters discarded", group=group, **step.counts)
    return step


@router.get("/dead-letters/{letter_id}", response_model=Letter)
async def show_letter(letter_id: str, services: Services) -> DeadLetter:
    """One dead letter with its document."""
    return await services.dead_letters.find(letter_id)


@router.post("/dead-letters/{letter_id}/retry", response_model=LetterSummary)
async def retry_letter(letter_id: str, services: Services, by: TheActor) -> DeadLetter:
    """Push the dead letter's document again, and delete the dead letter."""
    letter = await services.dead_letters.retry(letter_id, by)
    log.info("console: dead letter pushed again", letter=letter.id, session_id=letter.session_id)
    return letter


@router.post("/dead-letters/{letter_id}/discard", response_model=LetterSummary)
async def discard_letter(letter_id: str, services: Services, by: TheActor) -> DeadLetter:
    """Delete the dead letter."""
    letter = await services.dead_letters.discard(letter_id, by)
    log.info("console: dead letter discarded", letter=letter.id, session_id=letter.session_id)
    return letter


@router.get("/audit-log")
async def read_audit_log(services: Services, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Sequence[AuditEntry]:
    """What operators did, newest first."""
    return await services.audit_log.read(limit)


@router.get("/refunds")
async def list_refunds(services: Services, limit: Limit = None) -> RefundCases:
    """Refunds that are outstanding, and those that need review."""
    return _cases(await services.refunds.list(), limit)


@router.post("/refunds/retry")
async def retry_refunds(
    services: Services,
    by: TheActor,
    session: Annotated[str | None, Query(max_length=200)] = None,
    group: Group | None = None,
    limit: Limit = None,
) -> RefundCases:
    """Try outstanding refunds now, all, a group's or one session's, without waiting for the end of their pause.

    `limit`: only so many, the oldest.
    """
    settled, left = await services.refunds.settle_now(by, session, group, most=limit)
    log.info(
        "console: refunds tried again",
        session_id=session,
        group=group,
        settled=len(settled),
        left=len(left.outstanding),
    )
    return _cases(left, limit, [intent.session_id for intent in settled])


@router.post("/refunds/resolve")
async def resolve_refunds(
    services: Services,
    by: TheActor,
    group: Group,
    limit: Limit = None,
    seen: Annotated[int | None, Query(ge=1)] = None,
) -> RefundCases:
    """Close the reviews of a group of refunds, because a person has settled them.

    `seen`: so many was the person told of. When there are more, none is closed: nobody has settled the others.
    """
    if seen is not None and (there := len(await services.refunds.in_review(None, group))) > seen:
        raise NotPossible(f"{there} refunds of this cause need review now, not {seen}: look at them again")
    resolved = await services.refunds.resolve(by, group=group)
    log.info("console: charges put right by hand", group=group, sessions=[intent.session_id for intent in resolved])
    return _cases(await services.refunds.list(), limit)


@router.post("/refunds/{session}/resolve")
async def resolve_refund(session: str, services: Services, by: TheActor, limit: Limit = None) -> RefundCases:
    """Close the review of a session's refund, because a person has settled it."""
    await services.refunds.resolve(by, session)
    log.info("console: charge put right by hand", session_id=session)
    return _cases(await services.refunds.list(), limit)


@router.delete("/sessions/{session_id}")
async def cancel(
    session_id: Annotated[str, Field(max_length=200)], services: Services, by: TheActor, *, now: bool = False
) -> CancelAnswer:
    """Fail and refund a session that waits; `now`: also one that runs."""
    outcome = await services.cancellations.cancel(session_id, by, now=now)
    log.info("console: session cancelled", session_id=session_id, now=now, outcome=outcome.value)
    return CancelAnswer(outcome=outcome.value, sentence=outcome.sentence)


@router.post("/pause")
async def pause(wanted: PauseRequest, services: Services, by: TheActor) -> PauseRequest:
    """Start no more jobs until resumed."""
    await services.pauses.pause(wanted.store, wanted.reason, by)
    log.info("console: paused", store=wanted.store, reason=wanted.reason)
    return wanted


@router.post("/resume")
async def resume(paused: Paused, services: Services, by: TheActor) -> Resumed:
    """Start jobs again after a pause."""
    resumed = await services.pauses.resume(paused.store, by)
    log.info("console: resumed", store=paused.store, was_paused=resumed)
    return Resumed(resumed=resumed)


def _cases(refunds: Refunds, limit: int | None, settled: Sequence[str] = ()) -> RefundCases:
    outstanding, by_hand = refunds.cases(limit)
    return RefundCases(outstanding=outstanding, by_hand=by_hand, settled=settled, groups=refunds.groups)
