"""Decoding in processes: results and reasons come back, and one that hangs takes nobody along."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from support import picture_zoo as zoo
from support.picture_jobs import burn, die, die_the_first_time, hang
from support.processes import pool_processes_of
from wearon.dependencies import Dependencies
from wearon.pictures import pool as pools
from wearon.pictures.decode import PictureError, prepare
from wearon.pictures.pool import IN_HAND, PicturePool
from wearon.processes import child
from wearon.processes.child import ProcessDied, Starved
from wearon.resources.work import Purpose, work_for

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[PicturePool]:
    pool = PicturePool(2, dependencies=Dependencies())
    await pool.start()
    yield pool
    pool.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_pictures_come_back_as_if_prepared_here(pool: PicturePool) -> None:
    pictures = [specimen.data for specimen in zoo.healthy()]
    assert await asyncio.gather(*map(pool.prepare, pictures)) == [prepare(data) for data in pictures]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_whole_jpeg_is_kept_as_it_is(pool: PicturePool) -> None:
    data = zoo.saved(zoo.scene(), "JPEG")
    assert await pool.ensure_jpeg(data) == data


@pytest.mark.asyncio(loop_scope="module")
async def test_reasons_come_back(pool: PicturePool) -> None:
    for specimen in zoo.hopeless():
        with pytest.raises(PictureError) as caught:
            await pool.prepare(specimen.data)
        assert caught.value.reason == specimen.reason


@pytest.fixture
def idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if whatever takes long had the processors meanwhile."""
    monkeypatch.setattr(child, "STARVED", 0.0)


@pytest.mark.usefixtures("idle_machine")
async def test_a_picture_that_takes_too_long_is_given_up_and_the_others_go_on() -> None:
    pool = PicturePool(2, dependencies=Dependencies(), time_limit_s=3.0)
    await pool.start()
    healthy = zoo.saved(zoo.scene(), "PNG")
    try:
        endless = asyncio.create_task(pool._run(hang, b""))
        while not endless.done():
            assert await pool.prepare(healthy) == prepare(healthy)
        with pytest.raises(PictureError, match=r"^could not be decoded: took longer than 3 s$"):
            await endless
        assert await asyncio.gather(*(pool.prepare(healthy) for _ in range(4))) == [prepare(healthy)] * 4
    finally:
        pool.close()


async def test_a_picture_that_a_busy_machine_left_no_time_is_not_to_blame() -> None:
    pool = PicturePool(1, dependencies=Dependencies(), time_limit_s=2.0)
    await pool.start()
    healthy = zoo.saved(zoo.scene(), "PNG")
    try:
        starved = asyncio.create_task(pool._run(hang, b""))
        behind = asyncio.create_task(pool.prepare(healthy))
        with pytest.raises(Starved, match=r" s of a processor in 2 s$"):
            await starved
        assert await behind == prepare(healthy)
    finally:
        pool.close()


async def test_no_picture_waits_behind_another_while_a_process_is_idle() -> None:
    pool = PicturePool(2, dependencies=Dependencies())
    await pool.start()
    healthy = zoo.saved(zoo.scene(), "PNG")
    try:
        endless = asyncio.create_task(pool._run(hang, b""))
        for _ in range(4):
            assert await pool.prepare(healthy) == prepare(healthy)
        assert not endless.done()
    finally:
        pool.close()
    with pytest.raises(asyncio.CancelledError):
        await endless


async def test_one_shop_s_pictures_do_not_keep_another_s_waiting() -> None:
    pool = PicturePool(1, dependencies=Dependencies())
    await pool.start()
    slow, quick = zoo.saved(zoo.busy(900), "PNG"), zoo.saved(zoo.scene(), "PNG")
    done: list[str] = []

    async def prepared(owner: str, data: bytes, *, paid: bool = False) -> None:
        with work_for(Purpose.GENERATION, owner):
            await (pool.ensure_jpeg(data) if paid else pool.prepare(data))
        done.append(owner)

    try:
        many = [asyncio.create_task(prepared("greedy", slow)) for _ in range(8)]
        await asyncio.sleep(0)
        one = asyncio.create_task(prepared("another", quick))
        answer = asyncio.create_task(prepared("greedy, but paid", slow, paid=True))
        await asyncio.gather(*many, one, answer)
    finally:
        pool.close()
    # What is in hand already goes on, and nothing else before those who came last.
    assert {"another", "greedy, but paid"} <= set(done[: IN_HAND + 2])


