"""The FastAPI application: routes, error bodies, middleware."""

from collections.abc import Sequence

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.cors import CORSMiddleware

from wearon.api import description, docs_page, estimate, feedback, files, health, metrics, problems, upload
from wearon.api.charts import PREFIX, add_chart_routes
from wearon.api.console.mount import mount_console
from wearon.api.console.studios import UPLOADS
from wearon.api.dependencies import ApiServices
from wearon.api.middleware import CHEAP, BearerToken, BodyLimit, HeadAsGet, RequestId
from wearon.api.observation import Observation
from wearon.api.overload import CheapRefusal
from wearon.api.roles import NO_TOKENS, Access, Door
from wearon.api.this_machine import ThisMachineOnly
from wearon.api.token import Tokens
from wearon.api.upload_memory import UploadMemory
from wearon.sizing import NoPerson

log = structlog.get_logger()


def create_app(services: ApiServices, access: Access = NO_TOKENS, *, cors_origins: Sequence[str] = ()) -> FastAPI:
    """Build the app. `access` says who may do what; `cors_origins` opens it to pages of those origins."""
    app = FastAPI(
        **description.INFO,
        docs_url=None,
        redoc_url=None,
        # Their target would be built from the caller's Host header.
        redirect_slashes=False,
        # `Observation` collects both, without what a caller sends; FastAPI's own check whether to collect takes 0.1 ms
        # a request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.services = services
    app.state.upload_memory = UploadMemory()
    app.include_router(upload.router)  # before the route for JSON, which takes what this one leaves
    app.include_router(estimate.router, tags=["sizes"])
    app.include_router(feedback.router, tags=["feedback"])
    if services.local_platform is not None:
        app.include_router(files.router)
        app.include_router(docs_page.router)
    is_local = services.local_platform is not None
    if is_local or access.holders(Door.METRICS):  # production shows its inside to those with a token only
        app.include_router(metrics.router)
    if is_local or access.holders(Door.ACTIONS):
        add_chart_routes(app)
    app.include_router(health.router, tags=["health"])
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(NoPerson, _nobody_to_measure)
    app.add_exception_handler(Exception, _unexpected)
    # Added last, passed first.
    app.add_middleware(HeadAsGet)
    app.add_middleware(CheapRefusal, pose_pool=services.pose_pool)
    app.add_middleware(BodyLimit, uploads=UPLOADS, passing=upload.is_upload)
    if is_local and not access.tokens:
        app.add_middleware(ThisMachineOnly, path=PREFIX)
    tokens = Tokens(access, services.metrics)
    if is_local or access.holders(Door.CONSOLE):
        mount_console(app, services, tokens)
    app.add_middleware(BearerToken, tokens=tokens)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "X-Request-Id", "traceparent"],  # besides the harmless ones
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    app.add_middleware(RequestId, observation=Observation(services.metrics, services.tracing))
    description.describe(app, access.wanted)
    return app


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's own answer without the caller's input: that may be what JSON cannot say, such as NaN."""
    assert isinstance(error, RequestValidationError)
    request.scope.setdefault("state", {})[CHEAP] = True
    detail = [{key: item[key] for key in ("type", "loc", "msg")} for item in error.errors()]
    return JSONResponse({"detail": detail, "code": problems.MALFORMED, "hint": problems.MALFORMED_HINT}, 422)


async def _nobody_to_measure(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NoPerson)
    log.info("estimate refused: no person to measure", code=error.code.value)
    return JSONResponse({"detail": estimate.NO_PERSON, "code": error.code.value, "hint": error.hint}, 422)


async def _unexpected(request: Request, _error: Exception) -> JSONResponse:
    """uvicorn logs the traceback; the caller learns nothing about our insides but where to find them in the log."""
    detail = estimate.FAILED if request.url.path == "/estimate-body" else "Internal server error"
    return JSONResponse({"detail": detail}, 500, headers={"X-Request-Id": request.state.request_id})
