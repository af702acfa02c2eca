"""The view Dead letters and refunds: the same functions as `wearon dead-letters` and `wearon refunds`."""

from collections.abc import Sequence
from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel

from wearon.api.console.parts import TheParts
from wearon.api.console.patience import PatientRoute
from wearon.tryon.dead_letters import DeadLetter
from wearon.tryon.desk import Refunds

log = structlog.get_logger()

router = APIRouter(route_class=PatientRoute)


class LetterSummary(BaseModel):
    """One line of the list."""

    id: str
    at: str
    reason: str
    session_id: str | None
    request_id: str
    whole: bool
    """Only a whole document can be pushed again."""


class Letter(LetterSummary):
    """With its document, as it was pushed."""

    payload: str


class RefundCase(BaseModel):
    """A credit that is to be given back."""

    session_id: str
    channel: str
    owner_id: str
    request_id: str
    failed_at: str
    age_s: float
    reason: str
    late: bool = False
    """Outstanding for longer than the contract's 30 s."""
    error: str = ""
    """Outstanding: what the last try met."""
    why: str = ""
    """By hand: why it cannot be given back as credit."""


class RefundCases(BaseModel):
    """Both kinds, oldest first; `settled` are the sessions whose refund was made just now."""

    outstanding: Sequence[RefundCase]
    by_hand: Sequence[RefundCase]
    settled: Sequence[str] = ()


@router.get("/dead-letters")
async def list_letters(parts: TheParts, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> Sequence[LetterSummary]:
    """Newest first, without their documents."""
    return [LetterSummary(**_letter(letter)) for letter in await parts.letters.list(limit)]


@router.get("/dead-letters/{letter_id}")
async def show_letter(letter_id: str, parts: TheParts) -> Letter:
    """One with its document."""
    letter = await parts.letters.find(letter_id)
    return Letter(**_letter(letter), payload=letter.payload)


@router.post("/dead-letters/{letter_id}/retry")
async def retry_letter(letter_id: str, parts: TheParts) -> LetterSummary:
    """Push its document again and forget it."""
    letter = await parts.letters.retry(letter_id)
    log.info("console: dead letter pushed again", letter=letter.id, session_id=letter.session_id)
    return LetterSummary(**_letter(letter))


@router.post("/dead-letters/{letter_id}/discard")
async def discard_letter(letter_id: str, parts: TheParts) -> LetterSummary:
    """Forget it for good."""
    letter = await parts.letters.discard(letter_id)
    log.info("console: dead letter discarded", letter=letter.id, session_id=letter.session_id)
    return LetterSummary(**_letter(letter))


@router.get("/refunds")
async def list_refunds(parts: TheParts) -> RefundCases:
    """What is outstanding, and what waits for a person."""
    return _cases(await parts.refunds.list())


@router.post("/refunds/retry")
async def retry_refunds(parts: TheParts, session: Annotated[str | None, Query(max_length=200)] = None) -> RefundCases:
    """Try them now, all or one session's, without waiting for their pause to be over."""
    settled, left = await parts.refunds.settle_now(session)
    log.info("console: refunds tried again", session_id=session, settled=len(settled), left=len(left.outstanding))
    return _cases(left, [intent.session_id for intent in settled])


@router.post("/refunds/{session}/resolve")
async def resolve_refund(session: str, parts: TheParts) -> RefundCases:
    """A person has put that session's charge right."""
    await parts.refunds.resolve(session)
    log.info("console: charge put right by hand", session_id=session)
    return _cases(await parts.refunds.list())


def _letter(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "at": letter.at,
        "reason": letter.reason,
        "session_id": letter.session_id,
        "request_id": letter.request_id,
        "whole": letter.is_whole,
    }


def _cases(refunds: Refunds, settled: Sequence[str] = ()) -> RefundCases:
    return RefundCases(
        outstanding=[
            RefundCase(**case.intent.told(), late=case.intent.is_late, error=case.error) for case in refunds.outstanding
        ],
        by_hand=[RefundCase(**case.intent.told(), why=case.why) for case in refunds.by_hand],
        settled=settled,
    )
