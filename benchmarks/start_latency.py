"""From LPUSH to the session being `processing`, on an idle worker; and the same by plain arq's polling."""

import asyncio
import random
import sys
import time
from pathlib import Path
from uuid import uuid4

from arq.connections import ArqRedis

from benchmarks import pictures
from benchmarks.report import Figure, Result, quantile
from benchmarks.scale import Scale
from benchmarks.scene import Scene, open_scene

ARQ = (str(Path(sys.executable).parent / "arq"), "benchmarks.plain_arq.WorkerSettings")


async def run(scale: Scale) -> Result:
    """One task of ours, one of arq's, a pause by chance (so that nobody's rhythm is met), and again."""
    tasks = scale.pick(40, 4)
    chances = random.Random(0)
    ours: list[list[float]] = []
    arqs: list[list[float]] = []
    async with open_scene({"tiny.jpg": pictures.tiny()}, pictures.tiny()) as scene:
        worker, plain = scene.serve(*scale.parts), scene.start(ARQ, {})
        worker.wait_until_up(scale)
        plain.line("started")
        arq = ArqRedis(pool_or_conn=scene.redis.connection_pool)
        await _ours(scene)  # connections, and everything else that only the first job does
        for _ in range(scale.runs):
            ours.append([])
            arqs.append([])
            for _ in range(tasks):
                ours[-1].append(await _ours(scene))
                arqs[-1].append(await _arqs(scene, arq))
                await asyncio.sleep(chances.uniform(0.0, 0.1))
    return Result(
        "start_latency",
        [
            Figure(
                "LPUSH to `processing`, idle worker, median",
                "<= 15 ms",
                "ms",
                [quantile(run, 0.5) for run in ours],
                at_most=15,
                reference=[quantile(run, 0.5) for run in arqs],
                reference_is="plain arq",
            ),
            Figure(
                "LPUSH to `processing`, idle worker, p99",
                "<= 60 ms",
                "ms",
                [quantile([latency for run in ours for latency in run], 0.99)],
                at_most=60,
                reference=[quantile([latency for run in arqs for latency in run], 0.99)],
                reference_is="plain arq",
                note=f"over all {len(ours) * tasks} tasks of all runs: one run has too few",
            ),
        ],
    )


async def _ours(scene: Scene) -> float:
    """Milliseconds."""
    scene.stand_in.reset()
    session_id, document = scene.task(["tiny.jpg", "tiny.jpg"])
    began = time.monotonic()
    await scene.redis.lpush("wearon:tasks:generation", document)
    await scene.wait_for([session_id])
    return 1000 * (scene.stand_in.moves()[session_id]["processing"] - began)


async def _arqs(scene: Scene, arq: ArqRedis) -> float:
    """Milliseconds."""
    session_id = str(uuid4())
    began = time.monotonic()
    await arq.enqueue_job("begin", session_id)
    (moved,) = await scene.wait_for([session_id], "processing")
    return 1000 * (moved - began)
