"""Processes that are lost: what is our machine's fault fails no picture, and what is a picture's fault does."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import count

import pytest

from support import picture_zoo as zoo
from support.picture_jobs import die, hang, want_all_memory
from support.processes import pool_processes_of
from wearon.dependencies import Dependencies
from wearon.pictures import suspects
from wearon.pictures.decode import PictureError, prepare
from wearon.pictures.pool import KIND, PicturePool
from wearon.pictures.suspects import MOST_STRIKES, MOST_SUSPECTS, Suspects
from wearon.processes.child import ProcessDied, ProcessFailed
from wearon.processes.pool import NoProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not heed the limits"),
]

HEALTHY = zoo.saved(zoo.scene(), "PNG")


@asynccontextmanager
async def a_pool(processes: int = 1, **options: float | Dependencies) -> AsyncIterator[PicturePool]:
    pool = PicturePool(processes, **{"dependencies": Dependencies(), **options})  # type: ignore[arg-type]
    await pool.start()
    try:
        yield pool
    finally:
        pool.close()


def end_all_processes(pool: PicturePool) -> None:
    for worker in pool._pool._workers:
        worker.process.kill()


@contextmanager
def descriptors_used_up() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("fault", [die, want_all_memory])
async def test_a_picture_is_to_blame_when_it_has_lost_three_processes_of_its_own(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(suspects, "CONTROL_S", (0.05, 0.05))
    async with a_pool() as pool:
        for _ in range(MOST_STRIKES - 1):
            with pytest.raises(ProcessDied):
                await pool._run(fault, b"guilty")
            assert await pool.prepare(HEALTHY) == prepare(HEALTHY)
        with pytest.raises(PictureError, match=r"^could not be decoded: its process"):
            await pool._run(fault, b"guilty")
        assert await pool.prepare(HEALTHY) == prepare(HEALTHY)


async def test_a_suspect_meets_no_other_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "CONTROL_S", (0.05, 0.05))
    async with a_pool() as pool:
        with pytest.raises(ProcessDied):
            await pool._run(die, b"guilty")
        assert await pool.prepare(HEALTHY) == prepare(HEALTHY)
        before = set(pool_processes_of(os.getpid()))
        with pytest.raises(ProcessDied):
            await pool._run(die, b"guilty")
        assert set(pool_processes_of(os.getpid())) == before  # the others' process was left alone


@pytest.mark.parametrize("fault", [die, want_all_memory])
async def test_a_paid_picture_is_never_to_blame(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(suspects, "CONTROL_S", (0.05, 0.05))
    async with a_pool() as pool:
        for _ in range(MOST_STRIKES + 1):
            with pytest.raises(ProcessDied):
                await pool._run(fault, b"paid", paid=True)


async def test_a_paid_picture_that_took_too_long_is_tried_again_later() -> None:
    async with a_pool(time_limit_s=0.5) as pool:
        with pytest.raises(ProcessFailed):
            await pool._run(hang, b"paid", paid=True)


async def test_no_memory_is_nobodys_fault_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "CONTROL_S", (0.05, 0.05))
    large = zoo.saved(zoo.scene().resize((5000, 4000)), "PNG")
    async with a_pool() as pool:
        with monkeypatch.context() as short:
            short.setattr(pool._pool, "_kind", replace(KIND, memory_limit_bytes=60 * 1024 * 1024))
            end_all_processes(pool)
            for _ in range(MOST_STRIKES + 1):
                with pytest.raises(ProcessDied, match="MemoryError"):
                    await pool.prepare(large)
        end_all_processes(pool)
        assert await pool.prepare(large) == prepare(large)


async def test_no_descriptor_for_a_process_is_nobodys_fault_is_told_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wearon.processes.pool.RESTART_DELAYS_S", (0.1,))
    dependencies = Dependencies()
    async with a_pool(dependencies=dependencies) as pool:
        end_all_processes(pool)
        with descriptors_used_up():
            for _ in range(MOST_STRIKES + 1):
                with pytest.raises(NoProcess):
                    await pool.prepare(HEALTHY)
        assert [refusal.dependency for refusal in dependencies.refusals] == ["machine"]
        assert await pool.prepare(HEALTHY) == prepare(HEALTHY)
        assert dependencies.refusals == []


async def test_a_pool_without_processes_starts_all_the_same_and_gets_them_later() -> None:
    pool = PicturePool(2, dependencies=Dependencies())
    with descriptors_used_up():
        await pool.start()
    try:
        assert await pool.prepare(HEALTHY) == prepare(HEALTHY)
    finally:
        pool.close()


async def test_processes_that_are_killed_again_and_again_fail_no_picture() -> None:
    others = set(pool_processes_of(os.getpid()))

    async def kill_all() -> None:
        for wait in count():
            for process in set(pool_processes_of(os.getpid())) - others:
                os.kill(process, signal.SIGKILL)
            await asyncio.sleep(0.2 + 0.05 * (wait % 10))

    async def put_back_until_prepared(pool: PicturePool) -> bytes:
        while True:
            try:
                return await pool.prepare(HEALTHY)
            except ProcessFailed:
                await asyncio.sleep(0.1)

    async with a_pool(2) as pool:
        killing = asyncio.create_task(kill_all())
        jobs = [asyncio.create_task(put_back_until_prepared(pool)) for _ in range(10)]
        await asyncio.sleep(10.0)
        killing.cancel()
        assert await asyncio.gather(*jobs) == [prepare(HEALTHY)] * 10


def test_the_number_of_suspects_is_bounded_and_the_oldest_goes() -> None:
    known = Suspects()
    for number in range(MOST_SUSPECTS + 1):
        known.add(str(number).encode())
    assert not known.knows(b"0")
    assert known.knows(str(MOST_SUSPECTS).encode())


def test_a_success_or_a_storm_takes_the_strikes_back() -> None:
    known = Suspects()
    strikes = [known.strike(b"picture") for _ in range(MOST_STRIKES - 1)]
    known.spare(b"picture")
    assert not any([*strikes, known.strike(b"picture")])
    known.clear(b"picture")
    assert not known
