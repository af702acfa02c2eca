"""The size studio, and local mode's try-on studio. Uploads are raw bytes; they are decoded off the event loop."""

import base64
from collections.abc import Sequence
from typing import Annotated

import structlog
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field

from wearon.api.console.parts import ConsoleParts, TheParts
from wearon.api.estimate import INFERENCE_LIMIT_S, RETRY_AFTER_S, UNAVAILABLE
from wearon.api.middleware import Uploads
from wearon.api.parts import ApiParts
from wearon.pictures.decode import PictureError
from wearon.platform.base import MAX_PICTURE_BYTES
from wearon.pose.pool import PoseBusy, PoseError
from wearon.sizing import EstimateRequest, Sex, SizeEstimate, measured_photo
from wearon.tryon.producer import LocalProducer, prepare_upload

log = structlog.get_logger()

UPLOADS = Uploads(
    paths={"/console/api/measure", "/console/api/pictures"},
    max_bytes=MAX_PICTURE_BYTES,  # what the bucket takes of a shopper
    seconds=30.0,  # 10 MB at 3 Mbit/s
    at_once=4,  # 40 MB, and more than the pose pool measures in the meantime
)
"""The two routes that take a picture."""

NO_PICTURE = "This is not a picture that we can read: JPEG, PNG or WebP"

router = APIRouter()


class Measured(BaseModel):
    """The estimate, and the photo with landmarks, silhouette and measuring lines as a data URL."""

    estimate: SizeEstimate
    picture: str


class Kept(BaseModel):
    """Where an uploaded picture lies."""

    url: str


class Order(BaseModel):
    """A try-on: pictures that were uploaded before, the person first, then the garment, then accessories."""

    pictures: Annotated[Sequence[str], Field(min_length=2, max_length=10)]
    prompt: Annotated[str, Field(max_length=4000)] = ""


class Ordered(BaseModel):
    """The session that shows what becomes of it."""

    session_id: str


@router.post("/measure")
async def measure(
    request: Request,
    height_cm: Annotated[float, Query(ge=100, le=250, allow_inf_nan=False)],
    weight_kg: Annotated[float | None, Query(ge=30, le=250, allow_inf_nan=False)] = None,
    sex: Sex | None = None,
) -> Measured:
    """The size of the person in the photo that is the request's body."""
    api: ApiParts = request.app.state.parts
    question = EstimateRequest(height_cm, weight_kg, sex)
    try:
        answer, drawn = await api.pose_pool.run(
            measured_photo, await request.body(), question, timeout=INFERENCE_LIMIT_S
        )
    except (PictureError, PoseError) as error:
        raise _refused(error) from error
    return Measured(estimate=answer, picture=f"data:image/jpeg;base64,{base64.b64encode(drawn).decode()}")


@router.post("/pictures")
async def keep_picture(request: Request, parts: TheParts) -> Kept:
    """Local mode: keep the request's body as an input picture."""
    producer = _producer(parts)
    api: ApiParts = request.app.state.parts
    try:
        jpeg = await api.pose_pool.run(prepare_upload, await request.body(), timeout=INFERENCE_LIMIT_S)
    except (PictureError, PoseError) as error:
        raise _refused(error) from error
    return Kept(url=await producer.keep_picture(jpeg))


@router.post("/try-on")
async def try_on(order: Order, parts: TheParts) -> Ordered:
    """Local mode: take a credit, open a session and push its task, as the platform does."""
    producer = _producer(parts)
    if not all(url.startswith(f"{parts.picture_origin}/files/uploads/") for url in order.pictures):
        raise HTTPException(400, "Only pictures that were uploaded here")
    session = await producer.order(order.pictures, order.prompt)
    log.info("console: try-on ordered", session_id=session.ref.session_id)
    return Ordered(session_id=session.ref.session_id)


def _producer(parts: ConsoleParts) -> LocalProducer:
    if parts.producer is None:
        raise HTTPException(404, "The try-on studio is there in local mode only")
    return parts.producer


def _refused(error: PictureError | PoseError) -> HTTPException:
    if isinstance(error, PictureError):
        log.info("console: no usable picture", reason=str(error))
        return HTTPException(400, NO_PICTURE)
    log.warning("console: pose pool not available", reason=str(error))
    return HTTPException(503, UNAVAILABLE, {"Retry-After": RETRY_AFTER_S} if isinstance(error, PoseBusy) else None)
