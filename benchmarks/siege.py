"""All that strangers can do at once, beside fifty honest tasks and sixteen honest callers; before it, the same alone.

`tests/e2e/test_hostile_callers.py` counts what comes of such a siege, this measures how long it takes.
"""

import asyncio
import multiprocessing
import resource
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from functools import partial
from uuid import uuid4

from benchmarks import machine, pictures
from benchmarks.estimate import Answer, Caller
from benchmarks.hostile_callers import TRICKS, hold_idle, send_again_and_again
from benchmarks.report import Figure, Result, quantile
from benchmarks.scale import Scale
from benchmarks.scene import Scene, Worker, open_scene

CALLERS = 16
OPENAI_S = 1.0
IDLE = 1150
DESCRIPTORS = 1024
HARD_ORDERS = 10
"""Of one shop, with pictures of 48 megapixels: they are no honest ones', and nobody waits for them."""

GIANT_BYTES = 64_000_000


async def run(scale: Scale) -> Result:
    """A batch of tasks and callers alone, and one besieged, in turn."""
    tasks, seconds = scale.pick(50, 4), scale.pick(15.0, 1.0)
    files = {"me.jpg": pictures.two_megapixels(), "hard.jpg": pictures.photo(*scale.pick((6000, 8000), (600, 800)))}
    alone, besieged = _Measured(), _Measured()
    async with open_scene(files, pictures.tiny()) as scene:
        worker = scene.serve(POSE_PROCESSES="2")
        worker.wait_until_healthy()
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        for _ in range(scale.pick(3, 1)):
            await alone.batch(scene, worker, tasks, seconds)
            attacker = multiprocessing.get_context("spawn").Process(target=_attack, args=(worker.url,), daemon=True)
            attacker.start()
            try:
                await _push_hostile(scene)
                await besieged.batch(scene, worker, tasks, seconds)
            finally:
                attacker.kill()
                attacker.join()
    return Result("siege", besieged.figures(alone, tasks))


class _Measured:
    """Samples, one a run."""

    def __init__(self) -> None:
        self.p95: list[float] = []
        self.live: list[float] = []
        self.answered: list[float] = []
        self.seconds: list[float] = []
        self.completed: list[float] = []
        self.memory: list[float] = []

    async def batch(self, scene: Scene, worker: Worker, tasks: int, seconds: float) -> None:
        """Push tasks, and let callers ask for some seconds."""
        scene.stand_in.reset(OPENAI_S)
        began, until = time.monotonic(), time.monotonic() + seconds
        with machine.watching_memory(worker.pid) as peak:
            sessions = await scene.push(tasks, ("me.jpg", "me.jpg"))
            picture = scene.stand_in.picture_url("me.jpg")
            asking = [_ask(worker.url, until, lambda caller: caller.estimate(picture)) for _ in range(CALLERS)]
            live, *answers = await asyncio.gather(_ask(worker.url, until, Caller.live, pause_s=0.05), *asking)
            ends = await scene.wait_for(sessions)
        estimates = [answer for each in answers for answer in each]
        self.p95.append(1000 * quantile([answer.seconds for answer in estimates], 0.95))
        self.live.append(1000 * quantile([answer.seconds for answer in live], 0.99))
        self.answered.append(sum(answer.status == 200 for answer in estimates) / seconds)
        self.completed.append(len(ends))
        self.seconds.append(ends[-1] - began)
        self.memory.append(peak.rss / 2**20)

    def figures(self, alone: "_Measured", tasks: int) -> list[Figure]:
        """The lines of the table."""
        besieged = partial(Figure, reference_is="alone")
        return [
            besieged(
                f"besieged: estimates of {CALLERS} callers, p95",
                "< 1.5 s",
                "ms",
                self.p95,
                at_most=1500,
                reference=alone.p95,
            ),
            besieged("besieged: estimates a second", "", "/s", self.answered, reference=alone.answered),
            besieged("besieged: `/health/live`, p99", "<= 100 ms", "ms", self.live, at_most=100, reference=alone.live),
            besieged(f"besieged: of {tasks} tasks completed", "all", "", self.completed, at_least=tasks),
            besieged("besieged: until the last of them", "", "s", self.seconds, reference=alone.seconds),
            besieged(
                "besieged: RSS of the process tree, peak",
                "< 1.6 GB",
                "MB",
                self.memory,
                at_most=1600,
                reference=alone.memory,
            ),
        ]


async def _ask(
    url: str, until: float, ask: Callable[[Caller], Awaitable[Answer]], pause_s: float = 0.0
) -> list[Answer]:
    """What one caller is answered, at least once; when the connection is cut while it waits, it connects again."""
    answers: list[Answer] = []
    while not answers or time.monotonic() < until:
        with suppress(OSError, asyncio.IncompleteReadError), closing(Caller(url)) as caller:
            while not answers or time.monotonic() < until:
                answers.append(await ask(caller))
                await asyncio.sleep(answers[-1].retry_after or pause_s)
    return answers


async def _push_hostile(scene: Scene) -> None:
    owner = str(uuid4())
    hard = [scene.task(("hard.jpg", "hard.jpg"), user_id=owner)[1] for _ in range(HARD_ORDERS)]
    await scene.redis.lpush("wearon:tasks:generation", *hard, b"x" * GIANT_BYTES)


def _attack(url: str) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port = int(url.rpartition(":")[2])

    async def everything() -> None:
        await asyncio.gather(hold_idle(port, IDLE), *(send_again_and_again(port, sent) for sent in TRICKS.values()))

    asyncio.run(everything())
