"""What strangers cost the event loop: each trick in turn, from a process of its own, beside a caller that counts."""

import asyncio
import multiprocessing
import re
import time

import httpx

from benchmarks import pictures
from benchmarks.estimate import Caller
from benchmarks.hostile_callers import TRICKS, send_again_and_again
from benchmarks.report import Figure, Result, quantile
from benchmarks.scale import Scale
from benchmarks.scene import open_scene

CONNECTIONS = 8
EVERY_S = 0.02


async def run(scale: Scale) -> Result:
    """`/health/live` without anybody else, and under each trick; the loop's own watch meanwhile."""
    seconds = scale.pick(4.0, 0.3)
    alone: list[list[float]] = []
    under: dict[str, list[list[float]]] = {name: [] for name in TRICKS}
    late: list[float] = []
    async with open_scene({}, pictures.tiny()) as scene:
        worker = scene.serve("--no-worker", "--no-consumer", WEARON_MODE="production", API_TOKEN=TOKEN)
        worker.wait_until_healthy()
        for _ in range(scale.pick(3, 1)):
            alone.append(await _ask(worker.url, seconds))
            before = await _late(worker.url)
            for name in TRICKS:
                under[name].append(await _ask_under(worker.url, name, seconds))
            late.append(await _late(worker.url) - before)
    return Result("strangers", _figures(alone, under, late))


TOKEN = "strangers-do-not-have-this"


def _figures(alone: list[list[float]], under: dict[str, list[list[float]]], late: list[float]) -> list[Figure]:
    figures = []
    for name, runs in under.items():
        for what, share, limit in (("p99", 0.99, 100), ("the slowest", 1.0, 50)):
            figures.append(
                Figure(
                    f"`/health/live` under {CONNECTIONS} connections with {name}, {what}",
                    f"<= {limit} ms",
                    "ms",
                    [quantile(times, share) for times in runs],
                    at_most=limit,
                    reference=[quantile(times, share) for times in alone],
                    reference_is="alone",
                )
            )
    return [
        *figures,
        Figure(
            "probes of the loop (ten a second) that were more than 50 ms late, all tricks", "none", "", late, at_most=0
        ),
    ]


async def _ask(url: str, seconds: float) -> list[float]:
    """Milliseconds of each answer."""
    caller, stop, times = Caller(url), time.perf_counter() + seconds, []
    while time.perf_counter() < stop:
        times.append(1000 * (await caller.live()).seconds)
        await asyncio.sleep(EVERY_S)
    caller.close()
    return times


async def _ask_under(url: str, trick: str, seconds: float) -> list[float]:
    attacker = multiprocessing.get_context("spawn").Process(target=_attack, args=(url, trick), daemon=True)
    attacker.start()
    try:
        await asyncio.sleep(min(1.0, seconds))
        return await _ask(url, seconds)
    finally:
        attacker.kill()
        attacker.join()


def _attack(url: str, trick: str) -> None:
    port = int(url.rpartition(":")[2])

    async def all_of_them() -> None:
        await asyncio.gather(*(send_again_and_again(port, TRICKS[trick]) for _ in range(CONNECTIONS)))

    asyncio.run(all_of_them())


async def _late(url: str) -> float:
    """How many probes so far were more than 50 ms late."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        text = (await client.get(f"{url}/metrics", timeout=30)).text
    counted = dict(re.findall(r'wearon_event_loop_lag_seconds_bucket{le="([^"]+)"} (\S+)', text))
    return float(counted["+Inf"]) - float(counted["0.05"])
