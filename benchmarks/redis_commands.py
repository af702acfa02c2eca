"""Redis commands as they are billed: those that come over a connection. What a script calls inside is shown beside.

MONITOR tells both apart (`[0 lua]`), which INFO commandstats does not.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from redis.asyncio import Redis

from benchmarks import pictures
from benchmarks.report import Figure, Result
from benchmarks.scale import Scale
from benchmarks.scene import open_scene

LINE = re.compile(rb'^\+?[\d.]+ \[\d+ ([^\]]+)\] "([^"]+)"')
IDLE_S = 60.0
TOKEN = "token-of-the-benchmark"
LEASE_AND_FIRST_BEATS_S = 6.0
"""After the last job, so that nothing of it counts as idle."""


@dataclass
class Heard:
    """Commands by name."""

    billed: Counter[str] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)


async def run(scale: Scale) -> Result:
    """An idle minute, a watched one, and a batch of jobs, in turn; the whole of `wearon serve`."""
    idle: list[Heard] = []
    busy: list[Heard] = []
    one_by_one: list[Heard] = []
    watched: list[Heard] = []
    jobs = scale.pick(100, 5)
    idle_s = scale.pick(IDLE_S, 3.0)
    async with open_scene({"tiny.jpg": pictures.tiny()}, pictures.tiny()) as scene:
        worker = scene.serve(*scale.parts, API_TOKEN=TOKEN)
        worker.wait_until_up(scale)
        for _ in range(scale.pick(2, 1)):
            await asyncio.sleep(scale.pick(LEASE_AND_FIRST_BEATS_S, 1.0))
            async with _listening(scene.redis_url) as heard:
                await asyncio.sleep(idle_s)
            idle.append(heard)
            if "--no-api" not in scale.parts:
                async with _watching(worker.url), _listening(scene.redis_url) as heard:
                    await asyncio.sleep(idle_s)
                watched.append(heard)
            scene.stand_in.reset(0.2)
            async with _listening(scene.redis_url) as heard:
                await scene.wait_for(await scene.push(jobs, ["tiny.jpg", "tiny.jpg"]))
                await asyncio.sleep(0.5)  # what is done after a session's last move
            busy.append(heard)
            async with _listening(scene.redis_url) as heard:
                for _ in range(jobs // 5):
                    await scene.wait_for(await scene.push(1, ["tiny.jpg", "tiny.jpg"]))
            one_by_one.append(heard)
    minutes = idle_s / 60
    return Result(
        "redis_commands",
        [
            Figure(
                "Redis commands a job, from the list to its end",
                "<= 25",
                "",
                [heard.billed.total() / jobs for heard in busy],
                at_most=25,
                note="100 jobs at once, heartbeats and everything else included. "
                + _by_name("Billed, per job", busy, jobs)
                + _inside("and run by scripts", busy, jobs),
            ),
            Figure(
                "Redis commands a job that comes alone",
                "<= 25",
                "",
                [heard.billed.total() / (jobs // 5) for heard in one_by_one],
                at_most=25,
                note=_by_name("Billed, per job", one_by_one, jobs // 5),
            ),
            Figure(
                "Redis commands an idle minute, all parts",
                "<= 30",
                "",
                [heard.billed.total() / minutes for heard in idle],
                at_most=30,
                note=_by_name("Billed, per minute", idle, minutes)
                + _inside("and run by scripts", idle, minutes)
                + " A `/health` that is asked all the time adds 1 a second at most.",
            ),
            *_of_watching(watched, minutes),
        ],
    )


def _of_watching(watched: list[Heard], minutes: float) -> list[Figure]:
    """Nothing is watched where there is no API."""
    if not watched:
        return []
    return [
        Figure(
            "Redis commands an idle minute, with two pages of the console open",
            "<= 60",
            "",
            [heard.billed.total() / minutes for heard in watched],
            at_most=60,
            note=_by_name("Billed, per minute", watched, minutes),
        )
    ]


@asynccontextmanager
async def _watching(url: str) -> AsyncIterator[None]:
    """Two pages that show what goes on, for the length of the block."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(headers=headers, timeout=None) as client:

        async def watch() -> None:
            async with client.stream("GET", f"{url}/console/api/live") as answer:
                answer.raise_for_status()
                async for _ in answer.aiter_bytes():
                    pass

        pages = [asyncio.create_task(watch()) for _ in range(2)]
        yield
        ended = [page for page in pages if page.done()]
        for page in pages:
            page.cancel()
        await asyncio.gather(*ended)  # nothing was watched if they could not be opened


def _by_name(title: str, heard: list[Heard], per: float) -> str:
    total = sum((one.billed for one in heard), Counter[str]())
    return f"{title}: {_list(total, per * len(heard))}."


def _inside(title: str, heard: list[Heard], per: float) -> str:
    total = sum((one.inside for one in heard), Counter[str]())
    return f" {title}: {_list(total, per * len(heard))}."


def _list(counts: Counter[str], per: float) -> str:
    return ", ".join(f"{name} {count / per:.1f}" for name, count in counts.most_common()) or "none"


@asynccontextmanager
async def _listening(url: str) -> AsyncIterator[Heard]:
    """Count what Redis is told for the length of the block, the benchmark's own pushes left out."""
    heard = Heard()
    client = Redis.from_url(url)
    connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    await connection.send_command("MONITOR")
    await connection.read_response()

    async def listen() -> None:
        while True:
            line = await connection.read_response(disconnect_on_error=False)
            match = LINE.match(line if isinstance(line, bytes) else str(line).encode())
            if match:
                name = match[2].decode().lower()
                (heard.inside if match[1] == b"lua" else heard.billed)[name] += 1

    listening = asyncio.create_task(listen())
    try:
        yield heard
        await asyncio.sleep(0.1)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await connection.disconnect()
        await client.aclose()
        heard.billed.pop("lpush", None)  # producers' business, and here the benchmark's
