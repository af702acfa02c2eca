"""Garments are prepared once, and nobody's trouble with one becomes another's."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.job_side import GUARD_S
from wearon.metrics import Metrics
from wearon.pictures.decode import PictureError
from wearon.tryon import garments as module
from wearon.tryon.garments import HASHED_AT_ONCE_BYTES, MOST_KEPT_BYTES, Garments


class Preparing:
    """Answers `prepared <data>`, at once or when told to, and notes what it was asked."""

    def __init__(self, *, at_once: bool = True, weight: int = 0) -> None:
        self.asked: list[bytes] = []
        self._at_once = at_once
        self._weight = weight
        self._calls: list[asyncio.Future[None]] = []

    async def __call__(self, data: bytes) -> bytes:
        self.asked.append(data)
        self._calls.append(asyncio.get_running_loop().create_future())
        if self._at_once:
            self.succeed()
        await self._calls[-1]
        return (b"prepared " + data).ljust(self._weight)

    def succeed(self) -> None:
        """All that are under way."""
        for call in self._calls:
            if not call.done():
                call.set_result(None)

    def fail(self, reason: str) -> None:
        """All that are under way."""
        for call in self._calls:
            if not call.done():
                call.set_exception(PictureError(reason))


async def settle() -> None:
    """Everybody who can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


def shoppers_with(garments: Garments, count: int, garment: bytes = b"shirt") -> list[asyncio.Task[bytes]]:
    return [asyncio.create_task(garments.prepared(garment)) for _ in range(count)]


async def all_of(shoppers: list[asyncio.Task[bytes]]) -> list[bytes]:
    async with asyncio.timeout(GUARD_S):
        return await asyncio.gather(*shoppers)


def counted(metrics: Metrics) -> dict[str, float | None]:
    value = metrics.registry.get_sample_value
    return {outcome: value("wearon_garments_total", {"outcome": outcome}) for outcome in ("prepared", "found")}


async def test_the_second_shopper_finds_the_garment_prepared() -> None:
    prepare, metrics = Preparing(), Metrics()
    garments = Garments(prepare, metrics)
    assert [await garments.prepared(bytes(bytearray(b"shirt"))) for _ in range(3)] == [b"prepared shirt"] * 3
    assert prepare.asked == [b"shirt"]
    assert counted(metrics) == {"prepared": 1, "found": 2}


@pytest.mark.parametrize("size", [10, HASHED_AT_ONCE_BYTES, HASHED_AT_ONCE_BYTES + 1])
async def test_pictures_that_differ_in_their_last_byte_are_two(size: int) -> None:
    garments = Garments(Preparing(), Metrics())
    shirts = [bytes(size - 1) + last for last in (b"1", b"2")]
    for _ in range(2):
        assert [await garments.prepared(shirt) for shirt in shirts] == [b"prepared " + shirt for shirt in shirts]


async def test_megabytes_are_not_hashed_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    hash_picture, places = module._sha256, []

    def watched(data: bytes) -> bytes:
        places.append(threading.current_thread() is threading.main_thread())
        return hash_picture(data)

    monkeypatch.setattr(module, "_sha256", watched)
    garments = Garments(Preparing(), Metrics())
    await garments.prepared(bytes(HASHED_AT_ONCE_BYTES))
    await garments.prepared(bytes(10_000_000))
    assert places == [True, False]


