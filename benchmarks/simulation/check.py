"""Is the simulation right? The same arrivals, slots, limit and latency for a real worker and for the one on paper."""

import asyncio
import time

from benchmarks import pictures
from benchmarks.report import Figure, Result, quantile
from benchmarks.scale import Scale
from benchmarks.scene import Scene, open_scene
from benchmarks.simulation.fleet import Fleet, Simulation, poisson

LATENCY_S = 2.0
SLOTS = 8
PER_MINUTE = 180
"""Slots allow 240 a minute, the limit 180: both of them hold up some of the tasks, which come at 150 with a burst."""

BURST = 30
NAMES = ("person.jpg", "garment.jpg")


async def run(scale: Scale) -> Result:
    """Poisson arrivals with a burst in the middle, once for real and once on paper."""
    seconds = scale.pick(30.0, 3.0)
    measured: list[list[float]] = []
    simulated: list[list[float]] = []
    person, garment = pictures.three_megapixels()
    async with open_scene({"person.jpg": person, "garment.jpg": garment}, pictures.model_answer()) as scene:
        worker = scene.serve("--no-api", WORKER_CONCURRENCY=str(SLOTS), OPENAI_REQUESTS_PER_MINUTE=str(PER_MINUTE))
        worker.line("started")
        scene.stand_in.reset()
        await scene.wait_for(await scene.push(4, NAMES))
        cpu_s, jobs = worker.cpu_s, 0
        for number in range(scale.pick(2, 1)):
            arrivals = sorted(poisson(150, seconds, number) + [seconds / 2] * scale.pick(BURST, 2))
            measured.append(await _real(scene, arrivals))
            jobs += len(arrivals)
            cost = (worker.cpu_s - cpu_s) / jobs
            fleet = Fleet(
                workers=1,
                slots=SLOTS,
                per_minute=PER_MINUTE,
                latency=lambda _: LATENCY_S,
                cpu_before_s=cost * 2 / 3,
                cpu_after_s=cost / 3,
            )
            simulated.append(Simulation(fleet, arrivals, number).run().waits())
    return Result(
        "simulation",
        [
            Figure(
                f"simulation against a real worker: wait for the picture, {name}",
                "within 10 %",
                "s",
                [quantile(waits, share) for waits in simulated],
                at_most=1.1,
                at_least=0.9,
                reference=[quantile(waits, share) for waits in measured],
                reference_is="measured",
                judge_ratio=True,
            )
            for name, share in (("median", 0.5), ("p95", 0.95))
        ],
    )


async def _real(scene: Scene, arrivals: list[float]) -> list[float]:
    """Push at those times; how long each took."""
    scene.stand_in.reset(LATENCY_S)
    began = time.monotonic()
    pushed: dict[str, float] = {}
    for at in arrivals:
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        session_id, document = scene.task(NAMES)
        pushed[session_id] = time.monotonic()
        await scene.redis.lpush("wearon:tasks:generation", document)
    await scene.wait_for(list(pushed))
    moves = scene.stand_in.moves()
    return sorted(moves[session_id]["completed"] - at for session_id, at in pushed.items())
