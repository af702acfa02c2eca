"""The FastAPI application: routes, error bodies, middleware."""

from collections.abc import Sequence

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.cors import CORSMiddleware

from wearon.api import estimate, files, metrics
from wearon.api.console.login import Doorkeeper
from wearon.api.console.mount import mount_console
from wearon.api.console.studios import UPLOADS
from wearon.api.description import describe
from wearon.api.guesses import Guesses
from wearon.api.health import HealthReport
from wearon.api.middleware import BearerToken, BodyLimit, HeadAsGet, RequestId
from wearon.api.observation import Observation
from wearon.api.overload import CheapRefusal
from wearon.api.parts import ApiParts
from wearon.api.token import ApiToken
from wearon.sizing import NoPerson

log = structlog.get_logger()


def create_app(parts: ApiParts, *, api_token: str | None = None, cors_origins: Sequence[str] = ()) -> FastAPI:
    """Build the app; `api_token` closes everything but `/health`, `cors_origins` opens it to those browsers."""
    app = FastAPI(
        title="WearOn worker",
        docs_url=None,
        redoc_url=None,
        # Their target would be built from the caller's Host header.
        redirect_slashes=False,
        # FastAPI's own: `Observation` does that, without what a caller sends, and looking whether it is wanted took
        # 0.1 ms a request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.parts = parts
    app.include_router(estimate.router)
    if parts.local_platform is not None:
        app.include_router(files.router)
    if parts.local_platform is not None or api_token:
        app.include_router(metrics.router)  # in production never without a token

    _add_health(app, parts)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(NoPerson, _nobody_to_measure)
    app.add_exception_handler(Exception, _unexpected)
    # Added last, passed first.
    app.add_middleware(HeadAsGet)
    app.add_middleware(CheapRefusal, pose_pool=parts.pose_pool)
    app.add_middleware(BodyLimit, uploads=UPLOADS)
    guesses = Guesses()
    token = ApiToken(api_token, guesses, parts.metrics) if api_token else None
    if parts.console is not None and (parts.local_platform is not None or api_token):  # in production with a token only
        mount_console(app, parts.console, Doorkeeper(api_token, guesses=guesses) if api_token else None, token)
    if token is not None:
        app.add_middleware(BearerToken, token=token)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "X-Request-Id", "traceparent"],  # besides the harmless ones
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    app.add_middleware(RequestId, observation=Observation(parts.metrics, parts.tracing))
    describe(app, needs_token=bool(api_token))
    return app


def _add_health(app: FastAPI, parts: ApiParts) -> None:
    """The paths that load balancers and containers ask, with and without a slash at the end."""

    @app.get("/health/", include_in_schema=False)
    @app.get("/health")
    async def health() -> HealthReport:
        """What works, part by part."""
        return await parts.health.report()

    @app.get("/health/live/", include_in_schema=False)
    @app.get("/health/live")
    async def live() -> dict[str, str]:
        """The process answers. Asks nobody else: for container health checks."""
        return {"status": "ok"}


async def _malformed(_request: Request, error: Exception) -> JSONResponse:
    """FastAPI's own answer without the caller's input: that may be what JSON cannot say, such as NaN."""
    assert isinstance(error, RequestValidationError)
    detail = [{key: item[key] for key in ("type", "loc", "msg")} for item in error.errors()]
    return JSONResponse({"detail": detail}, 422)


async def _nobody_to_measure(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NoPerson)
    log.info("estimate refused: no person to measure", code=error.code.value)
    return JSONResponse({"detail": estimate.NO_PERSON, "code": error.code.value, "hint": error.hint}, 422)


async def _unexpected(request: Request, _error: Exception) -> JSONResponse:
    """uvicorn logs the traceback; the caller learns nothing about our insides but where to find them in the log."""
    detail = estimate.FAILED if request.url.path == "/estimate-body" else "Internal server error"
    return JSONResponse({"detail": detail}, 500, headers={"X-Request-Id": request.state.request_id})
