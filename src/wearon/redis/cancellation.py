"""Cancellation that redis-py loses: every endless loop that talks to Redis asks for it once a round."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def heed_cancellation() -> None:
    """Raise the CancelledError that was swallowed since the last round, if one was.

    redis-py sends with `asyncio.wait_for`, and that of Python 3.11 drops a cancellation that arrives just as the
    sending is done (python/cpython#81839, mended in 3.12). The loop would go on, and its stop would wait for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await what must not be left half done: a cancellation waits until it is, and then goes on."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})  # a further cancellation ends the waiting, and not the work
        if not task.cancelled():
            task.exception()  # read, so that asyncio does not report it: the cancellation is what counts
        raise
