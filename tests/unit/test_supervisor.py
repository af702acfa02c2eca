"""A part that dies comes back; one that cannot come back ends everything."""

import asyncio

import pytest

from wearon import supervisor as module
from wearon.supervisor import ComponentGaveUp, ComponentState, Supervisor


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_PAUSES_S", (0.0, 0.0, 0.0))


async def test_a_part_that_dies_is_started_again_and_says_why() -> None:
    starts = asyncio.Queue[int]()
    parts = Supervisor()

    async def dies_twice() -> None:
        starts.put_nowait(1)
        if parts.components[0].restarts < 2:
            raise RuntimeError("no luck")
        await asyncio.Event().wait()

    parts.start("fragile", dies_twice)
    for _ in range(3):
        await starts.get()
    (part,) = parts.components
    assert (part.state, part.restarts, part.error) == (ComponentState.RUNNING, 2, "RuntimeError: no luck")
    await parts.stop_all()
    assert part.state is ComponentState.STOPPED


async def test_a_part_that_ends_by_itself_has_died_too() -> None:
    parts = Supervisor()

    async def ends() -> None:
        return

    parts.start("short", ends)
    with pytest.raises(ComponentGaveUp, match="short: ended by itself"):
        await parts.wait_until_one_gives_up()


async def test_a_part_whose_own_work_was_cancelled_has_died_too() -> None:
    parts = Supervisor()

    async def waits_in_vain() -> None:
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        await never

    parts.start("lost", waits_in_vain)
    with pytest.raises(ComponentGaveUp, match="lost: something that it waited for was cancelled"):
        await asyncio.wait_for(parts.wait_until_one_gives_up(), 5.0)


async def test_a_part_that_cannot_come_back_is_given_up() -> None:
    tries = 0
    parts = Supervisor()

    async def broken() -> None:
        nonlocal tries
        tries += 1
        raise OSError("out of order")

    parts.start("broken", broken)
    with pytest.raises(ComponentGaveUp, match="broken: OSError: out of order"):
        await parts.wait_until_one_gives_up()
    assert tries == 4
    assert parts.components[0].state is ComponentState.FAILED


async def test_steady_parts_start_from_the_first_pause_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEADY_S", -1.0)  # every run counts as a long one
    runs = asyncio.Queue[int]()
    parts = Supervisor()

    async def dies() -> None:
        runs.put_nowait(1)
        raise RuntimeError

    parts.start("now and then", dies)
    for _ in range(20):
        await runs.get()
    assert parts.components[0].state is not ComponentState.FAILED
    await parts.stop_all()


async def test_parts_stop_in_reverse_order_of_their_start() -> None:
    stopped: list[str] = []
    parts = Supervisor()
    running = asyncio.Event()

    def part(name: str) -> None:
        async def run() -> None:
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(name)

        parts.start(name, run)

    for name in ("lease", "worker", "consumer"):
        part(name)
    await running.wait()
    await asyncio.sleep(0)
    await parts.stop_all()
    assert stopped == ["consumer", "worker", "lease"]
    await parts.stop("never started")


async def test_a_part_that_lost_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANCEL_AGAIN_S", 0.01)
    parts = Supervisor()
    swallowed: list[int] = []
    waiting = asyncio.Event()

    async def deaf() -> None:
        while len(swallowed) < 3:
            waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(1)
        await asyncio.Event().wait()

    parts.start("deaf", deaf)
    await waiting.wait()
    await parts.stop("deaf")
    assert len(swallowed) == 3
    assert parts.components[0].state is ComponentState.STOPPED


async def test_a_part_that_is_not_needed_is_never_given_up() -> None:
    starts = asyncio.Queue[int]()
    parts = Supervisor()

    async def broken() -> None:
        starts.put_nowait(1)
        raise OSError("out of order")

    parts.start("extra", broken, needed=False)
    giving_up = asyncio.create_task(parts.wait_until_one_gives_up())
    for _ in range(20):
        await starts.get()
    (part,) = parts.components
    assert (part.state, part.error) == (ComponentState.RESTARTING, "OSError: out of order")
    assert not giving_up.done()
    giving_up.cancel()
    await parts.stop_all()
