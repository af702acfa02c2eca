"""Cancelling a session: `DELETE` with the operator's token, and the button of the view Sessions."""

from typing import Annotated

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, Field

from wearon.api.dependencies import Services, TheActor

log = structlog.get_logger()

router = APIRouter()


class CancelAnswer(BaseModel):
    """What became of the session."""

    outcome: str
    sentence: str


@router.delete("/sessions/{session_id}")
async def cancel(
    session_id: Annotated[str, Field(max_length=200)], services: Services, by: TheActor, *, now: bool = False
) -> CancelAnswer:
    """Fail and refund a session that waits; `now`: also one that runs."""
    outcome = await services.cancellations.cancel(session_id, by, now=now)
    log.info("console: session cancelled", session_id=session_id, now=now, outcome=outcome.value)
    return CancelAnswer(outcome=outcome.value, sentence=outcome.sentence)
