"""`/estimate-body` over loopback HTTP: many callers, one caller, too many callers; and the bare inference beside it."""

import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from benchmarks import pictures
from benchmarks.report import Figure, Result, quantile
from benchmarks.scale import Scale
from benchmarks.scene import Scene, open_scene
from wearon.pictures.decode import decode
from wearon.pose import Detector
from wearon.processes.child import NICENESS
from wearon.processes.heap import keep_freed_memory
from wearon.samples import PEOPLE
from wearon.sizing.sight import PHOTO_EDGE

T = TypeVar("T")

PROCESSES = 2
MANY, TOO_MANY = 16, 64
HEALTH_EVERY_S = 0.05
FILLING_S = 0.5
"""Until as many callers wait as ever do. Neither the answers before nor those after the end of the time are counted."""


@dataclass(frozen=True)
class Answer:
    """One answer: how it ended, when (time.perf_counter()), and in how many seconds."""

    status: int
    ended: float
    seconds: float
    retry_after: float | None


class Caller:
    """A keep-alive connection that asks plainly: next to no CPU, which is the worker's here."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self._token = f"Authorization: Bearer {token}\r\n" if token else ""
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def estimate(self, picture_url: str) -> Answer:
        """POST /estimate-body."""
        body = json.dumps({"image_url": picture_url, "height_cm": 170}).encode()
        return await self._ask(b"POST /estimate-body", body)

    async def health(self) -> Answer:
        """GET /health."""
        return await self._ask(b"GET /health", b"")

    async def live(self) -> Answer:
        """GET /health/live."""
        return await self._ask(b"GET /health/live", b"")

    def close(self) -> None:
        """Hang up."""
        if self._connection:
            self._connection[1].close()

    async def _ask(self, line: bytes, body: bytes) -> Answer:
        began = time.perf_counter()
        self._connection = self._connection or await asyncio.open_connection(self._host, self._port)
        reader, writer = self._connection
        head = b"%s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % (line, self._host.encode(), self._token.encode(), len(body)) + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        fields = dict(field.split(b": ", 1) for field in answer.split(b"\r\n")[1:-2])
        await reader.readexactly(int(fields[b"content-length"]))
        retry_after = float(fields[b"retry-after"]) if b"retry-after" in fields else None
        ended = time.perf_counter()
        return Answer(int(answer.split(b" ", 2)[1]), ended, ended - began, retry_after)


async def run(scale: Scale) -> Result:
    """Bare inference, 16 callers, one caller, 64 callers that come back when they are told to, 64 that do not."""
    names = [f"{number}.jpg" for number in range(len(PEOPLE))]
    photos = [pictures.photo(1200, 1700, person) for person in PEOPLE]
    seconds = scale.pick(6.0, 0.5)
    measured = _Measured()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, context, _load, (photos,)) as bare:
        async with open_scene(dict(zip(names, photos, strict=True)), pictures.tiny()) as scene:
            worker = scene.serve(POSE_PROCESSES=str(PROCESSES))
            worker.wait_until_healthy()
            await _bare(bare, 2)
            await _ask(scene, worker.url, MANY, scale.pick(2.0, 0.2))
            for _ in range(scale.runs):
                measured.bare_rate.append(await _bare(bare, seconds))
                began = time.perf_counter() + scale.pick(FILLING_S, 0.1)
                answers = await _ask(scene, worker.url, MANY, began + seconds - time.perf_counter())
                measured.many([answer for answer in answers if began <= answer.ended < began + seconds], seconds)
                measured.bare_one.append(await _bare_times(bare, scale.pick(40, 3)))
                measured.one(await _ask(scene, worker.url, 1, seconds / 2))
                answers, health = await asyncio.gather(
                    _ask(scene, worker.url, TOO_MANY, seconds), _watch_health(worker.url, seconds)
                )
                measured.overload(answers, health)
                began = time.perf_counter() + scale.pick(FILLING_S, 0.1)
                answers, health = await asyncio.gather(
                    _ask(scene, worker.url, TOO_MANY, began + seconds - time.perf_counter(), heed=False),
                    _watch_health(worker.url, seconds),
                )
                measured.hammered([answer for answer in answers if began <= answer.ended], seconds, health)
    return Result("estimate", measured.figures())


class _Measured:
    """Samples, one a run."""

    def __init__(self) -> None:
        self.bare_rate: list[float] = []
        self.rate: list[float] = []
        self.bare_one: list[float] = []
        self.p50: list[float] = []
        self.p95: list[float] = []
        self.over_p95: list[float] = []
        self.refusal_p95: list[float] = []
        self.refused: list[float] = []
        self.over_rate: list[float] = []
        self.health_p95: list[float] = []
        self.without_hint: list[float] = []
        self.hammered_rate: list[float] = []
        self.hammered_refusals: list[float] = []
        self.hammered_health_p95: list[float] = []

    def many(self, answers: list[Answer], seconds: float) -> None:
        """16 callers, and what they were answered in so many seconds."""
        self.rate.append(sum(answer.status == 200 for answer in answers) / seconds)

    def one(self, answers: list[Answer]) -> None:
        """One caller."""
        times = [1000 * answer.seconds for answer in answers if answer.status == 200]
        self.p50.append(quantile(times, 0.5))
        self.p95.append(quantile(times, 0.95))

    def overload(self, answers: list[Answer], health: list[Answer]) -> None:
        """64 callers."""
        good = [1000 * answer.seconds for answer in answers if answer.status == 200]
        bad = [answer for answer in answers if answer.status != 200]
        self.over_p95.append(quantile(good, 0.95))
        self.over_rate.append(len(good))
        self.refused.append(100 * len(bad) / len(answers))
        self.refusal_p95.append(quantile([1000 * answer.seconds for answer in bad] or [0.0], 0.95))
        self.without_hint.append(sum(answer.status != 503 or answer.retry_after is None for answer in bad))
        self.health_p95.append(quantile([1000 * answer.seconds for answer in health], 0.95))

    def hammered(self, answers: list[Answer], seconds: float, health: list[Answer]) -> None:
        """64 callers that ask again at once."""
        good = sum(answer.status == 200 for answer in answers)
        self.hammered_rate.append(good / seconds)
        self.hammered_refusals.append((len(answers) - good) / seconds)
        self.hammered_health_p95.append(quantile([1000 * answer.seconds for answer in health], 0.95))

    def figures(self) -> list[Figure]:
        """The lines of the table."""
        return [
            Figure(
                "`/estimate-body` a second, 16 callers (2-megapixel JPEGs)",
                ">= 0.85 x bare",
                "/s",
                self.rate,
                at_least=0.85,
                reference=self.bare_rate,
                reference_is="bare decode, resize, inference in two processes",
                judge_ratio=True,
            ),
            Figure(
                "`/estimate-body`, one caller, p50",
                "<= 1.35 x bare",
                "ms",
                self.p50,
                at_most=1.35,
                reference=self.bare_one,
                reference_is="one bare decode, resize, inference, p50",
                judge_ratio=True,
            ),
            Figure(
                "`/estimate-body`, one caller, p95",
                "<= 2 x bare",
                "ms",
                self.p95,
                at_most=2.0,
                reference=self.bare_one,
                reference_is="the same",
                judge_ratio=True,
            ),
            Figure("64 callers: those answered, p95", "< 1 s", "ms", self.over_p95, at_most=1000),
            Figure("64 callers: the 503s, p95", "at once", "ms", self.refusal_p95, at_most=100),
            Figure(
                "64 callers: refusals that are not 503 with `Retry-After`", "none", "", self.without_hint, at_most=0
            ),
            Figure("64 callers: share refused (callers heed `Retry-After`)", "", "%", self.refused),
            Figure("64 callers: `/health` meanwhile, p95", "<= 25 ms", "ms", self.health_p95, at_most=25),
            Figure(
                "64 callers that do not heed `Retry-After`: answers a second",
                ">= 0.75 x 16 callers",
                "/s",
                self.hammered_rate,
                at_least=0.75,
                reference=self.rate,
                reference_is="what 16 callers are answered",
                judge_ratio=True,
            ),
            Figure("the same: refusals a second", "", "/s", self.hammered_refusals),
            Figure("the same: `/health` meanwhile, p95", "<= 50 ms", "ms", self.hammered_health_p95, at_most=50),
        ]


async def _ask(scene: Scene, url: str, callers: int, seconds: float, *, heed: bool = True) -> list[Answer]:
    """Let callers ask, each one thing after the other, for some seconds; `heed`: they wait as `Retry-After` says."""
    photos = [scene.stand_in.picture_url(f"{number}.jpg") for number in range(len(PEOPLE))]
    stop = time.perf_counter() + seconds
    answers: list[Answer] = []

    async def call(number: int) -> None:
        caller = Caller(url)
        while time.perf_counter() < stop:
            number += 1
            answer = await caller.estimate(photos[number % len(photos)])
            answers.append(answer)
            if heed and answer.retry_after is not None:
                await asyncio.sleep(answer.retry_after)
        caller.close()

    await asyncio.gather(*(call(number) for number in range(callers)))
    return answers


async def _watch_health(url: str, seconds: float) -> list[Answer]:
    stop = time.perf_counter() + seconds
    caller = Caller(url)
    health: list[Answer] = []
    while time.perf_counter() < stop:
        health.append(await caller.health())
        await asyncio.sleep(HEALTH_EVERY_S)
    caller.close()
    return health


# The bare reference, in processes of its own: as ready to give way, and to keep freed memory, as the worker's are.

_detectors: list[Detector] = []
_photos: list[bytes] = []


def _load(photos: list[bytes]) -> None:
    os.nice(NICENESS)
    keep_freed_memory()
    _detectors.append(Detector())
    _photos.extend(photos)


def _infer(number: int) -> None:
    _detectors[0].detect(decode(_photos[number % len(_photos)], PHOTO_EDGE))


def _loop(seconds: float) -> int:
    stop, done = time.perf_counter() + seconds, 0
    while time.perf_counter() < stop:
        _infer(done)
        done += 1
    return done


def _times(count: int) -> list[float]:
    times = []
    for number in range(count):
        began = time.perf_counter()
        _infer(number)
        times.append(1000 * (time.perf_counter() - began))
    return times


async def _bare(pool: ProcessPoolExecutor, seconds: float) -> float:
    """Inferences a second, all processes together."""
    done = await asyncio.gather(*(_in(pool, partial(_loop, seconds)) for _ in range(PROCESSES)))
    return sum(done) / seconds


async def _bare_times(pool: ProcessPoolExecutor, count: int) -> float:
    """Median of one process alone, in milliseconds."""
    return quantile(await _in(pool, partial(_times, count)), 0.5)


def _in(pool: ProcessPoolExecutor, work: Callable[[], T]) -> Awaitable[T]:
    return asyncio.get_running_loop().run_in_executor(pool, work)
