"""What commands that look after a running worker are connected to, and how their failures are told: in one line.

What these commands need is imported when they run, not when their help is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from wearon.cli.output import CommandError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from wearon.platform.base import Platform
    from wearon.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connections:
    """Redis, and the platform when it is asked for."""

    settings: Settings
    redis: Redis
    stack: AsyncExitStack

    async def platform(self) -> Platform:
        """The platform of the mode that we are in."""
        from wearon import local_url
        from wearon.assembly import open_platform
        from wearon.net.listening import url_at

        settings = self.settings
        public_url = local_url.recall(settings.wearon_home) or url_at(settings.host, settings.port)
        return await open_platform(self.stack, self.settings, public_url)


def run_connected(command: Callable[[Connections], Coroutine[Any, Any, T]]) -> T:
    """Run a command's coroutine with Redis at hand; raises CommandError when something cannot be reached."""
    from redis.exceptions import RedisError

    from wearon.cli.settings import settings_or_error
    from wearon.logs import configure_logs
    from wearon.platform.base import PlatformError
    from wearon.tryon.desk import NotPossible

    settings = settings_or_error()
    configure_logs("error", settings.log_format, settings.secrets)

    async def run() -> T:
        async with _connected(settings) as connections:
            return await command(connections)

    try:
        return asyncio.run(run())
    except NotPossible as error:
        raise CommandError(str(error)) from error
    except (RedisError, PlatformError, OSError) as error:
        raise CommandError(f"out of reach: {error}") from error


async def redis_url(settings: Settings) -> str:
    """Where the queue is; local mode's server must be running."""
    from wearon.assembly import local_redis_folder
    from wearon.local_redis import LocalRedis

    url = settings.redis_url or await LocalRedis.find(local_redis_folder(settings))
    if url is None:
        raise CommandError(f"no local worker is running in {settings.wearon_home}: start it with `wearon serve`")
    return url


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Connections]:
    from wearon.redis import connect

    async with AsyncExitStack() as stack:
        redis = connect(await redis_url(settings), name="wearon-operator")
        stack.push_async_callback(redis.aclose)
        yield Connections(settings, redis, stack)
