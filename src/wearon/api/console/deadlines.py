"""A deadline for reads: a page that waits for Redis or the platform too long says so instead of showing nothing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

READ_S = 6.0
"""Redis answers within milliseconds and the platform within a second. Their clients repeat a request for longer than a
person waits for an empty page."""

NO_ANSWER = "Redis or the platform does not answer at the moment"


class ReadDeadlineRoute(APIRoute):
    """Answers a GET with 503 after `READ_S`. Actions run to their end, so that their outcome is known."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if "GET" not in (self.methods or ()):
            return handle

        async def handle_in_time(request: Request) -> Response:
            try:
                async with asyncio.timeout(READ_S):
                    return await handle(request)
            except TimeoutError as error:
                raise HTTPException(503, NO_ANSWER) from error

        return handle_in_time
