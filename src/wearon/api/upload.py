"""`POST /estimate-body` with the photos in the request: a form, or one picture as the body and the rest in the query.

An upload is bounded as a download is, and before work is done: nothing is read of what says that it is too large, or
finds no memory, and no more than its first kilobytes of what has no place in the pose pool. It is parsed as it arrives
and kept in memory only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import Json, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from wearon.api.chosen_chart import choose_chart
from wearon.api.dependencies import ApiServices, Services
from wearon.api.estimate import INFERENCE_LIMIT_S, EstimateBody, in_the_contracts_words
from wearon.api.upload_form import Form, FormError
from wearon.api.upload_memory import Upload, UploadMemory, too_large
from wearon.platform.base import MAX_PICTURE_BYTES
from wearon.sizing import (
    SizeChart,
    SizeEstimate,
    estimate_size,
    estimate_size_of_two,
    estimate_without_photo,
)

log = structlog.get_logger()

PATH = "/estimate-body"
FORM = "multipart/form-data"
PICTURES = ("image/jpeg", "image/png", "image/webp")
PHOTOS = ("image", "side_image")
"""The fields of a form that hold pictures, the one from the front first."""

NO_PICTURE = "This is not a picture that we can read: JPEG, PNG or WebP"

TEXT_BYTES = 16 * 1024
"""A field of a form that is no picture: as much as a JSON body may have."""

MOST_BYTES = len(PHOTOS) * MAX_PICTURE_BYTES + 64 * 1024
"""A form: its pictures, its other fields, and what they are wrapped in."""


class UploadedQuestion(EstimateBody):
    """The question as text fields: a size chart is JSON within one, and the photos are not named but there."""

    size_chart: Json[SizeChart] | None = None

    @field_validator("image_url", "side_image_url")
    @classmethod
    def _is_needed(cls, url: str | None, _others: ValidationInfo) -> str | None:
        # In place of the rule for JSON bodies. What is not used must not seem to be.
        if url is not None:
            raise PydanticCustomError("url_in_upload", "A URL can be given in a JSON body only")
        return url


def is_upload(scope: Scope) -> bool:
    """Whether the request brings photos, so that its body is read and bounded here."""
    return scope["path"] == PATH and scope["method"] == "POST" and _media_type(scope) in (FORM, *PICTURES)


def _media_type(scope: Scope) -> str:
    return Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()


class _UploadRoute(APIRoute):
    """Takes uploads only, and leaves JSON to the route behind it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if is_upload(scope) else (Match.NONE, {})


router = APIRouter(route_class=_UploadRoute)


async def _memory(request: Request) -> UploadMemory:
    memory: UploadMemory = request.app.state.upload_memory
    return memory


@router.post(PATH, include_in_schema=False)
async def estimate_upload(
    request: Request, services: Services, memory: Annotated[UploadMemory, Depends(_memory)]
) -> SizeEstimate:
    """Which size fits the person in the photos that the request carries. Described with the route for JSON."""
    most_bytes = MOST_BYTES if _media_type(request.scope) == FORM else MAX_PICTURE_BYTES
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else most_bytes
    if size > most_bytes:
        raise too_large(most_bytes)
    with memory.held(request, most_bytes, size) as upload, in_the_contracts_words(NO_PICTURE):
        answer = await _answer(request, services, upload)
    log.info("size estimated", size=answer.recommended_size, confidence=answer.confidence, uploaded=True)
    return answer


async def _answer(request: Request, services: ApiServices, upload: Upload) -> SizeEstimate:
    pool, span = services.pose_pool, services.tracing.span
    with span("upload"):
        await upload.begin()
    # Now the place: a caller who cannot be served in time learns that before the rest is read.
    with pool.place(estimate_size) as place:
        with span("upload"):
            asked = await _read(request, upload)
        chosen = await choose_chart(asked.body.chart, asked.body.size_chart, services)
        question = asked.body.question(chosen.chart)
        if len(asked.photos) == 1:
            with span("pose"):
                answer = await place.run(asked.photos[0], question, timeout=INFERENCE_LIMIT_S)
    # Else it is another kind of call than the place was for.
    if not asked.photos:
        with span("pose"):
            answer = await pool.run(estimate_without_photo, question, timeout=INFERENCE_LIMIT_S)
    elif len(asked.photos) > 1:
        front, side = asked.photos
        with span("pose"), pool.place(estimate_size_of_two, pictures=2) as place_for_two:
            answer = await place_for_two.run(front, side, question, timeout=INFERENCE_LIMIT_S)
    return chosen.identify(answer, services.shops.estimate_ids)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an upload asks."""

    body: EstimateBody
    photos: tuple[bytes, ...]
    """None, the one from the front, or two."""


async def _read(request: Request, upload: Upload) -> _Asked:
    if _media_type(request.scope) == FORM:
        return await _read_form(request, upload)
    picture = bytearray()
    await upload.read(picture.extend)
    return _ask(request.query_params.multi_items(), "query", bytes(picture), b"")


async def _read_form(request: Request, upload: Upload) -> _Asked:
    limits = dict.fromkeys(UploadedQuestion.model_fields, TEXT_BYTES) | dict.fromkeys(PHOTOS, MAX_PICTURE_BYTES)
    try:
        form = Form(request.headers["content-type"], limits)
        await upload.read(form.feed)
        parts = form.parts()
        front, side = (bytes(parts.pop(name, b"")) for name in PHOTOS)
        fields = [(name, part.decode()) for name, part in parts.items()]
    except FormError as error:
        raise _malformed("form_invalid", ("body",), str(error)) from error
    except UnicodeDecodeError as error:
        raise _malformed("form_invalid", ("body",), "A text field is not UTF-8") from error
    return _ask(fields, "body", front, side)


def _ask(fields: Iterable[tuple[str, str]], where: str, front: bytes, side: bytes) -> _Asked:
    """Check the fields. An empty one counts as left out, because a browser sends all of a form."""
    given = [(name, text) for name, text in fields if text]
    if len(texts := dict(given)) < len(given):
        raise _malformed("given_twice", (where,), "A field is there twice")
    try:
        body = UploadedQuestion.model_validate(texts)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": (where, *one["loc"])} for one in error.errors()]) from error
    if not front and (side or body.weight_kg is None):
        raise _malformed("missing", ("body", PHOTOS[0]), "Field required")
    return _Asked(body, tuple(photo for photo in (front, side) if photo))


def _malformed(kind: str, where: tuple[str, ...], message: str) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": where, "msg": message}])
