"""The image model of the local mode."""

import asyncio

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from wearon.local.preview.drawing import draw_preview
from wearon.pose import PoseError, PosePool
from wearon.tryon.image_model import GeneratedImage, ImageRequest, PaidAnswer, RequestRefused, ServiceUnavailable

log = structlog.get_logger()

DRAWING_TIMEOUT_S = 15.0
"""A preview takes about half a second of one core, several seconds on a machine that is busy with other things."""

ATTEMPTS = 4
FIRST_PAUSE_S = 1.0
"""Before the second attempt, 2 and 4 s before the others: a pose process that has to be started is there by then."""


class PreviewModel:
    """Makes previews in the pose processes, one at a time: the others stay free for estimates."""

    def __init__(self, pose_pool: PosePool, *, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._pose_pool = pose_pool
        self._first_pause_s = first_pause_s
        self._turn = asyncio.Semaphore(1)

    async def request(self, request: ImageRequest) -> PaidAnswer:
        """Draw a preview: of the person picture's size, labelled in its metadata, and without usage.

        Raises RequestRefused when there is no garment, or no person to wear it; ServiceUnavailable when no pose
        process could do it.
        """
        if len(request.pictures) < 2:
            raise RequestRefused("a preview needs a picture of a person and one of a garment")
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(PoseError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=self._first_pause_s),
            reraise=True,
        )
        try:
            async with self._turn:
                jpeg: bytes = await attempts(
                    self._pose_pool.run, draw_preview, tuple(request.pictures), timeout=DRAWING_TIMEOUT_S
                )
        except PoseError as error:
            raise ServiceUnavailable(f"no preview could be drawn: {error}") from error
        log.info("local preview made, no image model was asked", size=len(jpeg))
        return PaidAnswer(jpeg, model=None)

    async def read(self, answer: PaidAnswer) -> GeneratedImage:
        """The preview, which is the answer as it is."""
        return GeneratedImage(answer.body, usage=None, in_answer=True)

    async def aclose(self) -> None:
        """Do nothing: the pose pool is closed by its owner."""
