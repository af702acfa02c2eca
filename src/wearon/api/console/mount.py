"""Puts the console together and onto the application."""

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError

from wearon.api.console import actions, login, pages, sessions, studios
from wearon.api.console.access import ConsoleAccess
from wearon.api.console.live import LiveFeed, live_route
from wearon.api.console.login import Doorkeeper
from wearon.api.console.parts import Console, ConsoleParts
from wearon.api.token import ApiToken
from wearon.platform.base import PlatformError, PlatformRefused
from wearon.tryon.desk import NotPossible, NotThere

log = structlog.get_logger()


def mount_console(app: FastAPI, parts: ConsoleParts, doorkeeper: Doorkeeper | None, token: ApiToken | None) -> None:
    """Add routes and the guard in front of them. Without a token only this machine may use it."""
    console = app.state.console = Console(parts, LiveFeed(parts.overview), doorkeeper)
    api = APIRouter(prefix="/console/api", include_in_schema=False)
    for router in (login.router, sessions.router, actions.router, studios.router, live_route(console.feed)):
        api.include_router(router)
    app.include_router(api)
    app.include_router(pages.router)
    app.mount("/console/static", pages.static_files())
    app.add_exception_handler(RedisError, _out_of_reach)
    app.add_exception_handler(PlatformError, _out_of_reach)
    app.add_exception_handler(NotPossible, _not_possible)
    app.add_middleware(ConsoleAccess, doorkeeper=doorkeeper, token=token, picture_origin=parts.picture_origin)


def close_console(app: FastAPI) -> None:
    """End the live streams, which would keep a closing API waiting."""
    console: Console | None = getattr(app.state, "console", None)
    if console is not None:
        console.feed.close()


async def _out_of_reach(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, PlatformRefused):
        return JSONResponse({"detail": f"The platform refused: {error}"}, 409)
    who = "Redis" if isinstance(error, RedisError) else "The platform"
    log.warning("console: out of reach", path=request.url.path, error=str(error), error_type=type(error).__name__)
    return JSONResponse({"detail": f"{who} does not answer at the moment"}, 503)


async def _not_possible(_request: Request, error: Exception) -> JSONResponse:
    detail = str(error)[:1].upper() + str(error)[1:]
    return JSONResponse({"detail": detail}, 404 if isinstance(error, NotThere) else 409)
