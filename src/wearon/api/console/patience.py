"""Reads that end in time: a page that waits for Redis or the platform must say so, not stand there grey."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

READ_S = 6.0
"""Redis answers within milliseconds and the platform within a second; both are asked again by themselves for longer
than anybody looks at an empty page."""

NO_ANSWER = "Redis or the platform does not answer at the moment"


class PatientRoute(APIRoute):
    """GET answers 503 after `READ_S`. Actions are left to end: what they do is better known than cut off."""

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
