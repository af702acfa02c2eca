"""`POST /estimate-feedback`: what became of a garment that was bought after an estimate."""

import asyncio
from typing import Annotated

import structlog
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from wearon.api.dependencies import Services
from wearon.api.problems import Problem, Unprocessable
from wearon.feedback.estimate_id import LONGEST_ID, UnknownEstimate
from wearon.feedback.store import FeedbackFull
from wearon.feedback.verdict import Outcome, judge

log = structlog.get_logger()

A_SECOND, AT_ONCE = 5.0, 50
"""Feedback that a process takes: 400,000 a day, and one Redis command each."""

DEADLINE_S = 2.0
"""For Redis. Nobody needs to wait longer: the same feedback may come again at any time."""

RETRY_AFTER_S = "10"

TOO_MUCH = "Too much feedback at once: try again later"
AWAY = "Feedback cannot be taken at the moment: try again later"

LATER = {"Retry-After": {"description": "Seconds", "schema": {"type": "string"}}}

router = APIRouter()


class Feedback(BaseModel):
    """What became of one garment. A later one to the same estimate takes the place of an earlier one."""

    estimate_id: Annotated[str, Field(min_length=1, max_length=LONGEST_ID, description="From the estimate's answer")]
    size_bought: Annotated[str, Field(min_length=1, max_length=64, description="As the chart names it")]
    outcome: Annotated[Outcome, Field(description="`returned`: for another reason than its size, or an unknown one")]


@router.post(
    "/estimate-feedback",
    status_code=204,
    responses={
        400: {"model": Problem, "description": "The id is not ours, or too old; or the body cannot be read"},
        422: {"model": Unprocessable, "description": "A malformed body"},
        429: {"model": Problem, "description": "Too much feedback, or too many wrong tokens", "headers": LATER},
        503: {"model": Problem, "description": "Redis does not answer, or too many connections", "headers": LATER},
    },
)
async def give_feedback(feedback: Feedback, services: Services) -> None:
    """Count what became of a garment, once for each estimate, however often it is told."""
    try:
        said = services.shops.estimate_ids.open(feedback.estimate_id)
    except UnknownEstimate as error:
        raise HTTPException(400, str(error)) from error
    if not services.shops.feedback_allowance.take():
        raise HTTPException(429, TOO_MUCH, {"Retry-After": RETRY_AFTER_S})
    verdict = judge(said, feedback.size_bought, feedback.outcome)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await services.shops.feedback.count(said, verdict)
    except FeedbackFull as error:
        raise HTTPException(429, str(error)) from error
    except (RedisError, OSError) as error:  # a TimeoutError is one of these
        log.warning("feedback refused", error=str(error) or type(error).__name__)
        raise HTTPException(503, AWAY, {"Retry-After": RETRY_AFTER_S}) from error
    services.metrics.estimate_feedback.labels(verdict.value).inc()
