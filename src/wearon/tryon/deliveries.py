"""Pictures that are paid for, on their way to the shopper: found again after a crash, delivered, and forgotten here."""

import time

import structlog

from wearon.platform.base import OPEN_STATUSES, PlatformUnavailable, SessionRef
from wearon.queue.jobs import Attempt
from wearon.tryon.image_model import GenerationError, ImageModel
from wearon.tryon.retry_policy import Reason
from wearon.tryon.run import Outcome, Run, Runs
from wearon.tryon.sessions import FinishedPicture, Sessions
from wearon.tryon.spool import Spool

log = structlog.get_logger()


class Deliveries:
    """Finds paid pictures, and completes sessions with them. All methods raise platform and redis errors."""

    def __init__(self, sessions: Sessions, image_model: ImageModel, spool: Spool, runs: Runs) -> None:
        self._sessions = sessions
        self._image_model = image_model
        self._spool = spool
        self._runs = runs

    async def picture_of_an_earlier_attempt(self, ref: SessionRef, attempt: Attempt) -> FinishedPicture | None:
        """What was paid for before: in the spool, or stored by an attempt that then was cut off."""
        if picture := await self._picture_in_the_spool(ref):
            return picture
        return await self._sessions.stored_picture(ref) if attempt.number > 1 or attempt.retried else None

    async def _picture_in_the_spool(self, ref: SessionRef) -> FinishedPicture | None:
        if not await self._spool.holds(ref):
            return None
        image = await self._spool.load_picture(ref)
        if image is None and (answer := await self._spool.load_answer(ref)) is not None:
            image = await self._image_model.read(answer)
            if not image.in_answer:
                await self._spool.keep_picture(ref, image)
        if image is None:
            return None
        log.info("picture found in the spool: it is not paid again")
        return await self._sessions.publish(ref, image)

    async def complete(self, run: Run, picture: FinishedPicture, began: float) -> None:
        """Show the picture to the shopper; `began` is when this attempt did (monotonic clock)."""
        await self._sessions.complete(run, picture, processing_time_ms=round((time.monotonic() - began) * 1000))
        await self._spool.discard(run.ref)

    async def deliver(self, ref: SessionRef) -> None:
        """Finish a session whose paid picture is in the spool and whose job is lost; one that is final is left alone.

        Raises platform and redis errors: then the picture stays where it is. One that cannot be used is thrown away,
        and one whose session is final or gone.
        """
        run = Run(ref, request_id="", attempt=1)
        async with self._runs.follow(run):
            began = time.monotonic()
            if await self._sessions.start_once(ref):
                await self._deliver_started(run, began)
            elif (status := await self._sessions.status(ref)) in OPEN_STATUSES:
                raise PlatformUnavailable(f"the session is {status} but could not be started")
            else:
                run.end(Outcome.ENDED_ELSEWHERE, "a picture was in the spool, but the session is final or gone")
        await self._spool.discard(ref)

    async def _deliver_started(self, run: Run, began: float) -> None:
        picture = None
        try:
            picture = await self._picture_in_the_spool(run.ref)
        except GenerationError as error:
            log.error("answer in the spool is of no use", reason=error.reason)
        if picture is None:
            why = "what was in the spool is of no use: the session is failed as an orphan"
            run.end(Outcome.FAILED, why, Reason.OPENAI)
        else:
            await self.complete(run, picture, began)
