"""What is left for honest callers while others hammer: short phases with and without, in turn, and a refusal's CPU.

Answers a second depend on whatever else the machine does, so each phase is compared with the one just before it, and
the median of the pairs counts. What refusals take is measured apart from that, as CPU time of the worker's event loop:
the pose processes are stopped for a moment, so that nothing but refusals is done.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field

from benchmarks import machine, pictures
from benchmarks.estimate import HEALTH_EVERY_S, MANY, Answer, Caller
from benchmarks.hammer import CALLERS, Hammer
from benchmarks.report import Figure, Result, quantile
from benchmarks.scale import Scale
from benchmarks.scene import Scene, Worker, open_scene
from wearon.samples import PEOPLE

CORES = 2
"""Of the machines that the targets are for."""

SETTLE_S = 0.5
"""From the begin of a phase until its answers count."""

STOPPED_S = 1.0
"""How long the pose processes may be stopped, as a rule, without being taken for dead."""

HURRIED_S = 0.05


@dataclass
class _Kind:
    """One way to hammer, and its samples: one a pair of phases."""

    what: str
    request: bytes
    patience_s: float | None = None
    beside_honest: bool = True
    """Whether honest callers ask meanwhile; else the answers to those who hammer are counted."""
    answered: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    health_p95: list[float] = field(default_factory=list)
    refusal_ms: list[float] = field(default_factory=list)
    share_left: list[float] = field(default_factory=list)
    hammer_cores: list[float] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        """The lines of the table."""
        left = Figure(
            f"{self.what}: answers a second",
            f">= 0.75 x {MANY} callers",
            "/s",
            self.answered,
            at_least=0.75,
            reference=self.alone,
            reference_is="just before",
            judge_ratio=True,
        )
        cores = f"share of {CORES} cores that its refusals leave"
        return [
            left,
            Figure(f"{self.what}: {cores}", ">= 0.75", "", self.share_left, at_least=0.75),
            Figure(f"{self.what}: refusals a second", "", "/s", self.refused),
            Figure(f"{self.what}: CPU of a refusal", "", "ms", self.refusal_ms),
            Figure(f"{self.what}: `/health` meanwhile, p95", "<= 50 ms", "ms", self.health_p95, at_most=50),
            Figure(f"{self.what}: cores that hammering itself takes", "", "", self.hammer_cores),
        ]


async def run(scale: Scale) -> Result:
    """Each kind in turn, pair by pair."""
    names = [f"{number}.jpg" for number in range(len(PEOPLE))]
    photos = [pictures.photo(1200, 1700, person) for person in PEOPLE]
    seconds = scale.pick(1.5, 0.3)
    async with open_scene(dict(zip(names, photos, strict=True)), pictures.tiny()) as scene:
        worker = scene.serve(POSE_PROCESSES=str(CORES), API_TOKEN="hammering-callers-lack-it")
        worker.wait_until_healthy()
        kinds = _kinds(scene.stand_in.picture_url(names[0]))
        await _ask(scene, worker.url, seconds)
        with closing(Hammer(int(worker.url.rpartition(":")[2]))) as hammer:
            for _ in range(scale.pick(8, 1)):
                for kind in kinds:
                    await _pair(kind, scene, worker, hammer, seconds)
            for kind in kinds * scale.pick(3, 1):
                await _cost(kind, worker, hammer)
    return Result("hammering", [figure for kind in kinds for figure in kind.figures()])


def _kinds(photo_url: str) -> list[_Kind]:
    question = _post({"image_url": photo_url, "height_cm": 170})
    guess = b"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer guess\r\n\r\n"
    return [
        _Kind(f"{CALLERS} that do not heed `Retry-After`", question, beside_honest=False),
        _Kind(f"{CALLERS} that ask malformed questions", _post({})),
        _Kind(f"{CALLERS} that guess tokens", guess),
        _Kind(f"{CALLERS} that hang up after {1000 * HURRIED_S:.0f} ms and come again", _post({}), HURRIED_S),
    ]


def _post(question: dict[str, object]) -> bytes:
    body = json.dumps(question).encode()
    head = "POST /estimate-body HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    return head.format(len(body)).encode() + body


async def _pair(kind: _Kind, scene: Scene, worker: Worker, hammer: Hammer, seconds: float) -> None:
    kind.alone.append(await _ask(scene, worker.url, seconds))
    with hammer.hammering(kind.request, kind.patience_s) as hammered:
        health = asyncio.ensure_future(_watch_health(worker.url, SETTLE_S + seconds))
        honest = await _ask(scene, worker.url, seconds) if kind.beside_honest else 0.0
        kind.health_p95.append(quantile(await health, 0.95))
    kind.answered.append(honest if kind.beside_honest else hammered.good_rate)
    kind.refused.append(hammered.refusal_rate)
    kind.hammer_cores.append(hammered.cpu_share)


async def _cost(kind: _Kind, worker: Worker, hammer: Hammer) -> None:
    """Add what a refusal takes, and what refusals leave of the machine at the rate at which they were given."""
    worker.wait_until_healthy()
    before, began = machine.loop_seconds(worker.pid), time.perf_counter()
    await asyncio.sleep(STOPPED_S)
    idle = (machine.loop_seconds(worker.pid) - before) / (time.perf_counter() - began)
    async with _stopped_processes(worker):
        before = machine.loop_seconds(worker.pid)
        with hammer.hammering(kind.request, kind.patience_s) as hammered:
            await asyncio.sleep(STOPPED_S)
        busy = (machine.loop_seconds(worker.pid) - before) / hammered.seconds - idle
    kind.refusal_ms.append(1000 * busy / hammered.refusal_rate)
    kind.share_left.append(1 - busy / CORES)


@asynccontextmanager
async def _stopped_processes(worker: Worker) -> AsyncIterator[None]:
    pids = [process.pid for process in machine.tree(worker.pid)[1:]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # it was taken for dead
                os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(SETTLE_S)


async def _ask(scene: Scene, url: str, seconds: float) -> float:
    """Answers a second to honest callers, once they have begun."""
    photos = [scene.stand_in.picture_url(f"{number}.jpg") for number in range(len(PEOPLE))]
    begin = time.perf_counter() + SETTLE_S
    until = begin + seconds
    answers: list[Answer] = []

    async def call(number: int) -> None:
        with closing(Caller(url)) as caller:
            while time.perf_counter() < until:
                number += 1
                answers.append(await caller.estimate(photos[number % len(photos)]))
                await asyncio.sleep(min(answers[-1].retry_after or 0.0, max(0.0, until - time.perf_counter())))

    await asyncio.gather(*(call(number) for number in range(MANY)))
    return sum(answer.status == 200 and begin <= answer.ended < until for answer in answers) / seconds


async def _watch_health(url: str, seconds: float) -> list[float]:
    """Milliseconds of each answer."""
    until, times = time.perf_counter() + seconds, []
    with closing(Caller(url)) as caller:
        while time.perf_counter() < until:
            times.append(1000 * (await caller.health()).seconds)
            await asyncio.sleep(HEALTH_EVERY_S)
    return times
