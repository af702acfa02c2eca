"""Who gets a slot next, and that none is lost."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearon.resources import fair_slots
from wearon.resources.fair_slots import Budget, FairSlots, share_of
from wearon.resources.work import Purpose, Work, current_work, work_for


async def turn() -> None:
    """Let everything go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_whoever_holds_the_fewest_is_next() -> None:
    slots, got = FairSlots(3, share=3), []

    async def hold(name: str, until: asyncio.Event) -> None:
        async with slots.hold(name):
            got.append(name)
            await until.wait()

    first, rest = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(hold("greedy", first)) for _ in range(3)]
    tasks += [asyncio.create_task(hold("greedy", rest)) for _ in range(5)]
    await turn()
    tasks.append(asyncio.create_task(hold("late", rest)))
    await turn()
    assert got == ["greedy"] * 3
    first.set()
    await turn()
    assert got[3] == "late"
    rest.set()
    await asyncio.gather(*tasks)
    assert Counter(got) == {"greedy": 8, "late": 1}
    assert slots.free == 3


async def test_nobody_gets_more_than_a_share_though_slots_are_free() -> None:
    slots = FairSlots(6)
    assert share_of(6) == 4
    for _ in range(4):
        await slots.acquire("owner", "host")
    waiting = asyncio.create_task(slots.acquire("owner", "another host"))
    await turn()
    assert not waiting.done()
    await slots.acquire("another owner", "another host")  # which passes it
    slots.release("owner", "host")
    await asyncio.wait_for(waiting, 5)


async def test_who_has_used_up_a_budget_is_served_behind_all_others() -> None:
    budget = Budget(each=2.0, half_life_s=1e9)
    slots, got = FairSlots(1, budget=budget), []
    budget.charge("greedy", 4.1)
    budget.charge("busy", 1.9)
    await slots.acquire("another")

    async def hold(name: str) -> None:
        async with slots.hold(name):
            got.append(name)

    tasks = [asyncio.create_task(hold(name)) for name in ("greedy", "busy", "late")]
    await turn()
    slots.release("another")
    await asyncio.gather(*tasks)
    assert got == ["busy", "late", "greedy"]


def test_what_was_used_is_forgotten_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(fair_slots, "monotonic", lambda: now)
    budget = Budget(each=1.0, half_life_s=30.0)
    budget.charge("shop", 3.0)
    budget.charge("shop", 1.0)
    assert (budget.times_used("shop"), budget.times_used("another")) == (4, 0)
    now += 30.0
    assert budget.times_used("shop") == 2
    budget.charge("shop", 1.0)
    assert budget.times_used("shop") == 3
    now += 300.0
    assert budget.times_used("shop") == 0


async def test_who_is_not_known_has_no_share() -> None:
    slots = FairSlots(6)
    for _ in range(6):
        await asyncio.wait_for(slots.acquire(""), 5)
    assert slots.free == 0


@pytest.mark.parametrize("when", ["waiting", "given one in the same moment"])
async def test_a_slot_is_not_lost_with_who_waits_for_it(when: str) -> None:
    slots = FairSlots(1)
    await slots.acquire("one")
    waiting = asyncio.create_task(slots.acquire("other"))
    await turn()
    if when != "waiting":
        slots.release("one")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if when == "waiting":
        slots.release("one")
    assert slots.free == 1
    await asyncio.wait_for(slots.acquire("one"), 5)


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 3), st.booleans()), max_size=25),
)
def test_no_more_are_held_than_there_are(number: int, share: int, holders: list[tuple[str, str, int, bool]]) -> None:
    async def run() -> None:
        slots, held = FairSlots(number, share), Counter[str]()

        async def hold(owner: str, host: str, turns: int) -> None:
            async with slots.hold(owner, host):
                held.update([owner, host, "all"])
                assert held["all"] <= number
                assert max(held[owner], held[host]) <= share
                try:
                    for _ in range(turns):
                        await asyncio.sleep(0)
                finally:
                    held.subtract([owner, host, "all"])

        tasks = []
        for owner, host, turns, cancelled in holders:
            tasks.append(asyncio.create_task(hold(owner, host, turns)))
            if cancelled:
                await asyncio.sleep(0)
                tasks[-1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not [task for task in tasks if not task.cancelled() and task.exception()]
        await turn()
        assert slots.free == number

    asyncio.run(run())


async def test_what_work_is_for_goes_along_with_the_tasks_that_it_starts() -> None:
    assert current_work() == Work(Purpose.ESTIMATE, "")
    assert current_work().spent is None
    with work_for(Purpose.GENERATION, "shop"):
        spent = current_work().spent
        assert spent is not None

        async def inside() -> Work:
            with work_for(Purpose.ANSWER):
                assert current_work().spent is spent
                return current_work()

        assert await asyncio.create_task(inside()) == Work(Purpose.ANSWER, "shop")
        assert current_work() == Work(Purpose.GENERATION, "shop")
    assert current_work() == Work(Purpose.ESTIMATE, "")
