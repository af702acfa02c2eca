"""The pool's behaviour towards its callers, with real processes and the real model."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support import pose_jobs as jobs
from wearon.metrics import Metrics
from wearon.pose import Detector, PoseBusy, PosePool, PoseUnavailable
from wearon.pose.detector import WARM_UP_PICTURE
from wearon.pose.pool import ADMISSION
from wearon.processes.child import ChildProcess

pytestmark = pytest.mark.slow


@pytest.fixture
async def pool() -> AsyncIterator[PosePool]:
    pool = PosePool(None, 1, metrics=Metrics(), max_wait_s=30)
    await pool.start()
    yield pool
    pool.close()


@pytest.fixture
async def pool_with_short_line() -> AsyncIterator[PosePool]:
    pool = PosePool(None, 1, metrics=Metrics(), max_wait_s=0.2 / ADMISSION)
    await pool.start()
    yield pool
    pool.close()


async def test_runs_functions_next_to_a_detector_and_passes_their_errors_on(pool: PosePool) -> None:
    assert pool.ready
    assert pool.warm == pool.processes == 1
    assert await pool.run(jobs.people_in_a_blank_picture, 300) == 0
    with pytest.raises(KeyError, match="no such thing"):
        await pool.run(jobs.fail)
    assert pool.waiting == 0


@pytest.mark.parametrize("end", [jobs.die, jobs.hang, jobs.want_all_memory])
async def test_replaces_a_process_that_dies_hangs_or_has_no_memory(
    pool: PosePool, end: Callable[[Detector], None]
) -> None:
    first = await pool.run(jobs.own_pid)
    with pytest.raises(PoseUnavailable):
        await pool.run(end, timeout=0.3)
    assert not pool.ready
    second = await pool.run(jobs.own_pid)  # waits for the new one
    assert second != first
    assert pool.ready


async def test_replaces_a_process_that_dies_while_idle(pool: PosePool) -> None:
    first = await pool.run(jobs.own_pid)
    os.kill(first, 9)
    async with asyncio.timeout(10):
        while pool.ready:  # noqa: ASYNC110 (there is nothing to wait on: nobody has noticed yet)
            await asyncio.sleep(0.01)
    assert await pool.run(jobs.own_pid) != first


@pytest.mark.parametrize("lost", ["dies", "hangs"])
async def test_who_was_sent_ahead_to_a_process_that_is_lost_is_served_by_the_next_one(
    pool: PosePool, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr("wearon.pose.pool.OVERRUN_S", 60.0)
    first = await pool.run(jobs.own_pid)
    end = pool.run(jobs.die_after, 2.0) if lost == "dies" else pool.run(jobs.hang, timeout=2.0)
    guilty = asyncio.create_task(end)
    innocent = asyncio.create_task(pool.run(jobs.own_pid))
    await sent_ahead(pool)
    with pytest.raises(PoseUnavailable):
        await guilty
    assert await innocent != first
    assert await pool.run(jobs.own_pid) == await innocent


async def test_who_was_sent_ahead_waits_in_the_process_and_not_for_the_loop(
    pool: PosePool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("wearon.pose.pool.OVERRUN_S", 60.0)
    begun = tmp_path / "begun"
    first = asyncio.create_task(pool.run(jobs.work_for, 2.0))
    second = asyncio.create_task(pool.run(jobs.touch, begun))
    await sent_ahead(pool)
    deadline = time.monotonic() + 30
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # noqa: ASYNC251 (a loop that has much else to do)
    assert begun.exists()
    assert not first.done()  # as far as the loop knows
    await asyncio.gather(first, second)


async def test_who_was_sent_ahead_behind_slow_work_is_served_by_another_process() -> None:
    pool = PosePool(None, 2, metrics=Metrics(), max_wait_s=30)
    await pool.start()
    try:
        slow = asyncio.create_task(pool.run(jobs.work_for, 60.0, timeout=60))
        short = asyncio.create_task(pool.run(jobs.work_for, 1.0))
        third = asyncio.create_task(pool.run(jobs.own_pid))
        await sent_ahead(pool)
        assert await third == await short
        assert not slow.done()
    finally:
        pool.close()
    with pytest.raises(PoseUnavailable):
        await slow


async def test_first_come_first_served(pool: PosePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wearon.pose.pool.OVERRUN_S", 60.0)
    callers = []
    for number in range(200):
        callers.append(asyncio.create_task(pool.run(jobs.turn)))
        for _ in range(number % 23):  # some arrive just when a process becomes free
            await asyncio.sleep(0)
    assert await asyncio.gather(*callers) == list(range(200))


async def test_a_caller_who_leaves_the_line_leaves_his_turn_to_the_next(pool: PosePool) -> None:
    first = asyncio.create_task(pool.run(jobs.work_for, 2.0))
    line = [asyncio.create_task(pool.run(jobs.own_pid)) for _ in range(4)]
    await sent_ahead(pool)
    for leaving in line[:3]:
        leaving.cancel()
    await first
    assert await line[3] > 0
    assert pool.waiting == 0


async def sent_ahead(pool: PosePool) -> None:
    async with asyncio.timeout(30):
        # What is counted is sent one turn of the loop later.
        while max(len(worker.process._answers._expected) for worker in pool._pool._workers) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_cancelled_call_costs_no_process(pool: PosePool) -> None:
    first = await pool.run(jobs.own_pid)
    call = asyncio.create_task(pool.run(jobs.work_for, 0.3))
    await asyncio.sleep(0.1)
    call.cancel()
    assert await pool.run(jobs.own_pid) == first


async def test_closing_the_pool_ends_the_calls_in_it() -> None:
    pool = PosePool(None, 1, metrics=Metrics())
    await pool.start()
    call = asyncio.create_task(pool.run(jobs.work_for, 60.0, timeout=60))
    await asyncio.sleep(0.1)
    pool.close()
    with pytest.raises(PoseUnavailable):
        await call


async def test_says_no_to_more_than_it_can_serve_in_time() -> None:
    pool = PosePool(None, 1, metrics=Metrics(), max_wait_s=0.2)
    await pool.start()
    try:
        calls = [asyncio.create_task(pool.run(jobs.work_for, 0.5)) for _ in range(20)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        pool.close()
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, PoseBusy) for outcome in outcomes) == 19


async def test_lets_nobody_in_who_would_wait_too_long(pool_with_short_line: PosePool) -> None:
    pool = pool_with_short_line
    with ExitStack() as stack:
        for _ in range(3):  # 0.08 s each, until calls have been measured: the third waits 0.16 s of at most 0.2
            stack.enter_context(pool.place(jobs.own_pid))
        with pytest.raises(PoseBusy), pool.place(jobs.own_pid):
            pass
    with pool.place(jobs.own_pid) as place:
        assert await place.run() > 0


async def test_a_call_with_two_pictures_counts_as_two(pool_with_short_line: PosePool) -> None:
    pool = pool_with_short_line
    pair = partial(pool.place, jobs.own_pid, pictures=2)
    with pair(), pool.place(jobs.own_pid), pytest.raises(PoseBusy), pool.place(jobs.own_pid):
        pass
    with pair() as place:
        assert await place.run() > 0


async def test_who_waits_for_his_picture_keeps_nobody_out(
    pool_with_short_line: PosePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wearon.pose.admission.FETCH_S", 0.0)
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(pool_with_short_line.place(jobs.own_pid))
        assert await pool_with_short_line.run(jobs.own_pid) > 0


async def test_slow_work_of_another_kind_turns_nobody_away_afterwards(pool_with_short_line: PosePool) -> None:
    pool = pool_with_short_line
    for _ in range(3):
        await pool.run(jobs.work_for, 1.0)  # taken to cost 0.33 s from now on
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(pool.place(jobs.own_pid))
    with pool.place(jobs.work_for), pytest.raises(PoseBusy), pool.place(jobs.own_pid):
        pass


async def test_a_model_that_cannot_be_loaded_is_reported_with_its_reason(tmp_path: Path) -> None:
    pool = PosePool(tmp_path / "absent.task", 1, metrics=Metrics())
    with pytest.raises(PoseUnavailable, match=r"absent\.task"):
        await pool.start()
    assert not pool.ready
    with pytest.raises(PoseUnavailable):
        await pool.run(jobs.own_pid)


async def test_one_process_that_does_not_start_leaves_the_other_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, failures = ChildProcess.start, iter([OSError(12, "Cannot allocate memory")])

    async def start_the_second_time(*, memory_limit_bytes: int | None = None) -> ChildProcess:
        if failure := next(failures, None):
            raise failure
        return await start(memory_limit_bytes=memory_limit_bytes)

    monkeypatch.setattr(ChildProcess, "start", start_the_second_time)
    pool = PosePool(None, 2, metrics=Metrics())
    try:
        await pool.start()
        assert pool.ready
        pids: set[int] = set()
        async with asyncio.timeout(60):
            while len(pids) < 2:
                both = (pool.run(jobs.work_for, 0.2), pool.run(jobs.work_for, 0.2))
                pids |= {pid for pid in await asyncio.gather(*both, return_exceptions=True) if isinstance(pid, int)}
    finally:
        pool.close()


def test_the_mask_belongs_to_the_caller() -> None:
    # Kept out of the pool: the array must own its memory before it is pickled.
    detector = Detector()
    pixels = np.random.default_rng(5).integers(0, 255, (300, 200, 3), dtype=np.uint8)
    poses = detector.detect(Image.fromarray(pixels))
    detector.close()
    assert all(pose.mask.flags.owndata and pose.mask.shape == (300, 200) for pose in poses)


def test_a_picture_and_its_pixels_show_the_same_people() -> None:
    with Image.open(WARM_UP_PICTURE) as file:
        picture = file.convert("RGB")
    detector = Detector()
    (person,), (same,) = detector.detect(picture), detector.detect(np.asarray(picture))
    detector.close()
    assert (person.width, person.height) == (same.width, same.height) == picture.size
    assert np.array_equal(person.landmarks, same.landmarks)
    assert np.array_equal(person.mask, same.mask)
