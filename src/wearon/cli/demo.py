"""`wearon demo`: the whole way of one task through a real worker process, for people to watch."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.status import Status as Spinner

from wearon.cli.output import CommandError, errors, plain, say, write_file
from wearon.cli.producer import upload
from wearon.local.platform import LocalPlatform
from wearon.local.producer import new_request_id, task_document
from wearon.local.redis_server import LocalRedis
from wearon.observability.logging import configure_logs
from wearon.platform.base import Channel, Session, Status
from wearon.queue import keys
from wearon.redis.clients import connect
from wearon.samples import MAN_L, TSHIRT

START_LIMIT_S = 60.0
"""Limit for the start, which takes 4 s, and far longer from a cold disk."""

PICTURE_LIMIT_S = 60.0
"""Limit for one preview, which takes a second."""

STEPS = {
    "start": "session processing",
    "photos": "photos downloaded and prepared",
    "generate": "preview made",
    "upload": "picture stored and signed",
    "complete": "session completed",
}
"""The pipeline's steps in words for people."""


def demo(
    output: Annotated[Path, typer.Option("--out", help="Where to write the picture.")] = Path("wearon-demo.jpg"),
) -> None:
    """See it work: one try-on through a real worker in a temporary folder, and a size over HTTP.

    Nothing outside that folder is touched but the picture that it writes, and nothing leaves this machine.

    Example: wearon demo --out result.jpg
    """
    configure_logs("warning", "console")
    if not os.access(output if output.exists() else output.parent, os.W_OK):  # known now, not after the whole demo
        raise CommandError(f"cannot write {output}: choose another place with --out, such as --out /tmp/{output.name}")
    began = time.monotonic()
    picture, answer = asyncio.run(_demo())
    write_file(output, picture)
    measured = ", ".join(f"{name.removesuffix('_cm')} {value}" for name, value in answer["measurements"].items())
    say(f"\nPicture  [bold]{plain(output.resolve())}[/]  (a local preview: no image model was asked)")
    say(f"Size     [bold green]{plain(answer['recommended_size'])}[/]  ({measured} cm)")
    say(f"Time     {time.monotonic() - began:.1f} s")


async def _demo() -> tuple[bytes, dict[str, Any]]:
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wearon-demo-")))
        spinner = stack.enter_context(errors.status("starting a worker"))
        worker = await stack.enter_async_context(_worker(home))
        started = await worker.wait_for("started")
        _tick(f"worker started at {started['url']}, Redis at {started['redis']}")
        platform = await LocalPlatform.open(home, started["url"])
        stack.push_async_callback(platform.aclose)
        redis = connect(await LocalRedis.find(home / "redis") or started["redis"], name="wearon-demo")
        stack.push_async_callback(redis.aclose)
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=started["url"], trust_env=False, timeout=30)
        )

        request_id = new_request_id()
        urls = [await upload(platform, str(picture)) for picture in (MAN_L.path, TSHIRT.path)]
        session = await platform.create_session(Channel.B2C, request_id=request_id)
        await redis.lpush(keys.TASKS, task_document(session.ref, urls, "", request_id))
        _tick("credit taken, task pushed to wearon:tasks:generation")
        await _show_steps(worker, spinner)
        finished = await _finished(platform, session)
        picture = await client.get(finished.generated_image_url or "")
        picture.raise_for_status()
        spinner.update("asking for a size")
        return picture.content, await _ask_for_size(client, urls[0])


async def _show_steps(worker: "_Worker", spinner: Spinner) -> None:
    try:
        async with asyncio.timeout(PICTURE_LIMIT_S):
            async for line in worker.lines():
                if line.get("event") == "step begins":
                    spinner.update(STEPS.get(line["step"], line["step"]))
                elif line.get("event") == "step done":
                    _tick(f"{STEPS.get(line['step'], line['step'])} ({line['ms']} ms)")
                if line.get("event") in {"session completed", "session failed"}:
                    return
    except TimeoutError:
        raise CommandError(f"no picture after {PICTURE_LIMIT_S:g} s: see what `wearon doctor` finds") from None


async def _finished(platform: LocalPlatform, session: Session) -> Session:
    found = await platform.find_session(session.ref.channel, session.ref.session_id)
    if found is None or found.status is not Status.COMPLETED:
        raise CommandError(f"the demo's generation did not complete: {found.error_message if found else 'no session'}")
    return found


async def _ask_for_size(client: httpx.AsyncClient, photo_url: str) -> dict[str, Any]:
    began = time.monotonic()
    response = await client.post("/estimate-body", json={"image_url": photo_url, "height_cm": MAN_L.height_cm})
    if response.status_code != 200:
        raise CommandError(f"/estimate-body answered {response.status_code}: {response.text}")
    answer: dict[str, Any] = response.json()
    _tick(f"size estimated over HTTP ({(time.monotonic() - began) * 1000:.0f} ms)")
    return answer


def _tick(message: str) -> None:
    errors.print(f"[green]✓[/] {plain(message)}", soft_wrap=True)


class _Worker:
    """A running `wearon serve`, and the lines of its log."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._last: deque[str] = deque(maxlen=8)

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """The log lines as they come; raises CommandError when the worker ends."""
        assert self._process.stderr
        async for raw in self._process.stderr:
            text = raw.decode(errors="replace").strip()
            self._last.append(text)
            if text.startswith("{"):
                yield json.loads(text)
        raise CommandError("\n".join(["the worker ended by itself; its last lines:", *self._last]))

    async def wait_for(self, event: str) -> dict[str, Any]:
        """The next line of that event."""
        async with asyncio.timeout(START_LIMIT_S):
            async for line in self.lines():
                if line.get("event") == event:
                    return line
        raise AssertionError("lines() ends by raising")


@asynccontextmanager
async def _worker(home: Path) -> AsyncIterator[_Worker]:
    """Start `wearon serve` in local mode on free ports, in a folder without an `.env`; stop it in order."""
    ours = {
        "WEARON_MODE": "local",
        "WEARON_HOME": str(home),
        "HOST": "127.0.0.1",
        "PORT": "0",
        "LOCAL_REDIS_PORT": "0",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
    }
    theirs = {name: value for name, value in os.environ.items() if name.upper() not in _NOT_FOR_THE_DEMO}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wearon", "serve", cwd=home, env=theirs | ours, stdout=PIPE, stderr=PIPE, limit=2**20
    )
    try:
        yield _Worker(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.communicate()


_NOT_FOR_THE_DEMO = {
    "REDIS_URL",
    "SUPABASE_URL",
    "SUPABASE_SERVICE_ROLE_KEY",
    "OPENAI_API_KEY",
    "ESTIMATE_ACCESS",
    "API_TOKEN",
    "VIEWER_TOKEN",
    "METRICS_TOKEN",
    "ESTIMATE_TOKEN",
}
"""Settings of a real worker must not leak into the demo's."""
