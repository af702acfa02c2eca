"""Pausing and resuming, as `wearon pause` and `wearon resume` do."""

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, Field

from wearon.api.console.deadlines import ReadDeadlineRoute
from wearon.api.dependencies import Services, TheActor
from wearon.queue.pauses import MAX_REASON

log = structlog.get_logger()

router = APIRouter(route_class=ReadDeadlineRoute)


class Paused(BaseModel):
    """Whose jobs are (not) to be started."""

    store: str | None = Field(default=None, max_length=100)
    """A store's id, or `b2c`; None: the whole fleet."""


class PauseRequest(Paused):
    """A pause that is wanted."""

    reason: str = Field(default="", max_length=MAX_REASON)


class Resumed(BaseModel):
    """Whether there was a pause."""

    resumed: bool


@router.post("/pause")
async def pause(wanted: PauseRequest, services: Services, by: TheActor) -> PauseRequest:
    """Start no more jobs until resumed."""
    await services.pauses.pause(wanted.store, wanted.reason, by)
    log.info("console: paused", store=wanted.store, reason=wanted.reason)
    return wanted


@router.post("/resume")
async def resume(paused: Paused, services: Services, by: TheActor) -> Resumed:
    """Start jobs again."""
    resumed = await services.pauses.resume(paused.store, by)
    log.info("console: resumed", store=paused.store, was_paused=resumed)
    return Resumed(resumed=resumed)
