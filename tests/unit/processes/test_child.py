"""A process beside the loop: what comes back from it, and that nothing which happens in it is waited for in vain."""

import asyncio
import ctypes
import gc
import os
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
import uvloop

from support import child_jobs as jobs
from wearon.processes.answers import Returned
from wearon.processes.child import NICENESS, STARVED, ChildProcess, NeverBegun, ProcessDied, ProcessFailed, Starved

pytestmark = pytest.mark.slow

LONG = 60.0


@pytest.fixture
async def child() -> AsyncIterator[ChildProcess]:
    child = await ChildProcess.start(memory_limit_bytes=512 * 1024 * 1024)
    yield child
    child.kill()
    child.join()


async def ended(pid: int) -> None:
    async with asyncio.timeout(30):
        with suppress(ProcessLookupError):
            while True:
                os.kill(pid, 0)
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("size", [0, 1, 10_000_000])
async def test_bytes_of_any_size_go_there_and_come_back(child: ChildProcess, size: int) -> None:
    data = os.urandom(size)
    pid, back = await child.run(LONG, jobs.echo, data)
    assert back == data
    assert pid != os.getpid()


async def test_lets_the_event_loop_go_first(child: ChildProcess) -> None:
    assert await child.run(LONG, jobs.priority) == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS


async def test_errors_come_back_and_the_process_goes_on(child: ChildProcess) -> None:
    pid = await child.run(LONG, jobs.own_pid)
    with pytest.raises(KeyError, match="this one"):
        await child.run(LONG, jobs.fail, "this one")
    with pytest.raises(MemoryError):
        await child.run(LONG, jobs.take_memory, 1024 * 1024 * 1024)
    with pytest.raises(TypeError, match="function cannot be sent"):
        await child.run(LONG, jobs.unsendable)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        await child.run(LONG, lambda: None)
    assert await child.run(LONG, jobs.own_pid) == pid
    assert child.alive


async def test_one_that_takes_too_long_is_ended(child: ChildProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wearon.processes.child.STARVED", 0.05)  # so that a busy machine will do
    pid = await child.run(LONG, jobs.own_pid)
    with pytest.raises(ProcessFailed, match=r"^took longer than 0\.5 s$"):
        await child.run(0.5, jobs.burn, LONG)
    assert not child.alive
    await ended(pid)
    with pytest.raises(ProcessFailed):
        await child.run(LONG, jobs.own_pid)


async def test_one_that_dies_at_work_is_told_at_once(child: ChildProcess) -> None:
    with pytest.raises(ProcessFailed, match=r"^its process died \(exit code 7\)$"):
        await child.run(LONG, jobs.die, 7)
    assert not child.alive


async def test_one_that_is_killed_while_it_is_idle_is_noticed(child: ChildProcess) -> None:
    os.kill(await child.run(LONG, jobs.own_pid), 9)
    async with asyncio.timeout(30):
        while child.alive:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [jobs.not_what_it_says, jobs.write_a_pickle])
async def test_an_answer_that_is_not_what_was_promised_ends_it(child: ChildProcess, answer: Callable[[], int]) -> None:
    with pytest.raises(ProcessFailed, match="cannot be read"):
        await child.run(LONG, answer)
    assert not child.alive


@pytest.mark.parametrize("words", [jobs.announce_too_much, jobs.answer_unasked])
async def test_one_that_does_not_keep_to_the_protocol_is_ended(child: ChildProcess, words: Callable[[], int]) -> None:
    child.send(words)
    async with asyncio.timeout(30):
        while child.alive:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)
    with pytest.raises(ProcessFailed):
        await child.run(LONG, jobs.own_pid)


async def test_one_that_got_no_time_of_a_processor_is_not_to_blame(child: ChildProcess) -> None:
    await child.run(LONG, jobs.own_pid)  # its imports are done
    call = child.send(jobs.sleep, LONG)
    with pytest.raises(Starved, match=r" s of a processor in "):
        await call.answer(0.5)
    assert call.cpu_s < STARVED * 0.5
    assert not child.alive


