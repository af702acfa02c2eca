"""The endless loops: an error that passes is paused for and said once, any other ends them."""

import asyncio
from collections import deque

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from wearon.redis.backoff import run_forever

AWAY = RedisConnectionError("away")


class Done(Exception):
    """Ends the loop of a test."""


def steps(*answers: Exception | None) -> deque[Exception | None]:
    return deque([*answers, Done()])


async def run(answers: deque[Exception | None], rested: list[int]) -> None:
    async def step() -> None:
        if (answer := answers.popleft()) is not None:
            raise answer

    async def rest() -> None:
        rested.append(len(answers))

    await run_forever(step, rest, trouble="Redis is away", pauses_s=(0.0, 0.0))


async def test_it_rests_after_what_succeeds_and_says_once_what_does_not() -> None:
    rested: list[int] = []
    with capture_logs() as logs, pytest.raises(Done):
        await run(steps(None, AWAY, AWAY, OSError("other"), None, AWAY), rested)
    assert rested == [6, 2]
    assert [(line["event"], line.get("error")) for line in logs] == [
        ("Redis is away", "away"),
        ("Redis is away", "other"),
        ("Redis answers again", None),
        ("Redis is away", "away"),
    ]


async def test_a_cancellation_that_redis_py_has_swallowed_ends_it() -> None:
    async def swallow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    loop = asyncio.create_task(run_forever(swallow, trouble="never", pauses_s=(0.0, 0.0)))
    await asyncio.sleep(0)
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