async def test_who_has_used_up_a_budget_of_cpu_waits_behind_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "OWNER_CPU_S", 0.1)
    pool, done = PicturePool(1, dependencies=Dependencies()), []
    await pool.start()

    async def prepared(owner: str) -> None:
        with work_for(Purpose.GENERATION, owner):
            await pool.prepare(zoo.saved(zoo.scene(), "PNG"))
        done.append(owner)

    try:
        with work_for(Purpose.GENERATION, "greedy"):
            await pool._run(burn, b"")
        taken = [asyncio.create_task(pool._run(burn, b"", paid=True)) for _ in range(IN_HAND)]
        await asyncio.sleep(0.1)
        await asyncio.gather(prepared("greedy"), prepared("another"), *taken)
    finally:
        pool.close()
    assert done == ["another", "greedy"]


async def test_a_task_whose_pictures_cost_too_much_is_refused_and_its_owner_s_next_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "TASK_CPU_S", 0.8)
    pool = PicturePool(1, dependencies=Dependencies())
    await pool.start()
    healthy = zoo.saved(zoo.scene(), "PNG")
    try:
        await pool._run(burn, b"")  # what its process imports for it is nobody's
        with work_for(Purpose.GENERATION, "shop"):
            pictures = [asyncio.create_task(pool._run(burn, b"")) for _ in range(5)]
            ends = await asyncio.gather(*pictures, return_exceptions=True)
            assert ends[:2] == [b"", b""]
            assert {str(end) for end in ends[2:]} == {
                "belongs to a task whose pictures take more than 0.8 s of a processor"
            }
            assert await pool._run(burn, b"", paid=True) == b"", "what is paid is no part of it"
        with work_for(Purpose.GENERATION, "shop"):
            assert await pool.prepare(healthy) == prepare(healthy)
    finally:
        pool.close()


async def test_all_processes_are_started_before_the_first_picture_and_ended_in_the_end() -> None:
    others = set(pool_processes_of(os.getpid()))
    pool = PicturePool(2, dependencies=Dependencies())
    await pool.start()
    started = set(pool_processes_of(os.getpid())) - others
    assert len(started) == 2
    await asyncio.gather(*(pool.prepare(zoo.saved(zoo.scene(), "PNG")) for _ in range(4)))
    assert set(pool_processes_of(os.getpid())) - others == started
    pool.close()
    assert not set(pool_processes_of(os.getpid())) - others


@pytest.mark.usefixtures("idle_machine")
@pytest.mark.parametrize("end", [die, hang])
async def test_a_picture_in_hand_behind_one_that_ends_the_process_is_prepared_by_the_next(
    end: Callable[[bytes], bytes],
) -> None:
    pool = PicturePool(1, dependencies=Dependencies(), time_limit_s=3.0)
    await pool.start()
    healthy = zoo.saved(zoo.scene(), "PNG")
    try:
        guilty = asyncio.create_task(pool._run(end, b""))
        innocent = [asyncio.create_task(pool.prepare(healthy)) for _ in range(3)]
        with pytest.raises((PictureError, ProcessDied)):
            await guilty
        assert await asyncio.gather(*innocent) == [prepare(healthy)] * 3
    finally:
        pool.close()


async def test_a_picture_whose_process_is_ended_for_others_sake_gets_another_one(tmp_path: Path) -> None:
    pool = PicturePool(1, dependencies=Dependencies())
    await pool.start()
    first_time = tmp_path / "first time"
    first_time.touch()
    try:
        assert await pool._run(die_the_first_time, bytes(first_time)) == b"decoded"
    finally:
        pool.close()


@pytest.mark.parametrize("threads", [True, False], ids=["", "no thread can be started"])
async def test_processes_that_die_between_pictures_are_replaced(threads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    others = set(pool_processes_of(os.getpid()))

    async def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    if not threads:
        monkeypatch.setattr(asyncio, "to_thread", no_thread)
    pool = PicturePool(2, dependencies=Dependencies())
    await pool.start()
    healthy = zoo.saved(zoo.scene(), "PNG")
    try:
        for process in set(pool_processes_of(os.getpid())) - others:
            os.kill(process, signal.SIGKILL)
        assert await asyncio.gather(*(pool.prepare(healthy) for _ in range(4))) == [prepare(healthy)] * 4
    finally:
        pool.close()


async def test_a_caller_that_goes_away_takes_nobodys_picture_and_no_process_along() -> None:
    pool = PicturePool(1, dependencies=Dependencies(), time_limit_s=3.0)
    await pool.start()
    healthy = zoo.saved(zoo.scene(), "PNG")
    try:
        endless = asyncio.create_task(pool._run(hang, b""))
        await asyncio.sleep(1.0)
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        assert await pool.prepare(healthy) == prepare(healthy)
    finally:
        pool.close()
