"""One job, from a checked task to a finished picture: the steps, readable top to bottom.

Every step may be cut off by a crash and run again: sessions move only from the state they are expected in, a picture
that was paid for is found again in the spool or in the platform's storage, and failing goes through the refund outbox.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from structlog.contextvars import bound_contextvars
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from wearon.errand import Purpose, errand
from wearon.platform.base import (
    OPEN_STATUSES,
    About,
    Channel,
    Completion,
    Platform,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    SessionRef,
    Status,
)
from wearon.tryon.cancellation import to_its_end
from wearon.tryon.dead_letters import DeadLetters
from wearon.tryon.failures import INTERNAL_MESSAGE, DiedTooOften, GiveUp, Patience, Reason, judge
from wearon.tryon.generator import GeneratedImage, GenerationError, ImageGenerator, ImageRequest, Usage
from wearon.tryon.job_queue import Attempt, PutBack
from wearon.tryon.photos import Photos
from wearon.tryon.progress import InputPicture, Outcome, Run, Settled, StepName
from wearon.tryon.recorder import Recorder
from wearon.tryon.refunds import RefundOutbox
from wearon.tryon.spool import Spool, SpoolError
from wearon.tryon.task import GenerationTask, Rejected, check_task

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
"""Starts that ended without a word before a job is taken for the cause. Deploys and machine failures come singly."""

LEAST_RUN_S = 200.0
"""What a run is given however old its job is: one image request may take 180 s."""

OUTAGE_PATIENCE_S = 60.0
"""How long a run itself waits for the platform to come back before it is put back into the queue."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FinishedPicture:
    """A picture in the platform's storage, what making it took, and which model made it (None: not known any more)."""

    url: str
    usage: Usage | None
    model: str | None