async def test_it_has_no_secrets_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "REDIS_URL", "SUPABASE_SERVICE_ROLE_KEY", "API_TOKEN", "ANYTHING_ELSE"):
        monkeypatch.setenv(name, "a secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    child = await ChildProcess.start()
    try:
        environment = await child.run(LONG, jobs.environment)
        assert "a secret" not in environment
        assert "OMP_NUM_THREADS=3" in environment
    finally:
        child.kill()
        child.join()


async def test_an_answer_tells_what_it_cost(child: ChildProcess) -> None:
    call = child.send(jobs.burn, 0.2)
    await call.answer(LONG)
    assert 0.2 <= call.cpu_s < 0.7, "of the processor's time, not of the clock's"


@pytest.mark.parametrize("said", [float("nan"), -1.0, 1e300])
async def test_nobody_is_believed_to_have_cost_more_than_the_time_limit(child: ChildProcess, said: float) -> None:
    call = child.send(jobs.lie_about_time, said)
    await call.answer(LONG)
    assert call.cpu_s == LONG


async def test_cancelling_a_call_ends_it(child: ChildProcess) -> None:
    pid = await child.run(LONG, jobs.own_pid)
    call = asyncio.create_task(child.run(LONG, jobs.sleep, LONG))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not child.alive
    child.join()
    await ended(pid)


async def test_calls_sent_ahead_are_answered_in_their_order(child: ChildProcess) -> None:
    calls = [child.send(jobs.echo, bytes([number]) * number * 100_000) for number in range(4)]
    for number, call in enumerate(calls):
        answer = await call.answer(LONG)
        assert isinstance(answer, Returned)
        assert answer.value[1] == bytes([number]) * number * 100_000


async def test_a_call_begins_when_the_one_before_it_is_answered(child: ChildProcess) -> None:
    first, second = child.send(jobs.sleep, 0.2), child.send(jobs.own_pid)
    turn = asyncio.create_task(second.begins())
    assert await first.begins()
    assert not turn.done()
    await first.answer(LONG)
    assert await turn


async def test_an_answer_that_nobody_waits_for_is_not_the_next_ones(child: ChildProcess) -> None:
    child.send(jobs.echo, b"forgotten")
    assert (await child.run(LONG, jobs.echo, b"mine"))[1] == b"mine"


async def test_the_time_before_its_turn_is_not_its_own(child: ChildProcess) -> None:
    child.send(jobs.sleep, 1.5)
    assert (await child.run(1.0, jobs.echo, b""))[1] == b""


@pytest.mark.parametrize(("end", "limit", "blame"), [(jobs.die, LONG, ProcessDied), (jobs.sleep, 0.3, Starved)])
async def test_who_stands_behind_a_call_that_ends_the_process_is_told_so(
    child: ChildProcess, end: Callable[[int], None], limit: float, blame: type[ProcessFailed]
) -> None:
    await child.run(LONG, jobs.own_pid)  # its imports take a processor's time, too
    first, second = child.send(end, 60), child.send(jobs.own_pid)
    innocent = asyncio.create_task(second.answer(LONG))
    with pytest.raises(ProcessFailed) as caught:
        await first.answer(limit)
    assert type(caught.value) is blame
    with pytest.raises(NeverBegun):
        await innocent
    assert not await child.send(jobs.own_pid).begins()


PARENT = """
import asyncio, os, signal
from support import child_jobs
from wearon.processes.child import ChildProcess

async def main():
    child = await ChildProcess.start()
    print(await child.run(60, child_jobs.own_pid), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_does_not_outlive_the_process_that_started_it() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", PARENT], env=environment, capture_output=True, check=False
    )
    await ended(int(parent.stdout))


async def test_what_a_failed_call_leaves_behind_can_be_collected(child: ChildProcess) -> None:
    left: list[object] = []
    try:
        await child.run(LONG, jobs.fail, "x" * 100_000)
    except KeyError as error:
        left += [error, left]
    del left
    gc.collect()  # the interpreter must live through it
    assert (await child.run(LONG, jobs.echo, b"still here"))[1] == b"still here"


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
async def test_it_keeps_freed_memory_for_the_next_call(child: ChildProcess) -> None:
    await child.run(LONG, jobs.page_faults)
    assert await child.run(LONG, jobs.page_faults) < 1000


def test_it_works_on_the_loop_that_a_worker_runs_on() -> None:
    async def call() -> int:
        child = await ChildProcess.start()
        try:
            return (await child.run(LONG, jobs.echo, b"picture"))[0]
        finally:
            await child.end()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(call()) != os.getpid()
