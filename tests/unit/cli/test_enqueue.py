"""What `wearon enqueue` says of a task that was pushed, and of one that was not."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from wearon.cli import enqueue as module
from wearon.cli.enqueue import Order
from wearon.cli.output import CommandError
from wearon.cli.progress import Shown
from wearon.platform.base import Channel, PlatformUnavailable, SessionRef
from wearon.redis import clients
from wearon.settings import Mode

UUID = "5b0c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10"


class Pushed:
    """Stands in for Redis, for a platform that is away, and for the settings of production."""

    wearon_mode = Mode.PRODUCTION

    def __init__(self) -> None:
        self.tasks: list[str] = []

    async def ping(self) -> None: ...

    async def aclose(self) -> None: ...

    async def lpush(self, _list: str, task: str) -> None:
        self.tasks.append(task)

    async def find_session(self, *_ref: str) -> None:
        raise PlatformUnavailable("no answer")


async def test_a_task_that_was_pushed_is_not_said_not_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    side: Any = Pushed()

    async def prepare(*_: object) -> tuple[Any, SessionRef, str]:
        return side, SessionRef(Channel.B2C, UUID, UUID), "task"

    async def redis_url(_settings: object) -> str:
        return "redis://127.0.0.1:1"

    monkeypatch.setattr(module, "redis_url", redis_url)
    monkeypatch.setattr(module, "_prepare", prepare)
    monkeypatch.setattr(clients, "connect", lambda _url, name: side)
    with pytest.raises(CommandError, match="the task was pushed, but its session cannot be read: no answer"):
        await module._enqueue(side, Order([], Channel.B2C, "", UUID, UUID), Shown(), follow=False)
    assert side.tasks == ["task"]


@pytest.mark.parametrize(("session", "owner"), [("me", UUID), (UUID, "*")])
def test_what_is_no_id_is_refused_before_anything_is_pushed(session: str, owner: str) -> None:
    settings: Any = Pushed()

    async def name() -> None:
        async with AsyncExitStack() as stack:
            await module._name_session(stack, settings, Order(["https://a/b"], Channel.B2C, "", session, owner))

    with pytest.raises(CommandError, match="are uuids"):
        asyncio.run(name())
