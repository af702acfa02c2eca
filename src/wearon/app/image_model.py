"""Builds the image model from the settings: OpenAI's in production, the preview in local mode."""

from contextlib import AsyncExitStack
from functools import partial

import structlog

from wearon.app.base import Base
from wearon.net.fetch import PictureFetcher
from wearon.net.tls import trusting
from wearon.pictures.pool import PicturePool
from wearon.queue.rate_limiter import RequestLimiter
from wearon.resources.work import Purpose, work_for
from wearon.settings import Mode
from wearon.tryon.image_model import ImageModel
from wearon.tryon.input_images import DOWNLOAD_DEADLINE_S
from wearon.tryon.openai.client import OpenAIImages, make_client
from wearon.tryon.openai.fallback import FleetModels
from wearon.tryon.openai.last_days import LastDays
from wearon.tryon.openai.safety_identifier import make_identifier

log = structlog.get_logger()


def open_image_model(stack: AsyncExitStack, base: Base, pictures: PicturePool) -> ImageModel:
    """OpenAI's model in production, the preview in local mode."""
    settings = base.settings
    image_model: ImageModel
    if settings.wearon_mode is Mode.LOCAL:
        from wearon.local.preview import PreviewModel

        assert base.pose_pool is not None
        image_model = PreviewModel(base.pose_pool)
    else:
        image_model = _make_openai(base, pictures)
    stack.push_async_callback(image_model.aclose)
    return image_model


def open_last_days(stack: AsyncExitStack, base: Base) -> LastDays | None:
    """Watches over the models' last days; None in local mode, which asks none."""
    settings = base.settings
    if settings.wearon_mode is Mode.LOCAL:
        return None
    assert settings.openai_api_key
    client = make_client(trusting(settings.authorities))
    stack.push_async_callback(client.aclose)
    key = settings.openai_api_key.get_secret_value()
    return LastDays(settings.image_models, settings.openai_base_url, key, client, base.telemetry.metrics)


def _make_openai(base: Base, pictures: PicturePool) -> OpenAIImages:
    settings, telemetry = base.settings, base.telemetry
    assert settings.openai_api_key
    assert settings.supabase_service_role_key
    for found in settings.settings_not_sent:
        log.warning("the image model does not take a setting", setting=found.setting, words=found.words)
    return OpenAIImages(
        api_key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url,
        models=FleetModels(
            settings.image_models,
            RequestLimiter(base.redis, settings.openai_requests_per_minute),
            base.runs.rate_limited,
            telemetry.metrics,
            telemetry.dependencies,
        ),
        wanted=settings.wanted_picture,
        identify=(
            make_identifier(settings.supabase_service_role_key.get_secret_value())
            if settings.openai_safety_identifier
            else None
        ),
        max_retries=settings.openai_max_retries,
        fetch_url=partial(_fetch_answer, base.fetcher),
        ensure_jpeg=pictures.ensure_jpeg,
        metrics=telemetry.metrics,
        tracing=telemetry.tracing,
        dependencies=telemetry.dependencies,
        tls=trusting(settings.authorities),
    )


async def _fetch_answer(fetcher: PictureFetcher, url: str) -> bytes:
    """A picture that an answer points to, which has been paid for: it waits for no other pictures."""
    with work_for(Purpose.ANSWER):
        return await fetcher.fetch(url, deadline_s=DOWNLOAD_DEADLINE_S)
