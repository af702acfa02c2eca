"""Cheap refusals: an estimate that would come too late is refused before its body is validated.

Validation and routing cost the loop half a millisecond. With them, 64 callers that repeated at once were refused 1,265
times a second, and only 12 of 43 estimates a second were left for the callers who were served. How often a second
anything is refused is up to the connections (`wearon.api.crowd`).
"""

import structlog
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from wearon.api import estimate
from wearon.api.middleware import RequestId
from wearon.api.observation import Observation
from wearon.metrics import Metrics
from wearon.observability.tracing import Tracing
from wearon.pose.pool import PoseBusy, PoseError, PosePool
from wearon.sizing import estimate_size

log = structlog.get_logger()

ESTIMATE = "/estimate-body"

BUSY_RETRY_AFTER_S = "2"
"""Connections come free when estimates end, within a second."""


class CheapRefusal:
    """Answers 503 to `POST /estimate-body` when the pose processes have no place."""

    def __init__(self, app: ASGIApp, pose_pool: PosePool) -> None:
        self._app = app
        self._pose_pool = pose_pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_estimate = scope["type"] == "http" and scope["path"] == ESTIMATE and scope["method"] == "POST"
        refusal = self._refusal() if is_estimate else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self) -> JSONResponse | None:
        try:
            with self._pose_pool.place(estimate_size):  # released at once: the route takes its own
                return None
        except PoseBusy:
            return JSONResponse({"detail": estimate.UNAVAILABLE}, 503, {"Retry-After": estimate.RETRY_AFTER_S})
        except PoseError as error:
            log.warning("estimate not possible now", reason=str(error))
            return JSONResponse({"detail": estimate.UNAVAILABLE}, 503)


async def _say_busy(scope: Scope, receive: Receive, send: Send) -> None:
    detail = estimate.UNAVAILABLE if scope["path"] == ESTIMATE else "Too many connections"
    headers = {"Retry-After": BUSY_RETRY_AFTER_S, "Connection": "close"}
    await JSONResponse({"detail": detail}, 503, headers)(scope, receive, send)


busy: ASGIApp = RequestId(_say_busy, Observation(Metrics(), Tracing()))
"""Instead of the app when there are too many connections."""