async def test_what_was_not_asked_for_longest_goes_first() -> None:
    prepare = Preparing(weight=MOST_KEPT_BYTES // 3)
    garments = Garments(prepare, Metrics())
    for picture in (b"shirt", b"hat", b"scarf", b"shirt", b"coat", b"shirt", b"scarf", b"hat"):
        await garments.prepared(picture)
    assert prepare.asked == [b"shirt", b"hat", b"scarf", b"coat", b"hat"]


async def test_all_who_need_it_at_the_same_time_prepare_it_once() -> None:
    prepare, metrics = Preparing(at_once=False), Metrics()
    garments = Garments(prepare, metrics)
    shoppers, other = shoppers_with(garments, 5), shoppers_with(garments, 1, b"hat")
    await settle()
    assert prepare.asked == [b"shirt", b"hat"]  # another garment does not wait for it
    prepare.succeed()
    assert await all_of(shoppers + other) == [b"prepared shirt"] * 5 + [b"prepared hat"]
    assert prepare.asked == [b"shirt", b"hat"]
    assert counted(metrics) == {"prepared": 2, "found": 4}


async def test_an_error_is_not_kept() -> None:
    prepare, metrics = Preparing(at_once=False), Metrics()
    garments = Garments(prepare, metrics)
    unlucky = shoppers_with(garments, 1)
    await settle()
    prepare.fail("its process died")
    with pytest.raises(PictureError, match="its process died"):
        await all_of(unlucky)
    lucky = shoppers_with(garments, 1)
    await settle()
    prepare.succeed()
    assert await all_of(lucky) == [b"prepared shirt"]
    assert counted(metrics) == {"prepared": 1, "found": 0}


async def test_those_who_waited_for_one_that_failed_try_for_themselves_side_by_side() -> None:
    prepare = Preparing(at_once=False)
    garments = Garments(prepare, Metrics())
    first, *others = shoppers_with(garments, 3)
    await settle()
    prepare.fail("took longer than 15 s")
    with pytest.raises(PictureError):
        await first
    await settle()
    assert prepare.asked == [b"shirt"] * 3  # one after the other they could wait for minutes
    others += shoppers_with(garments, 2)  # these need not
    await settle()
    prepare.succeed()
    assert await all_of(others) == [b"prepared shirt"] * 4
    assert prepare.asked == [b"shirt"] * 3


async def test_a_garment_that_several_have_prepared_takes_room_once() -> None:
    prepare = Preparing(at_once=False, weight=MOST_KEPT_BYTES // 3)
    garments = Garments(prepare, Metrics())
    shoppers = shoppers_with(garments, 3)
    await settle()
    prepare.fail("took longer than 15 s")
    await settle()
    shoppers += shoppers_with(garments, 1, b"hat") + shoppers_with(garments, 1, b"scarf")
    await settle()
    prepare.succeed()
    await all_of(shoppers[1:])
    asked = list(prepare.asked)
    for garment in (b"shirt", b"hat", b"scarf"):
        await all_of(shoppers_with(garments, 1, garment))
    assert prepare.asked == asked


async def test_what_is_no_picture_is_refused_to_everybody() -> None:
    prepare = Preparing(at_once=False)
    shoppers = shoppers_with(Garments(prepare, Metrics()), 3)
    for _ in range(2):
        await settle()
        prepare.fail("is empty")
    async with asyncio.timeout(GUARD_S):
        answers = await asyncio.gather(*shoppers, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["is empty"] * 3


async def test_the_first_is_cancelled_and_the_others_get_their_picture() -> None:
    prepare = Preparing(at_once=False)
    first, *others = shoppers_with(Garments(prepare, Metrics()), 3)
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    prepare.succeed()
    assert await all_of(others) == [b"prepared shirt"] * 2


async def test_the_time_limit_of_the_first_is_its_own() -> None:
    prepare = Preparing(at_once=False)
    garments = Garments(prepare, Metrics())

    async def in_a_hurry() -> bytes:
        async with asyncio.timeout(0):
            return await garments.prepared(b"shirt")

    first, second = asyncio.create_task(in_a_hurry()), shoppers_with(garments, 1)
    with pytest.raises(TimeoutError):
        await first
    await settle()
    prepare.succeed()
    assert await all_of(second) == [b"prepared shirt"]


async def test_one_who_waits_is_cancelled_and_the_first_goes_on() -> None:
    prepare = Preparing(at_once=False)
    first, second = shoppers_with(Garments(prepare, Metrics()), 2)
    await settle()
    second.cancel()
    await settle()
    assert second.cancelled()
    prepare.succeed()
    assert await all_of([first]) == [b"prepared shirt"]
    assert prepare.asked == [b"shirt"]


async def test_when_all_are_cancelled_nothing_goes_on_and_the_next_one_begins_anew() -> None:
    prepare = Preparing(at_once=False)
    garments = Garments(prepare, Metrics())
    shoppers = shoppers_with(garments, 3)
    await settle()
    for shopper in shoppers:
        shopper.cancel()
    await settle()
    assert all(shopper.cancelled() for shopper in shoppers)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    later = shoppers_with(garments, 1)
    await settle()
    prepare.succeed()
    assert await all_of(later) == [b"prepared shirt"]


class Crowd:
    """Shoppers that come, give up, and have their pictures prepared well or badly, in any order."""

    def __init__(self) -> None:
        self.garments = Garments(self._prepare, Metrics())
        self._preparing: list[tuple[asyncio.Future[bytes], bytes, str]] = []
        self._wants: dict[asyncio.Task[bytes], bytes] = {}
        self._gave_up: set[asyncio.Task[bytes]] = set()
        self._failed: set[str] = set()

    async def _prepare(self, data: bytes) -> bytes:
        shopper = asyncio.current_task()
        assert shopper
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._preparing.append((done, data, shopper.get_name()))
        return await done

    def come(self, garment: bytes) -> None:
        name = str(len(self._wants))
        self._wants[asyncio.create_task(self.garments.prepared(garment), name=name)] = garment

    def give_up(self, number: int) -> None:
        shoppers = list(self._wants)
        if shoppers and shoppers[number % len(shoppers)].cancel():
            self._gave_up.add(shoppers[number % len(shoppers)])

    def end(self, number: int, *, well: bool = True) -> None:
        under_way = [each for each in self._preparing if not each[0].done()]
        if not under_way:
            return
        done, data, whose = under_way[number % len(under_way)]
        if well:
            done.set_result(b"%-10s" % data)
        else:
            self._failed.add(whose)
            done.set_exception(PictureError("no"))

    async def disperse(self) -> None:
        async with asyncio.timeout(GUARD_S):
            while not all(shopper.done() for shopper in self._wants):
                self.end(0)
                await asyncio.sleep(0)

    def check(self) -> None:
        for shopper, garment in self._wants.items():
            if shopper.cancelled():
                assert shopper in self._gave_up
            elif shopper.exception() is not None:
                assert shopper.get_name() in self._failed
            else:
                assert shopper.result() == b"%-10s" % garment


NUMBER = st.integers(0, 100)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just(Crowd.come), st.sampled_from([b"shirt", b"hat", b"scarf", b"coat"])),
        st.tuples(st.sampled_from([Crowd.give_up, Crowd.end, partial(Crowd.end, well=False)]), NUMBER),
        st.tuples(st.just(None), st.integers(1, 3)),
    ),
    max_size=40,
)


@given(steps=STEPS, room=st.integers(0, 4))
def test_whatever_happens_everybody_gets_their_own_picture_or_their_own_trouble(
    steps: list[tuple[Callable[..., None] | None, Any]], room: int
) -> None:
    async def live_through() -> None:
        crowd = Crowd()
        for step, what in steps:
            if step is None:
                for _ in range(what):
                    await asyncio.sleep(0)
            else:
                step(crowd, what)
            assert sum(map(len, crowd.garments._kept.values())) <= 10 * room
        await crowd.disperse()
        crowd.check()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_KEPT_BYTES", 10 * room)
        asyncio.run(live_through())
