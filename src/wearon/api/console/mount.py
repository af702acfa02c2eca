"""Adds the console to the application."""

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError

from wearon.api.console import actions, login, pages, sessions, studios
from wearon.api.console.access import ConsoleAccess
from wearon.api.console.live import LiveFeed, live_route
from wearon.api.console.login import Doorkeeper
from wearon.api.console.login_entries import LoginEntries
from wearon.api.dependencies import ApiServices
from wearon.api.roles import Door
from wearon.api.token import Tokens
from wearon.operations.actions.errors import NotPossible, NotThere
from wearon.platform.base import PlatformError, PlatformRefused

log = structlog.get_logger()


def mount_console(app: FastAPI, services: ApiServices, tokens: Tokens) -> None:
    """Add the routes, and the guard before them; without a token for it only this machine may use the console."""
    doorkeeper = Doorkeeper(tokens) if tokens.access.holders(Door.CONSOLE) else None
    feed = app.state.feed = LiveFeed(services.status, services.wait_for_change)
    app.state.doorkeeper = doorkeeper
    app.state.login_entries = LoginEntries(services.audit_log)
    api = APIRouter(prefix="/console/api", include_in_schema=False)
    views = (login, sessions, actions, studios)
    for router in (*(view.router for view in views), live_route(feed)):
        api.include_router(router)
    app.include_router(api)
    app.include_router(pages.router)
    app.mount("/console/static", pages.static_files())
    app.add_exception_handler(RedisError, _out_of_reach)
    app.add_exception_handler(PlatformError, _out_of_reach)
    app.add_exception_handler(NotPossible, _not_possible)
    app.add_middleware(ConsoleAccess, doorkeeper=doorkeeper, tokens=tokens, picture_origin=services.picture_origin)


def close_console(app: FastAPI) -> None:
    """End the live streams, which would keep a closing API waiting."""
    feed: LiveFeed | None = getattr(app.state, "feed", None)
    if feed is not None:
        feed.close()


async def _out_of_reach(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, PlatformRefused):
        return JSONResponse({"detail": f"The platform refused: {error}"}, 409)
    who = "Redis" if isinstance(error, RedisError) else "The platform"
    log.warning("console: out of reach", path=request.url.path, error=str(error), error_type=type(error).__name__)
    return JSONResponse({"detail": f"{who} does not answer at the moment"}, 503)


async def _not_possible(_request: Request, error: Exception) -> JSONResponse:
    detail = str(error)[:1].upper() + str(error)[1:]
    return JSONResponse({"detail": detail}, 404 if isinstance(error, NotThere) else 409)
