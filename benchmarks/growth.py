"""More workers do more, and a long backlog costs nothing: the CPU work is taken out, what is left is our own."""

import time

from benchmarks import machine, pictures
from benchmarks.report import Figure, Result
from benchmarks.scale import Scale
from benchmarks.scene import Scene, Worker, open_scene

FLEETS = (1, 2, 4)
SLOTS = 6
OPENAI_S = 2.0
"""Three jobs a second and process: four processes then need less than the two cores that they share."""

BACKLOG = 100_000
NAMES = ("tiny.jpg", "tiny.jpg")
MB = 1e6


async def run(scale: Scale) -> Result:
    """Fleets in turn, then short and long backlogs in turn."""
    fleets = scale.pick(FLEETS, FLEETS[:2])
    rates: dict[int, list[float]] = {size: [] for size in fleets}
    async with open_scene({"tiny.jpg": pictures.tiny()}, pictures.tiny()) as scene:
        for size in fleets:
            while len(scene.workers) < size:
                worker = scene.serve("--no-api", WORKER_CONCURRENCY=str(SLOTS), PICTURE_PROCESSES="1")
                worker.line("started")
            for _ in range(scale.pick(2, 1)):
                rates[size].append(await _rate(scene, size, scale.pick(6, 1), scale.pick(OPENAI_S, 0.2)))
    backlog = await _backlogs(scale)
    alone = max(rates[1])
    return Result(
        "growth",
        [
            *(
                Figure(
                    f"jobs a second, {size} worker processes",
                    ">= 0.9 x as many times one's",
                    "/s",
                    rates[size],
                    at_least=0.9,
                    reference=[size * alone] * len(rates[size]),
                    reference_is=f"{size} x one",
                    judge_ratio=True,
                )
                for size in fleets[1:]
            ),
            *backlog,
        ],
    )


async def _rate(scene: Scene, size: int, waves: int, openai_s: float) -> float:
    """Jobs a second while all slots of so many workers are full."""
    scene.stand_in.reset(openai_s)
    sessions = await scene.push(size * SLOTS * waves, NAMES)
    ended = await scene.wait_for(sessions)
    began = min(moves["processing"] for moves in scene.stand_in.moves().values())
    return len(sessions) / (ended[-1] - began)


async def _backlogs(scale: Scale) -> list[Figure]:
    jobs = scale.pick(300, 10)
    short: list[float] = []
    long: list[float] = []
    short_cpu: list[float] = []
    long_cpu: list[float] = []
    memory: list[float] = []
    async with open_scene({"tiny.jpg": pictures.tiny()}, pictures.tiny()) as scene:
        worker = scene.serve("--no-api", PICTURE_PROCESSES="1")
        worker.line("started")
        short_list = 2 * jobs + 100
        await _per_job(scene, worker, jobs, short_list)
        for _ in range(scale.pick(3, 1)):
            before = machine.rss_bytes(worker.pid)
            wall, cpu = await _per_job(scene, worker, jobs, short_list)
            short.append(wall)
            short_cpu.append(cpu)
            wall, cpu = await _per_job(scene, worker, jobs, scale.pick(BACKLOG, 2000))
            long.append(wall)
            long_cpu.append(cpu)
            memory.append((machine.rss_bytes(worker.pid) - before) / MB)
    return [
        Figure(
            "time a job with 100,000 tasks waiting",
            "no slower (<= 1.1 x)",
            "ms",
            long,
            at_most=1.1,
            reference=short,
            reference_is="with 700 waiting",
            judge_ratio=True,
        ),
        Figure(
            "CPU a job with 100,000 tasks waiting",
            "no more (<= 1.1 x)",
            "ms",
            long_cpu,
            at_most=1.1,
            reference=short_cpu,
            reference_is="with 700 waiting",
            judge_ratio=True,
        ),
        Figure(
            "memory that such a backlog adds to the worker",
            "none (<= 10 MB)",
            "MB",
            memory,
            at_most=10,
            note="RSS of the tree after a short and a long backlog, less that before; the runs follow each other",
        ),
    ]


async def _per_job(scene: Scene, worker: Worker, jobs: int, backlog: int) -> tuple[float, float]:
    """Milliseconds, and CPU of the worker's tree, of each of `jobs` jobs with `backlog` tasks in the list."""
    scene.stand_in.reset()
    sessions = await scene.push(backlog, NAMES)
    first = await scene.wait_for(sessions, count=20)
    cpu_s, began, done = worker.cpu_s, time.monotonic(), len(first)
    ended = await scene.wait_for(sessions, count=done + jobs)
    seconds, cpu = time.monotonic() - began, worker.cpu_s - cpu_s
    await scene.redis.delete("wearon:tasks:generation")
    count = len(ended) - done
    while await scene.redis.zcard("wearon:jobs"):
        await scene.settle()
    return 1000 * seconds / count, 1000 * cpu / count
