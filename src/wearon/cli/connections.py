"""Connections of the commands for a running worker, and their failures in one line.

What these commands need is imported when they run, not when their help is shown.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from wearon.cli.output import CommandError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from wearon.platform.base import Platform
    from wearon.queue.audit_log import Action, Actor, AuditLog, Doing
    from wearon.refunds.outbox import RefundOutbox
    from wearon.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connections:
    """Redis, and the platform for commands that ask for it."""

    settings: Settings
    redis: Redis
    stack: AsyncExitStack

    @property
    def actor(self) -> Actor:
        """Who runs the command, for the audit log."""
        from wearon.queue.audit_log import Actor, Via

        return Actor(f"{_user()}@{socket.gethostname()}", Via.COMMAND)

    @property
    def audit_log(self) -> AuditLog:
        """The audit log, for what the command does."""
        from wearon.app.readers import make_audit_log

        return make_audit_log(self.settings, self.redis)

    @asynccontextmanager
    async def noting(self, action: Action, about: str, *, dry_run: bool = False) -> AsyncIterator[Doing]:
        """Note in the audit log what the command does in this block, unless it is a dry run."""
        from wearon.queue.audit_log import Doing

        if dry_run:
            yield Doing()
            return
        async with self.audit_log.doing(self.actor, action, about) as doing:
            yield doing

    def outbox(self, platform: Platform) -> RefundOutbox:
        """The outbox for a command's refunds, which stand in the sessions' histories."""
        from wearon.app.readers import operators_outbox

        return operators_outbox(self.settings, self.redis, platform)

    async def platform(self) -> Platform:
        """The platform of this mode, closed when the command ends."""
        from wearon.app.base import command_telemetry, open_platform, recall_url

        settings = self.settings
        return await open_platform(self.stack, settings, recall_url(settings), command_telemetry(settings))


def run_connected(command: Callable[[Connections], Coroutine[Any, Any, T]]) -> T:
    """Run a command's coroutine with a connection to Redis; raises CommandError when something cannot be reached."""
    from redis.exceptions import RedisError

    from wearon.cli.settings import settings_or_error
    from wearon.observability.logging import configure_logs
    from wearon.operations.actions.errors import NotPossible
    from wearon.platform.base import PlatformError

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


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in a container, the uid may have no name
        return f"uid {os.getuid()}"


async def redis_url(settings: Settings) -> str:
    """The URL of the queue. In local mode its server must be running."""
    from wearon.app.base import find_redis_url

    url = await find_redis_url(settings)
    if url is None:
        raise CommandError(f"no local worker is running in {settings.wearon_home}: start it with `wearon serve`")
    return url


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Connections]:
    from wearon.redis.clients import connect

    async with AsyncExitStack() as stack:
        redis = connect(await redis_url(settings), name="wearon-operator")
        stack.push_async_callback(redis.aclose)
        yield Connections(settings, redis, stack)
