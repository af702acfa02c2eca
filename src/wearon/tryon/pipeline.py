"""One job, from a checked task to a finished picture: the steps, readable top to bottom.

Every step may be cut off by a crash and run again: sessions move only from the state they are expected in, a picture
that was paid for is found again in the spool or in the platform's storage, and failing goes through the refund outbox.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from wearon.platform.base import SessionRef
from wearon.queue.jobs import Attempt, Retry
from wearon.queue.task import GenerationTask, Rejected, check_task
from wearon.tryon.causes import cause_of
from wearon.tryon.deliveries import Deliveries
from wearon.tryon.image_model import GeneratedImage, ImageModel, ImageRequest
from wearon.tryon.input_images import InputImages
from wearon.tryon.rejections import Rejections
from wearon.tryon.retry_policy import (
    DiedTooOften,
    PausedTooLong,
    Reason,
    Refused,
    RetryPolicy,
)
from wearon.tryon.run import Outcome, Run, Runs, StepName
from wearon.tryon.sessions import Sessions
from wearon.tryon.spool import Spool

log = structlog.get_logger()

DEFAULT_PROMPT = (
    "Virtual try-on. The first image (model.jpg) shows the person; the second image (image_1.jpg) shows a garment, any "
    "further image an accessory. Show the same person wearing exactly that garment and those accessories. Keep the "
    "person's face, hair, skin, body shape and pose, and the background, as they are in the first image. Keep the "
    "garment's colour, pattern, fabric and cut as they are in the second image, with folds and shadows that fit the "
    "body and the light. Photorealistic, the whole person in frame."
)
"""Used when the task's prompt is empty. Images are named by their place too, since gateways rename the files (LiteLLM
calls all of them `image.png`)."""

MAX_CRASHES = 10
"""Attempts without an end before the job itself counts as the cause. Deploys and machine failures come singly."""

LEAST_RUN_S = 200.0
"""What an attempt is given however old its job is: one image request may take 180 s."""


class Pipeline:
    """The job function `generate`."""

    def __init__(
        self,
        sessions: Sessions,
        input_images: InputImages,
        image_model: ImageModel,
        spool: Spool,
        deliveries: Deliveries,
        rejections: Rejections,
        retry_policy: RetryPolicy,
        runs: Runs,
        is_paused: Callable[[SessionRef], bool],
    ) -> None:
        """`is_paused` says whether jobs like a session's are not started now."""
        self._sessions = sessions
        self._input_images = input_images
        self._image_model = image_model
        self._spool = spool
        self._deliveries = deliveries
        self._rejections = rejections
        self._retry_policy = retry_policy
        self._runs = runs
        self._is_paused = is_paused

    async def generate(self, payload: dict[str, Any], attempt: Attempt) -> Retry | None:
        """Make the picture of one task; never raises anything but redis errors and cancellation."""
        task = check_task(payload)
        if isinstance(task, Rejected):
            await self._rejections.reject_unreadable(payload, task, attempt)
            return None
        images = self._input_images.describe(task.image_urls)
        run = Run(task.ref, task.request_id, attempt.number, task.created_at, attempt.queued_at, images)
        async with self._runs.follow(run):
            try:
                if attempt.crashes > MAX_CRASHES:
                    raise DiedTooOften(f"the worker has died {attempt.crashes} times while it had this job")
                await self._make_picture(task, attempt, run)
            except Exception as error:  # noqa: BLE001 - whatever it is, the shopper must not be left waiting
                return await self._after_error(error, attempt, run)
        return None

    async def _make_picture(self, task: GenerationTask, attempt: Attempt, run: Run) -> None:
        began = time.monotonic()
        async with self._runs.step(StepName.START):
            started = await self._sessions.start(task.ref)
        if not started:
            if await self._sessions.explain_why_not(task, run):
                await self._spool.discard(task.ref)
            return
        picture = await self._deliveries.picture_of_an_earlier_attempt(task.ref, attempt)
        if picture is None:
            if attempt.age_s >= self._retry_policy.deadline_s and self._is_paused(task.ref):
                raise PausedTooLong("past the deadline, while its jobs are paused")
            await self._sessions.check_bucket()  # before anything is paid
            image = await self._new_image(task, attempt, run)
            picture = await self._sessions.publish(task.ref, image)
        await self._deliveries.complete(run, picture, began)

    async def _new_image(self, task: GenerationTask, attempt: Attempt, run: Run) -> GeneratedImage:
        # Only what is done for the shopper has a deadline: what follows may wait for a platform or a Redis that is
        # away, and a picture that is paid for is not given up for that.
        async with asyncio.timeout(max(LEAST_RUN_S, self._retry_policy.deadline_s - attempt.age_s)):
            async with self._runs.step(StepName.PHOTOS, count=len(task.image_urls)):
                pictures = await self._input_images.prepared(task.image_urls)
            async with self._runs.step(StepName.GENERATE):
                prompt, owner = task.prompt.strip() or DEFAULT_PROMPT, f"{task.channel.value}:{task.ref.owner_id}"
                request = ImageRequest(prompt, pictures, task.request_id, owner, attempt.unanswered)
                answer = await self._image_model.request(request)
                run.call_answered()
                kept = await self._spool.keep_answer(task.ref, answer)
                if answer.cancelled:
                    raise asyncio.CancelledError
                image = await self._image_model.read(answer)
        if not (kept and image.in_answer):
            await self._spool.keep_picture(task.ref, image)
        return image

    async def _after_error(self, error: Exception, attempt: Attempt, run: Run) -> Retry | None:
        decision = self._retry_policy.decide(error, attempt, paid=await self._spool.holds(run.ref))
        reason, run.refused = Reason.of(error), Refused.by(error)
        run.cause = cause_of(error, run.failed_step)
        if isinstance(decision, Retry):
            run.end(Outcome.RETRIED, f"{type(error).__name__}: {error}", reason)
            run.delay_s = decision.delay_s
            log.warning("put back", reason=run.reason, delay_s=round(decision.delay_s, 1))
            if decision.rate_limited:
                await self._sessions.show_as_queued(run.ref)
            return decision
        # Errors of the drawn trees say everything in their reason; anything else is a bug and gets its traceback.
        is_ours = type(error).__module__.startswith("wearon.")
        log.error("generation failed", reason=decision.reason, exc_info=None if is_ours else error)
        await self._sessions.confirm_lease()
        if await self._sessions.fail(run, decision, reason):
            await self._spool.discard(run.ref)  # else it stays until the session is final
        return None
