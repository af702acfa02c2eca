"""Jobs a second in one process against what preparing their pictures alone can do on the same cores."""

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks import pictures
from benchmarks.report import Figure, Result
from benchmarks.scale import Scale
from benchmarks.scene import Scene, Worker, open_scene
from wearon.pictures.decode import prepare

OPENAI_S = 0.2
CORES = 2
CONCURRENCY = 40
"""Enough that the cores, not the slots, are the limit: 0.2 s of waiting and 0.2 s of work at 60 jobs a second."""


async def run(scale: Scale) -> Result:
    """Interleaved: a batch of jobs, then the same pictures in bare threads, then the next batch."""
    person, garment = pictures.three_megapixels()
    jobs = scale.pick(150, 12)
    names = ("person.jpg", "garment.jpg")
    ours: list[float] = []
    bare: list[float] = []
    cpu: list[float] = []
    others: list[float] = []
    async with open_scene(dict(zip(names, (person, garment), strict=True)), pictures.model_answer()) as scene:
        worker = scene.serve("--no-api", WORKER_CONCURRENCY=str(CONCURRENCY))
        worker.line("started")
        await batch(scene, worker, scale.pick(40, 4), names)  # connections, caches
        for _ in range(scale.runs):
            rate, cpu_s, other_s = await batch(scene, worker, jobs, names)
            ours.append(rate)
            cpu.append(1000 * cpu_s / jobs)
            others.append(1000 * other_s / jobs)
            bare.append(preparing_alone(person, garment, jobs))
    rate_note = "2 prepared pictures count as one job of the reference, a pool of two threads over the same pictures"
    return Result(
        "throughput",
        [
            Figure(
                "jobs a second, one process (3-megapixel pictures, two per job)",
                ">= 0.85 x preparing alone",
                "/s",
                ours,
                at_least=0.85,
                reference=bare,
                reference_is="preparing alone",
                judge_ratio=True,
                note=rate_note,
            ),
            Figure(
                "CPU a job, whole process tree",
                "",
                "ms",
                cpu,
                reference=[2000 / rate for rate in bare],
                reference_is="two cores' time a job of the reference",
            ),
            Figure("CPU a job of stand-ins and Redis, on the same two cores", "", "ms", others),
        ],
    )


async def batch(scene: Scene, worker: Worker, jobs: int, names: tuple[str, ...]) -> tuple[float, float, float]:
    """Push so many jobs and wait; jobs a second, CPU of the worker, CPU of the stand-in."""
    scene.stand_in.reset(OPENAI_S)
    cpu_s, other_s, began = worker.cpu_s, scene.stand_in.cpu_s, time.monotonic()
    sessions = await scene.push(jobs, names)
    ended = await scene.wait_for(sessions)
    # The image model's wait at the start of a batch, when nothing is under way yet, is no work of anybody's.
    seconds = ended[-1] - began - OPENAI_S
    return jobs / seconds, worker.cpu_s - cpu_s, scene.stand_in.cpu_s - other_s


def preparing_alone(person: bytes, garment: bytes, jobs: int) -> float:
    """Jobs a second, if a job were nothing but its two pictures."""
    with ThreadPoolExecutor(CORES) as threads:
        began = time.monotonic()
        for _ in threads.map(prepare, [person, garment] * jobs):
            pass
        return jobs / (time.monotonic() - began)
