"""`wearon enqueue`."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated

import typer
from redis.exceptions import RedisError

from wearon.cli.connections import redis_url
from wearon.cli.output import CommandError, plain, print_json, print_text, say
from wearon.cli.producer import is_url, upload
from wearon.cli.progress import Shown, progress
from wearon.cli.settings import settings_or_error
from wearon.local.producer import new_request_id, task_document
from wearon.observability.logging import configure_logs
from wearon.platform.base import Channel, Platform, PlatformError, Session, SessionRef, Status
from wearon.platform.session_rows import as_uuid
from wearon.queue import keys
from wearon.settings import Mode, Settings

READ_EVERY_S = {Mode.LOCAL: 0.2, Mode.PRODUCTION: 2.0}
"""Between two readings of the session row: the local one is a file, production's is billed."""


def enqueue(
    person: Annotated[str, typer.Option(help="Photo of the person: a file (local mode) or a URL.")],
    garment: Annotated[str, typer.Option(help="Picture of the garment.")],
    accessory: Annotated[list[str] | None, typer.Option(help="Picture of an accessory; may be repeated.")] = None,
    channel: Annotated[Channel, typer.Option(help="Where it was bought.")] = Channel.B2C,
    prompt: Annotated[str, typer.Option(help="What to ask the image model; empty for the default.")] = "",
    session: Annotated[str | None, typer.Option(help="Production: the id of the session row to fill.")] = None,
    owner: Annotated[str | None, typer.Option(help="Production: its user_id (b2c) or store_id (b2b).")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show the status until the end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the session as JSON.")] = False,
    print_task: Annotated[
        bool, typer.Option("--print-task", help="Print the task instead of pushing it: for redis-cli -x LPUSH.")
    ] = False,
) -> None:
    """Push one task, as a producer does.

    In local mode a session is made and a credit taken first. In production the platform has done both, so name the
    session and its owner.

    Example: wearon enqueue --person me.jpg --garment shirt.jpg --follow
    """
    settings = settings_or_error()
    configure_logs("warning", settings.log_format, settings.secrets)
    order = Order([person, garment, *(accessory or [])], channel, prompt, session, owner)
    try:
        if print_task:
            print_text(asyncio.run(_prepare_only(settings, order)))
            return
        with progress("Pushing", quiet=as_json) as shown:
            found = asyncio.run(_enqueue(settings, order, shown, follow=follow))
    except (RedisError, PlatformError, OSError) as error:
        raise CommandError(f"the task could not be pushed: {error}") from error
    if as_json:
        print_json(_describe(found))
    else:
        _print(found)
    if found.status is Status.FAILED:
        raise CommandError(f"generation failed: {found.error_message}")


@dataclass(frozen=True, slots=True)
class Order:
    """A try-on. `session_id` and `owner_id` are given in production, where the session exists already."""

    pictures: Sequence[str]
    channel: Channel
    prompt: str
    session_id: str | None
    owner_id: str | None


async def _prepare_only(settings: Settings, order: Order) -> str:
    async with AsyncExitStack() as stack:
        _, _, task = await _prepare(stack, settings, order)
        return task


async def _enqueue(settings: Settings, order: Order, shown: Shown, *, follow: bool) -> Session:
    from wearon.redis.clients import connect

    async with AsyncExitStack() as stack:
        redis = connect(await redis_url(settings), name="wearon-enqueue")
        stack.push_async_callback(redis.aclose)
        await redis.ping()  # before a credit is taken
        platform, ref, task = await _prepare(stack, settings, order)
        await redis.lpush(keys.TASKS, task)
        try:
            return await _follow(platform, ref, READ_EVERY_S[settings.wearon_mode] if follow else None, shown)
        except PlatformError as error:
            raise CommandError(f"the task was pushed, but its session cannot be read: {error}") from error


async def _prepare(stack: AsyncExitStack, settings: Settings, order: Order) -> tuple[Platform, SessionRef, str]:
    """The platform, the session (in local mode made now, with its credit taken) and the task for it."""
    request_id = new_request_id()
    if settings.wearon_mode is Mode.LOCAL:
        platform, ref, urls = await _open_local_session(stack, settings, order, request_id)
    else:
        platform, ref, urls = await _name_session(stack, settings, order)
    return platform, ref, task_document(ref, urls, order.prompt, request_id)


async def _open_local_session(
    stack: AsyncExitStack, settings: Settings, order: Order, request_id: str
) -> tuple[Platform, SessionRef, Sequence[str]]:
    from wearon.local import url as local_url
    from wearon.local.platform import LocalPlatform

    public_url = local_url.recall(settings.wearon_home)
    if public_url is None:
        raise CommandError(f"no local worker has run in {settings.wearon_home}: start it with `wearon serve`")
    platform = await LocalPlatform.open(settings.wearon_home, public_url)
    stack.push_async_callback(platform.aclose)
    urls = [await upload(platform, picture) for picture in order.pictures]
    session = await platform.create_session(order.channel, request_id=request_id)
    return platform, session.ref, urls


async def _name_session(
    stack: AsyncExitStack, settings: Settings, order: Order
) -> tuple[Platform, SessionRef, Sequence[str]]:
    from wearon.app.base import command_telemetry, open_platform

    if order.session_id is None or order.owner_id is None:
        raise CommandError("in production the session exists already: name it with --session and --owner")
    if as_uuid(order.session_id) is None or as_uuid(order.owner_id) is None:
        raise CommandError("--session and --owner are uuids")
    if not all(is_url(picture) for picture in order.pictures):
        raise CommandError("in production pictures are URLs, such as signed Storage URLs")
    platform = await open_platform(stack, settings, "", command_telemetry(settings))
    return platform, SessionRef(order.channel, order.owner_id, order.session_id), order.pictures


async def _follow(platform: Platform, ref: SessionRef, every_s: float | None, shown: Shown) -> Session:
    """The session now (`every_s` None), or when it has ended, with its status shown until then."""
    while True:
        session = await platform.find_session(ref.channel, ref.session_id)
        if session is None:
            raise CommandError(f"there is no session {ref.session_id}")
        if every_s is None or session.status in {Status.COMPLETED, Status.FAILED}:
            return session
        shown.say(f"session {ref.session_id} is {session.status}")
        await asyncio.sleep(every_s)


def _describe(session: Session) -> dict[str, object]:
    return {
        "session_id": session.ref.session_id,
        "channel": session.ref.channel.value,
        "owner_id": session.ref.owner_id,
        "status": session.status.value,
        "generated_image_url": session.generated_image_url,
        "error_message": session.error_message,
    }


def _print(session: Session) -> None:
    say(f"session {plain(session.ref.session_id)}: [bold]{plain(session.status)}[/]")
    if session.generated_image_url:
        say(plain(session.generated_image_url))
