"""Builds the pipeline of a process that runs jobs, with the pool of processes that prepare its pictures."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from wearon.app.base import Base
from wearon.app.image_model import open_image_model
from wearon.pictures.pool import PicturePool
from wearon.platform.base import SessionRef
from wearon.queue.jobs import GENERATE, REJECT, JobFunction
from wearon.queue.pauses import Pauses
from wearon.tryon.deliveries import Deliveries
from wearon.tryon.fleet_breaker import FleetBreaker
from wearon.tryon.input_images import InputImages
from wearon.tryon.pipeline import Pipeline
from wearon.tryon.rejections import Rejections
from wearon.tryon.retry_policy import RetryPolicy
from wearon.tryon.sessions import Sessions
from wearon.tryon.spool import Spool


async def open_pipeline(
    stack: AsyncExitStack, base: Base, sessions: Sessions, spool: Spool, worker_id: str
) -> tuple[Mapping[str, JobFunction], Callable[[SessionRef], Awaitable[None]]]:
    """Make the job functions, and what finishes a session whose paid picture is in the spool and whose job is lost.

    What they need is closed with `stack`.
    """
    settings, telemetry = base.settings, base.telemetry
    pictures = PicturePool(settings.picture_processes, dependencies=telemetry.dependencies)
    stack.callback(pictures.close)
    await pictures.start()
    breaker = FleetBreaker(Pauses(base.redis), worker_id, base.events)
    image_model = open_image_model(stack, base, pictures)
    deliveries, rejections = Deliveries(sessions, image_model, spool, base.runs), Rejections(sessions, base.runs)
    pipeline = Pipeline(
        sessions,
        InputImages(
            base.fetcher,
            pictures.prepare,
            telemetry.metrics,
            stored_path=base.platform.stored_path,
            dependencies=telemetry.dependencies,
        ),
        image_model,
        spool,
        deliveries,
        rejections,
        RetryPolicy(settings.openai_max_retries, settings.generation_deadline_s),
        base.runs,
        breaker.is_paused,
    )
    return {GENERATE: pipeline.generate, REJECT: rejections.reject}, deliveries.deliver
