"""The size studio, and local mode's try-on studio. Uploads are raw bytes; they are decoded off the event loop."""

import base64
from collections.abc import Sequence
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from wearon.api.dependencies import ApiServices, Services
from wearon.api.estimate import INFERENCE_LIMIT_S, RETRY_AFTER_S, UNAVAILABLE
from wearon.api.middleware import Uploads
from wearon.api.upload import NO_PICTURE
from wearon.local.producer import LocalProducer, prepare_upload
from wearon.pictures.decode import PictureError
from wearon.platform.base import MAX_PICTURE_BYTES
from wearon.pose.pool import PoseBusy, PoseError, PosePool
from wearon.sizing import (
    DEFAULT_CHART,
    EstimateRequest,
    Fit,
    Sex,
    SizeChart,
    SizeEstimate,
    drawn_estimate,
    drawn_estimate_of_two,
    estimate_without_photo,
)

log = structlog.get_logger()

UPLOADS = Uploads(
    # What the bucket takes of a shopper; the size studio takes two pictures.
    max_bytes={"/console/api/measure": 2 * MAX_PICTURE_BYTES, "/console/api/pictures": MAX_PICTURE_BYTES},
    seconds=30.0,  # 10 MB at 3 Mbit/s
    at_once=4,  # 80 MB, and more than the pose pool measures in the meantime
)
"""Limits of the two routes that take pictures."""

MAX_CHART_CHARACTERS = 8000
"""The chart travels in the request's head, which may have 16 KB; one of 40 sizes and 4 columns has 6,000."""

router = APIRouter()


class Measured(BaseModel):
    """The estimate, and the photos that it was made from, with landmarks, silhouette and measuring lines, as data URLs.

    `picture` is null without a photo. `side_picture` is a second one.
    """

    estimate: SizeEstimate
    picture: str | None
    side_picture: str | None


class Kept(BaseModel):
    """The URL of an uploaded picture."""

    url: str


class Order(BaseModel):
    """A try-on: pictures that were uploaded before, the person first, then the garment, then accessories."""

    pictures: Annotated[Sequence[str], Field(min_length=2, max_length=10)]
    prompt: Annotated[str, Field(max_length=4000)] = ""


class Ordered(BaseModel):
    """The session of a try-on that was started."""

    session_id: str


def _chart(size_chart: Annotated[str, Query(max_length=MAX_CHART_CHARACTERS, description="JSON")] = "") -> SizeChart:
    try:
        return SizeChart.model_validate_json(size_chart) if size_chart else DEFAULT_CHART
    except ValidationError as error:
        faults = [{**fault, "loc": ("query", "size_chart", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from error


@router.post("/measure")
async def measure(
    request: Request,
    services: Services,
    size_chart: Annotated[SizeChart, Depends(_chart)],
    height_cm: Annotated[float, Query(ge=100, le=250, allow_inf_nan=False)],
    weight_kg: Annotated[float | None, Query(ge=30, le=250, allow_inf_nan=False)] = None,
    sex: Sex | None = None,
    fit_preference: Fit = Fit.REGULAR,
    first_bytes: Annotated[int | None, Query(ge=1)] = None,
) -> Measured:
    """The size of the person in the photo that is the request's body; an empty one asks what height and weight tell.

    Two photos come one behind the other: the first has `first_bytes`.
    """
    body = await request.body()
    photo, side = body[:first_bytes], body[first_bytes:] if first_bytes else b""
    if max(len(photo), len(side)) > MAX_PICTURE_BYTES:
        raise HTTPException(413, f"Picture larger than {MAX_PICTURE_BYTES} bytes")
    try:
        question = EstimateRequest(height_cm, weight_kg, sex, size_chart, fit_preference)
        answer, drawn = await _measure(services.pose_pool, photo, side, question)
    except (PictureError, PoseError) as error:
        raise _refused(error) from error
    picture, side_picture, *_ = (*map(_data_url, drawn), None, None)
    return Measured(estimate=answer, picture=picture, side_picture=side_picture)


async def _measure(
    pool: PosePool, photo: bytes, side: bytes, question: EstimateRequest
) -> tuple[SizeEstimate, Sequence[bytes]]:
    if side:
        return await pool.run(
            drawn_estimate_of_two, photo, side, question, False, timeout=INFERENCE_LIMIT_S, pictures=2
        )
    if not photo and question.weight_kg is not None:
        return await pool.run(estimate_without_photo, question, timeout=INFERENCE_LIMIT_S), ()
    return await pool.run(drawn_estimate, photo, question, False, timeout=INFERENCE_LIMIT_S)


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


@router.post("/pictures")
async def keep_picture(request: Request, services: Services) -> Kept:
    """Local mode: keep the request's body as an input picture."""
    producer = _producer(services)
    try:
        jpeg = await services.pose_pool.run(prepare_upload, await request.body(), timeout=INFERENCE_LIMIT_S)
    except (PictureError, PoseError) as error:
        raise _refused(error) from error
    return Kept(url=await producer.keep_picture(jpeg))


@router.post("/try-on")
async def try_on(order: Order, services: Services) -> Ordered:
    """Local mode: take a credit, open a session and push its task, as the platform does."""
    producer = _producer(services)
    if not all(url.startswith(f"{services.picture_origin}/files/uploads/") for url in order.pictures):
        raise HTTPException(400, "Only pictures that were uploaded here")
    session = await producer.order(order.pictures, order.prompt)
    log.info("console: try-on ordered", session_id=session.ref.session_id)
    return Ordered(session_id=session.ref.session_id)


def _producer(services: ApiServices) -> LocalProducer:
    if services.producer is None:
        raise HTTPException(404, "The try-on studio is there in local mode only")
    return services.producer


def _refused(error: PictureError | PoseError) -> HTTPException:
    if isinstance(error, PictureError):
        log.info("console: no usable picture", reason=str(error))
        return HTTPException(400, NO_PICTURE)
    log.warning("console: pose pool not available", reason=str(error))
    return HTTPException(503, UNAVAILABLE, {"Retry-After": RETRY_AFTER_S} if isinstance(error, PoseBusy) else None)
