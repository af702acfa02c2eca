"""`wearon serve`."""

from typing import Annotated

import structlog
import typer

from wearon.cli.lazy import nothing_collected
from wearon.cli.output import CommandError, errors, plain
from wearon.cli.settings import settings_or_error
from wearon.observability.logging import configure_logs
from wearon.settings import Mode, Settings, foreign_uses

log = structlog.get_logger()


def serve(
    consumer: Annotated[bool, typer.Option("--consumer/--no-consumer", help="Take tasks from the Redis list.")] = True,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Make the pictures.")] = True,
    api: Annotated[bool, typer.Option("--api/--no-api", help="Answer HTTP: /estimate-body and /health.")] = True,
) -> None:
    """Run the worker: consumer, job worker and HTTP API in one process.

    Without any Supabase or OpenAI setting it runs in local mode, on an embedded Redis and a folder, and makes
    previews instead of pictures. SIGTERM or Ctrl-C stop it in order; a second one stops it at once.

    Example: wearon serve --no-api
    """
    settings = settings_or_error()
    configure_logs(settings.log_level, settings.log_format, settings.secrets, for_good=True)
    for problem in foreign_uses().values():  # one may have meant it, but should know
        log.warning("a secret of the environment goes where .env says", problem=problem)
    with nothing_collected():  # imported here, because they take a second that `wearon --help` should not
        from wearon.app.serve import Addresses, Components, ServeError, run
        from wearon.local.redis_server import LocalRedisError
        from wearon.supervisor import ComponentGaveUp

    def announce(addresses: Addresses) -> None:
        if settings.wearon_mode is Mode.LOCAL:
            _say_what_local_mode_is(settings, addresses.redis_url, addresses.public_url if api else None)

    if not (consumer or worker or api):
        raise CommandError("nothing to run: every part is left out")
    try:
        run(settings, Components(consumer=consumer, worker=worker, api=api), announce)
    except (ServeError, LocalRedisError) as error:
        raise CommandError(str(error)) from error
    except ComponentGaveUp as error:
        raise CommandError(f"a part cannot be kept running: {error}", status=3) from error


def _say_what_local_mode_is(settings: Settings, redis_url: str, public_url: str | None) -> None:
    from wearon.app.base import local_redis_folder
    from wearon.redis.clients import without_password

    reached = plain(public_url or "")
    listening = f"  HTTP API         {reached}\n  Console          {reached}/console\n" if reached else ""
    password = (
        "" if settings.redis_url else f"  Its password     in {plain(local_redis_folder(settings) / 'password')}\n"
    )
    errors.print(
        "[bold yellow]LOCAL MODE[/]: sessions, credits and pictures live in "
        f"[bold]{plain(settings.wearon_home)}[/], and pictures are previews, not made by an image model.\n"
        f"{listening}"
        f"  Redis for tasks  {without_password(redis_url)}   (LPUSH wearon:tasks:generation ...)\n"
        f"{password}"
        "  Try it           wearon enqueue --person photo.jpg --garment shirt.jpg --follow",
        soft_wrap=True,
    )
