"""`POST /estimate-body`: a height and photos' URLs in, a size out.

Works without Redis, Supabase and OpenAI; only a kept chart that is new to the process asks Redis.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import structlog
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from wearon.api.chosen_chart import choose_chart
from wearon.api.dependencies import ApiServices, Services
from wearon.api.problems import Problem, Unprocessable
from wearon.net.fetch import FetchError, PictureFetcher
from wearon.pictures.decode import PictureError
from wearon.pose.pool import PoseBusy, PoseError
from wearon.shop_charts.store import NAME
from wearon.sizing import (
    EstimateRequest,
    Fit,
    Sex,
    SizeChart,
    SizeEstimate,
    estimate_size,
    estimate_size_of_two,
    estimate_without_photo,
)

log = structlog.get_logger()

DOWNLOAD_DEADLINE_S = 3.0
"""The caller gives up after 5 s; the inference and the way back need the rest."""

INFERENCE_LIMIT_S = 4.0
"""One inference takes 30-80 ms, and a photo each; pictures that need longer than this come too late for the caller."""

RETRY_AFTER_S = "1"
"""A queue of estimates is worked off within a second."""

RETRY_AFTER = {"description": "Seconds; there when too many estimates wait", "schema": {"type": "string"}}
"""For the OpenAPI description."""

BAD_URL = "Invalid or inaccessible image URL"
NO_PERSON = "Could not detect full body pose from image"
UNAVAILABLE = "Pose estimation service is temporarily unavailable"
FAILED = "Failed to estimate body measurements"
"""The contract's words."""

router = APIRouter()

Url = Annotated[str, Field(min_length=1, max_length=4096)]


class EstimateBody(BaseModel):
    """The question. `weight_kg` makes the answer better, and so does a second photo, from the side; `sex` where the
    photos are weak. `size_chart` is the shop's. With a weight there need be no photo at all.
    """

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"anyOf": [{"required": ["image_url"]}, {"required": ["weight_kg"]}]}
    )

    height_cm: Annotated[float, Field(ge=100, le=250, allow_inf_nan=False)]
    weight_kg: Annotated[float | None, Field(ge=30, le=250, allow_inf_nan=False)] = None
    sex: Sex | None = None
    size_chart: SizeChart | None = None
    fit_preference: Annotated[Fit, Field(description="How the shopper likes clothes to sit")] = Fit.REGULAR
    chart: Annotated[
        str | None,
        Field(pattern=f"^{NAME}/{NAME}$", description="`store/name` of a kept chart, in place of size_chart"),
    ] = None
    side_image_url: Annotated[Url | None, Field(description="http(s) URL of a second photo, from the side")] = None
    image_url: Annotated[
        Url | None,
        Field(description="http(s) URL of the photo; may be left out when weight_kg is there", validate_default=True),
    ] = None

    @field_validator("image_url")
    @classmethod
    def _is_needed(cls, url: str | None, others: ValidationInfo) -> str | None:
        # The field stands last, because a validator sees only those before it.
        alone = others.data.get("weight_kg") is not None and others.data.get("side_image_url") is None
        if url is None and not alone:
            raise PydanticCustomError("missing", "Field required")
        return url

    @field_validator("chart")
    @classmethod
    def _is_the_only_one(cls, chart: str | None, others: ValidationInfo) -> str | None:
        if chart is not None and others.data.get("size_chart") is not None:
            raise PydanticCustomError("two_charts", "Give either chart or size_chart")
        return chart

    def question(self, chart: SizeChart) -> EstimateRequest:
        """What the pose process needs to know."""
        return EstimateRequest(self.height_cm, self.weight_kg, self.sex, chart, self.fit_preference)


@router.post(
    "/estimate-body",
    responses={
        400: {
            "model": Problem,
            "description": "No picture can be had from the URL, no chart has that name, or unreadable",
        },
        422: {"model": Unprocessable, "description": "No person to measure in the photo, or a malformed body"},
        500: {"model": Problem, "description": "A fault of ours"},
        503: {"model": Problem, "description": "Not now", "headers": {"Retry-After": RETRY_AFTER}},
    },
)
async def estimate_body(body: EstimateBody, services: Services) -> SizeEstimate:
    """Which size fits, from the height and a photo of the whole body, two photos, or a weight."""
    chosen = await choose_chart(body.chart, body.size_chart, services)
    with in_the_contracts_words(BAD_URL):
        answer = await _answer(body, body.question(chosen.chart), services)
    log.info("size estimated", size=answer.recommended_size, confidence=answer.confidence)
    return chosen.identify(answer, services.shops.estimate_ids)


@contextmanager
def in_the_contracts_words(no_picture: str) -> Iterator[None]:
    """Say why the block has no answer: `no_picture` when the picture is to blame."""
    try:
        yield
    except (FetchError, PictureError) as error:
        log.info("estimate refused: no usable picture", reason=str(error))
        raise HTTPException(400, no_picture) from error
    except PoseError as error:
        log.warning("estimate not possible now", reason=str(error))
        headers = {"Retry-After": RETRY_AFTER_S} if isinstance(error, PoseBusy) else None
        raise HTTPException(503, UNAVAILABLE, headers) from error


async def _answer(body: EstimateBody, question: EstimateRequest, services: ApiServices) -> SizeEstimate:
    pool, fetcher, span = services.pose_pool, services.fetcher, services.tracing.span
    if body.image_url is None:
        with span("pose"):
            return await pool.run(estimate_without_photo, question, timeout=INFERENCE_LIMIT_S)
    # The place comes first: a caller who cannot be served in time learns that before a photo is fetched.
    if body.side_image_url is None:
        with pool.place(estimate_size) as place:
            photo = await fetcher.fetch(body.image_url, deadline_s=DOWNLOAD_DEADLINE_S)
            with span("pose"):
                return await place.run(photo, question, timeout=INFERENCE_LIMIT_S)
    with pool.place(estimate_size_of_two, pictures=2) as place_for_two:
        photo, side = await _fetch_both(fetcher, body.image_url, body.side_image_url)
        with span("pose"):
            return await place_for_two.run(photo, side, question, timeout=INFERENCE_LIMIT_S)


async def _fetch_both(fetcher: PictureFetcher, front_url: str, side_url: str) -> tuple[bytes, bytes]:
    """Both photos, fetched at the same time. A side photo that cannot be had is empty, the front's error is raised."""
    side = asyncio.create_task(_fetch_side(fetcher, side_url))
    try:
        return await fetcher.fetch(front_url, deadline_s=DOWNLOAD_DEADLINE_S), await side
    finally:
        side.cancel()  # of use only when the front failed, or the caller is gone


async def _fetch_side(fetcher: PictureFetcher, url: str) -> bytes:
    try:
        return await fetcher.fetch(url, deadline_s=DOWNLOAD_DEADLINE_S)
    except FetchError as error:
        log.info("no side photo can be had", reason=str(error))
        return b""
