"""What a job does to its session on the platform: start, publish the picture, complete, fail.

Calls that are safe to repeat wait for a platform that is away, and a step that others see waits until the lease shows
that the job is still this worker's.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from wearon.platform.base import (
    OPEN_STATUSES,
    BucketRefused,
    Completion,
    Platform,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    SessionRef,
    Status,
)
from wearon.platform.outages import through_outages
from wearon.queue.dead_letters import DeadLetters
from wearon.queue.task import GenerationTask
from wearon.refunds.intents import Settled
from wearon.refunds.outbox import RefundOutbox
from wearon.tryon.image_model import GeneratedImage, Usage
from wearon.tryon.retry_policy import Fail, Reason
from wearon.tryon.run import Outcome, Run, Runs, StepName

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FinishedPicture:
    """A picture in the platform's storage, what making it took, and which model made it (None: not known any more)."""

    url: str
    usage: Usage | None
    model: str | None


class Sessions:
    """Sessions on the platform, as the pipeline needs them. All methods raise platform and redis errors."""

    def __init__(
        self,
        platform: Platform,
        outbox: RefundOutbox,
        dead_letters: DeadLetters,
        confirm_lease: Callable[[], Awaitable[None]],
        runs: Runs,
    ) -> None:
        """`confirm_lease` returns when this worker's jobs are surely its own."""
        self.confirm_lease = confirm_lease
        self._platform = platform
        self._outbox = outbox
        self._dead_letters = dead_letters
        self._runs = runs

    async def start(self, ref: SessionRef) -> bool:
        """Show the session as being processed; False: it is final, or it is none of this owner's."""
        return await through_outages(lambda: self._platform.start_session(ref))

    async def start_once(self, ref: SessionRef) -> bool:
        """Start the session as `start` does, but wait for nothing."""
        return await self._platform.start_session(ref)

    async def status(self, ref: SessionRef) -> Status | None:
        """Where the session is; None: there is no such session of that owner."""
        session = await self._platform.find_session(ref.channel, ref.session_id)
        return session.status if session is not None and session.ref == ref else None

    async def explain_why_not(self, task: GenerationTask, run: Run) -> bool:
        """Say in the run why the session could not be started. True: it is final. Raises PlatformUnavailable."""
        session = await through_outages(lambda: self._platform.find_session(task.channel, task.session_id))
        if session is not None and session.ref == task.ref:
            if session.status in OPEN_STATUSES:
                raise PlatformUnavailable(f"the session is {session.status} but could not be started")
            run.end(Outcome.ENDED_ELSEWHERE, f"nothing to do: the session is {session.status} already")
            log.info("nothing to do: the session is final", status=session.status.value)
            return True
        reason = "no such session" if session is None else "the session belongs to somebody else"
        run.end(Outcome.DEAD_LETTER, reason, Reason.TASK)
        await self.add_dead_letter(task.model_dump_json().encode(), reason, task.ref, task.request_id)
        return False

    async def add_dead_letter(
        self, document: bytes, reason: str, ref: SessionRef | None = None, request_id: str = ""
    ) -> None:
        """Keep a document that cannot be used."""
        session_id = ref.session_id if ref else None
        await self._dead_letters.add(document, reason, session_id=session_id, request_id=request_id)

    async def check_bucket(self) -> None:
        """Raises when a picture could not be stored: BucketRefused, when an operator must act."""

        async def check() -> None:
            try:
                await self._platform.check_bucket()
            except PlatformRefused as refusal:
                raise BucketRefused(str(refusal)) from refusal

        await through_outages(check)

    async def publish(self, ref: SessionRef, image: GeneratedImage) -> FinishedPicture:
        """Store the picture and sign its URL."""
        await self.confirm_lease()
        async with self._runs.step(StepName.UPLOAD, bytes=len(image.jpeg)):
            await through_outages(lambda: self._platform.store_picture(ref, image.jpeg))
            url = await through_outages(lambda: self._platform.sign_picture(ref))
        return FinishedPicture(url, image.usage, image.model)

    async def stored_picture(self, ref: SessionRef) -> FinishedPicture | None:
        """The picture that an earlier attempt has stored."""
        if not await through_outages(lambda: self._platform.has_picture(ref)):
            return None
        log.info("picture found in storage: it is not paid again")
        return FinishedPicture(await through_outages(lambda: self._platform.sign_picture(ref)), None, None)

    async def complete(self, run: Run, picture: FinishedPicture, *, processing_time_ms: int) -> None:
        """Show the picture to the shopper; the run says whether the session had been ended otherwise."""
        run.made_picture, run.usage, run.model = True, picture.usage, picture.model
        usage = picture.usage
        completion = Completion(
            generated_image_url=picture.url,
            processing_time_ms=processing_time_ms,
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            estimated_cost_usd=usage.cost_usd if usage else None,
            completed_at=datetime.now(UTC),
        )
        await self.confirm_lease()
        async with self._runs.step(StepName.COMPLETE):
            completed = await through_outages(lambda: self._platform.complete_session(run.ref, completion))
        if not completed:
            status = await through_outages(lambda: self.status(run.ref))
            if status in OPEN_STATUSES:
                raise PlatformUnavailable(f"the session is {status} but could not be completed")
            completed = status is Status.COMPLETED  # our answer was lost
        if not completed:
            run.end(Outcome.ENDED_ELSEWHERE, "a picture was made, but somebody else has ended the session meanwhile")
            log.warning("picture was made, but somebody else has ended the session meanwhile")
            return
        run.end(Outcome.COMPLETED)
        cost = completion.estimated_cost_usd
        log.info(
            "session completed",
            processing_time_ms=completion.processing_time_ms,
            input_tokens=completion.input_tokens,
            output_tokens=completion.output_tokens,
            estimated_cost_usd=None if cost is None else str(cost),
            model=run.model,
        )

    async def fail(self, run: Run, decision: Fail, reason: Reason) -> bool:
        """Fail and refund. True: the session is final. False: it will be, once the platform takes it."""
        async with self._runs.step(StepName.REFUND):
            settled = await self._outbox.fail(run.ref, run.request_id, decision.message, decision.reason)
        ended_otherwise = run.settlement is not None and run.settlement.settled is Settled.NOT_OURS
        run.end(Outcome.ENDED_ELSEWHERE if ended_otherwise else Outcome.FAILED, decision.reason, reason)
        return settled

    async def show_as_queued(self, ref: SessionRef) -> None:
        """Let the shopper see that the session waits. Raises nothing: it is tried again anyway."""
        try:
            await self._platform.requeue_session(ref)
        except PlatformError as error:
            log.warning("session stays `processing` while it waits", error=str(error))