class Pipeline:
    """The two job functions: `generate` and `reject`."""

    def __init__(
        self,
        *,
        platform: Platform,
        photos: Photos,
        generator: ImageGenerator,
        spool: Spool,
        outbox: RefundOutbox,
        dead_letters: DeadLetters,
        confirm_lease: Callable[[], Awaitable[None]],
        patience: Patience,
        recorder: Recorder,
    ) -> None:
        self._platform = platform
        self._photos = photos
        self._generator = generator
        self._spool = spool
        self._outbox = outbox
        self._dead_letters = dead_letters
        self._confirm_lease = confirm_lease
        self._patience = patience
        self._recorder = recorder
        self._progress = recorder.progress

    async def generate(self, payload: dict[str, Any], attempt: Attempt) -> PutBack | None:
        """Make the picture of one task; never raises anything but redis errors and cancellation."""
        task = check_task(payload)
        if isinstance(task, Rejected):
            await self._settle_unreadable(payload, task, attempt)
            return None
        run = Run(
            task.ref,
            task.request_id,
            attempt.number,
            task.created_at,
            attempt.handed_over_at,
            [self._whereabouts(url) for url in task.image_urls],
        )
        async with self._recorded(run):
            try:
                if attempt.crashes > MAX_CRASHES:
                    raise DiedTooOften(f"the worker has died {attempt.crashes} times while it had this job")
                await self._make_picture(task, attempt, run)
            except Exception as error:  # noqa: BLE001 - whatever it is, the shopper must not be left waiting
                return await self._after_failure(task, attempt, run, error)
            return None

    async def reject(self, payload: dict[str, Any], attempt: Attempt) -> PutBack | None:
        """Fail the session that an unusable document named, if it is its owner's."""
        try:
            ref = SessionRef(Channel(payload["channel"]), payload["owner_id"], str(UUID(payload["session_id"])))
            request_id, reason = str(payload["request_id"]), str(payload["reason"])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            await self._dead_letters.add(json.dumps(payload).encode(), f"unusable job: {type(error).__name__}")
            return None
        run = Run(ref, request_id, attempt.number, handed_over_at=attempt.handed_over_at)
        async with self._recorded(run):
            await self._fail(run, GiveUp(INTERNAL_MESSAGE, reason), Reason.TASK)
        return None

    @asynccontextmanager
    async def _recorded(self, run: Run) -> AsyncIterator[None]:
        """What is logged and done within says whose it is, and what is done goes into the journal."""
        names = {"request_id": run.request_id, "session_id": run.ref.session_id, "channel": run.ref.channel.value}
        with bound_contextvars(**names, attempt=run.attempt), errand(Purpose.GENERATION, run.ref.owner_id):
            async with self._recorder.follow(run):
                yield

    def _whereabouts(self, url: str) -> InputPicture:
        """What may be kept of a signed URL: where it points in our storage, or whose it is."""
        path = self._platform.stored_path(url)
        return InputPicture(path=path) if path is not None else InputPicture(host=_host(url))

    async def _settle_unreadable(self, payload: dict[str, Any], rejected: Rejected, attempt: Attempt) -> None:
        """A job that another version of this worker made, and this one does not understand."""
        reason = f"unusable job: {rejected.reason}"
        session_id = rejected.ref.session_id if rejected.ref else None
        document = json.dumps(payload).encode()
        await self._dead_letters.add(document, reason, session_id=session_id, request_id=rejected.request_id)
        if rejected.ref is None:
            return
        run = Run(rejected.ref, rejected.request_id, attempt.number, handed_over_at=attempt.handed_over_at)
        async with self._recorded(run):
            await self._fail(run, GiveUp(INTERNAL_MESSAGE, reason), Reason.TASK)

    async def _make_picture(self, task: GenerationTask, attempt: Attempt, run: Run) -> None:
        began = time.monotonic()
        async with self._progress.step(StepName.START):
            started = await _patiently(lambda: self._platform.start_session(task.ref))
        if not started:
            await self._explain_why_not(task, run)
            return
        picture = await self._picture_of_an_earlier_run(task.ref, attempt)
        if picture is None:
            await _patiently(self._platform.check_bucket)  # before anything is paid
            image = await self._new_image(task, attempt, run)
            picture = await self._publish(task.ref, image)
        await self._finish(run, picture, began)

    async def deliver(self, ref: SessionRef) -> None:
        """Finish a session whose paid picture is in the spool and whose job is lost; one that is final is left alone.

        Raises platform and redis errors: then the picture stays where it is. One that cannot be used is thrown away,
        and one whose session is final or gone.
        """
        run = Run(ref, request_id="", attempt=1)
        async with self._recorded(run):
            began = time.monotonic()
            if not await self._platform.start_session(ref):
                session = await self._platform.find_session(ref.channel, ref.session_id)
                if session is not None and session.ref == ref and session.status in OPEN_STATUSES:
                    raise PlatformUnavailable(f"the session is {session.status} but could not be started")
                run.end(Outcome.ENDED_ELSEWHERE, "a picture was in the spool, but the session is final or gone")
            else:
                await self._finish_from_the_spool(run, began)
        await self._spool.discard(ref)

    async def _finish_from_the_spool(self, run: Run, began: float) -> None:
        try:
            picture = await self._picture_in_the_spool(run.ref)
        except GenerationError as error:
            log.error("answer in the spool is of no use", reason=error.reason)
            picture = None
        if picture is None:
            run.end(
                Outcome.FAILED, "what was in the spool is of no use: the session is failed as an orphan", Reason.OPENAI
            )
        else:
            await self._finish(run, picture, began)

    async def _finish(self, run: Run, picture: FinishedPicture, began: float) -> None:
        run.made_picture, run.usage, run.model = True, picture.usage, picture.model
        completion = Completion(
            generated_image_url=picture.url,
            processing_time_ms=round((time.monotonic() - began) * 1000),
            input_tokens=picture.usage.input_tokens if picture.usage else None,
            output_tokens=picture.usage.output_tokens if picture.usage else None,
            estimated_cost_usd=picture.usage.cost_usd if picture.usage else None,
            completed_at=datetime.now(UTC),
        )
        await self._complete(run, completion)
        await self._spool.discard(run.ref)

    async def _new_image(self, task: GenerationTask, attempt: Attempt, run: Run) -> GeneratedImage:
        # Only what is done for the shopper has a deadline: what follows may wait for a platform or a Redis that is
        # away, and a picture that is paid for is not given up for that.
        async with asyncio.timeout(max(LEAST_RUN_S, self._patience.deadline_s - attempt.age_s)):
            async with self._progress.step(StepName.PHOTOS, count=len(task.image_urls)):
                pictures = await self._photos.prepared(task.image_urls)
            async with self._progress.step(StepName.GENERATE):
                prompt = task.prompt.strip() or DEFAULT_PROMPT

                answer_kept = False

                async def keep(answer: bytes, model: str) -> None:
                    nonlocal answer_kept
                    run.call_answered()
                    answer_kept = await self._keep_answer(task.ref, answer, model)

                owner = f"{task.channel.value}:{task.ref.owner_id}"
                image = await self._generator.generate(ImageRequest(prompt, pictures, task.request_id, keep, owner))
            run.note_answer_of_a_generator_that_asks_nobody()
        if not (answer_kept and image.in_answer):
            await to_its_end(self._keep(task.ref, image))
        return image

    async def _keep_answer(self, ref: SessionRef, answer: bytes, model: str) -> bool:
        try:
            await self._spool.save_answer(ref, answer, model)
        except SpoolError as error:
            # It is here and paid for; only a crash before the upload would cost a second one.
            log.error("answer could not be spooled", error=str(error))
            return False
        return True

    async def _keep(self, ref: SessionRef, image: GeneratedImage) -> None:
        try:
            await self._spool.save(ref, image)
        except SpoolError as error:
            log.error("picture could not be spooled", error=str(error))

    async def _picture_of_an_earlier_run(self, ref: SessionRef, attempt: Attempt) -> FinishedPicture | None:
        if picture := await self._picture_in_the_spool(ref):
            return picture
        if attempt.number > 1 and await _patiently(lambda: self._platform.has_picture(ref)):
            log.info("picture found in storage: it is not paid again")
            return FinishedPicture(await _patiently(lambda: self._platform.sign_picture(ref)), None, None)
        return None

    async def _picture_in_the_spool(self, ref: SessionRef) -> FinishedPicture | None:
        if not await self._spool.holds(ref):
            return None
        image = await self._spool.load(ref) or await self._image_of_a_kept_answer(ref)
        if image is None:
            return None
        log.info("picture found in the spool: it is not paid again")
        return await self._publish(ref, image)

    async def _image_of_a_kept_answer(self, ref: SessionRef) -> GeneratedImage | None:
        answer = await self._spool.load_answer(ref)
        if answer is None:
            return None
        image = await self._generator.read(answer.body, answer.model)
        if not image.in_answer:
            await self._keep(ref, image)
        return image

    async def _publish(self, ref: SessionRef, image: GeneratedImage) -> FinishedPicture:
        await self._confirm_lease()
        async with self._progress.step(StepName.UPLOAD, bytes=len(image.jpeg)):
            await _patiently(lambda: self._platform.store_picture(ref, image.jpeg))
            url = await _patiently(lambda: self._platform.sign_picture(ref))
        return FinishedPicture(url, image.usage, image.model)

    async def _complete(self, run: Run, completion: Completion) -> None:
        ref = run.ref
        await self._confirm_lease()
        async with self._progress.step(StepName.COMPLETE):
            completed = await _patiently(lambda: self._platform.complete_session(ref, completion))
        if not completed:
            session = await _patiently(lambda: self._platform.find_session(ref.channel, ref.session_id))
            if session is not None and session.ref == ref and session.status in OPEN_STATUSES:
                raise PlatformUnavailable(f"the session is {session.status} but could not be completed")
            completed = session is not None and session.status is Status.COMPLETED  # our answer was lost
        if completed:
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
        else:
            run.end(Outcome.ENDED_ELSEWHERE, "a picture was made, but somebody else has ended the session meanwhile")
            log.warning("picture was made, but somebody else has ended the session meanwhile")

    async def _explain_why_not(self, task: GenerationTask, run: Run) -> None:
        """The session could not be started: say why, and leave it alone."""
        session = await _patiently(lambda: self._platform.find_session(task.channel, task.session_id))
        if session is not None and session.ref == task.ref:
            if session.status in OPEN_STATUSES:
                raise PlatformUnavailable(f"the session is {session.status} but could not be started")
            run.end(Outcome.ENDED_ELSEWHERE, f"nothing to do: the session is {session.status} already")
            log.info("nothing to do: the session is final", status=session.status.value)
            await self._spool.discard(task.ref)
            return
        reason = "no such session" if session is None else "the session belongs to somebody else"
        run.end(Outcome.DEAD_LETTER, reason, Reason.TASK)
        await self._dead_letters.add(
            task.model_dump_json().encode(), reason, session_id=task.session_id, request_id=task.request_id
        )

    async def _after_failure(
        self, task: GenerationTask, attempt: Attempt, run: Run, error: Exception
    ) -> PutBack | None:
        verdict = judge(error, attempt, self._patience, paid=await self._spool.holds(task.ref))
        reason = Reason.of(error)
        if isinstance(verdict, PutBack):
            run.end(Outcome.PUT_BACK, f"{type(error).__name__}: {error}", reason)
            run.delay_s = verdict.delay_s
            log.warning("put back", reason=f"{type(error).__name__}: {error}", delay_s=round(verdict.delay_s, 1))
            if verdict.rate_limited:
                await self._show_as_queued(task.ref)
            return verdict
        assert isinstance(verdict, GiveUp)
        log.error("generation failed", reason=verdict.reason, exc_info=_unexpected(error))
        await self._confirm_lease()
        if await self._fail(run, verdict, reason):
            await self._spool.discard(task.ref)  # else it stays until the session is final
        return None

    async def _fail(self, run: Run, verdict: GiveUp, reason: Reason) -> bool:
        """True: the session is final. False: it will be, once the platform takes it."""
        async with self._progress.step(StepName.REFUND):
            settled = await self._outbox.fail(run.ref, run.request_id, verdict.message, verdict.reason)
        somebody_elses = run.settlement is not None and run.settlement.settled is Settled.NOT_OURS
        run.end(Outcome.ENDED_ELSEWHERE if somebody_elses else Outcome.FAILED, verdict.reason, reason)
        return settled

    async def _show_as_queued(self, ref: SessionRef) -> None:
        try:
            await self._platform.requeue_session(ref)
        except PlatformError as error:
            log.warning("session stays `processing` while it waits", error=str(error))


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a platform call that is safe to repeat while the platform is away, or refuses everybody."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception(_is_outage),
        wait=wait_random_exponential(multiplier=0.25, max=4),
        stop=stop_after_delay(OUTAGE_PATIENCE_S),
        reraise=True,
    ):
        with attempt:
            # Not by calling the retrying object: it awaits coroutine functions only, and a lambda is none.
            return await call()
    raise AssertionError("the last attempt returns or raises")


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, PlatformError) and not (isinstance(error, PlatformRefused) and error.about is not About.US)


def _unexpected(error: Exception) -> Exception | None:
    """Errors of the drawn trees say everything in their reason; anything else is a bug and gets its traceback."""
    return None if type(error).__module__.startswith("wearon.") else error
