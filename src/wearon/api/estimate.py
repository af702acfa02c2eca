"""`POST /estimate-body`: a photo's URL and a height in, a size out. Works without Redis, Supabase and OpenAI."""

from typing import Annotated

import structlog
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from wearon.api.parts import ApiParts
from wearon.net.fetch import FetchError
from wearon.pictures.decode import PictureError
from wearon.pose.pool import PoseBusy, PoseError
from wearon.sizing import DEFAULT_CHART, EstimateRequest, RefusalCode, Sex, SizeChart, SizeEstimate, estimate_size

log = structlog.get_logger()

DOWNLOAD_DEADLINE_S = 3.0
"""The caller gives up after 5 s; the inference and the way back need the rest."""

INFERENCE_LIMIT_S = 4.0
"""One inference takes 30-80 ms; a picture that needs longer than this comes too late for the caller."""

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


class EstimateBody(BaseModel):
    """The question. `weight_kg` makes the answer better, `sex` where the photo is weak; `size_chart` is the shop's."""

    model_config = ConfigDict(extra="ignore")

    image_url: Annotated[str, Field(min_length=1, max_length=4096, description="http(s) URL of the photo")]
    height_cm: Annotated[float, Field(ge=100, le=250, allow_inf_nan=False)]
    weight_kg: Annotated[float | None, Field(ge=30, le=250, allow_inf_nan=False)] = None
    sex: Sex | None = None
    size_chart: SizeChart | None = None

    def question(self) -> EstimateRequest:
        """What the pose process needs to know."""
        return EstimateRequest(self.height_cm, self.weight_kg, self.sex, self.size_chart or DEFAULT_CHART)


class Problem(BaseModel):
    """An error answer."""

    detail: str


class Complaint(BaseModel):
    """What is wrong with one field of the question."""

    type: str
    loc: list[str | int]
    msg: str


class Malformed(BaseModel):
    """422 for a body that is not a question."""

    detail: list[Complaint]


class Refusal(Problem):
    """422 for a photo without a person to measure."""

    code: RefusalCode
    hint: Annotated[str, Field(description="One sentence for the shopper")]


@router.post(
    "/estimate-body",
    responses={
        400: {"model": Problem, "description": "No picture can be had from the URL, or the body cannot be read"},
        422: {"model": Refusal | Malformed, "description": "No person to measure in the photo, or a malformed body"},
        500: {"model": Problem, "description": "A fault of ours"},
        503: {"model": Problem, "description": "Not now", "headers": {"Retry-After": RETRY_AFTER}},
    },
)
async def estimate_body(body: EstimateBody, request: Request) -> SizeEstimate:
    """Which size fits, from one photo of the whole body and the height."""
    parts: ApiParts = request.app.state.parts
    try:
        # The place first: who cannot be served in time is told so before his photo is fetched.
        with parts.pose_pool.place(estimate_size) as place:
            photo = await parts.fetcher.fetch(body.image_url, deadline_s=DOWNLOAD_DEADLINE_S)
            with parts.tracing.span("pose"):
                answer = await place.run(photo, body.question(), timeout=INFERENCE_LIMIT_S)
    except (FetchError, PictureError) as error:
        log.info("estimate refused: no usable picture", reason=str(error))
        raise HTTPException(400, BAD_URL) from error
    except PoseError as error:
        log.warning("estimate not possible now", reason=str(error))
        headers = {"Retry-After": RETRY_AFTER_S} if isinstance(error, PoseBusy) else None
        raise HTTPException(503, UNAVAILABLE, headers) from error
    log.info("size estimated", size=answer.recommended_size, confidence=answer.confidence)
    return answer
