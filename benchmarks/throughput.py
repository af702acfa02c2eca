"""Jobs a second in one process against what preparing their pictures alone can do on the same cores."""

import time
from collections.abc import Sequence
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

GARMENTS = 10
"""Of 150 jobs in the row where shoppers share them: what one shop's few best sellers are in an hour."""


async def run(scale: Scale) -> Result:
    """Interleaved: a batch of jobs, one with shared garments, the same pictures in bare threads, and again."""
    person, garment = pictures.three_megapixels()
    jobs = scale.pick(150, 12)
    names = ("person.jpg", "garment.jpg")
    ours: list[float] = []
    shared: list[float] = []
    bare: list[float] = []
    cpu: list[float] = []
    shared_cpu: list[float] = []
    others: list[float] = []
    async with open_scene(dict(zip(names, (person, garment), strict=True)), pictures.model_answer()) as scene:
        worker = scene.serve("--no-api", WORKER_CONCURRENCY=str(CONCURRENCY))
        worker.line("started")
        await batch(scene, worker, scale.pick(40, 4), names)  # connections, caches
        for run_number in range(scale.runs):
            rate, cpu_s, other_s = await batch(scene, worker, jobs, names)
            ours.append(rate)
            cpu.append(1000 * cpu_s / jobs)
            others.append(1000 * other_s / jobs)
            garments = [f"run-{run_number}-garment-{number}" for number in range(scale.pick(GARMENTS, 2))]
            rate, cpu_s, _ = await batch(scene, worker, jobs, names, garments)
            shared.append(rate)
            shared_cpu.append(1000 * cpu_s / jobs)
            bare.append(preparing_alone(person, garment, jobs))
    rate_note = (
        "every picture has bytes of its own, so that none is found prepared; 2 prepared pictures count as one job of "
        "the reference, a pool of two threads over the same pictures"
    )
    shared_note = (
        f"{jobs} jobs with {len(garments)} garments that the worker has not seen before, every person their own. Not "
        "judged: it prepares little more than half of the reference's pictures, and shops differ in what is shared"
    )
    cores_time = [2000 / rate for rate in bare]
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
                reference=cores_time,
                reference_is="two cores' time a job of the reference",
            ),
            Figure(
                "the same with garments that shoppers share: jobs a second",
                "",
                "/s",
                shared,
                reference=bare,
                reference_is="preparing both pictures of each job alone",
                note=shared_note,
            ),
            Figure(
                "the same with garments that shoppers share: CPU a job, whole process tree",
                "",
                "ms",
                shared_cpu,
                reference=cores_time,
                reference_is="two cores' time a job of the reference",
            ),
            Figure("CPU a job of stand-ins and Redis, on the same two cores", "", "ms", others),
        ],
    )


async def batch(
    scene: Scene, worker: Worker, jobs: int, names: tuple[str, ...], garment_copies: Sequence[str] = ()
) -> tuple[float, float, float]:
    """Push so many jobs (see `Scene.push`) and wait; jobs a second, CPU of the worker, CPU of the stand-in."""
    scene.stand_in.reset(OPENAI_S)
    cpu_s, other_s, began = worker.cpu_s, scene.stand_in.cpu_s, time.monotonic()
    sessions = await scene.push(jobs, names, garment_copies)
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
